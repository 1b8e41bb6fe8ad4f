package awswaf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// outputOnly are fields of a web ACL that UpdateWebACL does not take. ApplicationConfig
// is among them because leaving it out keeps it, and sending it back can only fail.
var outputOnly = []string{
	"ARN", "Capacity", "LabelNamespace", "PreProcessFirewallManagerRuleGroups", "PostProcessFirewallManagerRuleGroups",
	"ManagedByFirewallManager", "RetrofittedByFirewallManager", "ApplicationConfig",
}

// request returns the body of an UpdateWebACL that leaves everything as it is but for the rules.
func (a *webACL) request(t Target, rules []json.RawMessage) []byte {
	body := map[string]json.RawMessage{}
	for key, raw := range a.fields {
		switch {
		case slices.Contains(outputOnly, key), key == "Rules":
		case isEmpty(raw): // means absent, and AWS does not take "" for a description back
		default:
			body[key] = raw
		}
	}
	body["Scope"] = quote(t.Scope)
	body["Id"] = quote(a.id)
	body["Name"] = quote(t.WebACL)
	body["LockToken"] = quote(a.token)
	body["Rules"] = joinRaw(rules)
	return object(body)
}

func isEmpty(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "null", `""`, "[]", "{}":
		return true
	}
	return false
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}

// object and joinRaw write JSON without touching a byte of the parts, which json.Marshal would compact and escape.
func object(fields map[string]json.RawMessage) []byte {
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var b bytes.Buffer
	for i, key := range keys {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quote(key))
		b.WriteByte(':')
		b.Write(fields[key])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func joinRaw(list []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, raw := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(raw)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// keepAnswer copies the raw answer: what the SDK does not know is still in it.
func keepAnswer(raw *[]byte) func(*wafv2.Options) {
	return wafv2.WithAPIOptions(func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("tracewallKeepAnswer",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, md, err := next.HandleDeserialize(ctx, in)
				if resp, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
					body, rerr := io.ReadAll(resp.Body)
					resp.Body = io.NopCloser(bytes.NewReader(body))
					*raw, err = body, rerr
				}
				return out, md, err
			}), middleware.After)
	})
}

// sendBody replaces the encoded request, before it is measured and signed.
func sendBody(body []byte) func(*wafv2.Options) {
	return wafv2.WithAPIOptions(func(s *middleware.Stack) error {
		return s.Serialize.Add(middleware.SerializeMiddlewareFunc("tracewallSendBody",
			func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, md middleware.Metadata, err error) {
				req, ok := in.Request.(*smithyhttp.Request)
				if !ok {
					return out, md, errors.New("request is not an HTTP request")
				}
				if in.Request, err = req.SetStream(bytes.NewReader(body)); err != nil {
					return out, md, err
				}
				return next.HandleSerialize(ctx, in)
			}), middleware.After)
	})
}
