package crawler

import "strings"

// zone is where a crawler's names lie: below domain, and if prefix is set, only names
// whose first label begins with it.
type zone struct{ domain, prefix string }

// known is a crawler: what its operator calls it, where its names lie (none if its
// operator documents no reverse DNS), and how it names itself in a user agent, in lower case.
type known struct {
	name   string
	zones  []zone
	agents []string
}

// crawlers are those whose operators document how to verify them, and those that are
// often impersonated but publish ranges only. A domain is not here merely because the
// operator owns it: renters of its machines may have names there that point back at
// them. That is why Google's googleusercontent.com, whose names every virtual machine on
// Google Cloud bears, is left out although user-triggered fetchers (App Engine) use it.
var crawlers = []known{
	{
		// developers.google.com/search/docs/crawling-indexing/verifying-googlebot:
		// crawl-***.googlebot.com, geo-crawl-***.geo.googlebot.com, and
		// rate-limited-proxy-***.google.com for special-case crawlers such as AdsBot.
		// google-proxy-*** fetches on behalf of anybody and is no crawler.
		"Googlebot",
		[]zone{{domain: "googlebot.com"}, {domain: "google.com", prefix: "rate-limited-proxy-"}},
		[]string{"googlebot", "adsbot-google", "mediapartners-google", "google-inspectiontool", "googleother", "storebot-google", "apis-google"},
	},
	// www.bing.com/webmasters/help/how-to-verify-bingbot-3905dc26: search.msn.com.
	{"Bingbot", []zone{{domain: "search.msn.com"}}, []string{"bingbot", "msnbot", "adidxbot", "bingpreview"}},
	// ziyuan.baidu.com ("如何识别百度蜘蛛"): *.baidu.com or *.baidu.jp.
	{"Baiduspider", []zone{{domain: "baidu.com"}, {domain: "baidu.jp"}}, []string{"baiduspider"}},
	// yandex.com/support/webmaster/robot-workings/check-yandex-robots.html: all three end a robot's name.
	{"YandexBot", []zone{{domain: "yandex.ru"}, {domain: "yandex.net"}, {domain: "yandex.com"}}, []string{"yandex.com/bots", "yandexbot"}},
	// support.apple.com/119829 (About Applebot): *.applebot.apple.com.
	{"Applebot", []zone{{domain: "applebot.apple.com"}}, []string{"applebot"}},
	// Yahoo! Search Blog, 5 June 2007: names end in crawl.yahoo.net. The crawler still exists, though search is Bing's.
	{"Yahoo! Slurp", []zone{{domain: "crawl.yahoo.net"}}, []string{"yahoo! slurp"}},
	// aspiegel.com/petalbot, webmaster.petalsearch.com/site/petalbot: petalbot-***.petalsearch.com.
	{"PetalBot", []zone{{domain: "petalsearch.com", prefix: "petalbot-"}}, []string{"petalbot", "aspiegelbot"}},
	// UNVERIFIED: Sogou's own pages name no domain; its addresses are called sogouspider-***.crawl.sogou.com.
	{"Sogou", []zone{{domain: "crawl.sogou.com"}}, []string{"sogou web spider", "sogou inst spider", "sogou spider", "sogou wap spider", "sogou pic spider", "sogou news spider"}},
	// napoveda.seznam.cz/en/seznambot-crawler: fulltextrobot-***.seznam.cz.
	{"SeznamBot", []zone{{domain: "seznam.cz", prefix: "fulltextrobot-"}}, []string{"seznambot"}},
	// developer.amazon.com/amazonbot: names are subdomains of crawl.amazonbot.amazon.
	{"Amazonbot", []zone{{domain: "crawl.amazonbot.amazon"}}, []string{"amazonbot"}},
	// commoncrawl.org/ccbot: crawl.commoncrawl.org. UNVERIFIED beyond second-hand lists.
	{"CCBot", []zone{{domain: "crawl.commoncrawl.org"}}, []string{"ccbot"}},

	// Those that document address ranges only: a feed of published ranges verifies them.
	{"DuckDuckBot", nil, []string{"duckduckbot", "duckassistbot"}},           // duckduckgo.com/duckduckgo-help-pages/results/duckduckbot
	{"Facebook", nil, []string{"facebookexternalhit", "meta-externalagent"}}, // developers.facebook.com/docs/sharing/webmasters/web-crawlers: AS32934
	{"GPTBot", nil, []string{"gptbot", "oai-searchbot"}},                     // platform.openai.com/docs/bots
}

// ownerOf returns the crawler in whose domain host lies. Host is in lower case and
// without a final dot; the domain itself is no crawler's machine.
func ownerOf(host string) (name string, ok bool) {
	for _, c := range crawlers {
		for _, z := range c.zones {
			below, found := strings.CutSuffix(host, "."+z.domain)
			if found && strings.HasPrefix(below, z.prefix) {
				return c.name, true
			}
		}
	}
	return "", false
}

// maxAgent is how much of a user agent is looked at, in bytes. Crawlers' are below 300.
const maxAgent = 2048

// Claimed returns which crawler a user agent says that it is. It proves nothing: anybody
// can say so. Use it to choose whom to verify, and to say in a reason that somebody
// pretended; never to spare anybody.
func Claimed(agent string) (name string, ok bool) {
	agent = strings.ToLower(agent[:min(len(agent), maxAgent)])
	for _, c := range crawlers {
		for _, a := range c.agents {
			if strings.Contains(agent, a) {
				return c.name, true
			}
		}
	}
	return "", false
}

// Provable tells whether a crawler's operator documents reverse DNS. Only then does
// ErrNot show that a claim to be it is false; the others publish ranges.
func Provable(name string) bool {
	for _, c := range crawlers {
		if c.name == name {
			return len(c.zones) > 0
		}
	}
	return false
}
