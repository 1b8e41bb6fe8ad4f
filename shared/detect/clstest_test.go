//go:build cgo

package detect_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/cls/clstest"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/secret"
)

// tencent is a CLS for a test, and a client of it.
func tencent(t *testing.T) (*clstest.Server, *cls.Client) {
	t.Helper()
	s, err := clstest.New(clstest.Config{Region: "ap-guangzhou", SecretID: "id", SecretKey: "secret", Threads: 2, TempDir: t.TempDir()})
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
	client, err := cls.New(cls.Config{Region: "ap-guangzhou", Endpoint: s.Endpoint, Credentials: func(context.Context) (cls.Credentials, error) {
		return cls.Credentials{SecretID: "id", SecretKey: secret.Secret("secret")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return s, client
}

// fill makes a topic with the lines, whose index has their fields and those of every format.
func fill(ctx context.Context, s *clstest.Server, topic string, lines []detecttest.Line) error {
	index := map[string]clstest.FieldType{"msg": clstest.Text, "trace_id": clstest.Text, "remote_addr": clstest.Text}
	logs := make([]clstest.Log, len(lines))
	for i, l := range lines {
		logs[i] = clstest.Log{Time: l.Time, Fields: l.Fields}
		for name := range l.Fields {
			index[name] = clstest.Text
		}
	}
	if err := s.CreateTopic(topic, index); err != nil {
		return err
	}
	return s.Load(ctx, topic, logs)
}

// tencentService is what rule tests ask, over the wire and through the real client.
func tencentService(s *clstest.Server, client *cls.Client) detecttest.Service {
	var n atomic.Int64
	return func(ctx context.Context, lines []detecttest.Line, query string, from, to time.Time) ([]map[string]string, error) {
		topic := fmt.Sprint("rule-test-", n.Add(1))
		if err := fill(ctx, s, topic, lines); err != nil {
			return nil, err
		}
		rows, err := client.Query(ctx, topic, query, from, to, detect.MaxRows)
		if err != nil {
			return nil, err
		}
		return rows, s.DeleteTopic(topic)
	}
}

// Every rule has a query for CLS unless it says that CLS lacks what it needs, and its
// own tests come out the same there.
func TestShippedRulesOnCLS(t *testing.T) {
	t.Parallel()
	rules := shippedRules(t)
	ask := tencentService(tencent(t))
	in := detect.ForDialect(rules, detect.CLS)
	for _, rule := range rules {
		if _, ok := rule.In(detect.CLS); !ok && len(rule.Only) == 0 {
			t.Errorf("rule %s has no words for CLS and does not say that it runs elsewhere only", rule.ID)
		}
	}
	for _, rule := range in {
		t.Run(rule.ID, func(t *testing.T) {
			t.Parallel()
			for _, result := range detecttest.Run(t.Context(), rule, ask, time.Now) {
				t.Run(result.Test, func(t *testing.T) {
					for _, p := range result.Problems {
						t.Error(p)
					}
				})
			}
		})
	}
}
