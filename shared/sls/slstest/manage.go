//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
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
