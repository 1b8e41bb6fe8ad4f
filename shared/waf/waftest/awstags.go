package waftest

import (
	"encoding/json"
	"slices"
	"strings"
)

type tag struct{ Key, Value string }

func readTags(r request) (map[string]string, *apiError) {
	tags := map[string]string{}
	raw, ok := r.fields["Tags"]
	if !ok {
		return tags, nil
	}
	var list []tag
	if json.Unmarshal(raw, &list) != nil || len(list) > 50 {
		return nil, refuse("ValidationException", "Value at 'tags' failed to satisfy constraint")
	}
	for _, t := range list {
		if len(t.Key) < 1 || len(t.Key) > 128 || len(t.Value) > 256 || !tagPattern.MatchString(t.Key) || !tagPattern.MatchString(t.Value) {
			return nil, refuse("ValidationException", "Value at 'tags' failed to satisfy constraint: %s=%s", t.Key, t.Value)
		}
		tags[t.Key] = t.Value
	}
	return tags, nil
}

func (a *AWS) tagsOf(r request) (map[string]string, *apiError) {
	tags, ok := a.tags[r.str("ResourceARN")]
	if !ok {
		return nil, errNonexistent()
	}
	return tags, nil
}

func (a *AWS) tagResource(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	more, refused := readTags(r)
	if refused != nil {
		return nil, refused
	}
	for key, value := range more {
		tags[key] = value
	}
	return map[string]any{}, nil
}

func (a *AWS) untagResource(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	var keys []string
	if json.Unmarshal(r.fields["TagKeys"], &keys) != nil {
		return nil, refuse("ValidationException", "Value at 'tagKeys' failed to satisfy constraint")
	}
	for _, key := range keys {
		delete(tags, key)
	}
	return map[string]any{}, nil
}

func (a *AWS) listTags(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	list := make([]tag, 0, len(tags))
	for key, value := range tags {
		list = append(list, tag{key, value})
	}
	slices.SortFunc(list, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return map[string]any{"TagInfoForResource": map[string]any{"ResourceARN": r.str("ResourceARN"), "TagList": list}}, nil
}
