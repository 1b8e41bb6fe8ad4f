package functiontest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/signtest"
)

// acs3Verifier checks Alibaba Cloud's request signature, version 3
// (ACS3-HMAC-SHA256), as Function Compute's data plane does.
type acs3Verifier struct {
	credentials Credentials
	now         func() time.Time
	nonces      signtest.Nonces
}

func newACS3Verifier(c Credentials, now func() time.Time) *acs3Verifier {
	return &acs3Verifier{credentials: c, now: now}
}

// check returns nil for a request that is signed by our credentials, now, for this
// body, and for the first time.
func (v *acs3Verifier) check(r *http.Request, body []byte) *apiError {
	keys := func(id string) (secret, token string, ok bool) {
		return v.credentials.AccessKeySecret, v.credentials.SecurityToken, id != "" && id == v.credentials.AccessKeyID
	}
	if err := signtest.ACS3(r, body, keys, v.now()); err != nil {
		return refused(err)
	}
	if got := r.Header.Get("x-acs-action"); got != "InvokeFunction" {
		return &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-acs-action: want InvokeFunction"}
	}
	if got := r.Header.Get("x-acs-version"); got != "2023-03-30" {
		return &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-acs-version: want 2023-03-30"}
	}
	if err := v.nonces.Use(r.Header.Get("x-acs-signature-nonce"), v.now()); err != nil {
		return refused(err)
	}
	return nil
}

// refused says in Function Compute's own codes what signtest says in the RPC gateway's.
func refused(err error) *apiError {
	e := &apiError{status: http.StatusForbidden, Code: "InvalidArgument", Message: err.Error()}
	var why *signtest.Error
	if !errors.As(err, &why) {
		return e
	}
	switch {
	case why.Code == "InvalidAccessKeyId.NotFound":
		e.Code = "InvalidAccessKeyID"
	case why.Code == "SignatureNonceUsed":
		e.Code = why.Code
	case why.Code == "SignatureDoesNotMatch":
		e.Code = "SignatureNotMatch"
	case strings.HasSuffix(why.Code, "SecurityToken") || strings.HasPrefix(why.Code, "InvalidSecurityToken"):
		e.Code = "InvalidSecurityToken"
	case why.Code == "MissingAuthorization":
	case strings.HasPrefix(why.Code, "Missing"):
		e.status, e.Code = http.StatusBadRequest, "MissingRequiredHeader"
	}
	return e
}
