//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// indexBody is an index configuration as the API writes it.
type indexBody struct {
	Keys       map[string]indexKeyBody `json:"keys,omitempty"`
	Line       *indexLineBody          `json:"line,omitempty"`
	TTL        int                     `json:"ttl,omitempty"`
	MaxTextLen int                     `json:"max_text_len,omitempty"`
}

type indexKeyBody struct {
	Type          string   `json:"type"`
	Token         []string `json:"token"`
	CaseSensitive bool     `json:"caseSensitive"`
	DocValue      *bool    `json:"doc_value,omitempty"`
	Chn           bool     `json:"chn"`
}

type indexLineBody struct {
	Token         []string `json:"token"`
	CaseSensitive bool     `json:"caseSensitive"`
	Chn           bool     `json:"chn"`
}

func (s *Server) getIndex(_ context.Context, c *call) (answer, error) {
	ls, err := s.lookup(c.store, false)
	if err != nil {
		return answer{}, err
	}
	x := ls.snapshot().index
	if x == nil {
		return answer{}, noIndex()
	}
	body := indexBody{TTL: 30, MaxTextLen: x.maxText, Keys: map[string]indexKeyBody{}}
	if x.line != nil {
		body.Line = &indexLineBody{Token: x.line.list(), CaseSensitive: x.line.caseSensitive}
	}
	for _, name := range x.names() {
		k := x.keys[name]
		out := indexKeyBody{Type: k.typ.String(), DocValue: &k.sql, Token: []string{}}
		if k.tokens != nil {
			out.Token, out.CaseSensitive = k.tokens.list(), k.tokens.caseSensitive
		}
		body.Keys[name] = out
	}
	return jsonAnswer(body)
}

func noIndex() error {
	return denied(http.StatusNotFound, "IndexConfigNotExist", "index config doesn't exist")
}

// putIndex answers CreateIndex and UpdateIndex. Other than in the service, the
// index holds for logs that are there already.
func (s *Server) putIndex(_ context.Context, c *call) (answer, error) {
	ls, err := s.lookup(c.store, false)
	if err != nil {
		return answer{}, err
	}
	raw, err := c.unpack()
	if err != nil {
		return answer{}, err
	}
	var body indexBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return answer{}, invalid("the body is not an index configuration")
	}
	x, err := body.index(s.config.MaxTextLen)
	if err != nil {
		return answer{}, invalid("index: %v", err)
	}
	ls.setIndex(x)
	return answer{}, nil
}

func (s *Server) deleteIndex(_ context.Context, c *call) (answer, error) {
	ls, err := s.lookup(c.store, false)
	if err != nil {
		return answer{}, err
	}
	ls.setIndex(nil)
	return answer{}, nil
}

func (b indexBody) index(maxText int) (*index, error) {
	if b.MaxTextLen != 0 {
		maxText = b.MaxTextLen
	}
	var problems []error
	if maxText < minMaxTextLen || maxText > maxMaxTextLen {
		problems = append(problems, fmt.Errorf("max_text_len %d: want %d to %d", maxText, minMaxTextLen, maxMaxTextLen))
	}
	if len(b.Keys) > maxIndexKeys {
		problems = append(problems, fmt.Errorf("%d keys: want at most %d", len(b.Keys), maxIndexKeys))
	}
	if len(b.Keys) == 0 && b.Line == nil {
		problems = append(problems, errors.New("want keys or line"))
	}
	x := &index{keys: map[string]indexKey{}, maxText: maxText}
	if b.Line != nil {
		x.line = newTokenizer(strings.Join(b.Line.Token, ""), b.Line.CaseSensitive)
	}
	for name, k := range b.Keys {
		typ, ok := map[string]FieldType{"text": Text, "long": Long, "double": Double, "json": Text}[k.Type]
		if !ok || !validKey(name) {
			problems = append(problems, fmt.Errorf("key %.20q of type %.20q: want 1 to %d bytes and text, long, double or json", name, k.Type, maxKeyLength))
			continue
		}
		x.keys[name] = indexKey{typ: typ, tokens: newTokenizer(strings.Join(k.Token, ""), k.CaseSensitive), sql: k.DocValue != nil && *k.DocValue}
	}
	return x, errors.Join(problems...)
}
