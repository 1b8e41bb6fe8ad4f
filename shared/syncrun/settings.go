package syncrun

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

// Settings are what every sync function reads from its environment. Its targets, and how it
// gets at its cloud, are its own to read.
type Settings struct {
	// RedisURL (REDIS_URL) is where the blocklist is: redis://, or rediss:// for
	// TLS, with user and password. Required.
	RedisURL secret.Secret
	// Enforce (SYNC_MODE) is true for "enforce". Without it, or with "observe", the
	// function plans and reports and writes nothing: whoever deploys it first looks.
	Enforce bool
	// Wait (WAIT) is how long after its start a schedule's tick stays on the handoff
	// stream, to enforce at once what is announced: a Go duration or seconds, default
	// 50 s of the schedule's minute, 0 to leave at once, at most 120 s. Staying costs
	// the function's time. A run leaves earlier when its own timeout comes near.
	Wait time.Duration
}

// ReadSettings reads them. What is wrong with them r remembers.
func ReadSettings(r *settings.Reader) Settings {
	return Settings{
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Enforce:  r.Choice("SYNC_MODE", "observe", "enforce", "observe") == "enforce",
		Wait:     waitSetting(r),
	}
}

// ReadTargets reads the variable, required, that names a function's targets. parse is the
// adapter's; want says what it takes, by an example.
func ReadTargets[T any](r *settings.Reader, key, want string, parse func(text string) ([]T, error)) []T {
	text := r.Required(key, want)
	if text == "" {
		return nil
	}
	targets, err := parse(text)
	r.Check(key, err)
	return targets
}

// ReadEndpoint reads the variable that replaces a cloud's public endpoints, for a stand-in
// on a laptop; "" when deployed.
func ReadEndpoint(r *settings.Reader, key string, check func(endpoint string) error) string {
	endpoint := r.Get(key)
	if endpoint != "" {
		r.Check(key, check(endpoint))
	}
	return endpoint
}

// How long a scheduled run stays on the handoff: by default for most of its
// schedule's minute, and never for so long that runs pile up.
const (
	DefaultWait = 50 * time.Second
	MaxWait     = 120 * time.Second

	wantWait = "a duration such as 50s, or seconds, 0 to 120s"
)

// waitSetting reads how long a scheduled run stays: a Go duration, or whole seconds, 0 to
// MaxWait; DefaultWait if it is absent.
func waitSetting(r *settings.Reader) time.Duration {
	text := r.Get("WAIT")
	if text == "" {
		return DefaultWait
	}
	wait, err := parseWait(text)
	if err != nil {
		r.Wrong("WAIT", text, wantWait)
	}
	return wait
}

// parseWait reads a duration, or a whole number of seconds.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.Atoi(text); nerr == nil && n <= int(MaxWait/time.Second) {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > MaxWait {
		return 0, fmt.Errorf("want %s", wantWait)
	}
	return d, nil
}
