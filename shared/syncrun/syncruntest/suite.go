package syncruntest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/syncrun"
)

// maxBinary is what a deployed function may weigh, in bytes.
const maxBinary = 15 << 20

// Cloud is one account of a cloud's stand-in, as the suite needs it.
type Cloud interface {
	// Enforced returns what is kept out for a target now, masked and in order.
	Enforced(target string) []netip.Prefix
	// Foreign returns, as one text, all that is not ours.
	Foreign() string
	// Writes counts the calls since Forget that would change something.
	Writes() int
	Forget()
	// Made counts the calls since Forget to what several targets share the pace of.
	Made() int
	// Deny refuses every call that only this target makes.
	Deny(target string)
	// Tamper takes one address of ours off a target's wall, as somebody else would by hand. epoch is the
	// list's, for a cloud where each change carries a stamp.
	Tamper(t *testing.T, target, epoch string)
}

// Harness tells the suite about one function that runs on Function Compute.
type Harness struct {
	Function string // its folder: "sync-alibaba-waf"
	Kind     string // of firewall: "alibaba-waf"
	Setting  string // "ALIBABA_TARGETS"
	Binary   *functiontest.Binary
	// Targets has the JSON object of each target, by name; there must be two at least.
	Targets map[string]string
	// Denied is the target that can be denied alone, Tampered the one that Tamper is tried on.
	Denied, Tampered string
	// Broken is a value of Setting that is wrong, and Complaint what must be said about it.
	Broken, Complaint string
	// Every is how far apart those calls are to be, all targets' together.
	Every time.Duration
	// KeyID is the access key's id that FC hands over.
	KeyID string
	// Open makes an account that has what the targets name, with rates as the cloud's, and
	// tells the variables by which the function reaches it.
	Open func(t *testing.T) (Cloud, map[string]string)
}

// setup is one test's World, account and function.
type setup struct {
	*World
	Harness
	cloud Cloud
}

// TestFunction runs the function as it is deployed through FC's runtime API. What holds
// for every sync function on Function Compute is here; a function's own tests add what only its cloud has.
func TestFunction(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, *setup){
		"makes the walls equal to the list":               testEqual,
		"only plans until told to enforce":                testPlans,
		"leaves the walls when Redis was flushed":         testFlushed,
		"leaves the walls when an entry is lost":          testLostEntry,
		"adopts a new list only when told":                testAdopts,
		"brings the other targets up to date":             testOthers,
		"refuses events of others and goes on":            testBadEvents,
		"enforces at once what is announced meanwhile":    testStays,
		"mends what somebody took away when it verifies":  testVerifies,
		"holds a large unexplained release till approved": testHolds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // clouds have a pace: these tests mostly wait
			h.Binary.Path(t)
			// The clouds' stand-ins live in our time: signatures are dated, and entries may end by themselves.
			s := &setup{World: NewWorld(t, time.Now().UTC().Truncate(time.Second)), Harness: h}
			s.Limit = 60 * time.Second
			cloud, env := h.Open(t)
			s.cloud = cloud
			for key, value := range env {
				s.Env[key] = value
			}
			s.Env[h.Setting] = s.targets()
			test(t, s)
			s.Keeps(t)
		})
	}
	t.Run("ends with every problem of its configuration", func(t *testing.T) { testConfiguration(t, h) })
	t.Run("stays small", func(t *testing.T) { testSize(t, h) })
}

// targets is the value of Setting for these targets, or all of them.
func (s *setup) targets(names ...string) string {
	if names == nil {
		names = s.names()
	}
	var all []string
	for _, name := range names {
		all = append(all, s.Targets[name])
	}
	return "[" + strings.Join(all, ",") + "]"
}

func (s *setup) names() (names []string) {
	for name := range s.Targets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// function starts the function with changes to its environment.
func (s *setup) function(t *testing.T, changes map[string]string) *functiontest.Function {
	t.Helper()
	return s.Start(t, functiontest.StartFC, functiontest.Config{
		Name: "tracewall-" + s.Function, Binary: s.Binary.Path(t), Env: changes, Credentials: functiontest.Credentials{AccessKeyID: s.KeyID},
	})
}

// run hands the function an event, which must go well.
func (s *setup) run(t *testing.T, f *functiontest.Function, payload []byte) syncrun.Result {
	t.Helper()
	res, err := s.Invoke(t, f, payload)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Out)
	}
	return res
}

// tick is what a timer sends now.
func (s *setup) tick(payload string) []byte {
	return fmt.Appendf(nil, `{"triggerTime":%q,"triggerName":"every-minute","payload":%q}`, time.Now().UTC().Format(time.RFC3339), payload)
}

// wants checks what each of the targets keeps out.
func (s *setup) wants(t *testing.T, want []string, targets ...string) {
	t.Helper()
	for _, name := range targets {
		var got []string
		for _, p := range s.cloud.Enforced(name) {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("enforced on %s (-want +got):\n%s", name, diff)
		}
	}
}

func testEqual(t *testing.T, s *setup) {
	foreign := s.cloud.Foreign()
	f := s.function(t, nil)
	began := time.Now()
	got := s.run(t, f, Sample(t, s.Function+".timer.json"))
	took := time.Since(began)
	at := time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)
	if !got.AsOf.Equal(at) || got.Mode != syncrun.ModeSync || len(got.Targets) != len(s.Targets) || got.Generation == 0 {
		t.Errorf("result = %+v", got)
	}
	for i, target := range got.Targets {
		if target.Name != s.names()[i] || target.Desired != 3 || target.Enforced != 3 || target.Spared != 1 || target.Writes == 0 {
			t.Errorf("target = %+v, want 3 of 3 enforced and 1 spared", target)
		}
	}
	s.wants(t, Blocked(), s.names()...)
	// A loaded machine is only slower; with a pace for each target it would be quicker.
	if n := s.cloud.Made(); took < time.Duration(n-1)*s.Every {
		t.Errorf("%d calls in %s: targets of one account must share one pace, %s apart", n, took, s.Every)
	}

	// The same again, in a warm instance and in a new one: nothing changed, nothing is written.
	s.cloud.Forget()
	s.run(t, f, s.tick("{}"))
	s.run(t, s.function(t, nil), s.tick(""))
	if n := s.cloud.Writes(); n != 0 {
		t.Errorf("%d writes though nothing had changed", n)
	}
	for _, name := range s.names() {
		if pending, err := s.Store.Receive(t.Context(), enforce.Key(s.Kind, name), "test", 0); err != nil || len(pending) != 0 {
			t.Errorf("target %s has not acknowledged %v (%v)", name, pending, err)
		}
	}

	// What is allowlisted later, or unblocked, leaves the wall that is asked for.
	s.Allow(t, "192.0.2.0/24 owner=partner\n198.51.100.0/24 owner=office\n")
	s.Unblock(t, "ip:2001:db8:1:2::/64")
	chosen := s.names()[0]
	s.run(t, f, fmt.Appendf(nil, `{"targets":[%q]}`, chosen))
	s.wants(t, []string{"203.0.113.7/32"}, chosen)
	s.wants(t, Blocked(), s.names()[1:]...)
	if diff := cmp.Diff(foreign, s.cloud.Foreign()); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
}

func testPlans(t *testing.T, s *setup) {
	got := s.run(t, s.function(t, map[string]string{"SYNC_MODE": ""}), s.tick("{}"))
	if got.Mode != syncrun.ModePlan || s.cloud.Writes() != 0 || got.Targets[0].Desired != 3 || got.Targets[0].Enforced != 0 {
		t.Errorf("result = %+v after %d writes, want a plan without any", got, s.cloud.Writes())
	}
	s.run(t, s.function(t, nil), Sample(t, s.Function+".direct.json"))
	if n := s.cloud.Writes(); n != 0 {
		t.Errorf("mode plan made %d writes", n)
	}
}

// filled starts the function for the first target alone and fills its wall.
func (s *setup) filled(t *testing.T) *functiontest.Function {
	t.Helper()
	f := s.function(t, map[string]string{s.Setting: s.targets(s.Tampered)})
	s.run(t, f, s.tick(""))
	s.wants(t, Blocked(), s.Tampered)
	s.cloud.Forget()
	return f
}

// leaves checks that a run fails, says why, and changes nothing.
func (s *setup) leaves(t *testing.T, f *functiontest.Function, want string) {
	t.Helper()
	_, err := s.Invoke(t, f, s.tick(""))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error = %v, want %q", err, want)
	}
	if n := s.cloud.Writes(); n != 0 {
		t.Errorf("%d writes", n)
	}
	s.wants(t, Blocked(), s.Tampered)
}

func testFlushed(t *testing.T, s *setup) {
	f := s.filled(t)
	s.Redis.FlushAll()
	s.leaves(t, f, "read allowlist")
	s.Allow(t, "198.51.100.0/24 owner=office\n")
	s.leaves(t, f, "epoch")
}

func testLostEntry(t *testing.T, s *setup) {
	f := s.filled(t)
	s.Redis.Del("{tracewall}:v1:entry:ip:203.0.113.7")
	s.leaves(t, f, "damaged")
}

func testAdopts(t *testing.T, s *setup) {
	s.filled(t)
	s.Redis.FlushAll()
	s.Allow(t, "198.51.100.0/24 owner=office\n")
	s.Block(t, "ip:203.0.113.99")
	// In a new instance, so that only what stands on the wall can tell.
	f := s.function(t, map[string]string{s.Setting: s.targets(s.Tampered)})
	s.leaves(t, f, "epoch")
	s.run(t, f, []byte(`{"adopt_epoch":true}`))
	s.wants(t, []string{"203.0.113.99/32"}, s.Tampered)
}

func testOthers(t *testing.T, s *setup) {
	s.cloud.Deny(s.Denied)
	_, err := s.Invoke(t, s.function(t, nil), s.tick(""))
	if err == nil || !strings.Contains(err.Error(), "target "+s.Denied) {
		t.Errorf("error = %v, want target %s's", err, s.Denied)
	}
	for _, name := range s.names() {
		if name == s.Denied {
			s.wants(t, nil, name)
			continue
		}
		s.wants(t, Blocked(), name)
		if err != nil && strings.Contains(err.Error(), "target "+name+":") {
			t.Errorf("error = %v, want nothing of target %s", err, name)
		}
	}
}

func testBadEvents(t *testing.T, s *setup) {
	f := s.function(t, nil)
	for want, payload := range map[string][]byte{
		`mode "sink"`:      Sample(t, s.Function+".malformed.json"),
		"HTTP request":     []byte(`{"version":"v1","rawPath":"/","requestContext":{"http":{"method":"POST"}}}`),
		"SLS log trigger":  Sample(t, "detect.log.json"),
		"SLS alert":        []byte(`{"alert_id":"a"}`),
		`targets "nobody"`: []byte(`{"targets":["nobody"]}`),
	} {
		_, err := s.Invoke(t, f, payload)
		if failure, ok := errors.AsType[*functiontest.FunctionError](err); !ok || !strings.Contains(failure.Message, want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
	s.run(t, f, []byte(`{"mode":"plan"}`))
	if n := s.cloud.Writes(); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func testStays(t *testing.T, s *setup) {
	const stay = 15 * time.Second
	f := s.function(t, map[string]string{s.Setting: s.targets(s.Tampered), "WAIT": stay.String()})
	type answer struct {
		res syncrun.Result
		err error
	}
	answered := make(chan answer, 1)
	began := time.Now()
	go func() {
		res, err := s.Invoke(t, f, s.tick("{}"))
		answered <- answer{res, err}
	}()
	Until(t, "the timer's pass", 12*time.Second, func() bool { return len(s.cloud.Enforced(s.Tampered)) == 3 })
	s.Clock = time.Now().UTC().Truncate(time.Second)
	s.Block(t, "ip:203.0.113.99")
	wanted := netip.MustParsePrefix("203.0.113.99/32")
	took := Until(t, "an announced address on the wall", 12*time.Second, func() bool { return slices.Contains(s.cloud.Enforced(s.Tampered), wanted) })
	t.Logf("on the wall %s after it was announced", took)
	got := <-answered
	if got.err != nil || got.res.Passes != 2 || got.res.Targets[0].Enforced != 4 {
		t.Errorf("result = %+v, error %v; want two passes and four enforced", got.res, got.err)
	}
	if stayed := time.Since(began); stayed < stay-time.Second {
		t.Errorf("it stayed %s, want %s", stayed, stay)
	}
}

func testVerifies(t *testing.T, s *setup) {
	s.filled(t)
	epoch, err := s.Redis.Get("{tracewall}:v1:epoch")
	if err != nil {
		t.Fatal(err)
	}
	s.cloud.Tamper(t, s.Tampered, epoch)
	if got := s.cloud.Enforced(s.Tampered); len(got) != 2 {
		t.Fatalf("tampered: %v, want one less", got)
	}
	got := s.run(t, s.function(t, map[string]string{s.Setting: s.targets(s.Tampered)}), s.tick(`{"mode":"verify"}`))
	if got.Mode != syncrun.ModeVerify || got.Targets[0].Enforced != 3 || got.Targets[0].Writes == 0 {
		t.Errorf("result = %+v, want what was taken away back on the wall", got)
	}
	s.wants(t, Blocked(), s.Tampered)
	if got.Targets[0].Effective == nil || !*got.Targets[0].Effective {
		t.Errorf("target = %+v, want it proven in force", got.Targets[0])
	}
}

func testHolds(t *testing.T, s *setup) {
	lost := s.Crowd(t)
	f := s.function(t, map[string]string{s.Setting: s.targets(s.Tampered)})
	s.run(t, f, s.tick(""))
	s.cloud.Forget()
	s.Vanish(t, lost...)
	_, err := s.Invoke(t, f, s.tick(""))
	if err == nil || !strings.Contains(err.Error(), "held: more would change") || s.cloud.Writes() != 0 || len(s.cloud.Enforced(s.Tampered)) != 33 {
		t.Fatalf("error = %v after %d writes, want it held", err, s.cloud.Writes())
	}
	s.Approve(t, s.Kind, s.Tampered, len(lost))
	if got := s.run(t, f, s.tick("")); got.Targets[0].Enforced != 13 || len(s.cloud.Enforced(s.Tampered)) != 13 {
		t.Errorf("approved: %+v", got)
	}
	for _, want := range []string{`"held":1`, `"guard_tripped":1`, `"metrics":"tracewall"`} {
		if !strings.Contains(s.Out.String(), want) {
			t.Errorf("no metric line has %s:\n%s", want, s.Out)
		}
	}
}

func testConfiguration(t *testing.T, h Harness) {
	_, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "tracewall-" + h.Function, Binary: h.Binary.Path(t),
		Env: map[string]string{"REDIS_URL": "mysql://u:" + RedisPassword + "@h", "SYNC_MODE": "on", "WAIT": "an hour", h.Setting: h.Broken},
	})
	exit, ok := errors.AsType[*functiontest.ExitError](err)
	if !ok {
		t.Fatalf("error = %v, want an ExitError", err)
	}
	for _, want := range []string{"REDIS_URL (value withheld", "SYNC_MODE", "WAIT", h.Setting, h.Complaint} {
		if !strings.Contains(exit.Output, want) {
			t.Errorf("output does not name %s:\n%s", want, exit.Output)
		}
	}
	if strings.Contains(exit.Output, RedisPassword) {
		t.Errorf("output shows a password:\n%s", exit.Output)
	}
}

func testSize(t *testing.T, h Harness) {
	info, err := os.Stat(h.Binary.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s weighs %.1f MB", h.Function, float64(info.Size())/1e6)
	if info.Size() >= maxBinary {
		t.Errorf("%s weighs %d bytes, want less than %d", h.Function, info.Size(), maxBinary)
	}
}
