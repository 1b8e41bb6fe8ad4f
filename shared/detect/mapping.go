package detect

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Mapping says what the fields of a deployment's logs are called: what rules call
// them → what they are called there, or NoField where there is none. Rules keep their
// own names for fields that it does not name.
type Mapping map[string]string

// FieldNames are the fields that rules may leave open, and so a deployment may name.
func FieldNames() []string {
	return []string{"address", "method", "path", "status", "agent", "referer", "account", "trace", "host", "message", "event", "fingerprint"}
}

// mappings are the fields of access logs that products write by themselves. Where a
// product has no such field, NoField says so, and rules that need it are left out.
var mappings = map[string]Mapping{
	// Alibaba Cloud ALB, layer 7 access log in Log Service; its request_uri has the query string.
	"alb": {
		"address": "client_ip", "method": "request_method", "path": "request_uri", "status": "status", "agent": "http_user_agent", "referer": "http_referer",
		"host": "host", "trace": NoField, "account": NoField, "fingerprint": NoField,
	},
	// Alibaba Cloud WAF 3.0, log delivered to Log Service.
	"waf": {
		"address": "real_client_ip", "method": "request_method", "path": "request_path?querystring", "status": "status", "agent": "http_user_agent", "referer": "http_referer",
		"host": "host", "trace": "request_traceid", "account": NoField, "fingerprint": NoField,
	},
	// Alibaba Cloud API Gateway, log delivered to Log Service. UNVERIFIED: taken from memory of the console.
	"apigateway": {
		"address": "clientIp", "method": "httpMethod", "path": "path", "status": "statusCode", "agent": NoField, "referer": NoField,
		"host": "domain", "trace": "requestId", "account": "appId", "fingerprint": NoField,
	},
	// Kubernetes' ingress-nginx, as Alibaba Cloud's ACK collects it.
	"ingress": {
		"address": "client_ip", "method": "method", "path": "url", "status": "status", "agent": "http_user_agent", "referer": "http_referer",
		"host": "host", "trace": NoField, "account": NoField, "fingerprint": NoField,
	},
	// nginx, with the collector's own names for log_format variables.
	"nginx": {
		"address": "remote_addr", "method": "request_method", "path": "request_uri", "status": "status", "agent": "http_user_agent", "referer": "http_referer",
		"host": "host", "trace": "request_id", "account": "remote_user", "fingerprint": NoField,
	},
	// Tencent Cloud CLB, access log in CLS. UNVERIFIED: taken from memory of the console.
	"clb": {
		"address": "remote_addr", "method": "request_method", "path": "request_uri", "status": "status", "agent": "http_user_agent", "referer": "http_referer",
		"host": "http_host", "trace": NoField, "account": NoField, "fingerprint": NoField,
	},
}

// Mappings returns the names of the ready-made mappings, in order.
func Mappings() []string { return slices.Sorted(maps.Keys(mappings)) }

// MappingOf returns a ready-made mapping with the deployment's own names put over it.
// name may be "": then there is nothing below. Every problem is ErrRequest, all at once.
func MappingOf(name string, own map[string]string) (Mapping, error) {
	base, ok := mappings[name]
	if name != "" && !ok {
		return nil, fmt.Errorf("%w: mapping %q: want one of %s", ErrRequest, clip(name, 64), strings.Join(Mappings(), ", "))
	}
	m := Mapping{}
	maps.Copy(m, base)
	var problems []error
	for _, field := range slices.Sorted(maps.Keys(own)) {
		switch {
		case !slices.Contains(FieldNames(), field):
			problems = append(problems, fmt.Errorf("%w: field %q: want one of %s", ErrRequest, clip(field, 64), strings.Join(FieldNames(), ", ")))
		case own[field] != NoField && !ValidField(own[field]):
			problems = append(problems, fmt.Errorf("%w: field %s: %s: want %s", ErrRequest, field, show(own[field]), WantField))
		}
		m[field] = own[field]
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return m, nil
}

// Lacks returns the fields that the rule cannot do without and the logs do not have.
func (m Mapping) Lacks(r Rule) []string {
	var lacks []string
	for _, field := range slices.Sorted(maps.Keys(r.Fields)) {
		if m[field] == NoField && !slices.Contains(r.Optional, field) {
			lacks = append(lacks, field)
		}
	}
	return lacks
}
