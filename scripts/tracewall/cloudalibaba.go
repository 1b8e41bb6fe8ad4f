package main

import (
	"context"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
)

// alibabaCloud is Alibaba Cloud's WAF 3.0 and Cloud Firewall, which sync-alibaba-waf keeps.
func alibabaCloud() cloud {
	return cloud{
		kind: "alibaba-waf", title: "Alibaba Cloud", setting: "ALIBABA_TARGETS",
		example: `[{"name":"edge","region":"cn-hangzhou","mode":"auto","action":"block"}]`,
		modes:   []string{aliwaf.ModeAddressBook, aliwaf.ModeIPBlacklist, aliwaf.ModeCloudFirewall},
		parse: func(text string) ([]target, error) {
			specs, err := aliwaf.ParseTargets(text)
			targets := make([]target, len(specs))
			for i, s := range specs {
				targets[i] = target{kind: "alibaba-waf", name: s.Name, mode: s.Mode, limits: s.Limits(), policy: s.Policy(), spec: s}
			}
			return targets, err
		},
		connect: func(_ context.Context, a *app) (opener, error) {
			get := func(name string) string { text, _ := a.lookup(name); return text }
			keys := aliwaf.Credentials{
				AccessKeyID:     get("ALIBABA_CLOUD_ACCESS_KEY_ID"),
				AccessKeySecret: secret.Secret(get("ALIBABA_CLOUD_ACCESS_KEY_SECRET")), SecurityToken: secret.Secret(get("ALIBABA_CLOUD_SECURITY_TOKEN")),
			}
			if keys.AccessKeyID == "" || get("ALIBABA_CLOUD_ACCESS_KEY_SECRET") == "" {
				return nil, usagef("ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET: want an access key, and with one of a role its ALIBABA_CLOUD_SECURITY_TOKEN")
			}
			cfg := aliwaf.Config{
				Credentials: func(context.Context) (aliwaf.Credentials, error) { return keys, nil },
				Endpoint:    get("ALIBABA_ENDPOINT_URL"), Pace: aliwaf.NewPace(),
			}
			return func(t target) (waf.Firewall, error) { return aliwaf.New(cfg, t.spec.(aliwaf.Target)) }, nil
		},
	}
}
