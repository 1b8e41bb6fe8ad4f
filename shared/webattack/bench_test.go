package webattack_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/webattack"
	"github.com/tracewall/tracewall/shared/webattack/webattacktest"
)

// What most lines of a log look like.
var plainRequests = []webattack.Request{
	{Path: "/", Agent: chrome, Referer: "https://www.google.com/"},
	{Path: "/assets/index-BkXqL-c3.js", Agent: chrome, Referer: "https://shop.example.com/"},
	{Path: "/products/42/reviews?page=2&sort=newest", Agent: safari, Referer: "https://shop.example.com/products/42"},
	{Path: "/search?q=red+running+shoes&category=12", Agent: chrome, Referer: "https://shop.example.com/search?q=red+shoes"},
	{Path: "/api/v1/cart/items?session=0f9ac71c2e5b4d1f", Agent: safari, Referer: "https://shop.example.com/cart"},
	{Path: "/img/2024/05/photo-1024x768.jpg", Agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Referer: "-"},
}

const (
	chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1"
)

func lines(b *testing.B, requests []webattack.Request) {
	b.Helper()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		webattack.Inspect(requests[n%len(requests)])
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkPlainRequests(b *testing.B) { lines(b, plainRequests) }

func BenchmarkARealLog(b *testing.B) { lines(b, realRequests(b)) }

func BenchmarkRequestsThatLookLikeAttacks(b *testing.B) { lines(b, webattacktest.Ordinary()) }

func BenchmarkAttacks(b *testing.B) {
	var attacks []webattack.Request
	for _, s := range webattacktest.CRS(b) {
		if s.Attack {
			attacks = append(attacks, s.Request)
		}
	}
	lines(b, attacks)
}
