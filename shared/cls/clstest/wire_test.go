//go:build cgo

package clstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

const topic = "682d0718-07bb-4ec0-9fda-f1e9a2767e0b"

func server(t *testing.T) *Server {
	t.Helper()
	s, err := New(Config{Region: "ap-guangzhou", SecretID: "id", SecretKey: "key", Token: "token", Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTopic(topic, map[string]FieldType{"ip": Text, "status": Long}); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(t.Context(), topic, []Log{{Time: time.Unix(100, 0), Fields: map[string]string{"ip": "192.0.2.1", "status": "404"}}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// call is who asks and for what.
type call struct {
	id, key, token, region   string
	service, version, action string
	parameters               map[string]any
}

func good() call {
	return call{
		"id", "key", "token", "ap-guangzhou", "cls", "2020-10-16", "SearchLog",
		map[string]any{"TopicId": topic, "From": 0, "To": 1000000, "QueryString": "status:404 | select ip, status limit 10", "QuerySyntax": 1, "UseNewAnalysis": true},
	}
}

// ask asks with Tencent Cloud's own SDK and returns the answer's body.
func ask(t *testing.T, s *Server, c call) (map[string]any, error) {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", strings.TrimPrefix(s.Endpoint, "http://")
	client := (&common.Client{}).Init(c.region).WithCredential(common.NewTokenCredential(c.id, c.key, c.token)).WithProfile(p)
	r := tchttp.NewCommonRequest(c.service, c.version, c.action)
	if err := r.SetActionParameters(c.parameters); err != nil {
		t.Fatal(err)
	}
	answer := tchttp.NewCommonResponse()
	if err := client.Send(r, answer); err != nil {
		return nil, err
	}
	var got struct{ Response map[string]any }
	if err := json.Unmarshal(answer.GetBody(), &got); err != nil {
		t.Fatal(err)
	}
	return got.Response, nil
}

func TestTheSDKUnderstandsTheAnswer(t *testing.T) {
	got, err := ask(t, server(t), good())
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(got["AnalysisRecords"]); text != `[{"ip":"192.0.2.1","status":404}]` {
		t.Errorf("records = %s", text)
	}
	if text := fmt.Sprint(got["Columns"]); text != "[map[Name:ip Type:varchar] map[Name:status Type:bigint]]" {
		t.Errorf("columns = %s", text)
	}
	if got["Analysis"] != true || got["RequestId"] == "" {
		t.Errorf("answer = %v", got)
	}
}

func TestAWrongRequestIsRefusedAsTheServiceDoes(t *testing.T) {
	s := server(t)
	with := func(key string, value any) func(*call) {
		return func(c *call) {
			if value == nil {
				delete(c.parameters, key)
			} else {
				c.parameters[key] = value
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*call)
		want   string
	}{
		"another key":         {func(c *call) { c.key = "other" }, "AuthFailure.SignatureFailure"},
		"another id":          {func(c *call) { c.id = "other" }, "AuthFailure.SecretIdNotFound"},
		"no token":            {func(c *call) { c.token = "" }, "AuthFailure.TokenFailure"},
		"another service":     {func(c *call) { c.service = "vpc" }, "AuthFailure.SignatureFailure"},
		"another action":      {func(c *call) { c.action = "CreateTopic" }, "InvalidAction"},
		"another version":     {func(c *call) { c.version = "2017-03-12" }, "NoSuchVersion"},
		"another region":      {func(c *call) { c.region = "ap-seoul" }, "UnsupportedRegion"},
		"unknown parameter":   {with("Querystring2", "x"), "UnknownParameter"},
		"From as text":        {with("From", "0"), "InvalidParameter"},
		"no From":             {with("From", nil), "MissingParameter"},
		"From after To":       {with("From", 2000000), "InvalidParameter"},
		"no topic":            {with("TopicId", nil), "MissingParameter"},
		"topic and topics":    {with("Topics", []any{map[string]any{"TopicId": topic}}), "InvalidParameter"},
		"another topic":       {with("TopicId", "other"), "ResourceNotFound.TopicNotExist"},
		"a topic with a path": {with("TopicId", "../x"), "InvalidParameter"},
		"Limit beside SQL":    {with("Limit", 10), "InvalidParameter"},
		"a long query":        {with("QueryString", strings.Repeat("x", 13<<10)), "InvalidParameter"},
		"Lucene":              {with("QuerySyntax", 0), "UnsupportedOperation"},
		"the old query":       {with("Query", "*"), "UnsupportedOperation"},
		"the old answer":      {with("UseNewAnalysis", false), "UnsupportedOperation"},
		"no SQL":              {with("QueryString", "status:404"), "UnsupportedOperation"},
		"bad SQL":             {with("QueryString", "* | select select limit 1"), "FailedOperation."},
		"no such field":       {with("QueryString", "* | select host limit 1"), "FailedOperation.QueryError"},
		"no such function":    {with("QueryString", "* | select sleep(1) limit 1"), "FailedOperation.SyntaxError"},
	} {
		r := good()
		c.change(&r)
		_, err := ask(t, s, r)
		var bad *tcerr.TencentCloudSDKError
		if !errors.As(err, &bad) || !strings.HasPrefix(bad.Code, c.want) {
			t.Errorf("%s: err = %v, want %s", name, err, c.want)
		}
	}
	if r, err := http.Get(s.Endpoint); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("errors come with HTTP 200: %v, %v", r, err)
	} else {
		r.Body.Close()
	}
}

func TestOneHundredRowsUnlessLimitSaysOtherwise(t *testing.T) {
	s := server(t)
	logs := make([]Log, 300)
	for i := range logs {
		logs[i] = Log{Time: time.Unix(100, 0), Fields: map[string]string{"ip": fmt.Sprint(i), "status": "200"}}
	}
	if err := s.Load(t.Context(), topic, logs); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		"* | select ip":           100,
		"* | select ip limit 250": 250,
		"* | select ip order by ip offset 290 limit 10000": 11,
	} {
		r := good()
		r.parameters["QueryString"] = query
		got, err := ask(t, s, r)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got["AnalysisRecords"].([]any)); n != want {
			t.Errorf("%s: %d rows, want %d", query, n, want)
		}
	}
}

func TestATopicTakesFifteenQueriesAtOnce(t *testing.T) {
	s := server(t)
	var leaves []func()
	for range maxConcurrent {
		leave, err := s.enter(topic)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	var bad *tcerr.TencentCloudSDKError
	if _, err := ask(t, s, good()); !errors.As(err, &bad) || bad.Code != "LimitExceeded.LogSearch" {
		t.Errorf("the sixteenth: %v", err)
	}
	var group sync.WaitGroup
	for _, leave := range leaves {
		group.Go(leave)
	}
	group.Wait()
	if _, err := ask(t, s, good()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
