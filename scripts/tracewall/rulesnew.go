package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/detect"
)

const rulesNewText = `Writes ID.yaml, a rule that loads and whose first tests are red: comments in it say what to do next, step by step. It never
writes over a file. Without --dir the file goes to shared/detect/rules of this clone of tracewall, where it becomes part of the
program; with --dir to your own folder.`

//go:embed rulesskeleton.yaml
var rulesSkeleton string

// skeletonLines are what the lines of a format look like, for the skeleton of a rule.
type skeletonLines struct {
	fields, address, line, counted string
	attack, attack6, customer      string
}

func skeletonOf(format string) skeletonLines {
	access := skeletonLines{
		fields:  "fields: {address: remote_addr, path: path}   # the logs' own names for them are for the deployment to say",
		address: "{{field.address}}", line: "{{field.path}}", counted: "suspicious requests",
		attack:   "{remote_addr: 203.0.113.7, path: '/an/attack', status: '404'}",
		attack6:  "{remote_addr: '2001:db8:7:1::{{n}}', path: '/an/attack', status: '404'}",
		customer: "{remote_addr: 198.51.100.9, path: '/', status: '200'}",
	}
	text := func(before, behind string) skeletonLines {
		return skeletonLines{
			fields:  "fields: {address: remote_addr, message: msg}   # the logs' own names for them are for the deployment to say",
			address: "{{field.address}}", line: "{{field.message}}", counted: "suspicious lines",
			attack:   fmt.Sprintf("{remote_addr: 203.0.113.7, msg: '%s203.0.113.7%s'}", before, behind),
			attack6:  fmt.Sprintf("{remote_addr: '2001:db8:7:1::{{n}}', msg: '%s2001:db8:7:1::{{n}}%s'}", before, behind),
			customer: "{remote_addr: 198.51.100.9, msg: 'a line of a customer from 198.51.100.9'}",
		}
	}
	switch format {
	case "story":
		// The address stands in the text: what a server writes itself, never what a client sent.
		s := text("rate limit for true-client-ip: ", " trace_id: t-{{n}}")
		s.fields, s.line, s.address = "", "msg", `regexp_extract(msg, '^rate limit for true-client-ip: ([^ ]+) trace_id', 1)`
		s.attack, s.attack6 = "{msg: 'rate limit for true-client-ip: 203.0.113.7 trace_id: t-{{n}}'}", "{msg: 'rate limit for true-client-ip: 2001:db8:7:1::{{n}} trace_id: t-{{n}}'}"
		s.customer = "{msg: 'a line of a customer'}"
		return s
	case "sshd":
		return text("Failed password for invalid user admin from ", " port 4000 ssh2")
	case "errorlog":
		return text("limiting requests, excess: 5.1 by zone \"login\", client: ", ", server: shop.example.com")
	default:
		return access
	}
}

var newRuleID = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

func runRulesNew(_ context.Context, a *app, args []string) error {
	fs := a.newFlags("rules new ID [--class CLASS] [--format FORMAT] [--dir FOLDER]", rulesNewText)
	class := fs.String("class", "scan", "what kind of attack: one of\n"+strings.Join(classesOfAttack(), ", "))
	format := fs.String("format", "access", "which logs it reads: one of\n"+strings.Join(detect.Formats(), ", "))
	dir := fs.String("dir", "", "write into this `FOLDER` of your own rule files")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) != 1:
		return usagef("want one id for the new rule, such as admin-pages-address")
	case !newRuleID.MatchString(rest[0]) || len(rest[0]) > 60:
		return usagef("%.80q: want up to 60 lower-case letters and digits, words joined by hyphens, such as admin-pages-address", rest[0])
	case !slices.Contains(classesOfAttack(), *class):
		return usagef("--class %.80q: want one of %s", *class, strings.Join(classesOfAttack(), ", "))
	case !slices.Contains(detect.Formats(), *format):
		return usagef("--format %.80q: want one of %s", *format, strings.Join(detect.Formats(), ", "))
	}
	folder, flag := *dir, " --dir "+*dir
	if folder == "" {
		root, err := moduleRoot()
		if err != nil {
			return usageError{fmt.Errorf("%w, or name a folder of your own with --dir", err)}
		}
		folder, flag = filepath.Join(root, "shared", "detect", "rules"), ""
	}
	text := skeleton(rest[0], *class, *format, flag)
	if _, err := detect.Parse([]byte(text)); err != nil {
		return fmt.Errorf("skeleton of a rule: %w", err) // the program's own mistake
	}
	file := filepath.Join(folder, rest[0]+".yaml")
	if err := writeNew(file, text); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: its first tests are red until you say what to look for; the file tells how.\nNext: tracewall rules test %s%s\n", file, rest[0], flag)
	return nil
}

// classesOfAttack are the classes without that of rules which accuse nobody.
func classesOfAttack() []string {
	return slices.DeleteFunc(detect.Classes(), func(c string) bool { return c == detect.ClassContext })
}

// skeleton fills in the blanks of rulesskeleton.yaml. What is filled in is checked or our own.
func skeleton(id, class, format, flag string) string {
	s := skeletonOf(format)
	title := strings.ReplaceAll(id, "-", " ")
	return strings.NewReplacer(
		"«ID»", id, "«DIRFLAG»", flag, "«TITLE»", strings.ToUpper(title[:1])+title[1:], "«CLASS»", class, "«FORMAT»", format,
		"«COUNTED»", s.counted, "«FIELDS»\n", strings.TrimPrefix(s.fields+"\n", "\n"), "«ADDRESS»", s.address, "«LINE»", s.line,
		"«LINE1»", s.attack, "«LINE6»", s.attack6, "«LINE2»", s.customer,
	).Replace(rulesSkeleton)
}

// writeNew writes a file that must not be there yet.
func writeNew(name, text string) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a rule is no secret: others read it
	switch {
	case errors.Is(err, fs.ErrExist):
		return usagef("%s is there already, and stays as it is", name)
	case err != nil:
		return usageError{fmt.Errorf("new rule: %w", err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteString(text)
	return err
}
