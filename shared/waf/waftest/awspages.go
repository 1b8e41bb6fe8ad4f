package waftest

import (
	"encoding/json"
	"slices"
)

// page returns the names after the request's marker, and the next marker.
func (a *AWS) page(r request, names []string) (page []string, marker string, refused *apiError) {
	limit := 0
	if raw, ok := r.fields["Limit"]; ok {
		if json.Unmarshal(raw, &limit) != nil || limit < 1 || limit > 100 {
			return nil, "", refuse("ValidationException", "Value %s at 'limit' failed to satisfy constraint: 1 to 100", raw)
		}
	}
	if limit == 0 || limit > a.opts.Page {
		limit = a.opts.Page
	}
	slices.Sort(names)
	after := r.str("NextMarker")
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	page = names[i:min(i+limit, len(names))]
	switch {
	case i+limit < len(names):
		marker = page[len(page)-1]
	case a.opts.AlwaysMarker && len(page) > 0:
		marker = page[len(page)-1]
	case a.opts.AlwaysMarker:
		marker = after
	}
	return page, marker, nil
}

func withMarker(result map[string]any, marker string) map[string]any {
	if marker != "" {
		result["NextMarker"] = marker
	}
	return result
}
