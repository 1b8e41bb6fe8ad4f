//go:build cgo

package cls_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/cls/clstest"
)

const (
	topic   = "682d0718-07bb-4ec0-9fda-f1e9a2767e0b"
	keyID   = "AKIDtestkeyid"
	key     = "very-secret-key"
	token   = "very-secret-token"
	counted = "* | select ip, count(1) as n group by ip order by n desc, ip limit 10000"
)

var (
	from = time.Unix(1746852840, 0)
	to   = from.Add(2 * time.Minute)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a CLS with one topic of n lines, each of another address.
func service(t *testing.T, n int) *clstest.Server {
	t.Helper()
	s, err := clstest.New(clstest.Config{Region: "ap-guangzhou", SecretID: keyID, SecretKey: key, Token: token, Threads: 2, TempDir: t.TempDir()})
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
	if err := s.CreateTopic(topic, map[string]clstest.FieldType{"ip": clstest.Text, "status": clstest.Long, "cost": clstest.Double}); err != nil {
		t.Fatal(err)
	}
	add(t, s, 0, n)
	return s
}

// add loads lines of the addresses with these numbers.
func add(t *testing.T, s *clstest.Server, first, last int) {
	t.Helper()
	var logs []clstest.Log
	for i := first; i < last; i++ {
		logs = append(logs, clstest.Log{Time: from.Add(time.Duration(i%100) * time.Second), Fields: map[string]string{"ip": address(i), "status": "200", "cost": "0.5"}})
	}
	if err := s.Load(t.Context(), topic, logs); err != nil {
		t.Fatal(err)
	}
}

func address(i int) string { return fmt.Sprintf("198.%d.%d.%d", 20+i>>16, i>>8&255, i&255) }

func fixed(context.Context) (cls.Credentials, error) {
	return cls.Credentials{SecretID: keyID, SecretKey: key, Token: token}, nil
}

func client(t *testing.T, s *clstest.Server, change ...func(*cls.Config)) *cls.Client {
	t.Helper()
	c := cls.Config{Region: "ap-guangzhou", Endpoint: s.Endpoint, Credentials: fixed, Transport: http.DefaultTransport.(*http.Transport).Clone()}
	for _, f := range change {
		f(&c)
	}
	got, err := cls.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

// within bounds a test that retries.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
