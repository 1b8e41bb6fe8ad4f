package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
)

func TestOpenRefusesABadAddressWithoutRepeatingIt(t *testing.T) {
	const secret = "hunter2"
	for name, address := range map[string]string{
		"no scheme":                       "localhost:6379",
		"another scheme":                  "http://:" + secret + "@localhost",
		"no host":                         "redis://:" + secret + "@",
		"a port that is none":             "redis://:" + secret + "@localhost:x",
		"a port out of range":             "redis://:" + secret + "@localhost:70000",
		"a database that is none":         "redis://:" + secret + "@localhost/x",
		"a raw slash in the password":     "redis://:" + secret + "/x@localhost",
		"a bad escape in the password":    "redis://:" + secret + "%zz@localhost",
		"a user without a password":       "redis://" + secret + "@localhost",
		"several hosts without cluster":   "redis://:" + secret + "@a,b",
		"a cluster with a database":       "redis://:" + secret + "@a,b/1?cluster=true",
		"cluster neither true nor false":  "redis://:" + secret + "@a?cluster=" + secret,
		"an unknown parameter":            "redis://:" + secret + "@a?" + secret + "=1",
		"an IPv6 address without a frame": "redis://:" + secret + "@2001:db8::7",
		"an empty host in a list":         "redis://:" + secret + "@a,,b?cluster=true",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redisstore.Open(t.Context(), address)
			if err == nil {
				t.Fatal("open took it")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestOpenReadsEveryFormOfAddress(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("ops", "p@ss:w/rd")
	for _, address := range []string{
		"redis://ops:p%40ss%3Aw%2Frd@" + m.Addr(),
		"redis://ops:p@ss%3Aw%2Frd@" + m.Addr() + "/",
		"redis://ops:p%40ss%3Aw%2Frd@" + m.Addr() + "/3?cluster=false",
	} {
		if err := open(t, address).Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
	const secret = "hunter2"
	err := open(t, "redis://ops:"+secret+"@"+m.Addr()).Ping(t.Context())
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("wrong password: err = %v, want one that does not tell it", err)
	}
	for _, address := range []string{"redis://localhost", "redis://[2001:db8::7]", "redis://[2001:db8::7]:7000/1", "rediss://a,b:7000?cluster=true", "redis://:x@a:1,b:2,c:3/0?cluster=true"} {
		open(t, address)
	}
}

func TestAnUnreachableRedisIsAnErrorInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := open(t, "redis://:hunter2@"+l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = s.Snapshot(ctx, time.Now())
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v, want one without the password", err)
	}
	if _, err := s.Put(ctx, blocklist.Batch{Run: "r", Now: time.Now()}); err == nil {
		t.Error("put: want an error")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s although the context ended after 200ms", took)
	}
}

func TestContractOnACluster(t *testing.T) {
	r := blocklisttest.StartRedis(t, "--cluster-enabled", "yes")
	raw := redis.NewClient(&redis.Options{Addr: r.Addr})
	slots := []any{"cluster", "addslots"}
	for i := range 16384 {
		slots = append(slots, i)
	}
	if err := raw.Do(t.Context(), slots...).Err(); err != nil {
		t.Fatal(err)
	}
	for try := 0; !strings.Contains(raw.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); try++ {
		if try > 500 {
			t.Skip("this redis-server forms no cluster of one node within 10 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = raw.Close()
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		return harness(t, r.URL+","+r.Addr+"?cluster=true", redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.Addr}}))
	})
}

func TestContractOverTLS(t *testing.T) {
	if out, err := exec.Command("redis-server", "--tls-port", "0", "--version").CombinedOutput(); err == nil && strings.Contains(string(out), "Bad directive") {
		t.Skip("this redis-server is built without TLS")
	}
	dir := t.TempDir()
	authority, err := certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := blocklisttest.StartRedis(t, "--tls-port", "PORT", "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"), "--tls-ca-cert-file", filepath.Join(dir, "cert.pem"))
	trusted := &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12, ServerName: "127.0.0.1"}
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		return harness(t, r.URL, redis.NewClient(&redis.Options{Addr: r.Addr, TLSConfig: trusted}), redisstore.WithTLS(trusted))
	})
	if err := open(t, r.URL).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: err = %v, want it refused", err)
	}
}

// certificate makes a key and a self-signed certificate for 127.0.0.1 in dir.
func certificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cert) {
		return nil, fmt.Errorf("certificate of our own is none")
	}
	return pool, nil
}
