package wafbench

import "fmt"

// judge holds a case against what is promised.
func (c *Case) judge() {
	c.Failed = nil
	n := c.Tracewall
	if n.Unprotected > 0 {
		c.fail("%d addresses were unprotected at one moment, want 0", n.Unprotected)
	}
	if n.Throttled > 0 {
		c.fail("%.0f calls were throttled, want 0", n.Throttled)
	}
	p := c.Promise
	if p == nil {
		return
	}
	if n.Writes > p.Writes {
		c.fail("%.2f writes, want at most %.0f", n.Writes, p.Writes)
	}
	if n.Calls > p.Calls {
		c.fail("%.2f calls, want at most %.0f: %s", n.Calls, p.Calls, n.actions())
	}
	if n.Bytes > float64(p.Bytes) {
		c.fail("%.0f bytes, want at most %d", n.Bytes, p.Bytes)
	}
	if n.Seconds > p.Seconds {
		c.fail("%.1f s computed, want at most %.0f", n.Seconds, p.Seconds)
	}
	if n.Real != nil && *n.Real > p.Seconds {
		c.fail("%.1f s on the real clock, want at most %.0f", *n.Real, p.Seconds)
	}
}

func (c *Case) fail(format string, args ...any) {
	c.Failed = append(c.Failed, fmt.Sprintf(format, args...))
}
