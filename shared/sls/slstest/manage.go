//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

// routeProject finds the handler of a call on the project itself.
func (s *Server) routeProject(c *call) (handlerFunc, error) {
	switch c.Method {
	case http.MethodGet:
		return s.getProject, nil
	case http.MethodPost:
		return s.createProject, nil
	}
	return nil, notSupported(c)
}

func (s *Server) getProject(_ context.Context, c *call) (answer, error) {
	return jsonAnswer(map[string]string{
		"projectName": c.project, "status": "Normal", "description": "", "owner": "", "region": s.config.Region,
		"createTime": "", "lastModifyTime": "",
	})
}

// createProject makes the project that the Host names.
func (s *Server) createProject(_ context.Context, c *call) (answer, error) {
	var body struct {
		Name string `json:"projectName"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || !validName(body.Name) || body.Name != c.project {
		return answer{}, invalid("projectName must be a valid name and the Host's first label")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.projects[body.Name] {
		return answer{}, denied(http.StatusBadRequest, "ProjectAlreadyExist", "project %s already exists", body.Name)
	}
	s.projects[body.Name] = true
	return answer{}, nil
}

func (s *Server) listLogstores(_ context.Context, c *call) (answer, error) {
	params := c.URL.Query()
	names := []string{}
	s.mu.RLock()
	for key := range s.stores {
		if key.project == c.project && strings.Contains(key.logstore, params.Get("logstoreName")) {
			names = append(names, key.logstore)
		}
	}
	s.mu.RUnlock()
	sort.Strings(names)
	total := len(names)
	offset, size := 0, 200
	for name, to := range map[string]*int{"offset": &offset, "size": &size} {
		if text := params.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return answer{}, invalid("%s %s: want a number of 0 or more", name, shorten(text))
			}
			*to = n
		}
	}
	names = names[min(offset, total):]
	names = names[:min(size, len(names))]
	return jsonAnswer(map[string]any{"count": len(names), "total": total, "logstores": names})
}

func (s *Server) createLogstoreCall(_ context.Context, c *call) (answer, error) {
	var body struct {
		Name string `json:"logstoreName"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || !validName(body.Name) {
		return answer{}, denied(http.StatusBadRequest, "LogstoreInfoInvalid", "logstoreName must be 2 to 63 of a-z, 0-9, '-' and '_'")
	}
	c.log.Logstore = body.Name
	var x *index // none yet, as in the service: CreateIndex makes it
	if s.config.AutoCreate {
		var err error
		if x, err = newIndex(nil, s.config.MaxTextLen); err != nil {
			return answer{}, err
		}
	}
	_, err := s.createLogstore(storeKey{c.project, body.Name}, x)
	return answer{}, err
}

func (s *Server) getLogstore(_ context.Context, c *call) (answer, error) {
	ls, err := s.lookup(c.store, false)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(map[string]any{
		"logstoreName": ls.name, "ttl": 30, "shardCount": 1, "enable_tracking": false, "autoSplit": false, "maxSplitShard": 1,
		"appendMeta": false, "telemetryType": "", "mode": "standard", "createTime": ls.created.Unix(), "lastModifyTime": ls.created.Unix(),
	})
}

// updateLogstore accepts settings that mean nothing here, such as a time to live.
func (s *Server) updateLogstore(_ context.Context, c *call) (answer, error) {
	_, err := s.lookup(c.store, false)
	return answer{}, err
}

func (s *Server) deleteLogstoreCall(_ context.Context, c *call) (answer, error) {
	return answer{}, s.deleteLogstore(c.store)
}

func (s *Server) listShards(_ context.Context, c *call) (answer, error) {
	ls, err := s.lookup(c.store, false)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer([]map[string]any{{
		"shardID": 0, "status": "readwrite", "inclusiveBeginKey": strings.Repeat("0", 32), "exclusiveEndKey": strings.Repeat("f", 32),
		"createTime": ls.created.Unix(),
	}})
}

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
