package feeds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/formats"
)

// taxiiType is the media type of TAXII 2.1 (section 1.6.8.4 of its specification).
const taxiiType = "application/taxii+json;version=2.1"

const (
	maxRoots    = 8       // API roots in which a collection is looked for
	maxDocument = 1 << 20 // bytes of a discovery or a list of collections
	maxNext     = 4 << 10 // bytes of a page's token
)

// taxii reads a whole collection: discovery, the API root's collections, and the collection's objects, page by page. A feed whose URL
// goes to a collection itself (…/collections/ID/) begins there. A page that cannot be had makes the whole feed fail: a
// part of a collection would look like a collection.
func (v *visit) taxii(ctx context.Context) (threatintel.Arrival, error) {
	at, err := url.Parse(v.feed.URL)
	if err != nil {
		return threatintel.Arrival{}, fmt.Errorf("%w: its URL cannot be asked for", threatintel.ErrUnreachable)
	}
	if !strings.Contains(at.Path, "/collections/") {
		if at, err = v.collection(ctx, at); err != nil {
			return threatintel.Arrival{}, err
		}
	}
	if !strings.HasSuffix(strings.TrimSuffix(at.Path, "/"), "/objects") {
		at = at.JoinPath("objects")
	}
	return v.objects(ctx, at.JoinPath("/"))
}

// collection finds the feed's collection from a discovery URL.
func (v *visit) collection(ctx context.Context, discovery *url.URL) (*url.URL, error) {
	var server struct {
		Default string   `json:"default"`
		Roots   []string `json:"api_roots"`
	}
	if err := v.document(ctx, discovery, &server); err != nil {
		return nil, err
	}
	roots := server.Roots
	if server.Default != "" { // the first to look at, and each root once
		roots = append([]string{server.Default}, slices.DeleteFunc(roots, func(r string) bool { return r == server.Default })...)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%w: its discovery names no API root", threatintel.ErrNotAFeed)
	}
	var found []*url.URL
	for _, text := range roots[:min(len(roots), maxRoots)] {
		root, err := sameServer(discovery, text)
		if err != nil {
			return nil, err
		}
		some, err := v.collections(ctx, root)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
		if len(found) > 0 && v.feed.Collection != "" {
			return found[0], nil
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: %d collections that may be read: name one that there is in collection, by id, alias or title", threatintel.ErrNotAFeed, len(found))
	}
	return found[0], nil
}

// collectionID is what may become a part of a URL: the specification wants a UUID.
var collectionID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// collections returns the collections of an API root that the feed means: the one that it names, or all that may be read.
func (v *visit) collections(ctx context.Context, root *url.URL) ([]*url.URL, error) {
	var list struct {
		Collections []struct {
			ID      string `json:"id"`
			Title   string `json:"title"`
			Alias   string `json:"alias"`
			CanRead bool   `json:"can_read"`
		} `json:"collections"`
	}
	if err := v.document(ctx, root.JoinPath("collections", "/"), &list); err != nil {
		return nil, err
	}
	var found []*url.URL
	want := v.feed.Collection
	for _, c := range list.Collections {
		switch {
		case want != "" && want != c.ID && want != c.Alias && want != c.Title:
		case !c.CanRead && want != "":
			return nil, fmt.Errorf("%w: its collection may not be read", threatintel.ErrDenied)
		case c.CanRead && collectionID.MatchString(c.ID):
			found = append(found, root.JoinPath("collections", c.ID))
		}
	}
	return found, nil
}

// sameServer completes an API root, which may be relative. Our secret is for the server that the operator named.
func sameServer(discovery *url.URL, text string) (*url.URL, error) {
	root, err := discovery.Parse(text)
	if err != nil || root.Scheme != discovery.Scheme || root.Host != discovery.Host || root.User != nil {
		return nil, fmt.Errorf("%w: its discovery leads to another server", threatintel.ErrRedirected)
	}
	return root, nil
}

// document reads one small JSON object.
func (v *visit) document(ctx context.Context, at *url.URL, into any) error {
	res, err := v.get(ctx, at.String(), http.Header{"Accept": {taxiiType}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := v.body(res)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(b, maxDocument+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the connection ends in the middle", threatintel.ErrTruncated)
	case err != nil:
		return bare(err)
	case len(text) > maxDocument:
		return fmt.Errorf("%w: an answer of more than %d bytes before the first object", threatintel.ErrTooLarge, maxDocument)
	case json.Unmarshal(text, into) != nil:
		return fmt.Errorf("%w: want an answer of TAXII 2.1", threatintel.ErrNotAFeed)
	}
	return nil
}

// objects reads all pages. There is a next one where "more" says so, found by the token in "next", or, where a server gives
// none, by the date in X-TAXII-Date-Added-Last (section 3.4 of the specification).
func (v *visit) objects(ctx context.Context, at *url.URL) (threatintel.Arrival, error) {
	bundle := formats.NewBundle(v.feed, v.now())
	query := url.Values{"match[type]": {"indicator"}}
	been := map[string]bool{}
	for range v.limits.Pages {
		page := *at
		page.RawQuery = query.Encode()
		more, next, added, err := v.page(ctx, page.String(), bundle)
		if err != nil {
			return threatintel.Arrival{}, err
		}
		if !more {
			return bundle.Arrival()
		}
		switch {
		case next != "":
			query.Set("next", next)
		case added != "":
			query.Set("added_after", added)
		default:
			return threatintel.Arrival{}, fmt.Errorf("%w: it says that there is more, and not how to get it", threatintel.ErrTruncated)
		}
		if been[next+" "+added] || len(next) > maxNext {
			return threatintel.Arrival{}, fmt.Errorf("%w: its pages go round in a circle", threatintel.ErrNotAFeed)
		}
		been[next+" "+added] = true
	}
	return threatintel.Arrival{}, fmt.Errorf("%w: more than %d pages", threatintel.ErrTooLarge, v.limits.Pages)
}

// page reads one envelope: {"more":true,"next":"…","objects":[…]}.
func (v *visit) page(ctx context.Context, at string, bundle *formats.Bundle) (more bool, next, added string, err error) {
	res, err := v.get(ctx, at, http.Header{"Accept": {taxiiType}})
	if err != nil {
		return false, "", "", err
	}
	defer res.Body.Close()
	b, err := v.body(res)
	if err != nil {
		return false, "", "", err
	}
	more, next, err = bundle.Page(b)
	if err != nil {
		return false, "", "", bare(err)
	}
	return more, next, header1(res, "X-TAXII-Date-Added-Last"), nil
}
