package signtest

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

// ACS3Skew is how far x-acs-date may be off (DOC: request signature, V3).
const ACS3Skew = 15 * time.Minute

var acs3Authorization = regexp.MustCompile(`^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})$`)

// acs3Required must be there, and signed. The second name is what the code of their absence ends in.
var acs3Required = [][2]string{
	{"x-acs-action", "Action"},
	{"x-acs-content-sha256", "ContentSha256"},
	{"x-acs-date", "Date"},
	{"x-acs-signature-nonce", "SignatureNonce"},
	{"x-acs-version", "Version"},
}

// ACS3 checks Alibaba Cloud's request signature, version 3: nil for a request that is signed
// with a key that keys knows, with the token that belongs to it, now, and for this body. keys
// returns a key's secret and, if it is temporary, its security token.
//
// Everything else is an *Error with the code of Alibaba Cloud's RPC gateway. That the
// nonce is new is for Nonces to say. It does not read r.Body and is safe for concurrent use.
func ACS3(r *http.Request, body []byte, keys func(id string) (secret, token string, ok bool), now time.Time) error {
	h := r.Header
	if h.Get("Authorization") == "" {
		return &Error{Code: "MissingAuthorization", Message: "Authorization is mandatory for this action."}
	}
	m := acs3Authorization.FindStringSubmatch(h.Get("Authorization"))
	if m == nil {
		return &Error{Code: "IncompleteSignature", Message: "Authorization: want ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…"}
	}
	id, signed, signature := m[1], strings.Split(m[2], ";"), m[3]
	for _, one := range acs3Required {
		if h.Get(one[0]) == "" {
			return &Error{Code: "Missing" + one[1], Message: one[0] + " is mandatory for this action."}
		}
	}
	secret, token, ok := keys(id)
	if !ok {
		return &Error{Code: "InvalidAccessKeyId.NotFound", Message: "Specified access key is not found."}
	}
	switch got := h.Get("x-acs-security-token"); {
	case got == token:
	case got == "":
		return &Error{Code: "MissingSecurityToken", Message: "SecurityToken is mandatory for this action."}
	case token == "":
		return &Error{Code: "InvalidSecurityToken.MismatchWithAccessKey", Message: "Specified SecurityToken mismatch with the AccessKey."}
	default:
		return &Error{Code: "InvalidSecurityToken.Malformed", Message: "Specified SecurityToken is malformed."}
	}
	if wrong := acs3Unsigned(h, signed); wrong != "" {
		return mismatch(wrong)
	}
	sum := sha256.Sum256(body)
	if h.Get("x-acs-content-sha256") != hex.EncodeToString(sum[:]) {
		return mismatch("x-acs-content-sha256 is not the hash of the body.")
	}
	if !hmac.Equal([]byte(acs3Signature(r, signed, secret)), []byte(signature)) {
		return mismatch("Specified signature is not matched with our calculation.")
	}
	at, err := time.Parse("2006-01-02T15:04:05Z", h.Get("x-acs-date"))
	if err != nil {
		return &Error{Code: "InvalidTimeStamp.Format", Message: "x-acs-date: want the form 2006-01-02T15:04:05Z."}
	}
	if age := now.Sub(at); age > ACS3Skew || age < -ACS3Skew {
		return &Error{Code: "InvalidTimeStamp.Expired", Message: "Specified time stamp or date value is expired."}
	}
	return nil
}

func mismatch(message string) *Error {
	return &Error{Code: "SignatureDoesNotMatch", Message: message}
}

// acs3Unsigned tells what the signature leaves open. Whatever speaks to the gateway must be
// signed, or a stranger could add it.
func acs3Unsigned(h http.Header, signed []string) string {
	if !slices.IsSorted(signed) || !slices.Contains(signed, "host") {
		return "SignedHeaders: want host among them, sorted."
	}
	for name := range h {
		name = strings.ToLower(name)
		if (strings.HasPrefix(name, "x-acs-") || name == "content-type") && !slices.Contains(signed, name) {
			return "Header " + name + " is not signed."
		}
	}
	return ""
}

// acs3Signature computes what the caller should have: an HMAC over the request in canonical form.
func acs3Signature(r *http.Request, signed []string, secret string) string {
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
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(sum[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// acs3Query spells a query by RFC 3986: sorted, blanks as %20.
func acs3Query(q url.Values) string {
	return strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(q.Encode())
}

// Nonces remembers the nonces of signed requests for as long as their date is good: a
// recorded request must not work twice. The zero value remembers none; it is safe for
// concurrent use.
type Nonces struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	swept time.Time
}

// Use returns an *Error with the code SignatureNonceUsed if a nonce was used before.
func (n *Nonces) Use(nonce string, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = make(map[string]time.Time)
	}
	if now.Sub(n.swept) > time.Minute {
		n.swept = now
		for one, until := range n.seen {
			if now.After(until) {
				delete(n.seen, one)
			}
		}
	}
	if _, again := n.seen[nonce]; again {
		return &Error{Code: "SignatureNonceUsed", Message: "Specified signature nonce was used already."}
	}
	n.seen[nonce] = now.Add(2 * ACS3Skew) // its date may lie ahead as far as behind
	return nil
}
