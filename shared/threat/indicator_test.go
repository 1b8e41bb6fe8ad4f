package threat_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/threat"
)

func TestOneSpellingPerAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7",
		"192.0.2.7/32":           "192.0.2.7",
		" 192.0.2.7 ":            "192.0.2.7",
		"192.0.2.66/29":          "192.0.2.64/29",
		"::ffff:192.0.2.7":       "192.0.2.7",
		"::ffff:c000:207":        "192.0.2.7",
		"::ffff:192.0.2.0/120":   "192.0.2.0/24",
		"2001:DB8:0:0::7":        "2001:db8::7",
		"2001:db8::7/64":         "2001:db8::/64",
		"2001:0db8:0000::7/128":  "2001:db8::7",
		"::ffff:192.0.2.128/127": "192.0.2.128/31",
	} {
		got, err := threat.ParseAddress(text)
		if err != nil || got.String() != want {
			t.Errorf("ParseAddress(%q) = %v, %v; want %s", text, got, err, want)
		}
		again, err := threat.ParseKey(got.Key())
		if err != nil || again != got {
			t.Errorf("ParseKey(%q) = %v, %v; want %v", got.Key(), again, err, got)
		}
	}
}

func TestAddressesThatNobodyCanBeBlockedBy(t *testing.T) {
	for text, reason := range map[string]string{
		"":                      "not an address",
		"999.1.1.1":             "not an address",
		"1.2.3":                 "not an address",
		"01.2.3.4":              "not an address",
		"192.0.2.7:80":          "not an address",
		"[2001:db8::7]":         "not an address",
		"192.0.2.7/33":          "not an address range",
		"0.0.0.0":               "unspecified",
		"::":                    "unspecified",
		"0.0.0.0/0":             "wider than",
		"::/0":                  "wider than",
		"64.0.0.0/7":            "wider than",
		"2000::/15":             "wider than",
		"::ffff:0.0.0.0/95":     "wider than all of IPv4",
		"10.1.2.3":              "private",
		"8.0.0.0/6":             "wider than",
		"172.0.0.0/8":           "touches private",
		"::ffff:10.1.2.3":       "private",
		"192.168.0.0/16":        "touches private",
		"127.0.0.1":             "loopback",
		"::1":                   "loopback",
		"169.254.169.254":       "link-local",
		"fe80::1":               "link-local",
		"fe80::1%eth0":          "zone",
		"100.64.0.1":            "carrier-internal",
		"224.0.0.1":             "multicast",
		"255.255.255.255":       "reserved",
		"fd00::1":               "private",
		"ff02::1":               "multicast",
		"192.0.2.7\x1b[31m":     "not an address",
		strings.Repeat("1", 99): "not an address",
	} {
		got, err := threat.ParseAddress(text)
		if !errors.Is(err, threat.ErrRejected) || !strings.Contains(err.Error(), reason) {
			t.Errorf("ParseAddress(%q) = %v, %v; want rejected: %s", text, got, err, reason)
		}
		if got != (threat.Indicator{}) {
			t.Errorf("ParseAddress(%q) returned %v beside its error", text, got)
		}
	}
}

func TestParseLogAddressTakesPortsAndBrackets(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7:4431":          "192.0.2.7",
		"[2001:db8::7]:443":       "2001:db8::7",
		"[2001:db8::7]":           "2001:db8::7",
		"::ffff:192.0.2.7":        "192.0.2.7",
		"[::ffff:192.0.2.7]:8080": "192.0.2.7",
		"2001:db8::7":             "2001:db8::7",
	} {
		got, err := threat.ParseLogAddress(text)
		if err != nil || got.String() != want {
			t.Errorf("ParseLogAddress(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"[192.0.2.7]", "192.0.2.0/24", "192.0.2.7:", "192.0.2.7:99999", "[2001:db8::7", "10.0.0.1:80", "[fe80::1%eth0]:80", "null", "-"} {
		if got, err := threat.ParseLogAddress(text); !errors.Is(err, threat.ErrRejected) {
			t.Errorf("ParseLogAddress(%q) = %v, %v; want ErrRejected", text, got, err)
		}
	}
}

func TestUnitIsTheIPv6Slash64(t *testing.T) {
	for text, want := range map[string]string{
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"2001:db8:1:2::/64":       "2001:db8:1:2::/64",
		"2001:db8:1::/48":         "2001:db8:1::/48",
		"192.0.2.7":               "192.0.2.7",
		"2001:db8:1:2:3:4:5:0/80": "2001:db8:1:2::/64",
	} {
		ind, err := threat.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := ind.Unit().String(); got != want {
			t.Errorf("Unit of %s = %s, want %s", text, got, want)
		}
	}
}

func TestAccounts(t *testing.T) {
	good, err := threat.Account("nbNgQ01wRWiOSVcI2Y/hUw==")
	if err != nil || good.Kind() != threat.KindAccount || good.Key() != "account:nbNgQ01wRWiOSVcI2Y/hUw==" {
		t.Fatalf("Account = %v, %v", good, err)
	}
	for _, name := range []string{"", " a", "a ", "a\x00b", "a\nb", "\x1b[31mred", "\xff", strings.Repeat("a", 257), "a\u202eb"} {
		if got, err := threat.Account(name); !errors.Is(err, threat.ErrRejected) {
			t.Errorf("Account(%q) = %v, %v; want ErrRejected", name, got, err)
		}
	}
}

func TestNoLogLineCarriesAFullAccount(t *testing.T) {
	account, err := threat.Account("nbNgQ01wRWiOSVcI2Y/hUw==")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("seen", "who", account)
	if strings.Contains(out.String(), account.Account()) || !strings.Contains(out.String(), "nbN…(24)") {
		t.Errorf("log line = %s", out.String())
	}
	if got := threat.Mask("ab"); got != "a…(2)" {
		t.Errorf("Mask(ab) = %s", got)
	}
}

func TestCompareOrdersKindsThenFamiliesThenValues(t *testing.T) {
	var list []threat.Indicator
	for _, key := range []string{"account:b", "ip:2001:db8::/64", "ip:203.0.113.0/24", "ip:203.0.113.0", "account:a", "ip:9.9.9.9"} {
		ind, err := threat.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, ind)
	}
	slices.SortFunc(list, threat.Indicator.Compare)
	want := "[9.9.9.9 203.0.113.0/24 203.0.113.0 2001:db8::/64 a b]"
	if got := fmt.Sprint(list); got != want {
		t.Errorf("sorted = %s, want %s", got, want)
	}
}

func TestTextForms(t *testing.T) {
	var severity threat.Severity
	if err := severity.UnmarshalText([]byte("critical")); err != nil || severity != threat.Critical {
		t.Errorf("severity = %v, %v", severity, err)
	}
	if err := severity.UnmarshalText([]byte("worst")); err == nil {
		t.Error("severity worst was accepted")
	}
	var action threat.Action
	if err := action.UnmarshalText([]byte("block")); err != nil || action != threat.Block {
		t.Errorf("action = %v, %v", action, err)
	}
	if err := action.UnmarshalText([]byte("destroy")); err == nil {
		t.Error("action destroy was accepted")
	}
	var ind threat.Indicator
	if _, err := ind.MarshalText(); err == nil {
		t.Error("the zero Indicator was marshalled")
	}
	if err := ind.UnmarshalText([]byte("host:example")); !errors.Is(err, threat.ErrRejected) {
		t.Errorf("UnmarshalText(host:example) = %v, want ErrRejected", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"192.0.2.7", "[::1]:80", "::ffff:192.0.2.0/120", "999.1.1.1", "fe80::1%x", "0.0.0.0/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (threat.Indicator, error){threat.ParseAddress, threat.ParseLogAddress} {
			ind, err := parse(text)
			if err != nil {
				if !errors.Is(err, threat.ErrRejected) {
					t.Fatalf("%q: %v is not ErrRejected", text, err)
				}
				continue
			}
			p := ind.Prefix()
			if p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Addr().IsPrivate() {
				t.Fatalf("%q became %v", text, p)
			}
			if again, err := threat.ParseAddress(ind.String()); err != nil || again != ind {
				t.Fatalf("%q: %v does not read back: %v, %v", text, ind, again, err)
			}
		}
	})
}

func ExampleIndicator_Unit() {
	addr, _ := threat.Address(netip.MustParseAddr("2001:db8:1:2:3:4:5:6"))
	fmt.Println(addr, "is judged as", addr.Unit())
	// Output: 2001:db8:1:2:3:4:5:6 is judged as 2001:db8:1:2::/64
}
