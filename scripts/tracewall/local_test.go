//go:build cgo

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
)

// run runs one command in this process, as if typed in the module's folder.
func runHere(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Chdir(filepath.Join("..", ".."))
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, lookup: func(string) (string, bool) { return "", false }, now: time.Now}
	code = a.main(t.Context(), args)
	return out.String(), errs.String(), code
}

// localJSON runs tracewall local --once --json and checks the promises that hold for every report.
func localJSON(t *testing.T, stdin string, args ...string) *report.Report {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	out, errs, code := runHere(t, stdin, append([]string{"local", "--once", "--json", "--waf-latency", "0s"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code = %d: %s", code, errs)
	}
	if strings.Count(strings.TrimSpace(out), "\n") != 0 {
		t.Errorf("standard output is more than one object: %.300s", out)
	}
	if strings.Contains(out, "null") {
		t.Errorf("a list is null: %.300s", out)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(out), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"rules", "blocked", "observed", "spared", "rejected", "targets", "timings_ms"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("the object has no %q", k)
		}
	}
	r := report.New()
	if err := json.Unmarshal([]byte(out), r); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(r.Rejected, func(a, b report.Rejected) int { return strings.Compare(a.Value, b.Value) }) {
		t.Errorf("rejected is not sorted: %v", r.Rejected)
	}
	return r
}

func TestTheStoryEndsAsItShould(t *testing.T) {
	r := localJSON(t, "", "--lines", "20000", "--seed", "3")
	s, err := story.New(story.Config{Seed: 3, Lines: 20_000, End: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	guilty := len(s.Cast().Attackers) + len(s.Cast().Scrapers) + 3 // and the three forgeries that mean somebody
	addresses, accounts := 0, 0
	for _, b := range r.Blocked {
		switch b.Kind {
		case "ip":
			addresses++
			if len(b.Rules) != 1 || b.Rules[0] != "rate-limit-address" || b.Count <= story.Threshold || !b.ExpiresAt.After(r.AsOf.Add(70*time.Hour)) {
				t.Errorf("blocked %+v", b)
			}
		case "account":
			accounts++
			if b.Indicator != story.Account || b.Addresses < len(s.Cast().Attackers)/2 {
				t.Errorf("blocked %+v", b)
			}
		}
	}
	if addresses != guilty+burstAttackers || accounts != 1 {
		t.Errorf("blocked %d addresses and %d accounts, want %d and 1", addresses, accounts, guilty+burstAttackers)
	}
	var spared, rejected []string
	for _, s := range r.Spared {
		spared = append(spared, s.Indicator)
		if !strings.Contains(s.Reason, "owner") {
			t.Errorf("spared %+v", s)
		}
	}
	for _, j := range r.Rejected {
		rejected = append(rejected, j.Value)
	}
	if diff := cmp.Diff([]string{"198.51.100.77", "203.0.113.10", "2001:db8:a:1::/64", story.LoadTestAccount}, spared); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", "0.0.0.0", "10.23.0.8", "999.1.1.1"}, rejected); diff != "" {
		t.Error(diff)
	}
	room := map[string]int{ // of each wall, for this list
		"aws-waf shop": addresses, "alibaba-waf shop": addresses, "alibaba-waf shop-border": addresses, "tencent shop-waf": addresses, "tencent shop-group": 400,
	}
	for _, target := range r.Targets {
		want := room[target.Kind+" "+target.Name]
		// Of a group's few places, one may stand for two neighbours, which the numbers count once.
		merged := addresses - target.Enforced - target.Overflow
		if want < addresses && merged >= 0 && merged <= 4 && target.Enforced <= want && target.Enforced >= want-4 && target.Desired == addresses {
			continue
		}
		if target.Desired != addresses || target.Enforced != want || target.Overflow != addresses-want {
			t.Errorf("target %+v, want %d of %d enforced", target, want, addresses)
		}
	}
	if len(r.Targets) != len(room) {
		t.Errorf("%d targets, want %d", len(r.Targets), len(room))
	}
	if r.Input.Lines != 20_000 || r.Timings["detect"] == 0 || r.Timings["total"] == 0 {
		t.Errorf("input = %+v, timings = %v", r.Input, r.Timings)
	}
}

// flood is n lines of one client within a minute, made by line from the second's number.
func flood(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i) + "\n")
	}
	return b.String()
}

func TestAFileIsJudgedOnItsOwnClock(t *testing.T) {
	combined := flood(400, func(i int) string {
		return fmt.Sprintf(`198.51.100.7 - - [17/May/2015:10:06:%02d +0000] "GET /%d HTTP/1.1" 200 10 "-" "curl"`, i%60, i)
	}) + flood(350, func(i int) string {
		return fmt.Sprintf(`203.0.113.5 - - [17/May/2015:10:06:%02d +0000] "GET /%d HTTP/1.1" 200 10 "-" "curl"`, i%60, i)
	}) + flood(300, func(i int) string {
		return fmt.Sprintf(`192.0.2.9 - - [17/May/2015:10:06:%02d +0000] "GET /%d HTTP/1.1" 200 10 "-" "curl"`, i%60, i)
	}) + "not a line\n" + `bad.example.com - - [17/May/2015:10:07:00 +0000] "GET / HTTP/1.1" 200 10`
	jsonl := flood(400, func(i int) string {
		return fmt.Sprintf(`{"ts":%d,"client_ip":"2001:db8:1:2::%x","path":"/%d"}`, 1431857160+i%60, i+1, i)
	})
	sshd := flood(30, func(i int) string {
		return fmt.Sprintf(`May 17 10:06:%02d h sshd[1]: Failed password for root from 198.51.100.7 port 22 ssh2`, i)
	})
	storyText := flood(30, func(i int) string {
		return fmt.Sprintf(`[17/May/2015:18:06:%02d +0800] "GET / HTTP/1.1" 200 4 "-" "x" "rate limit for true-client-ip": 198.51.100.7 "trace_id": t%d`, i, i)
	}) + "Caused by: java.lang.Error\n"
	dir := t.TempDir()
	allow := filepath.Join(dir, "allow.txt")
	if err := os.WriteFile(allow, []byte("203.0.113.0/24 owner=office\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text, rule                    string
		blocked, observed, spared, rejected []string
		left                                int64
		gz                                  bool
	}{
		{name: "combined", text: combined, rule: "requests-address", blocked: []string{"198.51.100.7"}, spared: []string{"203.0.113.5"}, rejected: []string{"bad.example.com"}, left: 1},
		{name: "jsonl, IPv6 by /64, gzip", text: jsonl, rule: "requests-address", blocked: []string{"2001:db8:1:2::/64"}, gz: true},
		{name: "sshd", text: sshd, rule: "ssh-failures-address", blocked: []string{"198.51.100.7"}},
		{name: "story", text: storyText, rule: "rate-limit-address", blocked: []string{"198.51.100.7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := []byte(tt.text)
			if tt.gz {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				_, err := z.Write(data)
				if err := errors.Join(err, z.Close()); err != nil {
					t.Fatal(err)
				}
				data = b.Bytes()
			}
			file := filepath.Join(t.TempDir(), "the.log")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := localJSON(t, "", "--logs", file, "--allowlist", allow)
			var blocked, observed, spared, rejected []string
			for _, b := range r.Blocked {
				blocked = append(blocked, b.Indicator)
			}
			for _, b := range r.Observed {
				observed = append(observed, b.Indicator)
			}
			for _, s := range r.Spared {
				spared = append(spared, s.Indicator)
			}
			for _, j := range r.Rejected {
				rejected = append(rejected, j.Value)
			}
			if diff := cmp.Diff([][]string{tt.blocked, tt.observed, tt.spared, tt.rejected}, [][]string{blocked, observed, spared, rejected}); diff != "" {
				t.Errorf("blocked, observed, spared, rejected (-want +got):\n%s", diff)
			}
			if r.AsOf != r.Input.Last || r.Input.Left != tt.left {
				t.Errorf("as of %s, input %+v", r.AsOf, r.Input)
			}
			if !slices.ContainsFunc(r.Rules, func(rule report.Rule) bool { return rule.ID == tt.rule && rule.Detections > 0 }) {
				t.Errorf("rules = %+v, want %s to have fired", r.Rules, tt.rule)
			}
			if r.Targets[0].Enforced != len(tt.blocked) {
				t.Errorf("targets = %+v", r.Targets)
			}
		})
	}
}

func TestAFileThatCannotBeUsedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	prose := filepath.Join(dir, "prose")
	if err := os.WriteFile(prose, []byte("Call me Ishmael.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"no such file", []string{"--logs", filepath.Join(dir, "none")}},
		{"is a directory", []string{"--logs", dir}},
		{"say which with --format", []string{"--logs", prose}},
		{"no line of its first 1 fits the format", []string{"--logs", prose, "--format", "combined"}},
		{`--format "nginx": want story, combined, sshd, jsonl, errorlog or auto`, []string{"--logs", prose, "--format", "nginx"}},
		{"no lines in it", []string{"--logs", "-"}},
		{"allowlist " + prose, []string{"--logs", prose, "--format", "story", "--allowlist", prose}},
		{"--term 1s: want", []string{"--term", "1s"}},
		{"--lines 7: want", []string{"--lines", "7"}},
	} {
		t.Run(tt.want, func(t *testing.T) {
			out, errs, code := runHere(t, "", append([]string{"local", "--once", "--json"}, tt.args...)...)
			if code != exitUsage || !strings.Contains(errs, tt.want) || out != "" {
				t.Errorf("exit code %d, stderr %q, stdout %q; want %q", code, errs, out, tt.want)
			}
		})
	}
}

func TestACrawlerIsNotBlocked(t *testing.T) {
	file, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", "data", "apache_access.log"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Skip("no real access log beside the project")
	}
	r := localJSON(t, "", "--logs", file)
	if r.Input.Lines != 10_000 || r.Input.Format != "combined" {
		t.Errorf("input = %+v", r.Input)
	}
	for _, b := range r.Blocked {
		if b.Indicator == "66.249.73.135" {
			t.Error("Googlebot is blocked")
		}
	}
}

// start runs the command in a process of its own.
func start(t *testing.T, tmp string, args ...string) (*exec.Cmd, *bytes.Buffer, <-chan string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self)
	cmd.Args = append([]string{"tracewall"}, args...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		var all []byte
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			all = append(all, buf[:n]...)
			for {
				line, rest, ok := bytes.Cut(all, []byte("\n"))
				if !ok {
					break
				}
				lines <- string(line)
				all = rest
			}
			if err != nil {
				return
			}
		}
	}()
	return cmd, &errs, lines
}

// process is one entry of /proc that cannot be mistaken for a later one with the same id.
type process struct{ pid, ppid, started string }

func processes(t *testing.T) []process {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc to look for processes in")
	}
	var all []process
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // gone meanwhile
		}
		at := bytes.LastIndexByte(text, ')')
		fields := strings.Fields(string(text[at+1:]))
		if at < 0 || len(fields) < 20 || fields[0] == "Z" {
			continue
		}
		all = append(all, process{pid: filepath.Base(filepath.Dir(f)), ppid: fields[1], started: fields[19]})
	}
	return all
}

func descendants(t *testing.T, pid int) []process {
	t.Helper()
	all := processes(t)
	family := map[string]bool{strconv.Itoa(pid): true}
	var found []process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if family[p.ppid] && !family[p.pid] {
				family[p.pid], grown = true, true
				found = append(found, p)
			}
		}
	}
	return found
}

func TestAnInterruptLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		after  string // text on standard output; "" is at once
		signal syscall.Signal
		code   int
	}{
		{"at once", "", syscall.SIGTERM, exitInterrupted},
		{"while the attack is written", "functions ", syscall.SIGINT, exitInterrupted},
		{"while it keeps running", "Keeps running", syscall.SIGINT, exitOK},
		{"killed while it keeps running", "Keeps running", syscall.SIGKILL, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmp := t.TempDir()
			cmd, errs, lines := start(t, tmp, "local", "--lines", "6000", "--waf-latency", "0s")
			for line := range lines {
				if tt.after == "" || strings.Contains(line, tt.after) {
					break
				}
			}
			family := descendants(t, cmd.Process.Pid)
			if tt.after != "" && len(family) < 3 {
				t.Errorf("descendants = %v, want the three functions at least", family)
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			for range lines { // until its standard output is closed
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code = %d, want %d: %s", got, tt.code, errs)
			}
			var left []process
			for range 100 { // the kernel takes a moment to end them
				left = slices.DeleteFunc(processes(t), func(p process) bool {
					return !slices.ContainsFunc(family, func(f process) bool { return f.pid == p.pid && f.started == p.started })
				})
				if len(left) == 0 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if len(left) > 0 {
				t.Errorf("processes left behind: %v", left)
			}
			if tt.signal == syscall.SIGKILL {
				return // nobody was left to tidy up
			}
			if files, err := os.ReadDir(tmp); err != nil || len(files) > 0 {
				t.Errorf("files left behind: %v, %v", files, err)
			}
		})
	}
}

func TestTheLogServiceStandsAlone(t *testing.T) {
	cmd, errs, lines := start(t, t.TempDir(), "local", "--sls-only")
	endpoint := ""
	for line := range lines {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "endpoint "); ok {
			endpoint = strings.TrimSpace(rest)
		}
		if strings.Contains(line, "Ctrl-C ends it.") {
			break
		}
	}
	if !strings.HasPrefix(endpoint, "http://127.0.0.1:") {
		t.Errorf("endpoint = %q", endpoint)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs)
	}
}
