//go:build cgo

package slstest

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
)

// Config is what New needs. Only Project and the access key must be given.
type Config struct {
	Project         string
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string // when set, each request must carry it (STS credentials)
	Region          string // when set, V4 signatures must be made for it

	// AutoCreate makes a logstore on the first PutLogs into it, with every key
	// indexed as text. Without it an unknown logstore is LogStoreNotExist, as in SLS.
	AutoCreate bool

	// Threads bounds DuckDB's threads and the loaders' goroutines; 0 means all CPUs.
	Threads int
	// MemoryLimit bounds DuckDB's memory, in bytes; beyond it queries spill to
	// disk. 0 means 2 GiB. One million lines of 240 bytes take about 350 MB.
	MemoryLimit int64
	// TempDir is where a spill directory is made (and removed by Close); empty means the system's.
	TempDir string

	// Now is the server's clock: for the request date check, receive times and
	// now() in SQL. Nil means time.Now.
	Now func() time.Time
	// Zone is the zone of from_unixtime, date_trunc and date_format, as an offset
	// from UTC. Nil means UTC+8, the service's default (Asia/Shanghai).
	Zone *time.Duration
	// QueryTimeout ends a query; 0 means 55 s, the service's limit.
	QueryTimeout time.Duration
	// MaxTextLen is how many bytes of a value are analysed in a new logstore, 64 to
	// 16,384; 0 means 2,048, the service's default. An index's max_text_len overrides it.
	MaxTextLen int
	// RefuseLimitAll makes LIMIT ALL, which the service documents nowhere, an
	// error. Otherwise it means the service's maximum of 1,000,000 rows.
	RefuseLimitAll bool
	// AnalysePhrases lets a search hold #"phrases" beside SQL, which the service
	// refuses. It is for stand-ins of other services that run on this engine.
	AnalysePhrases bool
	// Unsafe answers security_check_ip: whether an address is known to be
	// malicious. It is called by many goroutines at once. Nil means none is.
	Unsafe func(netip.Addr) bool
}

const (
	defaultMemoryLimit  = 2 << 30
	defaultQueryTimeout = 55 * time.Second // SLS: hard limit of a query
	defaultMaxTextLen   = 2048             // SLS: max_text_len, 64 to 16,384 bytes
	minMaxTextLen       = 64
	maxMaxTextLen       = 16_384
)

// withDefaults checks c and fills in what was left out. All problems are reported at once.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !validName(c.Project) {
		bad("project %q: want 2 to 63 of a-z, 0-9, '-' and '_'", c.Project)
	}
	if c.AccessKeyID == "" || c.AccessKeySecret == "" {
		bad("access key: want both id and secret")
	}
	if c.Threads < 0 {
		bad("threads %d: want 0 or more", c.Threads)
	}
	if c.MemoryLimit < 0 || c.MemoryLimit > 0 && c.MemoryLimit < 64<<20 {
		bad("memory limit %d: want at least 64 MiB", c.MemoryLimit)
	}
	if c.MaxTextLen != 0 && (c.MaxTextLen < minMaxTextLen || c.MaxTextLen > maxMaxTextLen) {
		bad("max text length %d: want %d to %d", c.MaxTextLen, minMaxTextLen, maxMaxTextLen)
	}
	if c.QueryTimeout < 0 {
		bad("query timeout %s: want 0 or more", c.QueryTimeout)
	}
	if c.Zone != nil && (*c.Zone < -14*time.Hour || *c.Zone > 14*time.Hour) {
		bad("zone %s: want at most 14 hours from UTC", *c.Zone)
	}
	if len(problems) > 0 {
		return c, fmt.Errorf("log service configuration: %w", errors.Join(problems...))
	}
	if c.Threads == 0 {
		c.Threads = runtime.NumCPU()
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = defaultMemoryLimit
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Zone == nil {
		zone := 8 * time.Hour
		c.Zone = &zone
	}
	if c.QueryTimeout == 0 {
		c.QueryTimeout = defaultQueryTimeout
	}
	if c.MaxTextLen == 0 {
		c.MaxTextLen = defaultMaxTextLen
	}
	if c.Unsafe == nil {
		c.Unsafe = func(netip.Addr) bool { return false }
	}
	return c, nil
}

// validName tells whether s may name a project or a logstore (SLS: lower case
// letters, digits, hyphens and underscores, 2 to 63 bytes).
func validName(s string) bool {
	if len(s) < 2 || len(s) > 63 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
