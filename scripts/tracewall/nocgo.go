//go:build !cgo

package main

import (
	"context"
	"errors"
)

// errNoDuckDB says what this binary lacks.
var errNoDuckDB = errors.New("this tracewall was built without cgo and has no local Log Service (DuckDB) in it: build it with CGO_ENABLED=1 and a C compiler")

func runLocal(context.Context, *app, []string) error { return usageError{errNoDuckDB} }

func runRulesTest(_ context.Context, a *app, args []string) error {
	if _, _, err := a.rulesTestFlags(args); err != nil {
		return err // -h too
	}
	return usageError{errNoDuckDB}
}

func runBacktest(context.Context, *app, []string) error { return usageError{errNoDuckDB} }

func runBench(context.Context, *app, []string) error { return usageError{errNoDuckDB} }

func runBenchClouds(context.Context, *app, []string) error { return usageError{errNoDuckDB} }
