package waftest

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// distribution is one of CloudFront's.
type distribution struct {
	acl     string // ARN of the web ACL that protects it; "" for none
	enabled bool
}

// Distribute makes or changes a distribution of CloudFront that a web ACL of scope
// CLOUDFRONT protects; acl "" protects it no more.
func (v *View) Distribute(id, acl string, enabled bool) error {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	d := distribution{enabled: enabled}
	if acl != "" {
		_, found, err := v.webACL("us-east-1", "CLOUDFRONT", acl)
		if err != nil {
			return err
		}
		d.acl = found.arn
	}
	if v.aws.sites[v.account] == nil {
		v.aws.sites[v.account] = map[string]distribution{}
	}
	v.aws.sites[v.account][id] = d
	return nil
}

const byWebACL = "/2020-05-31/distributionsByWebACLId/"

// readPath decodes the REST protocol of CloudFront. The ARN is one segment of the path: its slashes are escaped.
func readPath(r *http.Request, req *request) *apiError {
	segment, ok := strings.CutPrefix(r.URL.EscapedPath(), byWebACL)
	if !ok || r.Method != http.MethodGet {
		req.op = r.Method + " " + r.URL.Path
		return refuse("NoSuchOperation", "the stand-in does not know %s %s", r.Method, r.URL.Path)
	}
	req.op = "ListDistributionsByWebACLId"
	id, err := url.PathUnescape(segment)
	if err != nil || strings.Contains(segment, "/") || req.region != "us-east-1" {
		return refuse("InvalidArgument", "the path or the Region of the signature is malformed")
	}
	req.set("WebACLId", id)
	for _, key := range []string{"Marker", "MaxItems"} {
		if v := r.URL.Query().Get(key); v != "" {
			req.set(key, v)
		}
	}
	return nil
}

type distributionList struct {
	XMLName     xml.Name              `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ DistributionList"`
	Marker      string                `xml:"Marker"`
	NextMarker  string                `xml:"NextMarker,omitempty"`
	MaxItems    int                   `xml:"MaxItems"`
	IsTruncated bool                  `xml:"IsTruncated"`
	Quantity    int                   `xml:"Quantity"`
	Items       []distributionSummary `xml:"Items>DistributionSummary,omitempty"`
}

// distributionSummary has the members that matter here, of the nineteen that CloudFront sends.
type distributionSummary struct {
	ID               string `xml:"Id"`
	ARN              string `xml:"ARN"`
	Status           string `xml:"Status"`
	LastModifiedTime string `xml:"LastModifiedTime"`
	DomainName       string `xml:"DomainName"`
	Comment          string `xml:"Comment"`
	Enabled          bool   `xml:"Enabled"`
	WebACLID         string `xml:"WebACLId"`
	HTTPVersion      string `xml:"HttpVersion"`
	Staging          bool   `xml:"Staging"`
}

func (a *AWS) listDistributions(r request) (any, *apiError) {
	acl := r.str("WebACLId")
	if !strings.HasPrefix(acl, "arn:") || !strings.Contains(acl, ":global/webacl/") {
		return nil, refuse("InvalidWebACLId", "A web ACL ID specified is not valid. To specify a web ACL created using the latest version of AWS WAF, use the ACL ARN.")
	}
	limit := a.opts.Page
	if s := r.str("MaxItems"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, refuse("InvalidArgument", "MaxItems is a number from 1")
		}
		limit = min(limit, n)
	}
	out := distributionList{Marker: r.str("Marker"), MaxItems: limit}
	var ids []string
	for id, d := range a.sites[r.account] {
		if d.acl == acl && id > out.Marker {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(ids) > limit {
		ids = ids[:limit]
		out.IsTruncated, out.NextMarker = true, ids[limit-1]
	}
	for _, id := range ids {
		out.Items = append(out.Items, distributionSummary{
			ID: id, ARN: "arn:aws:cloudfront::" + r.account + ":distribution/" + id, Status: "Deployed",
			LastModifiedTime: "2026-11-21T00:00:00Z", DomainName: strings.ToLower(id) + ".cloudfront.net",
			Enabled: a.sites[r.account][id].enabled, WebACLID: acl, HTTPVersion: "http2",
		})
	}
	out.Quantity = len(out.Items)
	return out, nil
}
