//go:build cgo

package slstest

import (
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2/mapping"
	"github.com/phuslu/iploc"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// functions are the SQL functions written in Go, with the compiled searches of
// the queries that are running.
type functions struct {
	callbacks callbacks
	unsafe    func(netip.Addr) bool
	chinese   map[string]string // country code → the name that ip_to_country gives

	mu       sync.RWMutex
	matchers map[string]*matcher
}

func registerFunctions(e *engine, c Config) (*functions, error) {
	f := &functions{unsafe: c.Unsafe, matchers: map[string]*matcher{}, chinese: map[string]string{}}
	namer := display.Regions(language.Chinese)
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			if region, err := language.ParseRegion(code); err == nil {
				f.chinese[code] = namer.Name(region)
			}
		}
	}
	conn, err := e.get()
	if err != nil {
		return nil, err
	}
	defer e.put(conn)
	const text, number, truth = mapping.TypeVarchar, mapping.TypeBigInt, mapping.TypeBoolean
	ofText := func(returns mapping.Type, f goFunction) []overload {
		return []overload{{params: []mapping.Type{text}, returns: returns, f: f}}
	}
	for name, overloads := range map[string][]overload{
		"sls_match":        {{params: []mapping.Type{text}, variadic: true, returns: truth, f: f.match}},
		"sls_cut":          {{params: []mapping.Type{text, number}, returns: text, f: cutText}},
		"sls_time":         timeOverloads(*c.Zone),
		"sls_country":      ofText(text, perAddress(func(a netip.Addr) string { return f.countryName(iploc.IPCountry(a)) })),
		"sls_country_code": ofText(text, perAddress(iploc.IPCountry)),
		"sls_ip_domain":    ofText(text, perAddress(addressDomain)),
		"sls_unsafe_ip":    ofText(number, f.unsafeIP),
	} {
		if err := f.callbacks.register(conn, name, overloads...); err != nil {
			f.release()
			return nil, err
		}
	}
	return f, nil
}

func (f *functions) release() { f.callbacks.release() }

// countryName returns the Chinese name that ip_to_country gives for a code.
func (f *functions) countryName(code string) string {
	if name, ok := f.chinese[code]; ok {
		return name
	}
	return code
}

// addressDomain is ip_to_domain: whether an address is of a private network.
func addressDomain(a netip.Addr) string {
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return "intranet"
	}
	return "internet"
}

// perAddress makes a text function of one address. What is no address gives
// the empty text, as in SLS; NULL stays NULL. Rows repeat addresses, so the last answers are kept.
func perAddress(of func(netip.Addr) string) goFunction {
	return func(args []reader, rows int, out *result) error {
		known := map[string]string{}
		for row := range rows {
			b := args[0].bytes(row)
			if b == nil {
				out.null(row)
				continue
			}
			answer, ok := known[string(b)]
			if !ok {
				if addr, err := netip.ParseAddr(strings.TrimSpace(string(b))); err == nil {
					answer = of(addr.Unmap().WithZone(""))
				}
				known[string(b)] = answer
			}
			out.text(row, []byte(answer))
		}
		return nil
	}
}

// unsafeIP is security_check_ip: 1 for an address of the configured set, else 0.
func (f *functions) unsafeIP(args []reader, rows int, out *result) error {
	ints := out.ints()
	for row := range rows {
		b := args[0].bytes(row)
		if b == nil {
			out.null(row)
			continue
		}
		ints[row] = 0
		if addr, err := netip.ParseAddr(strings.TrimSpace(string(b))); err == nil && f.unsafe(addr.Unmap().WithZone("")) {
			ints[row] = 1
		}
	}
	return nil
}

// cutText keeps at most so many bytes of a value, never half a character.
func cutText(args []reader, rows int, out *result) error {
	for row := range rows {
		b := args[0].bytes(row)
		if b == nil || args[1].null(row) {
			out.null(row)
			continue
		}
		if n := int(cell[int64](&args[1], row)); n < len(b) {
			for n > 0 && !utf8.RuneStart(b[n]) {
				n--
			}
			b = b[:n]
		}
		out.text(row, b)
	}
	return nil
}

// timeOverloads are sls_time, which all date functions stand on: unix seconds,
// whole or fractional, become a timestamp; timestamps and ISO text are taken as
// they are. Timestamps carry the service's local time as if it were UTC.
func timeOverloads(zone time.Duration) []overload {
	one := func(from mapping.Type, micros func(r *reader, row int) (int64, bool)) overload {
		return overload{params: []mapping.Type{from}, returns: mapping.TypeTimestamp, f: func(args []reader, rows int, out *result) error {
			ints := out.ints()
			for row := range rows {
				n, ok := int64(0), false
				if !args[0].null(row) {
					n, ok = micros(&args[0], row)
				}
				ints[row] = n
				if !ok {
					out.null(row)
				}
			}
			return nil
		}}
	}
	offset := zone.Microseconds()
	const most = math.MaxInt64 / 2_000_000 // seconds that fit a timestamp
	return []overload{
		one(mapping.TypeBigInt, func(r *reader, row int) (int64, bool) {
			n := cell[int64](r, row)
			return n*1_000_000 + offset, n > -most && n < most
		}),
		one(mapping.TypeDouble, func(r *reader, row int) (int64, bool) {
			f := cell[float64](r, row)
			return int64(f*1e6) + offset, f > -most && f < most
		}),
		one(mapping.TypeTimestamp, func(r *reader, row int) (int64, bool) { return cell[int64](r, row), true }),
		one(mapping.TypeVarchar, func(r *reader, row int) (int64, bool) {
			text := string(r.bytes(row))
			for _, layout := range []string{time.DateTime, time.DateOnly, "2006-01-02T15:04:05"} {
				if t, err := time.Parse(layout, text); err == nil { // a fraction of a second is accepted too
					return t.UnixMicro(), true
				}
			}
			return 0, false
		}),
	}
}
