package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// newFlags returns a set of flags whose -h prints synopsis, text and the flags.
func (a *app) newFlags(synopsis, text string) *flag.FlagSet {
	fs := flag.NewFlagSet(synopsis+"\n"+text, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are returned and printed once
	fs.Usage = func() {}
	return fs
}

// parse reads flags and other arguments in any order; what follows "--" is no flag.
func (a *app) parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	var tail []string
	if at := slices.Index(args, "--"); at >= 0 {
		args, tail = args[:at], args[at+1:]
	}
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				a.help(fs)
				return nil, errHelp
			}
			return nil, usagef("%w; -h explains", err)
		}
		if fs.NArg() == 0 {
			return append(rest, tail...), nil
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// help prints what a subcommand does to standard output, since it was asked for.
func (a *app) help(fs *flag.FlagSet) {
	synopsis, text, _ := strings.Cut(fs.Name(), "\n")
	fmt.Fprintf(a.stdout, "Usage: tracewall %s\n\n%s\n\nFlags:\n", synopsis, strings.TrimSpace(text))
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		byDefault := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			byDefault = " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(a.stdout, "  --%s%s\n        %s%s\n", f.Name, value, strings.ReplaceAll(usage, "\n", "\n        "), byDefault)
	})
	fmt.Fprintf(a.stdout, "\n%s", exitText)
}

// noMore refuses arguments that a subcommand does not take.
func noMore(rest []string) error {
	if len(rest) > 0 {
		return usagef("argument %q: none wanted", rest[0])
	}
	return nil
}

// checkTerm holds a term against the limits that are in force everywhere.
func checkTerm(term time.Duration) error {
	if term < blocklist.MinTerm || term > blocklist.MaxTerm {
		return usagef("--term %s: want %s to %s", term, blocklist.MinTerm, blocklist.MaxTerm)
	}
	return nil
}
