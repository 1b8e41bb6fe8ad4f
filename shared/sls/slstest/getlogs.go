//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// getLogsRequest is the body of GetLogs, also of its V2 and V3 forms.
type getLogsRequest struct {
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Topic   string `json:"topic"`
	Line    *int   `json:"line"`
	Offset  int    `json:"offset"`
	Reverse bool   `json:"reverse"`
	Query   string `json:"query"`
}

func (r *getLogsRequest) fromURL(v url.Values) error {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(v.Get(name), 10, 64) // absent means 0; a bad range is refused later
		return n
	}
	r.From, r.To, r.Topic, r.Query = number("from"), number("to"), v.Get("topic"), v.Get("query")
	r.Offset, r.Reverse = int(number("offset")), strings.EqualFold(v.Get("reverse"), "true")
	if s := v.Get("line"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return &apiError{http.StatusBadRequest, "InvalidLine", "line is not a number"}
		}
		r.Line = &n
	}
	return nil
}

// request turns the call into what run needs. Topic narrows the search, as it did before __topic__ could be searched.
func (r *getLogsRequest) request(c *call) (queryRequest, error) {
	q := queryRequest{
		store: c.store, query: r.Query, from: r.From, to: r.To, line: maxLines, offset: r.Offset,
		reverse: r.Reverse, rows: c.settings.rows, cut: c.settings.cut,
	}
	if r.Line != nil {
		q.line = *r.Line
	}
	if q.line < 0 || q.line > maxLines {
		return q, &apiError{http.StatusBadRequest, "InvalidLine", "line must be 0 to 100"}
	}
	if q.offset < 0 {
		return q, &apiError{http.StatusBadRequest, "InvalidOffset", "offset must be 0 or more"}
	}
	search, sql, hasSQL := splitQuery(r.Query)
	if hasSQL && q.offset > 0 {
		return q, invalid("offset is not available for pagination in sql query, please use limit x,y syntax")
	}
	if r.Topic != "" {
		if s := strings.TrimSpace(search); s == "" || s == "*" {
			search = ""
		} else {
			search = "(" + search + ") and "
		}
		q.query = search + `__topic__: "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(r.Topic) + `"`
		if hasSQL {
			q.query += " | " + sql
		}
	}
	return q, nil
}

// getLogs answers GetLogs.
func (s *Server) getLogs(ctx context.Context, c *call) (answer, error) {
	var req getLogsRequest
	old := c.Method == http.MethodGet
	if old {
		if err := req.fromURL(c.URL.Query()); err != nil {
			return answer{}, err
		}
	} else {
		body, err := c.unpack()
		if err != nil {
			return answer{}, err
		}
		if err := json.Unmarshal(body, &req); err != nil {
			return answer{}, &apiError{http.StatusBadRequest, "PostBodyInvalid", "the body is not a GetLogs request"}
		}
	}
	c.log.Query, c.log.From, c.log.To = req.Query, req.From, req.To
	q, err := req.request(c)
	if err != nil {
		return answer{}, err
	}
	r, err := s.run(ctx, q)
	if err != nil {
		return answer{}, err
	}
	progress := "Complete"
	if c.fault != nil && c.fault.kind == faultIncomplete {
		progress = "Incomplete"
		r.Rows = r.Rows[:len(r.Rows)/2]
	}
	c.log.Progress = progress
	if old {
		return oldAnswer(r, progress)
	}
	return newAnswer(c, r, progress)
}

// oldAnswer is GetLogs' answer over GET: the rows alone, the rest in headers.
func oldAnswer(r Result, progress string) (answer, error) {
	a, err := jsonAnswer(r.Rows)
	if err != nil {
		return a, err
	}
	a.header["x-log-progress"] = progress
	a.header["x-log-count"] = strconv.Itoa(len(r.Rows))
	a.header["x-log-processed-rows"] = strconv.FormatInt(r.Processed, 10)
	a.header["x-log-elapsed-millisecond"] = strconv.FormatInt(r.Elapsed.Milliseconds(), 10)
	a.header["x-log-has-sql"] = strconv.FormatBool(r.HasSQL)
	return a, nil
}

// getLogsMeta is the meta of GetLogs V2 and V3 (telementryType is the service's spelling).
type getLogsMeta struct {
	Progress           string   `json:"progress"`
	AggQuery           string   `json:"aggQuery"`
	WhereQuery         string   `json:"whereQuery"`
	HasSQL             bool     `json:"hasSQL"`
	ProcessedRows      int64    `json:"processedRows"`
	ElapsedMillisecond int64    `json:"elapsedMillisecond"`
	CPUSec             float64  `json:"cpuSec"`
	CPUCores           float64  `json:"cpuCores"`
	Limited            int64    `json:"limited"`
	Count              int      `json:"count"`
	ProcessedBytes     int64    `json:"processedBytes"`
	TelemetryType      string   `json:"telementryType"`
	PowerSQL           bool     `json:"powerSql"`
	InsertedSQL        string   `json:"insertedSQL"`
	Keys               []string `json:"keys,omitempty"`
	ColumnTypes        []string `json:"columnTypes,omitempty"`
	IsAccurate         bool     `json:"isAccurate"`
}

func newAnswer(c *call, r Result, progress string) (answer, error) {
	limited := int64(0)
	if r.HasSQL {
		limited = int64(c.settings.rows)
	}
	a, err := jsonAnswer(struct {
		Meta getLogsMeta         `json:"meta"`
		Data []map[string]string `json:"data"`
	}{getLogsMeta{
		Progress: progress, AggQuery: r.Agg, WhereQuery: r.Where, HasSQL: r.HasSQL, ProcessedRows: r.Processed,
		ElapsedMillisecond: r.Elapsed.Milliseconds(), CPUSec: r.Elapsed.Seconds(), CPUCores: 1, Limited: limited,
		Count: len(r.Rows), Keys: r.Keys, ColumnTypes: r.Types, IsAccurate: progress == "Complete",
	}, r.Rows})
	if err != nil || !c.accepts("lz4") || len(a.body) < 1024 {
		return a, err
	}
	raw := len(a.body)
	if a.body, err = packLZ4(a.body); err != nil {
		return answer{}, err
	}
	a.header["x-log-compresstype"] = "lz4"
	a.header["x-log-bodyrawsize"] = strconv.Itoa(raw)
	return a, nil
}

// getHistograms answers GetHistograms: how many logs a search finds, by time.
func (s *Server) getHistograms(ctx context.Context, c *call) (answer, error) {
	var req getLogsRequest
	params := c.URL.Query()
	if err := req.fromURL(params); err != nil {
		return answer{}, err
	}
	c.log.Query, c.log.From, c.log.To = req.Query, req.From, req.To
	search, _, _ := splitQuery(req.Query)
	req.Query = search
	q, err := req.request(c)
	if err != nil {
		return answer{}, err
	}
	interval, _ := strconv.ParseInt(params.Get("interval"), 10, 64) // absent: about 60 bars
	if interval <= 0 {
		interval = max(1, (q.to-q.from+59)/60)
	}
	const maxBars = 10_000
	if (q.to-q.from)/interval > maxBars {
		return answer{}, invalid("interval %d: want at most %d bars", interval, maxBars)
	}
	type bar struct {
		From     int64  `json:"from"`
		To       int64  `json:"to"`
		Count    int64  `json:"count"`
		Progress string `json:"progress"`
	}
	q.query = search + "| select (__time__ - " + strconv.FormatInt(q.from, 10) + ") / " + strconv.FormatInt(interval, 10) + " as b, count(1) as n group by b limit 1000000"
	r, err := s.run(ctx, q)
	if err != nil {
		return answer{}, err
	}
	var bars []bar
	for from := q.from; from < q.to; from += interval {
		bars = append(bars, bar{From: from, To: min(from+interval, q.to), Progress: "Complete"})
	}
	var total int64
	for _, row := range r.Rows {
		b, _ := strconv.Atoi(row["b"]) // a bigint of ours
		n, _ := strconv.ParseInt(row["n"], 10, 64)
		bars[b].Count = n
		total += n
	}
	a, err := jsonAnswer(bars)
	if err != nil {
		return a, err
	}
	c.log.Progress = "Complete"
	a.header["x-log-progress"] = "Complete"
	a.header["x-log-count"] = strconv.FormatInt(total, 10)
	return a, nil
}
