package infra_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// guarded starts a redis-server with users.acl as it is deployed, and returns a Store
// for each user and an administrator's connection beside them.
func guarded(t *testing.T) (address func(user string) string, as func(user string) *redisstore.Store, raw func(user string) *redis.Client) {
	t.Helper()
	text, err := os.ReadFile("redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	users := os.Expand(string(text), func(name string) string { return "secret-" + strings.ToLower(name) })
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, []byte(users+"user admin on >admin ~* &* +@all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := blocklisttest.StartRedis(t, "--aclfile", file)
	password := func(user string) string {
		return "secret-redis_password_" + strings.ReplaceAll(user, "-", "_")
	}
	address = func(user string) string {
		return fmt.Sprintf("redis://%s:%s@%s", user, password(user), server.Addr)
	}
	as = func(user string) *redisstore.Store {
		store, err := redisstore.Open(t.Context(), address(user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	raw = func(user string) *redis.Client {
		secret := password(user)
		if user == "admin" {
			secret = "admin"
		}
		client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: user, Password: secret})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	return address, as, raw
}

// Each function does in Redis all that it does, as its own user.
func TestRedisUsersMayDoTheirWork(t *testing.T) {
	address, as, raw := guarded(t)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Second)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			denied, _ := raw("admin").Do(ctx, "ACL", "LOG", "3").Result()
			t.Fatalf("%s: %v\nACL LOG: %v", what, err, denied)
		}
	}
	bad, err := threat.ParseAddress("139.135.241.87")
	must("indicator", err)
	offence := func(at time.Time) blocklist.Offence {
		return blocklist.Offence{
			Entry: blocklist.Entry{Indicator: bad, Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"rate-limit-address"}, Count: 340, FirstSeen: at, LastSeen: at},
			At:    at, Term: time.Hour,
		}
	}
	lease := func(store *redisstore.Store, name string) {
		t.Helper()
		l, err := store.Acquire(ctx, name, time.Minute)
		must("lease "+name, err)
		must("renew "+name, l.Renew(ctx))
		must("release "+name, l.Release(ctx))
	}

	operator := as("operator")
	list, err := allowlist.Parse(strings.NewReader("192.0.2.0/24 owner=office\n"))
	must("allowlist", err)
	must("operator saves the allowlist", operator.SaveAllowlist(ctx, list))

	detect := as("detect")
	must("detect pings", detect.Ping(ctx))
	lease(detect, "detect:schedule")
	_, _, err = detect.Checkpoint(ctx, "rate-limit-address")
	must("detect reads a checkpoint", err)
	_, err = detect.Allowlist(ctx)
	must("detect reads the allowlist", err)
	for _, at := range []time.Time{now.Add(-2 * time.Minute), now} { // a new entry, then a longer one
		_, err = detect.Put(ctx, blocklist.Batch{Run: "r", Now: now, Offences: []blocklist.Offence{offence(at)}, Checkpoints: map[string]time.Time{"rate-limit-address": at}})
		must("detect puts", err)
	}
	var many []blocklist.Offence // more than one script call takes, gone at the next write
	for i := range 5000 {
		o := offence(now)
		o.Indicator, err = threat.ParseAddress(fmt.Sprintf("139.135.%d.%d", i/250, i%250+1))
		must("indicator", err)
		o.Term = time.Minute
		many = append(many, o)
	}
	_, err = detect.Put(ctx, blocklist.Batch{Run: "r", Now: now, Offences: many})
	must("detect puts many", err)
	later := now.Add(2 * time.Minute)
	_, err = detect.Put(ctx, blocklist.Batch{Run: "r", Now: later, Offences: []blocklist.Offence{offence(later)}})
	must("detect prunes what has ended", err)
	must("detect saves its report", detect.SaveRun(ctx, "r", []byte("{}")))
	histories, err := detect.Histories(ctx, later, []threat.Indicator{bad})
	must("detect reads histories", err)
	if !histories[bad].Listed {
		t.Errorf("histories = %+v, want the listed one", histories)
	}
	_, err = detect.Size(ctx, later)
	must("detect counts the list", err)
	_, err = detect.Accounts(ctx, later)
	must("detect reads the blocked accounts", err)
	must("detect saves a case", detect.SaveCases(ctx, []blocklist.Case{{Indicator: bad, At: now, Keep: time.Hour, Text: []byte("{}")}}))
	_, _, err = detect.Case(ctx, bad)
	must("detect reads a case", err)
	must("detect saves its memory", detect.SaveState(ctx, "detect:trials", []byte("{}")))
	_, _, err = detect.State(ctx, "detect:trials")
	must("detect reads its memory", err)
	must("operator approves what detect holds", operator.SaveApproval(ctx, "detect", blocklist.Approval{Add: 10_000, At: now}))
	_, _, err = detect.Approval(ctx, "detect")
	must("detect reads an approval", err)
	if a, ok, err := detect.UseApproval(ctx, "detect"); err != nil || !ok || a.Add != 10_000 {
		t.Errorf("detect uses the approval: %+v %v, err = %v", a, ok, err)
	}

	webhook := as("webhook")
	must("webhook pings", webhook.Ping(ctx))
	_, err = webhook.First(ctx, "alert", time.Hour)
	must("webhook marks an alert", err)

	intel, err := intelstore.Open(ctx, address("refresh-intel"), time.Now)
	must("refresh-intel opens", err)
	t.Cleanup(func() { _ = intel.Close() })
	for i, listed := range []string{"139.135.241.0/24", "139.135.242.0/24"} { // a first list, and one in its place
		before, base, err := intel.Catalog(ctx)
		must("refresh-intel reads the catalog", err)
		p := netip.MustParsePrefix(listed)
		var records []threatintel.Record
		for _, purpose := range []threatintel.Purpose{threatintel.Signal, threatintel.Allow} {
			r, err := intel.Save(ctx, threatintel.Record{Name: string(purpose), Purpose: purpose, Loaded: now}, threatintel.NewTable([]threatintel.Item{{Prefix: p, Confidence: 50}}))
			must("refresh-intel saves a table", err)
			_, err = intel.Whole(ctx, r)
			must("refresh-intel looks for a table", err)
			records = append(records, r)
		}
		must("refresh-intel publishes", intel.Publish(ctx, base, threatintel.Catalog{Sequence: before.Sequence + 1, Feeds: records}))
		for _, user := range []string{"detect", "sync-aws-waf", "sync-alibaba-waf", "sync-tencent", "operator"} {
			reader, err := intelstore.Open(ctx, address(user), time.Now)
			must(user+" opens", err)
			set, err := reader.Set(ctx)
			must(user+" reads intelligence", err)
			ranges, err := reader.AllowRanges(ctx)
			must(user+" reads published ranges", err)
			if len(set.Lookup(p)) != 1 || len(ranges) != 1 {
				t.Errorf("%s, list %d: %v, %v", user, i, set.Lookup(p), ranges)
			}
			must(user+" closes", reader.Close())
		}
	}

	for user, kind := range map[string]string{"sync-aws-waf": "aws-waf", "sync-alibaba-waf": "alibaba-waf", "sync-tencent": "tencent"} {
		sync := as(user)
		must(user+" pings", sync.Ping(ctx))
		lease(sync, "sync:"+kind+":main")
		notices, err := sync.Receive(ctx, kind+":main", "a", 0)
		must(user+" receives", err)
		if len(notices) == 0 {
			t.Fatal(user + " receives no notice of what detect has put")
		}
		again, err := sync.Receive(ctx, kind+":main", "b", 0) // claims what "a" left behind
		must(user+" claims", err)
		for _, n := range append(notices, again...) {
			must(user+" acknowledges", sync.Ack(ctx, kind+":main", n.ID))
		}
		snapshot, err := sync.Snapshot(ctx, later)
		must(user+" reads the list", err)
		if len(snapshot.Entries) != 1 {
			t.Errorf("%s sees %d entries, want 1", user, len(snapshot.Entries))
		}
		_, err = sync.Allowlist(ctx)
		must(user+" reads the allowlist", err)
		must(user+" saves its status", sync.SaveStatus(ctx, kind+":main", []byte("{}")))
		_, err = sync.Status(ctx, kind+":main")
		must(user+" reads its status", err)
		stands, err := sync.Await(ctx, "", 0)
		must(user+" asks where the handoff stands", err)
		_, err = sync.Await(ctx, stands, time.Millisecond)
		must(user+" waits for the handoff", err)
		_, err = sync.Ended(ctx, later, []netip.Prefix{netip.MustParsePrefix("139.135.1.1/32"), netip.MustParsePrefix("192.0.2.0/24")})
		must(user+" asks what has ended", err)
		must("operator approves", operator.SaveApproval(ctx, kind+":main", blocklist.Approval{Release: 1, At: now}))
		_, _, err = sync.Approval(ctx, kind+":main")
		must(user+" reads an approval", err)
		if _, ok, err := sync.UseApproval(ctx, kind+":main"); err != nil || !ok {
			t.Errorf("%s uses the approval: %v, err = %v", user, ok, err)
		}
		must(user+" runs", runSync(ctx, sync, user, kind, later))
	}

	_, _, err = operator.Lookup(ctx, later, bad)
	must("operator looks somebody up", err)
	_, err = operator.About(ctx, later, bad)
	must("operator has somebody explained", err)
	_, err = operator.Groups(ctx)
	must("operator asks which walls there are", err)
	_, err = operator.Status(ctx, "aws-waf:main")
	must("operator reads a status", err)
	_, err = operator.Run(ctx, "last")
	must("operator reads a report", err)
	if _, ok, err := operator.Case(ctx, bad); err != nil || !ok {
		t.Errorf("operator reads the case: %v, err = %v", ok, err)
	}
	removed, err := operator.Unblock(ctx, blocklist.Unblock{Run: "operator", Now: later, Indicators: []threat.Indicator{bad}, CoolOff: time.Hour})
	must("operator unblocks", err)
	if removed != 1 {
		t.Errorf("operator unblocks %d, want 1", removed)
	}
}

// runSync runs a sync function as it is deployed but for its firewalls, which are in memory and of
// both kinds: two events, of which the first stays for a moment.
func runSync(ctx context.Context, list syncrun.List, name, kind string, now time.Time) error {
	var sets waftest.Wall
	var book waftest.BookWall
	inputs := syncrun.Inputs{Setting: "TARGETS", Trigger: "a timer"}
	f := &syncrun.Function{
		Name: name, Kind: kind, Cloud: "memory", Inputs: inputs, Decode: inputs.Timer, List: list, Enforce: true,
		Walls: []enforce.Wall{
			{Name: "book", Firewall: book.Open()},
			{Name: "sets", Firewall: sets.Open(), Limits: waf.Limits{SetSize: 10}},
		},
		Log: telemetry.New(io.Discard, name), Metrics: telemetry.NewMetrics(io.Discard, time.Now, telemetry.Plain, name),
	}
	for _, event := range []string{`{"wait":"1s"}`, `{"mode":"verify"}`} {
		f.Now = clockFrom(now)
		res, err := f.Handle(ctx, []byte(event))
		if err != nil {
			return err
		}
		for _, t := range res.Targets {
			if t.Enforced != 1 {
				return fmt.Errorf("target %s: %d enforced, want the one on the list", t.Name, t.Enforced)
			}
		}
	}
	return nil
}

// clockFrom is a clock that shows a moment now and goes on.
func clockFrom(at time.Time) func() time.Time {
	began := time.Now()
	return func() time.Time { return at.Add(time.Since(began)) }
}

// What a stolen password of each function is good for.
func TestRedisUsersMayDoNothingElse(t *testing.T) {
	_, _, raw := guarded(t)
	const p = "{tracewall}:v1:"
	// What no sync function may do; other is the kind of another one.
	sync := func(other string) [][]any {
		return [][]any{
			{"SET", p + "entry:ip:192.0.2.1", "{}"},
			{"DEL", p + "entry:ip:192.0.2.1"},
			{"DEL", p + "epoch"},
			{"SET", p + "epoch", "x"},
			{"SET", p + "allowlist", ""},
			{"XADD", p + "handoff", "*", "a", "b"},
			{"SET", p + "run:last", "{}"},
			{"ZADD", p + "expiry", "1", "ip:192.0.2.1"}, // would explain away a release
			{"EVAL", "return redis.call('DEL', KEYS[1])", "1", p + "expiry"},
			{"SET", p + "lease:sync:" + other + ":main", "x"},
			{"INCR", p + "fence:sync:" + other + ":main"},
			{"SET", p + "status:" + other + ":main", "{}"},
			{"GET", p + "approval:" + other + ":main"},
			{"SET", p + "intel:catalog", "x"}, // would spare whom it likes
			{"GET", p + "secret"},             // would tell when each block ends
			{"GET", p + "case:ip:192.0.2.1"},  // who did what
			{"SET", p + "state:detect", "{}"}, // what detect believes
		}
	}
	tests := map[string][][]any{
		"detect": {
			{"SET", p + "allowlist", "0.0.0.0/0"},
			{"DEL", p + "allowlist"}, // nobody spared or everybody
			{"SET", p + "status:aws-waf:main", "{}"},
			{"SET", p + "lease:sync:aws-waf:main", "x"},
			{"SET", p + "approval:aws-waf:main", "{}"},
			{"GET", p + "once:x"},
			{"SET", p + "intel:catalog", "x"},
			{"DEL", p + "intel:founded"},
			{"GET", "other"},
			{"SET", "other", "1"},
		},
		"refresh-intel": { // reads what strangers write
			{"GET", p + "epoch"},
			{"SET", p + "entry:ip:192.0.2.1", "{}"},
			{"SET", p + "allowlist", ""},
			{"GET", p + "allowlist"},
			{"XADD", p + "handoff", "*", "a", "b"},
			{"DEL", p + "intel:catalog"},
			{"EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", p + "epoch"},
			{"SET", "other", "1"},
		},
		"webhook": { // the one that the internet reaches
			{"GET", p + "secret"},
			{"GET", p + "case:ip:192.0.2.1"},
			{"SET", p + "state:detect", "{}"},
			{"SET", p + "approval:detect", "{}"},
			{"GET", p + "epoch"},
			{"SET", p + "entry:ip:192.0.2.1", "{}"},
			{"DEL", p + "once:x"},
			{"EVAL", "return 1", "0"},
			{"SET", p + "allowlist", ""},
			{"XADD", p + "handoff", "*", "a", "b"},
			{"GET", p + "intel:catalog"},
		},
		"sync-aws-waf":     sync("alibaba-waf"), // lives in the other cloud
		"sync-alibaba-waf": sync("tencent"),
		"sync-tencent":     sync("aws-waf"),
		"operator":         {{"GET", "other"}},
	}
	dangerous := [][]any{
		{"FLUSHALL"},
		{"FLUSHDB"},
		{"KEYS", "*"},
		{"CONFIG", "GET", "*"},
		{"ACL", "LIST"},
		{"SHUTDOWN"},
		{"BGSAVE"},
		{"MONITOR"},
		{"REPLICAOF", "NO", "ONE"},
		{"SUBSCRIBE", "x"},
	}
	for user, commands := range tests {
		commands = append(commands, dangerous...)
		client := raw(user)
		for _, command := range commands {
			if err := client.Do(t.Context(), command...).Err(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "permission") {
				t.Errorf("%s: %v answers %v, want a refusal", user, command, err)
			}
		}
	}
}

// Rotating a password must not need an edit of the rights.
func TestRedisUsersFileHoldsNoPassword(t *testing.T) {
	text, err := os.ReadFile("redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "user" {
			t.Errorf("line %q: an ACL file holds users only, not even comments", line)
			continue
		}
		if words[1] == "default" {
			if words[2] != "off" {
				t.Errorf("the default user is %s, want off", words[2])
			}
			continue
		}
		if !strings.HasPrefix(words[3], ">${REDIS_PASSWORD_") {
			t.Errorf("user %s: password %q, want a variable", words[1], words[3])
		}
	}
}
