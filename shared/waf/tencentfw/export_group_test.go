package tencentfw

import (
	"context"
	"net/netip"
)

// Call makes one call, for tests that play the user.
func Call(ctx context.Context, cfg Config, region, service, action string, params map[string]any, out any) error {
	c, err := newClient(cfg, region)
	if err != nil {
		return err
	}
	return c.call(ctx, service, action, params, out)
}

// ReadAddress reads a member of an address template.
func ReadAddress(text string) []netip.Prefix { return readAddress(text) }

// Spell is how a member of one is written.
func Spell(p netip.Prefix) string { return spell(p) }

// MapError is what becomes of an error of the SDK.
func MapError(err error) error { return mapError(err) }

// Unsure tells whether a change may have been made after an error of it.
func Unsure(err error) bool { return unsure(err) }
