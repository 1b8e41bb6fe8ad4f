package aliwaf

import "context"

// CallForTest makes one call of WAF 3.0 as somebody else would.
func CallForTest(ctx context.Context, cfg Config, region, action string, p map[string]string) error {
	c, err := newClient(cfg, region)
	if err != nil {
		return err
	}
	return c.call(ctx, wafService, action, p, nil)
}

// ReadAddressForTest and SpellForTest are how addresses are read and written.
var (
	ReadAddressForTest = readAddress
	SpellForTest       = spell
)
