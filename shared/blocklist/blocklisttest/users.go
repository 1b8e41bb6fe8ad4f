package blocklisttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// StartRedisFor starts a redis-server with the users of an ACL file as it is deployed (infra/redis/users.acl, whose
// passwords are variables REDIS_PASSWORD_USER), and returns the address of each of them. It skips the test where there
// is no redis-server. secret begins all passwords, so that a test can see whether one shows up anywhere.
func StartRedisFor(tb testing.TB, aclFile, secret string) (address func(user string) string) {
	tb.Helper()
	text, err := os.ReadFile(aclFile)
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "users.acl")
	users := os.Expand(string(text), func(name string) string { return secret + "-" + strings.ToLower(name) })
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		tb.Fatal(err)
	}
	server := StartRedis(tb, "--aclfile", file)
	return func(user string) string {
		return fmt.Sprintf("redis://%s:%s-redis_password_%s@%s", user, secret, strings.ReplaceAll(user, "-", "_"), server.Addr)
	}
}
