// Command tracewall is the operator's command: it runs the whole system on a laptop,
// shows and changes the blocklist, and makes the firewalls equal to it by hand.
//
// Each subcommand explains itself with -h. Results go to standard output and
// everything else to standard error; exit codes are listed in the usage text.
// Built without cgo it lacks only what needs DuckDB: "local", "rules test", "bench" and "bench-clouds".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

func main() { os.Exit(run()) }

// run is main with an exit code: tests run it in a process of their own.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv, now: time.Now}
	return a.main(ctx, os.Args[1:])
}

// app is what a subcommand may touch of the world.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(string) (string, bool)
	now            func() time.Time
}

// command is one subcommand.
type command struct {
	name, summary string
	run           func(ctx context.Context, a *app, args []string) error
}

func commands() []command {
	return []command{
		{"local", "run the whole system here: on a made-up attack, or on your own log file", runLocal},
		{"invoke", "build one function as it is deployed and call it with an event", runInvoke},
		{"list", "show who is blocked", runList},
		{"block", "block addresses, ranges or accounts", runBlock},
		{"unblock", "let them go, at once", runUnblock},
		{"allow", "show or replace the allowlist", runAllow},
		{"sync", "make a firewall equal to the blocklist now", runSync},
		{"explain", "say why an address or an account is blocked, or why it is not", runExplain},
		{"why-not", "say what keeps an address or an account from being blocked", runWhyNot},
		{"approve", "let the next run of a firewall, or of detect, do what a guard has held back", runApprove},
		{"campaigns", "show floods of many quiet addresses, and what to put in front of them", runCampaigns},
		{"rules", "list, explain, test and begin the rules that find attackers", runRules},
		{"backtest", "say what rules would have done to a log, and to whom they should not have", runBacktest},
		{"doctor", "try out, with calls that only read, what tracewall relies on in your clouds", runDoctor},
		{"repair", "accept what is left of a damaged blocklist", runRepair},
		{"bench", "measure speed and delay, as make bench does", runBench},
		{"bench-clouds", "measure what keeping the walls of all clouds equal to one list costs", runBenchClouds},
		{"bench-waf", "measure what keeping AWS WAF equal to the list costs, as make bench-waf does", runBenchWAF},
	}
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitGuard       = 3
	exitInterrupted = 130
)

const exitText = `Exit codes:
  0    done
  1    failed: the message says what, and nothing is half written unless it says so
  2    wrong arguments, settings or input: nothing was done
  3    held by a guard: somebody on the allowlist, a range too wide, a list that
       cannot be trusted, a firewall that would change too much or was changed by
       somebody else; the message says what was done all the same
  130  interrupted before it was done
`

// main picks the subcommand and turns its error into an exit code.
func (a *app) main(ctx context.Context, args []string) int {
	if len(args) == 0 {
		a.usage(a.stderr)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		a.usage(a.stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, a, args[1:])
		code := exitCode(ctx, err)
		if err != nil && code != exitOK {
			for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
				fmt.Fprintf(a.stderr, "tracewall %s: %s\n", c.name, report.Safe(strings.TrimRight(line, "\n")))
			}
		}
		return code
	}
	fmt.Fprintf(a.stderr, "tracewall: no command %q; tracewall -h lists them\n", args[0])
	return exitUsage
}

func (a *app) usage(w io.Writer) {
	fmt.Fprint(w, "tracewall finds malicious addresses and accounts in logs and keeps firewalls equal to a list of them.\n\nUsage: tracewall COMMAND [flags]; tracewall COMMAND -h explains one\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nlist, block, unblock, allow, sync, explain, why-not, approve, campaigns and doctor work on the Redis of REDIS_URL (redis://, or rediss:// for TLS).\n\n", exitText)
}

// usageError is a wrong call or wrong input: nothing has been done.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// guardError is a refusal for safety's sake.
type guardError struct{ error }

func (e guardError) Unwrap() error { return e.error }

// errHelp means that the help text was asked for and printed.
var errHelp = errors.New("help")
