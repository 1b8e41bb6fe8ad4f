//go:build cgo

package clstest

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// maxRows is the most rows of a statement, and the largest LIMIT.
const maxRows = 10_000

// search runs a query and writes its answer.
func (s *Server) search(ctx context.Context, p parameters, fault fault) (map[string]any, error) {
	search, sql, ok := splitQuery(*p.QueryString)
	if !ok {
		return nil, refuse("UnsupportedOperation", "this stand-in knows searches with SQL only")
	}
	found, err := translateSearch(search)
	if err != nil {
		return nil, err
	}
	statement, err := translateSQL(sql)
	if err != nil {
		return nil, err
	}
	result, err := s.engine.Query(ctx, *p.TopicID, found+" | "+statement.sls(), time.UnixMilli(*p.From), time.UnixMilli(*p.To))
	if err != nil {
		return nil, engineError(err)
	}
	capRows, omitNull := s.faults.switches()
	if capRows {
		result.Rows = result.Rows[:min(len(result.Rows), max(0, maxRows-statement.offset))]
	}
	if fault.noSQL {
		return map[string]any{"Analysis": false, "ListOver": true, "Results": []any{}, "Context": "", "SamplingRate": 1}, nil
	}
	if fault.dropRows {
		result.Rows = result.Rows[:len(result.Rows)/2]
	}
	answer := map[string]any{
		"Analysis": true, "ListOver": true, "Context": "", "Results": nil, "ColNames": nil, "AnalysisResults": nil, "Topics": nil,
		"SamplingRate": 1.0, "Columns": columns(result), "AnalysisRecords": records(result, omitNull),
	}
	if fault.sample != 0 {
		answer["SamplingRate"] = fault.sample
	}
	if fault.garbage {
		answer["AnalysisRecords"] = []string{"{"}
	}
	return answer, nil
}

var refusedByEngine = regexp.MustCompile(`(?s)(InvalidTimeRange|ParameterInvalid|LogStoreNotExist): (.*)$`)

// engineError puts the engine's error into CLS's words.
func engineError(err error) error {
	if errors.Is(err, slstest.ErrLogstoreNotExist) {
		return refuse("ResourceNotFound.TopicNotExist", "no such topic")
	}
	m := refusedByEngine.FindStringSubmatch(err.Error())
	switch {
	case m == nil:
		return err
	case strings.Contains(m[2], "maximum time"):
		return refuse("FailedOperation.SearchTimeout", "%s", m[2])
	case strings.Contains(m[2], "memory limit"):
		return refuse("LimitExceeded.SearchResources", "%s", m[2])
	case strings.Contains(m[2], "mismatched input"), strings.Contains(m[2], "not registered"), strings.Contains(m[2], "syntax"):
		return refuse("FailedOperation.SyntaxError", "%s", m[2])
	default:
		return refuse("FailedOperation.QueryError", "%s", m[2])
	}
}

func columns(r slstest.Result) []map[string]string {
	all := make([]map[string]string, len(r.Keys))
	for i, name := range r.Keys {
		all[i] = map[string]string{"Name": name, "Type": r.Types[i]}
	}
	return all
}

// records writes rows as CLS does: JSON objects as text, in the order of the
// columns, numbers as numbers, NULL as null.
func records(r slstest.Result, omitNull bool) []string {
	all := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		var b strings.Builder
		b.WriteByte('{')
		for j, name := range r.Keys {
			value := row[name]
			if value == "null" && omitNull {
				continue
			}
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			key, _ := json.Marshal(name) // text always encodes
			b.Write(key)
			b.WriteByte(':')
			b.WriteString(jsonValue(value, r.Types[j]))
		}
		b.WriteByte('}')
		all[i] = b.String()
	}
	return all
}

func jsonValue(value, kind string) string {
	plain := kind == "bigint" || kind == "double" || kind == "boolean" || strings.HasPrefix(kind, "array(") || strings.HasPrefix(kind, "map(") || kind == "row"
	if value == "null" || plain && json.Valid([]byte(value)) {
		return value
	}
	text, _ := json.Marshal(value) // text always encodes
	return string(text)
}
