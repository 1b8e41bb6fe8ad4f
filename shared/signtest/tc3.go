package signtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TC3Scope is what a checked TC3-HMAC-SHA256 signature says of its request.
type TC3Scope struct {
	SecretID string
	Service  string // "vpc", as the key is derived for it; the host names it too
	Date     string // of the timestamp, in UTC: "2026-11-21"
}

// tc3Skew is how far Tencent Cloud lets a request's timestamp be off ("five minutes" in its documentation).
const tc3Skew = 5 * time.Minute

// tc3Domain is what the names of Tencent Cloud's endpoints end in. The label before it is the service, but for
// regional endpoints (vpc.ap-guangzhou.) and those of the international site (vpc.intl.).
const tc3Domain = ".tencentcloudapi.com"

var (
	tc3Authorization = regexp.MustCompile(`^TC3-HMAC-SHA256 Credential=([^/, ]+)/(\d{4}-\d\d-\d\d)/([a-z0-9-]+)/tc3_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$`)
	tc3Nothing       TC3Scope
)

// TC3 checks the request as Tencent Cloud does: the form of Authorization, a known SecretId, a
// timestamp at most five minutes from now, the day of the credential's scope, that content-type and
// host are signed, the signature over method, query, those headers and body, and the token of temporary
// credentials. A host of Tencent Cloud's must be that of the service that the scope
// names; any other host, as a stand-in's, serves all.
//
// keys returns what belongs to a SecretId; token is "" for keys that do not expire. The error is an *Error. Safe for
// concurrent use if keys is.
func TC3(r *http.Request, body []byte, keys func(id string) (secret, token string, ok bool), now time.Time) (TC3Scope, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return tc3Nothing, &Error{"MissingParameter", "the request has no Authorization header"}
	}
	m := tc3Authorization.FindStringSubmatch(header)
	if m == nil {
		return tc3Nothing, &Error{"AuthFailure.InvalidAuthorization", "Authorization: want TC3-HMAC-SHA256 Credential=…/date/service/tc3_request, SignedHeaders=…, Signature=…"}
	}
	scope := TC3Scope{SecretID: m[1], Date: m[2], Service: m[3]}
	stamp := r.Header.Get("X-TC-Timestamp")
	if err := tc3Time(stamp, scope.Date, now); err != nil {
		return tc3Nothing, err
	}
	secret, token, ok := keys(scope.SecretID)
	if !ok {
		return tc3Nothing, &Error{"AuthFailure.SecretIdNotFound", "the SecretId does not exist"}
	}
	canonical, err := tc3Canonical(r, body, m[4])
	if err != nil {
		return tc3Nothing, err
	}
	key := []byte("TC3" + secret)
	for _, part := range []string{scope.Date, scope.Service, "tc3_request"} {
		key = tc3Sum(key, part)
	}
	digest := sha256.Sum256([]byte(canonical))
	want := tc3Sum(key, fmt.Sprintf("TC3-HMAC-SHA256\n%s\n%s/%s/tc3_request\n%s", stamp, scope.Date, scope.Service, hex.EncodeToString(digest[:])))
	if got, err := hex.DecodeString(m[5]); err != nil || !hmac.Equal(got, want) {
		return tc3Nothing, &Error{"AuthFailure.SignatureFailure", "the signature is not that of this request"}
	}
	if !hmac.Equal([]byte(r.Header.Get("X-TC-Token")), []byte(token)) {
		return tc3Nothing, &Error{"AuthFailure.TokenFailure", "the token does not belong to the SecretId"}
	}
	if service, of, _ := strings.Cut(r.Host, "."); strings.HasSuffix("."+of, tc3Domain) && service != scope.Service {
		return tc3Nothing, &Error{"AuthFailure.SignatureFailure", "the scope names the service " + strconv.Quote(scope.Service) + ", the host another"}
	}
	return scope, nil
}

// tc3Time judges the timestamp and the day that the scope names.
func tc3Time(stamp, date string, now time.Time) error {
	if stamp == "" {
		return &Error{"MissingParameter", "the request has no X-TC-Timestamp"}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return &Error{"InvalidParameter", "X-TC-Timestamp is not a number of seconds"}
	}
	at := time.Unix(seconds, 0)
	if off := now.Sub(at); off > tc3Skew || off < -tc3Skew {
		return &Error{"AuthFailure.SignatureExpire", "the timestamp is more than five minutes from the server's time"}
	}
	if at.UTC().Format(time.DateOnly) != date {
		return &Error{"AuthFailure.SignatureFailure", "the scope's date is not the timestamp's day in UTC"}
	}
	return nil
}

// tc3Canonical returns the request in the form that is signed.
func tc3Canonical(r *http.Request, body []byte, signed string) (string, error) {
	names := strings.Split(signed, ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "content-type") || !slices.Contains(names, "host") {
		return "", &Error{"AuthFailure.InvalidAuthorization", "SignedHeaders must be in order and hold content-type and host"}
	}
	var headers strings.Builder
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.ToLower(strings.TrimSpace(value)) + "\n")
	}
	query := ""
	if r.Method == http.MethodGet {
		query = r.URL.RawQuery
	}
	digest := sha256.Sum256(body)
	if r.Header.Get("X-TC-Content-SHA256") == "UNSIGNED-PAYLOAD" {
		digest = sha256.Sum256([]byte("UNSIGNED-PAYLOAD"))
	}
	return strings.Join([]string{r.Method, "/", query, headers.String(), signed, hex.EncodeToString(digest[:])}, "\n"), nil
}

func tc3Sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
