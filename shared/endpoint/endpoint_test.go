package endpoint_test

import (
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/endpoint"
)

func TestOnlyTLSOrThisMachineIsSpokenTo(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.example.com": "https api.example.com", "https://api.example.com/": "https api.example.com", "https://api.example.com:8443": "https api.example.com:8443",
		"http://127.0.0.1:8080": "http 127.0.0.1:8080", "http://localhost:1": "http localhost:1", "http://[::1]:1": "http [::1]:1", "http://localhost": "http localhost",

		"http://api.example.com": "", "http://10.0.0.1": "", "http://192.0.2.1:80": "", "http://localhost.example.com": "", "ftp://127.0.0.1": "",
		"": "", "api.example.com": "", "https://": "", "https://u:p@api.example.com": "", "https://u@api.example.com": "",
		"https://api.example.com/x": "", "https://api.example.com//": "", "https://api.example.com?x=1": "", "https://api.example.com#x": "", "https://%zz": "",
	} {
		scheme, host, err := endpoint.Parse(text)
		if got := strings.TrimSpace(scheme + " " + host); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
		if err := endpoint.Check(text); (err == nil) != (want != "") {
			t.Errorf("Check %q: %v", text, err)
		}
	}
}

func TestARefusedEndpointIsShownAndSaysWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		"api.example.com":        `endpoint "api.example.com": want https://host`,
		"http://api.example.com": `endpoint "http://api.example.com": want https://host, or http:// and a loopback address`,
	} {
		if err := endpoint.Check(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if err := endpoint.Check("http://" + strings.Repeat("x", 5000)); err == nil || len(err.Error()) > 250 {
		t.Errorf("the error is not bounded: %v", err)
	}
}

func TestAHostMayComeWithoutASchemeAndAnAddressOnlyWithHTTP(t *testing.T) {
	for text, want := range map[string]endpoint.Host{
		"cls.example.com":           {Scheme: "https", Host: "cls.example.com"},
		"cls.example.com:8443":      {Scheme: "https", Host: "cls.example.com:8443"},
		"https://cls.example.com//": {Scheme: "https", Host: "cls.example.com"},
		"http://cls.example.com":    {Scheme: "http", Host: "cls.example.com"}, // the caller's to refuse
		"http://127.0.0.1:8080":     {Scheme: "http", Host: "127.0.0.1:8080"},
		"http://127.0.0.1":          {Scheme: "http", Host: "127.0.0.1:80"},
		"http://[::1]/":             {Scheme: "http", Host: "[::1]:80"},
		"http://[::1]:9":            {Scheme: "http", Host: "[::1]:9"},
	} {
		got, err := endpoint.ParseHost(text)
		address := strings.ContainsAny(text[:min(len(text), 9)], "[1")
		if err != nil || got.Scheme != want.Scheme || got.Host != want.Host || got.IP.IsValid() != address || got.IP.IsLoopback() != address {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestAHostThatIsRefusedIsNotShown(t *testing.T) {
	for text, why := range map[string]string{
		"https://hush\x7f":          "not a URL",
		"ftp://hush":                "scheme is neither http nor https",
		"":                          "no host",
		"https://:443":              "no host",
		"https://u:hush@example":    "more than a scheme and a host",
		"https://example/hush":      "more than a scheme and a host",
		"https://example?hush":      "more than a scheme and a host",
		"https://example#hush":      "more than a scheme and a host",
		"https://127.0.0.1":         "https needs a host name, whose certificate can be checked",
		"192.0.2.1":                 "https needs a host name, whose certificate can be checked",
		"https://[2001:db8::1]:443": "https needs a host name, whose certificate can be checked",
	} {
		if got, err := endpoint.ParseHost(text); err == nil || err.Error() != why || got != (endpoint.Host{}) {
			t.Errorf("%q: %+v, %v, want %s", text, got, err, why)
		}
	}
}
