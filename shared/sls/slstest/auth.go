//go:build cgo

package slstest

import (
	"crypto/hmac"
	"crypto/md5"  // the protocol's checksum, not a safeguard
	"crypto/sha1" // the protocol's V1 signature
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

const (
	apiVersion = "0.6.0"
	maxSkew    = 15 * time.Minute // SLS: how far a request's date may be off
	v4Scheme   = "SLS4-HMAC-SHA256 "
	v1Scheme   = "LOG "
)

func denied(status int, code, format string, args ...any) error {
	return &apiError{status, code, fmt.Sprintf(format, args...)}
}

// authenticate checks a request's signature, V1 or V4, its date and its
// checksums. Comparisons take the same time whatever differs.
func (s *Server) authenticate(c *call) error {
	switch v := c.Header.Get("x-log-apiversion"); v {
	case apiVersion:
	case "":
		return denied(http.StatusBadRequest, "MissingAPIVersion", "x-log-apiversion header is missing")
	default:
		return denied(http.StatusBadRequest, "InvalidAPIVersion", "x-log-apiversion must be %s", apiVersion)
	}
	var err error
	switch authorization := c.Header.Get("Authorization"); {
	case strings.HasPrefix(authorization, v4Scheme):
		err = s.authenticateV4(c, strings.TrimPrefix(authorization, v4Scheme))
	case strings.HasPrefix(authorization, v1Scheme):
		err = s.authenticateV1(c, strings.TrimPrefix(authorization, v1Scheme))
	default:
		err = denied(http.StatusUnauthorized, "Unauthorized", "Authorization header is missing or of an unknown kind")
	}
	if err != nil {
		return err
	}
	if want := s.config.SecurityToken; want != "" && !sameText(c.Header.Get("x-acs-security-token"), want) {
		return denied(http.StatusUnauthorized, "Unauthorized", "the security token is not valid")
	}
	return nil
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Server) checkKeyID(id string) error {
	if id == "" {
		return denied(http.StatusUnauthorized, "MissAccessKeyId", "access key id is missing")
	}
	if !sameText(id, s.config.AccessKeyID) {
		return denied(http.StatusUnauthorized, "Unauthorized", "the access key id is not known")
	}
	return nil
}

func (s *Server) checkDate(date time.Time) error {
	now := s.config.Now()
	if d := now.Sub(date); d > maxSkew || d < -maxSkew {
		return denied(http.StatusBadRequest, "RequestTimeTooSkewed", "request time exceeds server time by more than %d minutes", int(maxSkew.Minutes()))
	}
	return nil
}

func mismatch() error {
	return denied(http.StatusUnauthorized, "SignatureNotMatch", "the signature does not match the request")
}

func (s *Server) authenticateV1(c *call, credential string) error {
	id, signature, _ := strings.Cut(credential, ":")
	if err := s.checkKeyID(id); err != nil {
		return err
	}
	if m := c.Header.Get("x-log-signaturemethod"); m != "hmac-sha1" {
		return denied(http.StatusBadRequest, "InvalidSignatureMethod", "x-log-signaturemethod must be hmac-sha1")
	}
	date := c.Header.Get("Date")
	if date == "" {
		return denied(http.StatusBadRequest, "MissingDate", "Date header is missing")
	}
	at, err := time.Parse(time.RFC1123, date)
	if err != nil {
		return denied(http.StatusBadRequest, "InvalidDateFormat", "Date header is not of RFC 1123")
	}
	sum := c.Header.Get("Content-MD5")
	text := strings.Join([]string{c.Method, sum, c.Header.Get("Content-Type"), date, logHeaders(c.Header, "\n", nil), v1Resource(c.URL)}, "\n")
	mac := hmac.New(sha1.New, []byte(s.config.AccessKeySecret))
	mac.Write([]byte(text))
	if !sameText(base64.StdEncoding.EncodeToString(mac.Sum(nil)), signature) {
		return mismatch()
	}
	if err := s.checkDate(at); err != nil {
		return err
	}
	if len(c.body) == 0 && sum == "" {
		return nil
	}
	if want := md5.Sum(c.body); !sameText(strings.ToUpper(sum), strings.ToUpper(hex.EncodeToString(want[:]))) {
		return denied(http.StatusBadRequest, "PostBodyInvalid", "Content-MD5 does not match the body")
	}
	return nil
}

// logHeaders writes the signed headers, sorted, as name:value; more are signed in V4.
func logHeaders(h http.Header, separator string, more map[string]string) string {
	lines := make([]string, 0, len(h))
	for name, values := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-log-") || strings.HasPrefix(lower, "x-acs-") {
			lines = append(lines, lower+":"+strings.TrimSpace(values[0]))
		}
	}
	for name, value := range more {
		lines = append(lines, name+":"+value)
	}
	sort.Slice(lines, func(i, j int) bool { return headerName(lines[i]) < headerName(lines[j]) })
	return strings.Join(lines, separator)
}

func headerName(line string) string {
	name, _, _ := strings.Cut(line, ":")
	return name
}

// v1Resource is the path with its parameters, sorted and unescaped.
func v1Resource(u *url.URL) string {
	path := u.EscapedPath()
	if u.RawQuery == "" {
		return path
	}
	values := u.Query()
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	parts := make([]string, len(names))
	for i, name := range names {
		for _, v := range values[name] {
			parts[i] += name + "=" + v
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

func (s *Server) authenticateV4(c *call, credential string) error {
	scope, signature, ok := strings.Cut(strings.TrimPrefix(credential, "Credential="), ",Signature=")
	parts := strings.Split(scope, "/")
	if !ok || len(parts) != 5 || parts[3] != "sls" || parts[4] != "aliyun_v4_request" {
		return denied(http.StatusUnauthorized, "Unauthorized", "the V4 credential is malformed")
	}
	id, day, region := parts[0], parts[1], parts[2]
	if err := s.checkKeyID(id); err != nil {
		return err
	}
	if s.config.Region != "" && region != s.config.Region {
		return denied(http.StatusUnauthorized, "Unauthorized", "the signature is for another region")
	}
	date := c.Header.Get("x-log-date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil {
		return denied(http.StatusBadRequest, "InvalidDateFormat", "x-log-date is missing or not of ISO 8601")
	}
	if date[:8] != day {
		return mismatch()
	}
	sum := c.Header.Get("x-log-content-sha256")
	if want := sha256.Sum256(c.body); !sameText(sum, hex.EncodeToString(want[:])) {
		return mismatch()
	}
	key := mac256([]byte("aliyun_v4"+s.config.AccessKeySecret), day)
	for _, part := range []string{region, "sls", "aliyun_v4_request"} {
		key = mac256(key, part)
	}
	request := sha256.Sum256([]byte(c.canonicalV4(sum)))
	text := strings.TrimSpace(v4Scheme) + "\n" + date + "\n" + strings.Join(parts[1:], "/") + "\n" + hex.EncodeToString(request[:])
	if !sameText(hex.EncodeToString(mac256(key, text)), signature) {
		return mismatch()
	}
	return s.checkDate(at)
}

// canonicalV4 is the request in the form that is signed. Signed are the host,
// the content type and the service's own headers.
func (c *call) canonicalV4(bodySum string) string {
	header := c.Header.Clone()
	for name := range header {
		if strings.HasPrefix(strings.ToLower(name), "x-log-meta-") {
			delete(header, name)
		}
	}
	more := map[string]string{"host": c.Host}
	if ct := header.Get("Content-Type"); ct != "" {
		more["content-type"] = ct
	}
	lines := logHeaders(header, "\n", more)
	var names []string
	for _, line := range strings.Split(lines, "\n") {
		names = append(names, headerName(line))
	}
	values := c.URL.Query()
	params := make([]string, 0, len(values))
	for name := range values {
		params = append(params, name)
	}
	sort.Strings(params)
	for i, name := range params {
		if v := values.Get(name); v != "" {
			params[i] = name + "=" + strings.ReplaceAll(url.QueryEscape(v), "+", "%20")
		}
	}
	return strings.Join([]string{c.Method, c.URL.EscapedPath(), strings.Join(params, "&"), lines + "\n", strings.Join(names, ";"), bodySum}, "\n")
}

func mac256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
