package waftest

import (
	"context"
	"fmt"
)

// tally counts what a view of a wall in memory does.
type tally struct{ calls, wrote int }

// Calls implements waf.Metered.
func (t *tally) Calls() (calls, writes int) { return t.calls, t.wrote }

// write counts one change and carries it out, with the faults that ask tells: OnWrite's answer. what names it in errors.
func (t *tally) write(ctx context.Context, what string, ask func() (apply bool, err error), change func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.calls++
	t.wrote++
	apply, fault := ask()
	if apply {
		if err := change(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if fault != nil {
		return fmt.Errorf("%s: %w", what, fault)
	}
	return nil
}
