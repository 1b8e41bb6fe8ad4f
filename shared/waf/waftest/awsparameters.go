package waftest

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// The patterns of the API's model.
var (
	namePattern        = regexp.MustCompile(`^[\w\-]{1,128}$`)
	uuidPattern        = regexp.MustCompile(`^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$`)
	descriptionPattern = regexp.MustCompile(`^[\w+=:#@/\-,\.][\w+=:#@/\-,\.\s]+[\w+=:#@/\-,\.]$`)
	metricPattern      = regexp.MustCompile(`^[\w#:\.\-/]{1,255}$`)
	tagPattern         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	headerPattern      = regexp.MustCompile(`^[a-zA-Z0-9-]{1,255}$`)
	responsePattern    = regexp.MustCompile(`^[a-zA-Z0-9._$-]{1,64}$`) // of a custom response's header
)

// marshal is json.Marshal without escaping <, > and &: raw parts come back as they were sent.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func checkName(r request) *apiError {
	if !namePattern.MatchString(r.str("Name")) {
		return refuse("ValidationException", `Value at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[\w\-]+$`)
	}
	return nil
}

func checkDescription(r request) *apiError {
	raw, ok := r.fields["Description"]
	if !ok {
		return nil
	}
	if d := r.str("Description"); len(d) > 256 || !descriptionPattern.MatchString(d) {
		return refuse("ValidationException", "Value %s at 'description' failed to satisfy constraint", raw)
	}
	return nil
}

// checkUUID judges an Id or a LockToken, which must be there.
func checkUUID(r request, field string) *apiError {
	if !uuidPattern.MatchString(r.str(field)) {
		return refuse("ValidationException", "Value '%s' at '%s' failed to satisfy constraint: Member must not be null and satisfy its pattern", r.str(field), field)
	}
	return nil
}

func checkToken(r request, token string) *apiError {
	if refused := checkUUID(r, "LockToken"); refused != nil {
		return refused
	}
	if r.str("LockToken") != token {
		return refuse("WAFOptimisticLockException", "AWS WAF couldn't save your changes because someone changed the resource after you started to edit it.")
	}
	return nil
}

func checkVisibility(raw json.RawMessage) *apiError {
	var v struct {
		SampledRequestsEnabled, CloudWatchMetricsEnabled *bool
		MetricName                                       string
	}
	if json.Unmarshal(raw, &v) != nil || v.SampledRequestsEnabled == nil || v.CloudWatchMetricsEnabled == nil || !metricPattern.MatchString(v.MetricName) {
		return refuse("ValidationException", "Value at 'visibilityConfig' failed to satisfy constraint")
	}
	return nil
}

func errNonexistent() *apiError {
	return refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist.")
}

func errAssociated() *apiError {
	return refuse("WAFAssociatedItemException", "AWS WAF couldn't perform the operation because your resource is being used by another resource.")
}
