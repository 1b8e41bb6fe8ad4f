// Package archtest keeps the house in order. It holds tests only: who may import
// whom, who may read the environment and the clock, where cgo is allowed, how
// packages are called, what may lie at the top level.
//
// The rules are a table (rules_test.go), each with its reason. They are checked by
// reading the source, not by asking "go list": the test cache knows which files a
// test has opened, and nothing of what a child process reads, so that a test built
// on go list goes on saying "ok (cached)" after a violation was added.
//
// A rule that matches nothing fails, and so does a package that no rule speaks of:
// whoever adds one decides where it belongs.
package archtest
