package fccall_test

import (
	"context"
	"testing"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/settings"
)

// An instance may outlive the credentials that it was started with.
func TestTheCallsOwnKeysWin(t *testing.T) {
	environment := fccall.Keys{ID: "env-id", Secret: "env-secret", Token: "env-token"}
	call := fccontext.FcContext{}
	call.Credentials.AccessKeyId, call.Credentials.AccessKeySecret, call.Credentials.SecurityToken = "call-id", "call-secret", "call-token"
	for _, tt := range []struct {
		name string
		ctx  context.Context
		keys fccall.Keys
		want fccall.Keys
	}{
		{"called by FC", fccontext.NewContext(t.Context(), &call), environment, fccall.Keys{ID: "call-id", Secret: "call-secret", Token: "call-token"}},
		{"called by FC without a role", fccontext.NewContext(t.Context(), &fccontext.FcContext{}), environment, environment},
		{"called by nobody", t.Context(), environment, environment},
		{"none at all", t.Context(), fccall.Keys{}, fccall.Keys{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.keys.Of(fccall.WithKeys(tt.ctx)); got != tt.want {
				t.Errorf("keys = %s, want %s", got.ID, tt.want.ID)
			}
		})
	}
}

func TestKeysOfTheEnvironmentAreWholeOrNone(t *testing.T) {
	all := map[string]string{"ALIBABA_CLOUD_ACCESS_KEY_ID": "env-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "env-secret", "ALIBABA_CLOUD_SECURITY_TOKEN": "env-token"}
	for _, tt := range []struct {
		name    string
		without []string
		want    fccall.Keys
		wrong   bool
	}{
		{"all", nil, fccall.Keys{ID: "env-id", Secret: "env-secret", Token: "env-token"}, false},
		{"no token", []string{"ALIBABA_CLOUD_SECURITY_TOKEN"}, fccall.Keys{ID: "env-id", Secret: "env-secret"}, false},
		{"none", []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}, fccall.Keys{}, false},
		{"no id", []string{"ALIBABA_CLOUD_ACCESS_KEY_ID"}, fccall.Keys{Secret: "env-secret", Token: "env-token"}, true},
		{"no secret", []string{"ALIBABA_CLOUD_ACCESS_KEY_SECRET"}, fccall.Keys{ID: "env-id", Token: "env-token"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := settings.Reader{Lookup: func(key string) (string, bool) {
				for _, absent := range tt.without {
					if key == absent {
						return "", false
					}
				}
				v, ok := all[key]
				return v, ok
			}}
			if got := fccall.ReadKeys(&r); got != tt.want || (r.Err() != nil) != tt.wrong {
				t.Errorf("keys of %s, error %v", got.ID, r.Err())
			}
		})
	}
}
