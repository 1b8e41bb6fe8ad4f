package endpoint_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
)

func TestATransportAsksNoProxyAndKeepsFewConnections(t *testing.T) {
	tr := endpoint.Transport(3, time.Minute)
	if tr.Proxy != nil {
		t.Error("a proxy may see the token")
	}
	if tr.MaxIdleConnsPerHost != 3 || tr.IdleConnTimeout != time.Minute || !tr.ForceAttemptHTTP2 {
		t.Errorf("%d connections for %s, HTTP/2 %t", tr.MaxIdleConnsPerHost, tr.IdleConnTimeout, tr.ForceAttemptHTTP2)
	}
}

func TestARedirectionIsAnAnswer(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	tr := endpoint.Transport(1, time.Minute)
	defer tr.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := endpoint.Client(tr).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || asked != 1 {
		t.Errorf("status %d after %d requests, want the redirection after one", resp.StatusCode, asked)
	}
}
