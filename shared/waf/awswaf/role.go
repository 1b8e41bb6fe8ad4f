package awswaf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// assumeTimeout is for all attempts together: a target whose account does not answer ends its run soon.
	assumeTimeout = 10 * time.Second
	// freshFor is how long credentials must still last to be used: longer than any call with its retries waits.
	freshFor = 2 * time.Minute
	// maxSessionName is STS's longest RoleSessionName.
	maxSessionName = 64
)

// role gets the credentials of a Target's RoleARN from STS. It is the provider behind
// an aws.CredentialsCache, which keeps them until shortly before they expire.
type role struct {
	provider aws.CredentialsProvider
	target   Target
	region   string // of the STS that is asked
	timeout  time.Duration
}

// assumeRole returns the role of a target. STS is asked in the configuration's own
// Region, which is where the caller runs and has a way to; AWS_ENDPOINT_URL_STS works as in every SDK client.
func assumeRole(cfg aws.Config, target Target, delay func(attempt int) time.Duration) *role {
	region := cfg.Region
	if region == "" || partition(region) != partition(target.Region) {
		region = target.Region // nobody there knows the role
	}
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		o.Region = region
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return delay(attempt), nil })
		})
	})
	return &role{
		target: target, region: region, timeout: assumeTimeout,
		provider: stscreds.NewAssumeRoleProvider(client, target.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName(target.Name)
			if target.ExternalID != "" {
				o.ExternalID = &target.ExternalID
			}
		}),
	}
}

// cached returns the role's credentials, fetched when needed and kept while they last.
func (r *role) cached() *aws.CredentialsCache {
	return aws.NewCredentialsCache(r, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = freshFor, 0.5
	})
}

// Retrieve implements aws.CredentialsProvider. The cache hands in a context without a
// deadline, since several callers may wait for one answer; this one has its own.
func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	got, err := r.provider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &roleError{role: r.target.RoleARN, why: r.why(ctx, err), err: err}
	}
	return got, nil
}

// why says in words what went wrong and what to look at. It never contains the
// ExternalID, which is the one secret between the two accounts, nor AWS's own text, which may.
func (r *role) why(ctx context.Context, err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		what := "no answer from STS in " + r.region
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			what += fmt.Sprintf(" within %s", r.timeout)
		}
		return what + "; check that there is a network path to it"
	}
	code := printable(api.ErrorCode(), 60)
	if api.ErrorFault() == smithy.FaultServer || throttleCodes[api.ErrorCode()] {
		return fmt.Sprintf("STS in %s answers %s; the next run tries again", r.region, code)
	}
	switch api.ErrorCode() {
	case "RegionDisabledException":
		return fmt.Sprintf("STS in %s answers %s; activate that Region's endpoint in the role's account", r.region, code)
	case "ExpiredTokenException", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch":
		return fmt.Sprintf("STS in %s answers %s; check the caller's own credentials, not the role", r.region, code)
	}
	id := "and asks for no sts:ExternalId, as external_id is not set"
	if r.target.ExternalID != "" {
		id = "with a condition sts:ExternalId equal to external_id"
	}
	return fmt.Sprintf("STS in %s answers %s; check that the role exists, that its trust policy names the caller %s, "+
		"and that the caller's own policy allows sts:AssumeRole on it", r.region, code, id)
}

// throttleCodes are refusals that pass by themselves.
var throttleCodes = map[string]bool{"Throttling": true, "ThrottlingException": true, "RequestLimitExceeded": true, "TooManyRequestsException": true}

// roleError is a failure to get a role's credentials. Without them no call can be
// made, whatever the reason, so it is waf.ErrDenied. Its text leaves out the
// original's, which is in the chain for errors.As alone.
type roleError struct {
	role, why string
	err       error
}

func (e *roleError) Error() string {
	return fmt.Sprintf("assume role %s: %v: %s", printable(e.role, 200), waf.ErrDenied, e.why)
}

// Unwrap returns the decision and STS's own error.
func (e *roleError) Unwrap() []error { return []error{waf.ErrDenied, e.err} }

// RetryableError tells the SDK that a WAF call is not to be tried again because of it: STS was asked several times.
func (e *roleError) RetryableError() bool { return false }

func sessionName(target string) string {
	name := "tracewall-" + target
	return name[:min(len(name), maxSessionName)]
}
