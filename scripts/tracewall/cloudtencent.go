package main

import (
	"context"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

// tencentCloud is Tencent Cloud's security groups and WAF, which sync-tencent keeps.
func tencentCloud() cloud {
	return cloud{
		kind: "tencent", title: "Tencent Cloud", setting: "TENCENT_TARGETS",
		example: `[{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"]}]`,
		modes:   []string{tencentfw.ModeSecurityGroup, tencentfw.ModeWAF},
		parse: func(text string) ([]target, error) {
			specs, err := tencentfw.ParseTargets(text)
			targets := make([]target, len(specs))
			for i, s := range specs {
				targets[i] = target{kind: "tencent", name: s.Name, mode: s.Mode, limits: s.Limits(), policy: s.Policy(), spec: s}
			}
			return targets, err
		},
		connect: func(_ context.Context, a *app) (opener, error) {
			get := func(name string) string { text, _ := a.lookup(name); return text }
			keys := tencentfw.Credentials{
				SecretID:  get("TENCENTCLOUD_SECRET_ID"),
				SecretKey: secret.Secret(get("TENCENTCLOUD_SECRET_KEY")), Token: secret.Secret(get("TENCENTCLOUD_TOKEN")),
			}
			if keys.SecretID == "" || get("TENCENTCLOUD_SECRET_KEY") == "" {
				return nil, usagef("TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY: want a key, and with a temporary one its TENCENTCLOUD_TOKEN")
			}
			cfg := tencentfw.Config{
				Credentials: func(context.Context) (tencentfw.Credentials, error) { return keys, nil },
				Endpoint:    get("TENCENT_ENDPOINT_URL"), Pace: tencentfw.NewPace(),
			}
			return func(t target) (waf.Firewall, error) { return tencentfw.New(cfg, t.spec.(tencentfw.Target)) }, nil
		},
	}
}
