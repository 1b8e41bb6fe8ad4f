package awswaf_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestAloneNothingIsThrottled: under AWS's rates, with a first call that is late by its TLS
// handshake, over several processes that follow one another at once.
func TestAloneNothingIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, waftest.AWSOptions{})
		began := time.Now()
		f := v.process(t)
		v.mustRun(t, f, 1, hosts(0, 100))
		took := time.Since(began)
		if took > 12*time.Second {
			t.Errorf("ten creates took %s", took)
		}
		for i := range 5 { // each begins as soon as the one before has ended
			next := v.process(t)
			next.Recall(f.Memory())
			f = next
			began := time.Now()
			v.mustRun(t, f, 1, hosts(i+1, 100))
			if took := time.Since(began); i > 0 && took > 3500*time.Millisecond { // ten sets to read, one to write
				t.Errorf("run %d took %s", i, took)
			}
		}
		// One set only: nothing to read that would take time before the write.
		time.Sleep(time.Minute)
		v.target.Name = "one"
		f = v.process(t)
		for i := range 5 {
			if report, err := v.run(t, f, 1, hosts(500+i, 5)); err != nil || report.Writes == 0 {
				t.Fatal(err)
			}
			next := v.process(t)
			next.Recall(f.Memory())
			f = next
		}
		time.Sleep(time.Minute)
		v.target.Name = "edge"
		f = v.process(t)
		v.mustRunBeside(t, f, 1, hosts(5, 100), 5)
		time.Sleep(time.Minute)
		next := v.process(t)
		next.Recall(f.Memory())
		began = time.Now()
		if v.mustRunBeside(t, next, 1, hosts(10, 95), 5); time.Since(began) > 3500*time.Millisecond {
			t.Errorf("a run after a minute took %s", time.Since(began))
		}
		if n := v.throttled(waftest.DefaultAccount); n > 0 {
			t.Errorf("%d calls were throttled", n)
		}
	})
}

// TestOneWriteIsNotHeldUp: a new process writes at once if nobody has written just before.
func TestOneWriteIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, waftest.AWSOptions{})
		f := v.process(t)
		v.mustRun(t, f, 1, hosts(0, 10))
		memory := f.Memory()
		time.Sleep(time.Minute)
		f = v.process(t)
		f.Recall(memory)
		began := time.Now()
		if report := v.mustRun(t, f, 1, hosts(0, 9)); report.Writes != 1 || time.Since(began) > 500*time.Millisecond {
			t.Errorf("%d writes in %s", report.Writes, time.Since(began))
		}
	})
}

// TestThePaceOfAMemoryFromTheFutureIsBounded: another machine's clock may be wrong by years.
func TestThePaceOfAMemoryFromTheFutureIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, waftest.AWSOptions{})
		for _, at := range []string{"9223372036854775807", "-9223372036854775808", "4102444800000"} {
			f := v.process(t)
			f.Recall([]byte(`{"v":1,"at":" REGIONAL eu-west-1","sets":{},"busy":{"ListIPSets":` + at + `,"UpdateIPSet":` + at + `}}`))
			began := time.Now()
			if _, err := f.Look(t.Context()); err != nil || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %s", at, err, time.Since(began))
			}
			time.Sleep(time.Second)
		}
	})
}

// other is somebody else's tool in the same account: it updates its own set in some rhythm.
func (v *virtual) other(ctx context.Context, t *testing.T, wait func() time.Duration) (done func() (calls, throttled int)) {
	t.Helper()
	client := wafv2.New(wafv2.Options{
		BaseEndpoint: aws.String("http://waf.test"), Region: region, HTTPClient: v.config().HTTPClient, Retryer: aws.NopRetryer{},
		Credentials: v.config().Credentials,
	})
	out, err := client.CreateIPSet(ctx, &wafv2.CreateIPSetInput{
		Name: aws.String("other"), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	calls, throttled := 0, 0
	ctx, cancel := context.WithCancel(ctx)
	group.Go(func() {
		token := out.Summary.LockToken
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait()):
			}
			up, err := client.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{
				Name: out.Summary.Name, Id: out.Summary.Id, Scope: types.ScopeRegional, LockToken: token, Addresses: []string{},
			})
			if err != nil {
				throttled++
				continue
			}
			calls++
			token = up.NextLockToken
		}
	})
	return func() (int, int) {
		cancel()
		group.Wait()
		return calls, throttled
	}
}

// TestItYieldsToOthers: with somebody else using up to half of the quota, runs of 30
// updates converge and few of their calls are throttled.
func TestItYieldsToOthers(t *testing.T) {
	const sets, runs = 30, 10
	for name, rhythm := range map[string]func(seed uint64) func() time.Duration{
		"in a fixed step": func(seed uint64) func() time.Duration {
			return func() time.Duration { return 1950*time.Millisecond + time.Duration(seed)*37*time.Millisecond }
		},
		"at random": func(seed uint64) func() time.Duration {
			r := rand.New(rand.NewPCG(1, seed))
			return func() time.Duration { return time.Duration(r.ExpFloat64() * 1.95e9) }
		},
		"a little": func(uint64) func() time.Duration { return func() time.Duration { return 7 * time.Second } },
	} {
		t.Run(name, func(t *testing.T) {
			var throttled int
			var took time.Duration
			for seed := range uint64(runs) {
				synctest.Test(t, func(t *testing.T) {
					v := newVirtual(t, waftest.AWSOptions{})
					f := v.process(t)
					v.mustRun(t, f, 1, hosts(0, 10*sets))
					time.Sleep(time.Minute)
					done := v.other(t.Context(), t, rhythm(seed))
					time.Sleep(10 * time.Second)
					v.Forget()
					began := time.Now()
					for _, set := range v.look(t, f) {
						set.Prefixes, set.Mark.Generation = nil, 2
						err := waf.ErrThrottled
						for range 5 { // as the next runs would
							if errors.Is(err, waf.ErrThrottled) {
								err = f.Put(t.Context(), set)
							}
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					took += time.Since(began)
					for _, call := range v.Calls() {
						if call.Code == "ThrottlingException" && call.Name != "other" {
							throttled++
						}
					}
					done()
				})
			}
			t.Logf("%d writes took %s, %d were throttled", sets*runs, took, throttled)
			if throttled > sets*runs/3 {
				t.Errorf("of %d writes %d were throttled", sets*runs, throttled)
			}
			if took > runs*time.Minute {
				t.Errorf("%d writes took %s", sets*runs, took)
			}
		})
	}
}

// mustRunBeside is mustRun where another target enforces some addresses too.
func (v *virtual) mustRunBeside(t *testing.T, f waf.Firewall, generation uint64, wants []waf.Want, others int) {
	t.Helper()
	if _, err := v.run(t, f, generation, wants); err != nil {
		t.Fatal(err)
	}
	if got := len(v.enforced()); got != len(wants)+others {
		t.Fatalf("the wall enforces %d, want %d", got, len(wants)+others)
	}
}

func (v *virtual) look(t *testing.T, f waf.Firewall) []waf.Set {
	t.Helper()
	state, err := f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Sets
}

// TestAThrottledCallWaitsForThePaceOnly: the SDK's own delays would come on top.
func TestAThrottledCallWaitsForThePaceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, waftest.AWSOptions{})
		f := v.process(t, awswaf.WithDelay(func(int) time.Duration { return time.Hour }))
		refused := 0
		v.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op != "CreateIPSet" || refused == 2 {
				return nil
			}
			refused++
			return &waftest.Fault{Code: "ThrottlingException"}
		})
		began := time.Now()
		if v.mustRun(t, f, 1, hosts(0, 5)); time.Since(began) > 10*time.Second {
			t.Errorf("it took %s", time.Since(began))
		}
	})
}

// TestASlowCallIsNotCaughtUpWith: what counts is when AWS gets a call, and a slow one came late.
func TestASlowCallIsNotCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := awswaf.NewPace(awswaf.WriteEvery, 0)
		began := time.Now()
		for range 2 {
			done, err := awswaf.Begin(pace, t.Context(), "", region, "UpdateIPSet")
			if err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); waited > 0 {
				if waited != 1600*time.Millisecond {
					t.Errorf("waited %s, want AWS's second after the answer", waited)
				}
				return
			}
			time.Sleep(600 * time.Millisecond)
			done(nil)
		}
		t.Error("no wait at all")
	})
}

// TestThePaceNeverBlocksPastTheDeadline: whoever cannot have a turn in time hears so at once, also behind others.
func TestThePaceNeverBlocksPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := awswaf.NewPace(time.Second, 0)
		begin := func(within time.Duration) (waited time.Duration, err error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			began := time.Now()
			_, err = awswaf.Begin(pace, ctx, "", region, "UpdateIPSet")
			return time.Since(began), err
		}
		if waited, err := begin(time.Hour); waited != 0 || err != nil {
			t.Errorf("the first: %s, %v", waited, err)
		}
		if waited, err := begin(time.Second); waited != 0 || !errors.Is(err, waf.ErrOutOfTime) {
			t.Errorf("too short a time: %s, %v", waited, err)
		}
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if _, err := begin(time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if waited, err := begin(5500 * time.Millisecond); waited != 0 || !errors.Is(err, waf.ErrOutOfTime) {
			t.Errorf("behind five others: %s, %v", waited, err)
		}
		if waited, err := begin(6500 * time.Millisecond); waited != 6*time.Second || err != nil {
			t.Errorf("behind five others, with time: %s, %v", waited, err)
		}
		group.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := awswaf.Begin(pace, ctx, "", region, "UpdateIPSet"); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

// TestThePaceIsFair: two targets of one account take turns, however many calls each has to make.
func TestThePaceIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := awswaf.NewPace(time.Second, 0)
		var mu sync.Mutex
		order := ""
		var group sync.WaitGroup
		for i, name := range []string{"a", "b", "c"} {
			group.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for range 4 {
					done, err := awswaf.Begin(pace, t.Context(), "", region, "UpdateIPSet")
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					order += name
					mu.Unlock()
					done(nil)
				}
			})
		}
		group.Wait()
		if order != "aabcabcabcbc" { // a had its first turn, and had asked again, before b and c came
			t.Errorf("turns %s", order)
		}
	})
}

// TestThePaceSlowsDownAndRecovers: a throttled call doubles the distance, up to eight times, but for one try after a
// plain distance, and each success halves it.
func TestThePaceSlowsDownAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 1100 * time.Millisecond
		pace := awswaf.NewPace(every, every)
		next := func(err error) time.Duration {
			began := time.Now()
			done, berr := awswaf.Begin(pace, t.Context(), "1", region, "UpdateIPSet")
			if berr != nil {
				t.Fatal(berr)
			}
			done(err)
			return time.Since(began)
		}
		slow := awswaf.APIError("ThrottlingException", "Rate exceeded")
		next(nil)
		got := []time.Duration{}
		for _, err := range []error{nil, slow, slow, slow, slow, slow, nil} {
			got = append(got, next(err))
		}
		for i, want := range []time.Duration{every, every, every, 4 * every, 8 * every, 8 * every, 8 * every} {
			if d := got[i] - want; d < 0 || d > every/2 {
				t.Errorf("wait %d: %s, want %s and at most half a step more", i, got[i], want)
			}
		}
		for i, want := range []time.Duration{8 * every, 4 * every, 2 * every, every, every} {
			if d := next(nil); d != want {
				t.Errorf("then %d: %s, want %s", i, d, want)
			}
		}
		// Other actions, accounts and Regions are not held up.
		began := time.Now()
		for _, key := range [][3]string{{"1", region, "CreateIPSet"}, {"2", region, "UpdateIPSet"}, {"1", "eu-west-2", "UpdateIPSet"}} {
			if _, err := awswaf.Begin(pace, t.Context(), key[0], key[1], key[2]); err != nil || time.Since(began) > 0 {
				t.Errorf("%v: %v after %s", key, err, time.Since(began))
			}
		}
	})
}

// TestSharedPaceOfTwoTargets: two targets of one account and Region together keep within its quota.
func TestSharedPaceOfTwoTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, waftest.AWSOptions{})
		pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
		var group sync.WaitGroup
		for i, name := range []string{"edge", "shop", "forum"} {
			group.Go(func() {
				target := v.target
				target.Name = name
				f, err := awswaf.New(v.config(), target, awswaf.WithPace(pace))
				if err != nil {
					t.Error(err)
					return
				}
				var wants []waf.Want
				for k := range 45 {
					wants = append(wants, waf.Want{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), byte(k)}), 32)})
				}
				if _, err := on(f, 10).Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "e"}); err != nil {
					t.Error(fmt.Errorf("%s: %w", name, err))
				}
			})
		}
		group.Wait()
		if n := len(v.enforced()); n != 3*45 {
			t.Errorf("%d enforced", n)
		}
		if n := v.throttled(waftest.DefaultAccount); n > 0 {
			t.Errorf("%d calls were throttled", n)
		}
	})
}
