package awswaf

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
)

// cloudFront asks CloudFront the one thing that AWS WAF does not tell: which
// distributions a web ACL of scope CLOUDFRONT protects. It is one signed GET, for
// which the SDK's CloudFront module would be 4 MB of code.
type cloudFront struct {
	endpoint string // "": AWS's own
	signer   *v4.Signer
}

const (
	listDistributions = "ListDistributionsByWebACLId" // the action's name, for IAM and for the pace
	cloudFrontAPI     = "/2020-05-31/distributionsByWebACLId/"
	cloudFrontPages   = 20       // of 100 distributions each: AWS's default quota is 500 in all
	cloudFrontAnswer  = 16 << 20 // bytes of one page
	noPayload         = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// newCloudFront takes its endpoint from AWS_ENDPOINT_URL_CLOUDFRONT, or from what
// the configuration says for all services, as the SDK's clients do. Connections and
// credentials, a role's included, are those of the WAF client.
func newCloudFront(cfg aws.Config) *cloudFront {
	c := &cloudFront{endpoint: aws.ToString(cfg.BaseEndpoint), signer: v4.NewSigner()}
	for _, source := range cfg.ConfigSources {
		s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		})
		if !ok {
			continue
		}
		if value, found, err := s.GetServiceBaseEndpoint(context.Background(), "CloudFront"); err == nil && found {
			c.endpoint = value
			break
		}
	}
	return c
}

// cloudFrontIn returns where a partition's CloudFront is and the Region to sign for.
func cloudFrontIn(partition string) (endpoint, region string) {
	if partition == "aws-cn" {
		return "https://cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"
	}
	return "https://cloudfront.amazonaws.com", cloudFrontAt
}

// distribution is what we want to know of one.
type distribution struct {
	ARN     string
	Enabled bool
}

// distributions returns those that use the web ACL, page by page.
func (f *Firewall) distributions(ctx context.Context, webACL string) (list []distribution, err error) {
	marker := ""
	for range cloudFrontPages {
		page, next, err := f.distributionsPage(ctx, webACL, marker)
		if err != nil {
			return nil, fmt.Errorf("list distributions by web acl: %w", mapError(err))
		}
		list = append(list, page...)
		if next == "" || next == marker {
			return list, nil
		}
		marker = next
	}
	return list, nil // as many as nobody wants to read
}

// distributionsPage tries as often as the SDK would.
func (f *Firewall) distributionsPage(ctx context.Context, webACL, marker string) (page []distribution, next string, err error) {
	for attempt := 1; ; attempt++ {
		page, next, err = f.askCloudFront(ctx, webACL, marker)
		mapped := mapError(err)
		again := errors.Is(mapped, waf.ErrThrottled) || errors.Is(mapped, waf.ErrUnavailable)
		if !again || attempt == sdkAttempts || ctx.Err() != nil {
			return page, next, err
		}
		if serr := f.sleep(ctx, attempt); serr != nil {
			return nil, "", fmt.Errorf("%w: %w", serr, err)
		}
	}
}

// askCloudFront makes one attempt, paced, counted and bounded like the SDK's calls.
func (f *Firewall) askCloudFront(ctx context.Context, webACL, marker string) (list []distribution, next string, err error) {
	done, err := f.pace.begin(ctx, f.target.account(), f.target.Region, listDistributions)
	if err != nil {
		return nil, "", err
	}
	defer func() { done(err) }()
	f.calls.Add(1)
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	options := f.client.Options()
	req, err := f.cloudFront.request(ctx, webACL, marker)
	if err != nil {
		return nil, "", err
	}
	if err := f.cloudFront.sign(ctx, req, options.Credentials, webACL, f.now()); err != nil {
		return nil, "", err
	}
	resp, err := options.HTTPClient.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", waf.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, cloudFrontAnswer))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", waf.ErrUnavailable, err)
	}
	return parseDistributions(resp.StatusCode, body)
}

func (c *cloudFront) request(ctx context.Context, webACL, marker string) (*http.Request, error) {
	endpoint, _ := cloudFrontIn(partitionOf(webACL))
	if c.endpoint != "" {
		endpoint = c.endpoint
	}
	u, err := url.Parse(strings.TrimSuffix(endpoint, "/"))
	if err != nil {
		return nil, fmt.Errorf("endpoint of cloudfront: %w", err)
	}
	// The ARN is one segment of the path: its slashes are escaped, and the signature covers them so.
	u.RawPath = u.EscapedPath() + cloudFrontAPI + strings.ReplaceAll(url.PathEscape(webACL), ":", "%3A")
	u.Path += cloudFrontAPI + webACL
	query := url.Values{"MaxItems": {"100"}}
	if marker != "" {
		query.Set("Marker", marker)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("endpoint of cloudfront: %w", err)
	}
	return req, nil
}

func (c *cloudFront) sign(ctx context.Context, req *http.Request, provider aws.CredentialsProvider, webACL string, now time.Time) error {
	if provider == nil {
		return errors.New("no credentials to ask cloudfront with")
	}
	creds, err := provider.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	_, region := cloudFrontIn(partitionOf(webACL))
	if err := c.signer.SignHTTP(ctx, creds, req, noPayload, "cloudfront", region, now); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}

// parseDistributions reads CloudFront's answer; an error comes as a smithy.APIError, like WAF's own.
func parseDistributions(status int, body []byte) (list []distribution, next string, err error) {
	if status != http.StatusOK {
		var answer struct {
			Error struct{ Code, Message string }
		}
		if xml.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
			if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
				return nil, "", fmt.Errorf("%w: cloudfront answers with status %d", waf.ErrUnavailable, status)
			}
			answer.Error.Code, answer.Error.Message = fmt.Sprintf("HTTP%d", status), "no reason given"
		}
		return nil, "", &smithy.GenericAPIError{Code: answer.Error.Code, Message: answer.Error.Message}
	}
	var answer struct {
		XMLName     xml.Name `xml:"DistributionList"`
		IsTruncated bool
		NextMarker  string
		Items       struct {
			DistributionSummary []distribution
		}
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return nil, "", fmt.Errorf("answer of cloudfront: %w: %w", waf.ErrInvalid, err)
	}
	if answer.IsTruncated {
		next = answer.NextMarker
	}
	return answer.Items.DistributionSummary, next, nil
}

// partitionOf returns aws, aws-cn or aws-us-gov, the second part of an ARN.
func partitionOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 3); len(parts) == 3 {
		return parts[1]
	}
	return "aws"
}
