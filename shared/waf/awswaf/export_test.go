package awswaf

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// SetCallTimeout shortens the patience with one call.
func SetCallTimeout(f *Firewall, d time.Duration) { f.timeout = d }

// Test access to what is not exported.
var (
	SendBody         = sendBody
	MapError         = mapError
	Describe         = describe
	ParseDescription = parseDescription
)

// RefNames returns the names of the IP sets that a rule refers to.
func RefNames(raw json.RawMessage) (names []string) {
	rule, err := parseRule(raw)
	if err != nil {
		return []string{err.Error()}
	}
	for _, arn := range rule.ipSets {
		names = append(names, nameInARN(arn))
	}
	return names
}

// SetGroupReferences makes rule groups smaller than they are.
func SetGroupReferences(f *Firewall, n int) { f.place.(*ruleGroupPlace).references = n }

// Spread divides sets over groups that hold some of them and have room.
func Spread(held [][]string, room []int, blocks []string) ([][]string, error) {
	shares := make([]share, len(held))
	for i := range held {
		shares[i] = share{blocks: held[i], room: room[i]}
	}
	return spread(shares, blocks)
}

// CloudFrontRequest is the signed request for the distributions of a web ACL, with AWS's own endpoint.
func CloudFrontRequest(ctx context.Context, webACL, marker string, now time.Time) (*http.Request, error) {
	c := newCloudFront(aws.Config{})
	req, err := c.request(ctx, webACL, marker)
	if err != nil {
		return nil, err
	}
	return req, c.sign(ctx, req, credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""), webACL, now)
}

// Passes judges what comes before a rule of a web ACL with these fields.
func Passes(t *testing.T, fields map[string]json.RawMessage, rule string) (holes, doubts []string) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"WebACL": fields})
	if err != nil {
		t.Fatal(err)
	}
	acl, err := parseWebACL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return acl.passes("web acl x", acl.at(rule))
}

// ProbeBody is what the preflight would send as UpdateWebACL.
func ProbeBody(f *Firewall) []byte { return f.place.(*webACLPlace).probeBody() }

// AlsoNeeds names what AWS asks for beside wafv2:ListResourcesForWebACL, in order.
func AlsoNeeds() []string { return slices.Sorted(maps.Values(alsoNeeds)) }
