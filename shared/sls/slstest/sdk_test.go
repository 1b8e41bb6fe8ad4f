//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sls "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns the real SDK pointed at s.
func newClient(t testing.TB, s *Server, auth sls.AuthVersionType, secret string) *sls.Client {
	t.Helper()
	if s.Endpoint == "" {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(s.Endpoint, "http://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c := sls.CreateNormalInterfaceV2("http://sls.localhost", sls.NewStaticCredentialsProvider("AKIDEXAMPLE", secret, "")).(*sls.Client)
	c.SetHTTPClient(&http.Client{Transport: transport, Timeout: 20 * time.Second})
	c.SetRetryTimeout(5 * time.Second)
	c.SetAuthVersion(auth)
	c.SetRegion("cn-hangzhou")
	return c
}

func logGroup(at time.Time, lines ...string) *sls.LogGroup {
	g := &sls.LogGroup{
		Topic: new("shop"), Source: new("192.0.2.1"),
		LogTags: []*sls.LogTag{{Key: new("host"), Value: new("node-1")}},
	}
	for i, line := range lines {
		g.Logs = append(g.Logs, &sls.Log{Time: new(uint32(at.Unix()) + uint32(i)), Contents: []*sls.LogContent{
			{Key: new("msg"), Value: new(line)},
			{Key: new(fmt.Sprint("only_", i)), Value: new("x\xffy")},
		}})
	}
	return g
}

func TestSDKRoundTrip(t *testing.T) {
	for name, auth := range map[string]sls.AuthVersionType{"V1": sls.AuthV1, "V4": sls.AuthV4} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(c *Config) { c.AutoCreate, c.Region = true, "cn-hangzhou" })
			c := newClient(t, s, auth, "not-a-secret")
			now := time.Now()
			group := logGroup(now, "one alpha", "two beta", "three beta")
			if err := c.PutLogs("acme", "app", group); err != nil {
				t.Fatal(err)
			}
			if err := c.PutLogs("acme", "app", logGroup(now, "four")); err != nil {
				t.Fatal(err)
			}
			if err := c.PostLogStoreLogsV2("acme", "app", &sls.PostLogStoreLogsRequest{LogGroup: logGroup(now, "five"), CompressType: sls.Compress_ZSTD, HashKey: new("00")}); err != nil {
				t.Fatal(err)
			}

			req := &sls.GetLogRequest{From: now.Unix() - 60, To: now.Unix() + 60, Query: "beta | select msg, __topic__, \"__tag__:host\" as host from log order by msg"}
			got, err := c.GetLogsV3("acme", "app", req)
			if err != nil {
				t.Fatal(err)
			}
			want := []map[string]string{
				{"msg": "three beta", "__topic__": "shop", "host": "node-1"}, {"msg": "two beta", "__topic__": "shop", "host": "node-1"},
			}
			if d := cmp.Diff(want, got.Logs); d != "" {
				t.Error(d)
			}
			if m := got.Meta; !got.IsComplete() || m.Count != 2 || m.ProcessedRows != 5 || !m.HasSQL || !*m.IsAccurate ||
				fmt.Sprint(m.Keys, m.ColumnTypes) != "[msg __topic__ host] [varchar varchar varchar]" {
				t.Errorf("meta = %+v", m)
			}
			raw, err := c.GetLogs("acme", "app", "shop", now.Unix()-60, now.Unix()+60, `msg: alpha`, 10, 0, true)
			if err != nil || raw.Count != 1 || raw.Logs[0]["only_0"] != "x\uFFFDy" || raw.Logs[0]["__tag__:host"] != "node-1" || raw.Logs[0]["__source__"] != "192.0.2.1" {
				t.Errorf("raw = %+v, %v", raw, err)
			}
			h, err := c.GetHistograms("acme", "app", "", now.Unix()-60, now.Unix()+60, "beta")
			if err != nil || h.Count != 2 {
				t.Errorf("histograms = %+v, %v", h, err)
			}

			begin, err := c.GetCursor("acme", "app", 0, "begin")
			if err != nil {
				t.Fatal(err)
			}
			end, err := c.GetCursor("acme", "app", 0, "end")
			if err != nil {
				t.Fatal(err)
			}
			groups, next, err := c.PullLogs("acme", "app", 0, begin, "", 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(groups.LogGroups) != 2 || len(groups.LogGroups[0].Logs) != 3 || len(groups.LogGroups[1].Logs) != 1 {
				t.Fatalf("groups = %v", groups)
			}
			g := groups.LogGroups[0]
			if g.GetTopic() != "shop" || g.GetSource() != "192.0.2.1" || g.LogTags[0].GetKey() != "host" || g.Logs[1].Contents[0].GetValue() != "two beta" ||
				g.Logs[1].GetTime() != uint32(now.Unix())+1 {
				t.Errorf("group = %v", g)
			}
			groups, next, err = c.PullLogs("acme", "app", 0, next, end, 100)
			if err != nil || len(groups.LogGroups) != 1 || groups.LogGroups[0].Logs[0].Contents[0].GetValue() != "five" || next != end {
				t.Errorf("groups = %v, %q, %v", groups, next, err)
			}
			if groups, next, err = c.PullLogs("acme", "app", 0, end, "", 100); err != nil || len(groups.LogGroups) != 0 || next != end {
				t.Errorf("at the end: %v, %q, %v", groups, next, err)
			}
			for from, want := range map[int64]string{now.Unix() - 60: begin, now.Unix() + 3600: end} {
				if got, err := c.GetCursor("acme", "app", 0, fmt.Sprint(from)); err != nil || got != want {
					t.Errorf("cursor at %d = %q, %v, want %q", from, got, err, want)
				}
			}
			if at, err := c.GetCursorTime("acme", "app", 0, begin); err != nil || at.Sub(now).Abs() > 30*time.Second {
				t.Errorf("cursor time = %v, %v", at, err)
			}
		})
	}
}

func TestSDKManagement(t *testing.T) {
	s := newServer(t)
	c := newClient(t, s, sls.AuthV1, "not-a-secret")
	if _, err := c.CreateProject("other", "a second one"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateLogStore("other", "web", 30, 1, false, 1); err != nil {
		t.Fatal(err)
	}
	wantCode(t, c.CreateLogStore("other", "web", 30, 1, false, 1), "LogStoreAlreadyExist")
	if err := c.PutLogs("other", "web", logGroup(time.Now(), "hello/World")); err != nil {
		t.Fatal(err)
	}
	ask := func(query string) (*sls.GetLogsV3Response, error) {
		return c.GetLogsV3("other", "web", &sls.GetLogRequest{From: time.Now().Unix() - 60, To: time.Now().Unix() + 60, Query: query})
	}
	_, err := ask("*")
	wantCode(t, err, "IndexConfigNotExist")
	_, err = c.GetIndex("other", "web")
	wantCode(t, err, "IndexConfigNotExist")
	if err := c.CreateIndex("other", "web", sls.Index{
		Keys: map[string]sls.IndexKey{"msg": {Token: []string{"/"}, CaseSensitive: true, Type: "text", DocValue: true}, "only_0": {Type: "text"}},
		Line: &sls.IndexLine{Token: []string{" "}},
	}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"msg: World": 1, "msg: world": 0, "world": 0, "hello/world": 1} {
		if r, err := ask(query); err != nil || len(r.Logs) != want {
			t.Errorf("%s: %v, %v, want %d logs", query, r, err, want)
		}
	}
	_, err = ask("* | select only_0 from log") // an index without statistics
	wantCode(t, err, "ParameterInvalid")
	if x, err := c.GetIndex("other", "web"); err != nil || !x.Keys["msg"].CaseSensitive || x.Line == nil || x.MaxTextLen != 2048 {
		t.Errorf("index = %+v, %v", x, err)
	}
	if names, err := c.ListLogStore("other"); err != nil || fmt.Sprint(names) != "[web]" {
		t.Errorf("logstores = %v, %v", names, err)
	}
	if names, err := c.ListLogStore("acme"); err != nil || len(names) != 0 {
		t.Errorf("the other project's logstores = %v, %v", names, err)
	}
	if shards, err := c.ListShards("other", "web"); err != nil || len(shards) != 1 || shards[0].ShardID != 0 || shards[0].Status != "readwrite" {
		t.Errorf("shards = %v, %v", shards, err)
	}
	if ls, err := c.GetLogStore("other", "web"); err != nil || ls.Name != "web" {
		t.Errorf("logstore = %v, %v", ls, err)
	}
	if err := c.DeleteLogStore("other", "web"); err != nil {
		t.Fatal(err)
	}
	_, err = ask("*")
	wantCode(t, err, "LogStoreNotExist")
	wantCode(t, c.PutLogs("acme", "nope", logGroup(time.Now(), "x")), "LogStoreNotExist")
	wantCode(t, c.PutLogs("nope", "web", logGroup(time.Now(), "x")), "ProjectNotExist")
}

// wantCode checks that the SDK saw an error of the service.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *sls.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error = %v, want %s", err, code)
	} else if e.HTTPCode != -1 && e.RequestID == "" {
		t.Errorf("%s has no request id", code)
	}
}

func TestSDKWithWrongKeysIsRefused(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	for name, auth := range map[string]sls.AuthVersionType{"V1": sls.AuthV1, "V4": sls.AuthV4} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, s, auth, "another-secret")
			wantCode(t, c.PutLogs("acme", "app", logGroup(time.Now(), "x")), "SignatureNotMatch")
			_, err := c.GetLogsV3("acme", "app", &sls.GetLogRequest{From: 1, To: 2, Query: "*"})
			wantCode(t, err, "SignatureNotMatch")
		})
	}
	t.Run("an unknown key id", func(t *testing.T) {
		c := newClient(t, s, sls.AuthV1, "not-a-secret")
		c.WithCredentialsProvider(sls.NewStaticCredentialsProvider("nobody", "not-a-secret", ""))
		wantCode(t, c.PutLogs("acme", "app", logGroup(time.Now(), "x")), "Unauthorized")
	})
	t.Run("a clock that is off by 16 minutes", func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(16 * time.Minute) } })
		for _, auth := range []sls.AuthVersionType{sls.AuthV1, sls.AuthV4} {
			wantCode(t, newClient(t, s, auth, "not-a-secret").PutLogs("acme", "app", logGroup(time.Now(), "x")), "RequestTimeTooSkewed")
		}
	})
	t.Run("a region that is not ours", func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.Region = "cn-beijing" })
		wantCode(t, newClient(t, s, sls.AuthV4, "not-a-secret").PutLogs("acme", "app", logGroup(time.Now(), "x")), "Unauthorized")
	})
	t.Run("a missing security token", func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.SecurityToken = "sts" })
		wantCode(t, newClient(t, s, sls.AuthV1, "not-a-secret").PutLogs("acme", "app", logGroup(time.Now(), "x")), "Unauthorized")
	})
}
