package functiontest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// acs3Verifier checks Alibaba Cloud's request signature, version 3
// (ACS3-HMAC-SHA256), from the reading side. It shares no code with the client that
// signs, so that the two check each other.
type acs3Verifier struct {
	credentials Credentials
	now         func() time.Time

	mu    sync.Mutex
	seen  map[string]time.Time // nonces, until their date is too old to be replayed
	swept time.Time
}

func newACS3Verifier(c Credentials, now func() time.Time) *acs3Verifier {
	return &acs3Verifier{credentials: c, now: now, seen: make(map[string]time.Time)}
}

var acs3Authorization = regexp.MustCompile(`^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})$`)

// acs3Required must be there, and signed.
var acs3Required = []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}

func denied(code, message string) *apiError {
	return &apiError{status: http.StatusForbidden, Code: code, Message: message}
}

// check returns nil for a request that is signed by our credentials, now, for this
// body, and for the first time.
func (v *acs3Verifier) check(r *http.Request, body []byte) *apiError {
	h := r.Header
	m := acs3Authorization.FindStringSubmatch(h.Get("Authorization"))
	if m == nil {
		return denied("InvalidArgument", "Authorization: want ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…")
	}
	key, signed, signature := m[1], strings.Split(m[2], ";"), m[3]
	if v.credentials.AccessKeyID == "" || key != v.credentials.AccessKeyID {
		return denied("InvalidAccessKeyID", "invalid access key ID")
	}
	if h.Get("x-acs-security-token") != v.credentials.SecurityToken {
		return denied("InvalidSecurityToken", "the security token is not the one that belongs to the access key")
	}
	for _, name := range acs3Required {
		if name != "host" && h.Get(name) == "" {
			return &apiError{status: http.StatusBadRequest, Code: "MissingRequiredHeader", Message: "required HTTP header " + name + " was not specified"}
		}
	}
	for name := range h { // whatever speaks to the gateway must be signed, or a stranger could add it
		name = strings.ToLower(name)
		if (strings.HasPrefix(name, "x-acs-") || name == "content-type") && !slices.Contains(signed, name) {
			return denied("SignatureNotMatch", "header "+name+" is not signed")
		}
	}
	if !slices.Contains(signed, "host") || !slices.IsSorted(signed) {
		return denied("SignatureNotMatch", "SignedHeaders: want host among them, sorted")
	}
	if got := h.Get("x-acs-action"); got != "InvokeFunction" {
		return &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-acs-action: want InvokeFunction"}
	}
	if got := h.Get("x-acs-version"); got != "2023-03-30" {
		return &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-acs-version: want 2023-03-30"}
	}
	sum := sha256.Sum256(body)
	if h.Get("x-acs-content-sha256") != hex.EncodeToString(sum[:]) {
		return denied("SignatureNotMatch", "x-acs-content-sha256 is not the hash of the body")
	}
	if !hmac.Equal([]byte(v.signature(r, signed)), []byte(signature)) {
		return denied("SignatureNotMatch", "The request signature we calculated does not match the signature you provided. Check your access key and signing method")
	}
	return v.fresh(h.Get("x-acs-date"), h.Get("x-acs-signature-nonce"))
}

// signature computes what the caller should have: an HMAC over the request in canonical form.
func (v *acs3Verifier) signature(r *http.Request, signed []string) string {
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + acs3Query(r.URL.Query()) + "\n")
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	canonical.WriteString("\n" + strings.Join(signed, ";") + "\n" + r.Header.Get("x-acs-content-sha256"))

	sum := sha256.Sum256([]byte(canonical.String()))
	mac := hmac.New(sha256.New, []byte(v.credentials.AccessKeySecret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(sum[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// acs3Query spells a query by RFC 3986: sorted, blanks as %20.
func acs3Query(q url.Values) string {
	text := q.Encode()
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(text)
}

// fresh refuses old dates and repeated nonces: a recorded request must not work twice.
func (v *acs3Verifier) fresh(date, nonce string) *apiError {
	now := v.now()
	at, err := time.Parse("2006-01-02T15:04:05Z", date)
	if err != nil {
		return denied("InvalidArgument", "x-acs-date: want the form 2006-01-02T15:04:05Z")
	}
	if age := now.Sub(at); age > fcClockSkew || age < -fcClockSkew {
		return denied("InvalidArgument", "x-acs-date is more than 15 minutes off")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.swept) > time.Minute {
		v.swept = now
		for n, until := range v.seen {
			if now.After(until) {
				delete(v.seen, n)
			}
		}
	}
	if _, again := v.seen[nonce]; again {
		return denied("SignatureNonceUsed", "x-acs-signature-nonce was used before")
	}
	v.seen[nonce] = at.Add(fcClockSkew)
	return nil
}
