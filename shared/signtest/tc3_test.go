package signtest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/signtest"
)

// The example in Tencent Cloud's description of the signature ("Signature v3"), with the signature that stands there. The
// asterisks are the documentation's own, and belong to the keys that it computes with.
const (
	tc3ExampleID        = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******"
	tc3ExampleSecret    = "Gu5t9xGARNpq86cd98joQYCN3*******"
	tc3ExampleBody      = `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	tc3ExampleTime      = 1551113065
	tc3ExampleSignature = "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c"
)

// tc3Signed returns a request that is signed as the description says, step by step.
func tc3Signed(secret string, change func(h http.Header, scope *[2]string)) (*http.Request, []byte) {
	body := []byte(tc3ExampleBody)
	r := httptest.NewRequest(http.MethodPost, "https://cvm.tencentcloudapi.com/", strings.NewReader(tc3ExampleBody))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-TC-Action", "DescribeInstances")
	r.Header.Set("X-TC-Timestamp", fmt.Sprint(tc3ExampleTime))
	scope := [2]string{"2019-02-25", "cvm"}
	if change != nil {
		change(r.Header, &scope)
	}
	sum := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	digest := func(text string) string {
		d := sha256.Sum256([]byte(text))
		return hex.EncodeToString(d[:])
	}
	canonical := "POST\n/\n\ncontent-type:" + r.Header.Get("Content-Type") + "\nhost:" + r.Host + "\nx-tc-action:" + strings.ToLower(r.Header.Get("X-TC-Action")) +
		"\n\ncontent-type;host;x-tc-action\n" + digest(tc3ExampleBody)
	where := scope[0] + "/" + scope[1] + "/tc3_request"
	key := sum(sum(sum([]byte("TC3"+secret), scope[0]), scope[1]), "tc3_request")
	signature := hex.EncodeToString(sum(key, "TC3-HMAC-SHA256\n"+r.Header.Get("X-TC-Timestamp")+"\n"+where+"\n"+digest(canonical)))
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+tc3ExampleID+"/"+where+", SignedHeaders=content-type;host;x-tc-action, Signature="+signature)
	return r, body
}

func tc3Check(r *http.Request, body []byte, off time.Duration) (signtest.TC3Scope, string) {
	scope, err := signtest.TC3(r, body, func(id string) (string, string, bool) {
		switch id {
		case tc3ExampleID:
			return tc3ExampleSecret, "", true
		case "AKIDtemporary":
			return tc3ExampleSecret, "token", true
		}
		return "", "", false
	}, time.Unix(tc3ExampleTime, 0).Add(off))
	var wrong *signtest.Error
	if err != nil && !errors.As(err, &wrong) {
		return scope, "not an Error: " + err.Error()
	}
	if wrong == nil {
		return scope, ""
	}
	return scope, wrong.Code
}

func TestTheDocumentationsExampleIsTaken(t *testing.T) {
	r, body := tc3Signed(tc3ExampleSecret, nil)
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+tc3ExampleID+"/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, Signature="+tc3ExampleSignature)
	if _, code := tc3Check(r, body, 0); code != "" {
		t.Errorf("refused: %s", code)
	}
}

func TestASignedRequestNamesItsScope(t *testing.T) {
	r, body := tc3Signed(tc3ExampleSecret, nil)
	scope, code := tc3Check(r, body, 5*time.Minute)
	if want := (signtest.TC3Scope{SecretID: tc3ExampleID, Service: "cvm", Date: "2019-02-25"}); code != "" || scope != want {
		t.Errorf("%+v %q, want %+v", scope, code, want)
	}
}

func TestWhatWasNotSignedIsRefused(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replace := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	for name, c := range map[string]struct {
		tamper func(*http.Request) // after signing
		sign   func(http.Header, *[2]string)
		secret string
		body   string
		off    time.Duration
		want   string
	}{
		"no signature":                 {tamper: func(r *http.Request) { r.Header.Del("Authorization") }, want: "MissingParameter"},
		"no timestamp":                 {tamper: func(r *http.Request) { r.Header.Del("X-TC-Timestamp") }, want: "MissingParameter"},
		"a timestamp of another form":  {tamper: header("X-TC-Timestamp", "now"), want: "InvalidParameter"},
		"another algorithm":            {tamper: replace("TC3-HMAC-SHA256", "TC2-HMAC-SHA256"), want: "AuthFailure.InvalidAuthorization"},
		"host not signed":              {tamper: replace("content-type;host;", "content-type;"), want: "AuthFailure.InvalidAuthorization"},
		"signed headers out of order":  {tamper: replace("content-type;host", "host;content-type"), want: "AuthFailure.InvalidAuthorization"},
		"an unknown id":                {tamper: replace("AKID", "AKIX"), want: "AuthFailure.SecretIdNotFound"},
		"another secret":               {secret: "another", want: "AuthFailure.SignatureFailure"},
		"another body":                 {body: tc3ExampleBody + " ", want: "AuthFailure.SignatureFailure"},
		"another action":               {tamper: header("X-TC-Action", "TerminateInstances"), want: "AuthFailure.SignatureFailure"},
		"another content type":         {tamper: header("Content-Type", "application/json"), want: "AuthFailure.SignatureFailure"},
		"another host":                 {tamper: func(r *http.Request) { r.Host = "cvm.ap-guangzhou.tencentcloudapi.com" }, want: "AuthFailure.SignatureFailure"},
		"another time, signed":         {tamper: header("X-TC-Timestamp", fmt.Sprint(tc3ExampleTime+1)), want: "AuthFailure.SignatureFailure"},
		"six minutes late":             {off: 5*time.Minute + time.Second, want: "AuthFailure.SignatureExpire"},
		"six minutes early":            {off: -5*time.Minute - time.Second, want: "AuthFailure.SignatureExpire"},
		"the day of another zone":      {sign: func(_ http.Header, s *[2]string) { s[0] = "2019-02-26" }, want: "AuthFailure.SignatureFailure"},
		"the scope of another service": {sign: func(_ http.Header, s *[2]string) { s[1] = "vpc" }, want: "AuthFailure.SignatureFailure"},
		"a token with lasting keys":    {tamper: header("X-TC-Token", "token"), want: "AuthFailure.TokenFailure"},
		"temporary keys, no token":     {tamper: replace(tc3ExampleID, "AKIDtemporary"), want: "AuthFailure.TokenFailure"},
	} {
		t.Run(name, func(t *testing.T) {
			secret := c.secret
			if secret == "" {
				secret = tc3ExampleSecret
			}
			r, body := tc3Signed(secret, c.sign)
			if c.tamper != nil {
				c.tamper(r)
			}
			if c.body != "" {
				body = []byte(c.body)
			}
			if _, code := tc3Check(r, body, c.off); code != c.want {
				t.Errorf("%q, want %q", code, c.want)
			}
		})
	}
}

func TestTemporaryKeysGoWithTheirToken(t *testing.T) {
	r, body := tc3Signed(tc3ExampleSecret, func(h http.Header, _ *[2]string) { h.Set("X-TC-Token", "token") })
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), tc3ExampleID, "AKIDtemporary", 1))
	if _, code := tc3Check(r, body, 0); code != "" {
		t.Errorf("refused: %s", code)
	}
}
