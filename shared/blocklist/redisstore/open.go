package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of the clients that Open makes. A function has seconds to live; a
// transaction of 50,000 offences takes less than one.
const (
	dialTimeout  = 5 * time.Second
	readTimeout  = 20 * time.Second
	writeTimeout = 20 * time.Second
	maxRetries   = 2
)

// Option changes how Open connects.
type Option func(*redis.UniversalOptions)

// WithTLS replaces the TLS settings of a rediss:// address, for a certificate
// authority of one's own. Without it the system's authorities count, TLS 1.2 is the
// least, and the name in the address is checked.
func WithTLS(c *tls.Config) Option {
	return func(o *redis.UniversalOptions) {
		if o.TLSConfig != nil {
			o.TLSConfig = c.Clone()
		}
	}
}

// Dialling makes Open begin to connect in the background, and keep one connection
// open: a function that starts cold has it by the time that its first event is there.
func Dialling() Option {
	return func(o *redis.UniversalOptions) { o.MinIdleConns = 1 }
}

// Open makes a Store from an address:
//
//	redis://[user[:password]@]host[:port][/database]
//	rediss://…                                        the same over TLS
//	redis://[user:password@]host1:port,host2:port?cluster=true
//
// The user name and the password are percent-encoded, the port is 6379 unless
// given, a cluster has no databases. It does not connect yet: a function starts, and
// says that Redis is unreachable as the outcome of a run. Ping tells at once.
// No error of Open, nor of the Store, carries the user name or the password.
func Open(ctx context.Context, address string, opts ...Option) (*Store, error) {
	client, err := Connect(ctx, address, opts...)
	if err != nil {
		return nil, err
	}
	return New(client), nil
}

// Connect makes the client that Open gives its Store, for another store beside it in the same Redis.
func Connect(ctx context.Context, address string, opts ...Option) (redis.UniversalClient, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	o, cluster, err := parseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("open redis: address: %w", err)
	}
	for _, opt := range opts {
		opt(o)
	}
	// What the client would print reaches our callers as errors; its lines would stand
	// among JSON in a function's log, in a form that no alarm reads.
	logging.Disable()
	if cluster {
		return redis.NewClusterClient(o.Cluster()), nil
	}
	return redis.NewClient(o.Simple()), nil
}

// AddressForm says in words what Open takes, for messages about settings.
const AddressForm = "redis://[USER:PASSWORD@]HOST:PORT[/DB], rediss:// for TLS, or HOST1,HOST2?cluster=true"

// CheckAddress tells what Open would refuse about an address, without repeating any of it.
func CheckAddress(address string) error {
	_, _, err := parseAddress(address)
	return err
}

// parseAddress reads an address by hand: net/url knows no list of hosts, and its
// errors repeat what they could not read, password and all.
func parseAddress(address string) (o *redis.UniversalOptions, cluster bool, err error) {
	o = &redis.UniversalOptions{
		Protocol:              2, // Redis 5 knows no other
		DialTimeout:           dialTimeout,
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		MaxRetries:            maxRetries,
		MaxRedirects:          8,
		PoolSize:              8,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true, // CLIENT SETINFO is of Redis 7.2
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled, // of Redis 8
		},
	}
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || scheme != "redis" && scheme != "rediss" {
		return nil, false, errors.New("want it to begin with redis:// or rediss://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest, database, hasDatabase := strings.Cut(rest, "/")
	hosts := rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		hosts = rest[at+1:]
		user, password, _ := strings.Cut(rest[:at], ":")
		if o.Username, err = url.PathUnescape(user); err != nil {
			return nil, false, errors.New("user name: want it percent-encoded")
		}
		if o.Password, err = url.PathUnescape(password); err != nil {
			return nil, false, errors.New("password: want it percent-encoded")
		}
		if o.Username != "" && o.Password == "" {
			return nil, false, errors.New("want user:password@ or :password@, there is a user without a password")
		}
	}
	if cluster, err = parseQuery(query); err != nil {
		return nil, false, err
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := hostPort(host)
		if err != nil {
			return nil, false, err
		}
		o.Addrs = append(o.Addrs, addr)
	}
	if len(o.Addrs) > 1 && !cluster {
		return nil, false, errors.New("several hosts: want ?cluster=true with them")
	}
	if hasDatabase && database != "" {
		if o.DB, err = strconv.Atoi(database); err != nil || o.DB < 0 || o.DB > 9999 {
			return nil, false, errors.New("database after the host: want a number (is a / in the password not written as %2F?)")
		}
		if cluster && o.DB != 0 {
			return nil, false, errors.New("database: a cluster has only number 0")
		}
	}
	if scheme == "rediss" {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if !cluster {
			o.TLSConfig.ServerName, _, _ = net.SplitHostPort(o.Addrs[0])
		}
	}
	return o, cluster, nil
}

// parseQuery reads the part after the question mark.
func parseQuery(query string) (cluster bool, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return false, errors.New("want nothing but cluster=true after ?")
	}
	for key := range values {
		if key != "cluster" || len(values[key]) != 1 {
			return false, errors.New("want nothing but cluster=true after ?")
		}
		if cluster, err = strconv.ParseBool(values.Get(key)); err != nil {
			return false, errors.New("cluster: want true or false")
		}
	}
	return cluster, nil
}

// hostPort completes one host. Its errors do not show the host either: behind a
// password with a raw @ or / in it, it may be a part of that.
func hostPort(host string) (string, error) {
	if host == "" {
		return "", errors.New("host: want one")
	}
	if h, port, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 || h == "" {
			return "", errors.New("want host:port with a port of 1 to 65535")
		}
		return host, nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.Contains(bare, ":") && bare == host || strings.ContainsAny(bare, "[] ") {
		return "", errors.New("want host, host:port, or an IPv6 address in brackets")
	}
	return net.JoinHostPort(bare, "6379"), nil
}
