package signtest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/signtest"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func keys(id string) (secret, token string, ok bool) {
	switch id {
	case "LTAI1":
		return "s1", "", true
	case "STS.2":
		return "s2", "t2", true
	}
	return "", "", false
}

// signedCall is a request that is signed as Alibaba Cloud documents it, line by line. A test
// changes it before that (edit) or after (tamper).
type signedCall struct {
	id, secret string
	body       string
	edit       func(http.Header)
	unsign     string
	tamper     func(*http.Request)
}

func (c signedCall) request(t *testing.T) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://wafopenapi.test/?RegionId=cn-hangzhou&Odd=a%20b%2A~%2B", strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header
	sum := sha256.Sum256([]byte(c.body))
	for name, value := range map[string]string{
		"x-acs-action": "DescribeInstance", "x-acs-version": "2021-10-01", "x-acs-date": "2026-11-21T12:00:00Z",
		"x-acs-signature-nonce": "n", "x-acs-content-sha256": hex.EncodeToString(sum[:]), "Content-Type": "application/x-www-form-urlencoded",
	} {
		h.Set(name, value)
	}
	if c.id == "STS.2" {
		h.Set("x-acs-security-token", "t2")
	}
	if c.edit != nil {
		c.edit(h)
	}
	var names []string
	canonical := "POST\n/\nOdd=a%20b%2A~%2B&RegionId=cn-hangzhou\n"
	for _, name := range []string{"content-type", "host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-security-token", "x-acs-signature-nonce", "x-acs-version"} {
		value := h.Get(name)
		if name == "host" {
			value = r.Host
		}
		if value != "" && name != c.unsign {
			names, canonical = append(names, name), canonical+name+":"+value+"\n"
		}
	}
	signed := strings.Join(names, ";")
	canonical += "\n" + signed + "\n" + h.Get("x-acs-content-sha256")
	mac := hmac.New(sha256.New, []byte(c.secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%x", sha256.Sum256([]byte(canonical)))
	h.Set("Authorization", fmt.Sprintf("ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%x", c.id, signed, mac.Sum(nil)))
	if c.tamper != nil {
		c.tamper(r)
	}
	return r, []byte(c.body)
}

func TestACS3(t *testing.T) {
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	after := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tc := range []struct {
		name string
		call signedCall
		body string // that is checked, if it is another than what was signed
		want string
	}{
		{"a call with a lasting key is taken", signedCall{id: "LTAI1", secret: "s1", body: "a=b"}, "", ""},
		{"a call with a temporary key is taken", signedCall{id: "STS.2", secret: "s2"}, "", ""},
		{"fifteen minutes off is near enough", signedCall{id: "LTAI1", secret: "s1", edit: set("x-acs-date", "2026-11-21T11:45:00Z")}, "", ""},
		{"an unsigned call", signedCall{tamper: func(r *http.Request) { r.Header.Del("Authorization") }}, "", "MissingAuthorization"},
		{"a signature of another kind", signedCall{tamper: after("Authorization", "ACS3-HMAC-SM3 x")}, "", "IncompleteSignature"},
		{"an unknown key", signedCall{id: "LTAI9", secret: "s1"}, "", "InvalidAccessKeyId.NotFound"},
		{"a wrong secret", signedCall{id: "LTAI1", secret: "s2"}, "", "SignatureDoesNotMatch"},
		{"a temporary key without its token", signedCall{id: "STS.2", secret: "s2", edit: func(h http.Header) { h.Del("x-acs-security-token") }}, "", "MissingSecurityToken"},
		{"a temporary key with another token", signedCall{id: "STS.2", secret: "s2", edit: set("x-acs-security-token", "t1")}, "", "InvalidSecurityToken.Malformed"},
		{"a lasting key with a token", signedCall{id: "LTAI1", secret: "s1", edit: set("x-acs-security-token", "t2")}, "", "InvalidSecurityToken.MismatchWithAccessKey"},
		{"no nonce", signedCall{id: "LTAI1", secret: "s1", edit: func(h http.Header) { h.Del("x-acs-signature-nonce") }}, "", "MissingSignatureNonce"},
		{"no date", signedCall{id: "LTAI1", secret: "s1", edit: func(h http.Header) { h.Del("x-acs-date") }}, "", "MissingDate"},
		{"no version", signedCall{id: "LTAI1", secret: "s1", edit: func(h http.Header) { h.Del("x-acs-version") }}, "", "MissingVersion"},
		{"an old date", signedCall{id: "LTAI1", secret: "s1", edit: set("x-acs-date", "2026-11-21T11:44:59Z")}, "", "InvalidTimeStamp.Expired"},
		{"a date to come", signedCall{id: "LTAI1", secret: "s1", edit: set("x-acs-date", "2026-11-21T12:15:01Z")}, "", "InvalidTimeStamp.Expired"},
		{"a date in another form", signedCall{id: "LTAI1", secret: "s1", edit: set("x-acs-date", "Sat, 21 Nov 2026 12:00:00 GMT")}, "", "InvalidTimeStamp.Format"},
		{"another body", signedCall{id: "LTAI1", secret: "s1", body: "a"}, "b", "SignatureDoesNotMatch"},
		{"another query", signedCall{id: "LTAI1", secret: "s1", tamper: func(r *http.Request) { r.URL.RawQuery += "&Extra=1" }}, "", "SignatureDoesNotMatch"},
		{"another path", signedCall{id: "LTAI1", secret: "s1", tamper: func(r *http.Request) { r.URL.Path = "/x" }}, "", "SignatureDoesNotMatch"},
		{"another method", signedCall{id: "LTAI1", secret: "s1", tamper: func(r *http.Request) { r.Method = http.MethodGet }}, "", "SignatureDoesNotMatch"},
		{"another host", signedCall{id: "LTAI1", secret: "s1", tamper: func(r *http.Request) { r.Host = "elsewhere" }}, "", "SignatureDoesNotMatch"},
		{"a changed header", signedCall{id: "LTAI1", secret: "s1", tamper: after("x-acs-action", "DeleteDefenseRule")}, "", "SignatureDoesNotMatch"},
		{"a header that came on the way", signedCall{id: "LTAI1", secret: "s1", tamper: after("x-acs-extra", "1")}, "", "SignatureDoesNotMatch"},
		{"a content type that is not signed", signedCall{id: "LTAI1", secret: "s1", unsign: "content-type"}, "", "SignatureDoesNotMatch"},
		{"a date that is not signed", signedCall{id: "LTAI1", secret: "s1", unsign: "x-acs-date"}, "", "SignatureDoesNotMatch"},
		{"a host that is not signed", signedCall{id: "LTAI1", secret: "s1", unsign: "host"}, "", "SignatureDoesNotMatch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, body := tc.call.request(t)
			if tc.body != "" {
				body = []byte(tc.body)
			}
			err := signtest.ACS3(r, body, keys, noon)
			var why *signtest.Error
			if errors.As(err, &why); tc.want == "" && err != nil || tc.want != "" && (why == nil || why.Code != tc.want) {
				t.Errorf("got %v, want code %q", err, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), "s1") || strings.Contains(err.Error(), "t2")) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestANonceWorksOnceUntilItsDateIsOver(t *testing.T) {
	var nonces signtest.Nonces
	for i, tc := range []struct {
		nonce string
		at    time.Time
		again bool
	}{
		{"a", noon, false},
		{"b", noon, false},
		{"a", noon.Add(time.Minute), true},
		{"a", noon.Add(2*signtest.ACS3Skew - time.Second), true},
		{"a", noon.Add(2*signtest.ACS3Skew + 2*time.Minute), false},
	} {
		if err := nonces.Use(tc.nonce, tc.at); (err != nil) != tc.again {
			t.Errorf("use %d of %s: %v, want refused %t", i, tc.nonce, err, tc.again)
		}
	}
}
