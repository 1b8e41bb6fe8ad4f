package tencentfw

import (
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

var (
	_ waf.Detacher = (*access)(nil)
	_ waf.Detacher = (*group)(nil)
)

// leaving is one Detach of either mode.
type leaving struct {
	dryRun   bool
	done     []string
	failures []error // that did not keep the rest from being done
}

// step does one thing, unless this is a dry run, and says so.
func (l *leaving) step(line string, do func() error) error {
	if !l.dryRun {
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	l.done = append(l.done, line)
	return nil
}

// stays says what is left on purpose, and what to do about it.
func (l *leaving) stays(format string, args ...any) {
	l.done = append(l.done, fmt.Sprintf(format, args...))
}

// result is what Detach returns.
func (l *leaving) result(target Target, err error) ([]string, error) {
	if err = errors.Join(append(l.failures, err)...); err != nil {
		err = fmt.Errorf("detach %s: %w", target.Name, err)
	}
	return l.done, err
}

// otherMode refuses to leave a mode that is not configured. The two modes have nothing in common, neither objects nor
// settings: the old target, as it was, says where its own stand, and this one does not.
func (t Target) otherMode(mode string) error {
	if mode == "" || mode == t.Mode {
		return nil
	}
	return fmt.Errorf("detach %s from mode %q: %w: this target says nothing of what that mode left; "+
		"detach with the target as it was in that mode, once \"tracewall sync\" says that this one is in force", t.Name, printable(mode, 40), waf.ErrInvalid)
}
