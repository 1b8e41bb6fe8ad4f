package awswaf_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const (
	roleARN     = "arn:aws:iam::222222222222:role/waf/tracewall"
	roleAccount = "222222222222"
	word        = "open-sesame-7391" // the ExternalId: no error, log line or status may show it
)

// roleCloud is a virtual AWS whose target is in another account.
func roleCloud(t *testing.T) *virtual {
	t.Helper()
	v := newVirtual(t, waftest.AWSOptions{Roles: map[string]string{roleARN: word}})
	if err := v.Account(roleAccount).SeedWebACL(region, awswaf.Regional, acl); err != nil {
		t.Fatal(err)
	}
	v.target.RoleARN, v.target.ExternalID = roleARN, word
	return v
}

func (v *virtual) assumed() (n int) {
	for _, call := range v.Calls() {
		if call.Op == "AssumeRole" {
			n++
		}
	}
	return n
}

func TestATargetInAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		f := v.process(t)
		report, err := v.run(t, f, 1, hosts(0, 25))
		if err != nil {
			t.Fatal(err)
		}
		theirs := v.Account(roleAccount).Enforced(region, awswaf.Regional, acl)
		if len(theirs) != 25 || len(v.enforced()) != 0 {
			t.Errorf("%d enforced in the role's account, %d in the caller's", len(theirs), len(v.enforced()))
		}
		waf := 0
		for _, call := range v.Calls() {
			switch {
			case call.Op == "AssumeRole":
				if call.Region != "eu-central-1" {
					t.Errorf("STS was asked in %s, want the configuration's Region", call.Region)
				}
			case call.Account != roleAccount || call.Region != region:
				t.Errorf("%s in account %s, Region %s", call.Op, call.Account, call.Region)
			default:
				waf++
			}
		}
		if report.Calls != waf || v.assumed() != 1 {
			t.Errorf("report says %d calls, there were %d, and %d of STS", report.Calls, waf, v.assumed())
		}
		time.Sleep(14*time.Minute + 30*time.Second)
		if _, err := v.run(t, f, 1, hosts(0, 25)); err != nil || v.assumed() != 2 {
			t.Errorf("%v, %d sessions; want a new one half a minute before the first one ends: a run may take longer", err, v.assumed())
		}
		v.Forget()
		// An hour of runs: the credentials last 15 minutes and are renewed before they expire.
		for i := range 60 {
			time.Sleep(time.Minute)
			if _, err := v.run(t, f, 1, hosts(i, 25)); err != nil {
				t.Fatalf("minute %d: %v", i, err)
			}
		}
		if n := v.assumed(); n < 3 || n > 6 {
			t.Errorf("%d sessions in an hour", n)
		}
	})
}

// TestARoleThatIsLostInTheMiddleOfARun: a write for which there are no credentials was not made, and nothing is read back.
func TestARoleThatIsLostInTheMiddleOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		f := v.process(t)
		if _, err := v.run(t, f, 1, hosts(0, 5)); err != nil {
			t.Fatal(err)
		}
		set := v.look(t, f)[0]
		time.Sleep(time.Hour)
		v.always("AssumeRole", waftest.Fault{Code: "dropped", Drop: true})
		v.Forget()
		if err := f.Put(t.Context(), set); !errors.Is(err, waf.ErrDenied) || len(v.Calls()) != 3 {
			t.Errorf("%v after %d calls, want ErrDenied after three tries at STS", err, len(v.Calls()))
		}
	})
}

// TestKeysThatWereRevokedAreForgotten: the run fails, the next one has new ones.
func TestKeysThatWereRevokedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		f := v.process(t)
		revoked := false
		v.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op == "ListIPSets" && revoked {
				return &waftest.Fault{Code: "ExpiredTokenException"}
			}
			return nil
		})
		for i, revoke := range []bool{false, true, false} {
			revoked = revoke
			if _, err := v.run(t, f, 1, hosts(0, 5)); errors.Is(err, waf.ErrDenied) != revoke {
				t.Errorf("run %d: %v", i, err)
			}
		}
		if v.assumed() != 2 {
			t.Errorf("%d sessions, want a new one after the error", v.assumed())
		}
	})
}

func TestARoleThatCannotBeHad(t *testing.T) {
	for name, x := range map[string]struct {
		spoil  func(v *virtual)
		words  []string
		within time.Duration
	}{
		"a wrong external id": {
			func(v *virtual) { v.target.ExternalID = word + "-wrong" },
			[]string{roleARN, "AccessDenied", "trust policy", "sts:ExternalId"},
			time.Second,
		},
		"no external id": {
			func(v *virtual) { v.target.ExternalID = "" },
			[]string{roleARN, "trust policy", "external_id is not set"},
			time.Second,
		},
		"the caller may not": {
			func(v *virtual) { v.Deny("sts:AssumeRole") },
			[]string{roleARN, "sts:AssumeRole"},
			time.Second,
		},
		"STS hangs": {
			func(v *virtual) { v.hangSTS() },
			[]string{roleARN, "no answer from STS in eu-central-1 within 10s", "network path"},
			11 * time.Second,
		},
		"STS breaks every connection": {
			func(v *virtual) { v.always("AssumeRole", waftest.Fault{Code: "dropped", Drop: true}) },
			[]string{roleARN, "no answer from STS", "network path"},
			11 * time.Second,
		},
		"STS throttles": {
			func(v *virtual) { v.always("AssumeRole", waftest.Fault{Code: "Throttling"}) },
			[]string{roleARN, "Throttling", "the next run tries again"},
			11 * time.Second,
		},
		"STS is not active in the Region": {
			func(v *virtual) { v.always("AssumeRole", waftest.Fault{Code: "RegionDisabledException"}) },
			[]string{roleARN, "RegionDisabledException", "activate"},
			time.Second,
		},
		"the caller's own keys are old": {
			func(v *virtual) { v.always("AssumeRole", waftest.Fault{Code: "ExpiredToken"}) },
			[]string{roleARN, "ExpiredToken", "own credentials"},
			time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := roleCloud(t)
				x.spoil(v)
				f := v.process(t)
				began := time.Now()
				report, err := v.run(t, f, 1, hosts(0, 5))
				took := time.Since(began)
				if !errors.Is(err, waf.ErrDenied) || took > x.within || report.Calls != 0 {
					t.Errorf("%v after %s and %d calls; want ErrDenied within %s and none", err, took, report.Calls, x.within)
				}
				for _, w := range x.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q does not say %q", err, w)
					}
				}
				if errors.Is(err, waf.ErrThrottled) || errors.Is(err, waf.ErrUnavailable) || strings.Count(err.Error(), waf.ErrDenied.Error()) != 1 {
					t.Errorf("%q is not ErrDenied alone, said once", err)
				}
				if strings.Contains(err.Error(), word) {
					t.Errorf("%q shows the external id", err)
				}
				if n := v.assumed(); n > 3 {
					t.Errorf("STS was asked %d times", n)
				}
				synctest.Wait()
			})
		})
	}
}

// TestAWordInSTSsAnswerIsNotShown: whatever STS answers, the ExternalId does not get into our words.
func TestAWordInSTSsAnswerIsNotShown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>you said ` + word + `</Message></Error></ErrorResponse>`))
	}))
	defer server.Close()
	target := awswaf.Target{Name: "edge", Region: region, WebACL: acl, RoleARN: roleARN, ExternalID: word}
	_, err := openAt(t, server.URL, target).Look(t.Context())
	var api smithy.APIError
	if !errors.Is(err, waf.ErrDenied) || !errors.As(err, &api) || api.ErrorCode() != "AccessDenied" || strings.Contains(err.Error(), word) {
		t.Errorf("error %v", err)
	}
}

// TestAHangingRoleDelaysNoOtherTarget runs two targets side by side, with one Pace.
func TestAHangingRoleDelaysNoOtherTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		v.hangSTS()
		pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
		hanging := v.process(t, awswaf.WithPace(pace))
		v.target.RoleARN, v.target.ExternalID = "", ""
		good := v.process(t, awswaf.WithPace(pace))
		failed := make(chan error)
		go func() {
			_, err := hanging.Look(t.Context())
			failed <- err
		}()
		began := time.Now()
		v.mustRun(t, good, 1, hosts(0, 5))
		if took := time.Since(began); took > 5*time.Second { // the probe and the proof take their pace too
			t.Errorf("the other target took %s", took)
		}
		if err := <-failed; !errors.Is(err, waf.ErrDenied) {
			t.Errorf("error %v", err)
		}
	})
}

// TestARunThatEndsDoesNotWaitForSTS: the run's own deadline counts as well.
func TestARunThatEndsDoesNotWaitForSTS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		v.hangSTS()
		f := v.process(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		_, err := on(f, 10).Reconcile(ctx, waf.Desired{Wants: hosts(0, 5), Epoch: "e"})
		if !errors.Is(err, waf.ErrOutOfTime) || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %s, want ErrOutOfTime", err, time.Since(began))
		}
		time.Sleep(time.Minute) // what STS was asked goes on by itself, and ends
	})
}

// hangSTS lets all calls of STS stand until their caller gives up.
func (v *virtual) hangSTS() {
	inner := v.http.handler
	v.http.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "/sts/") {
			<-r.Context().Done()
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func (v *virtual) always(action string, fault waftest.Fault) {
	v.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == action {
			return &fault
		}
		return nil
	})
}

// TestTheEndpointOfSTSCanBeSet: AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL_WAFV2, as in every SDK client.
func TestTheEndpointOfSTSCanBeSet(t *testing.T) {
	sts := emptyCloud(t, waftest.AWSOptions{Roles: map[string]string{roleARN: ""}})
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("X-Amz-Target"))
		sts.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL_STS", sts.url)
	t.Setenv("AWS_ENDPOINT_URL_WAFV2", server.URL)
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("eu-central-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := awswaf.New(cfg, awswaf.Target{Name: "edge", Region: region, WebACL: acl, RoleARN: roleARN})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(asked, "AWSWAF_20190729.ListIPSets") || slices.Contains(asked, "") {
		t.Errorf("the WAF endpoint was asked %q", asked)
	}
}

// TestSTSIsAskedWhereTheRoleIsKnown: in the configuration's Region, if that is in the role's part of AWS.
func TestSTSIsAskedWhereTheRoleIsKnown(t *testing.T) {
	for _, x := range []struct{ at, role, target, want string }{
		{"eu-central-1", roleARN, "us-east-1", "sts.eu-central-1.amazonaws.com"},
		{"", roleARN, "us-east-1", "sts.us-east-1.amazonaws.com"},
		{"eu-central-1", strings.Replace(roleARN, "arn:aws:", "arn:aws-cn:", 1), "cn-north-1", "sts.cn-north-1.amazonaws.com.cn"},
		{"us-gov-west-1", strings.Replace(roleARN, "arn:aws:", "arn:aws-us-gov:", 1), "us-gov-east-1", "sts.us-gov-west-1.amazonaws.com"},
	} {
		host := ""
		cfg := aws.Config{
			Region: x.at, Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
			HTTPClient: clientFunc(func(r *http.Request) (*http.Response, error) {
				host = r.URL.Host
				return nil, &net.AddrError{Err: "nobody there"}
			}),
		}
		f, err := awswaf.New(cfg, awswaf.Target{Name: "edge", Region: x.target, WebACL: acl, RoleARN: x.role}, awswaf.WithDelay(func(int) time.Duration { return 0 }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Look(t.Context()); !errors.Is(err, waf.ErrDenied) || host != x.want {
			t.Errorf("%s: asked %s (%v), want %s", x.at, host, err, x.want)
		}
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }
