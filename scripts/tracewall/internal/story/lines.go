package story

import (
	"strconv"
	"time"
)

// writer renders events. It keeps the time stamp of the current second, since
// thousands of lines share it.
type writer struct {
	s     *Story
	zone  *time.Location
	stamp []byte
	sec   int64
	buf   []byte
}

func newWriter(s *Story) *writer {
	return &writer{s: s, zone: time.FixedZone("", 8*60*60), sec: -1}
}

// stampLayout is the time as the story's lines carry it.
const stampLayout = "[02/Jan/2006:15:04:05 -0700] "

func (w *writer) line(e event) Line {
	sec := w.s.base + int64(e.at)
	at := time.Unix(sec, 0)
	if sec != w.sec {
		w.sec = sec
		w.stamp = at.In(w.zone).AppendFormat(w.stamp[:0], stampLayout)
	}
	var trace string
	if e.trace != 0 {
		trace = w.s.traceID(e.trace)
	}
	w.buf = append(w.buf[:0], w.stamp...)
	switch e.kind {
	case kindLimit:
		w.limit(e, trace)
	case kindSMS:
		w.buf = append(w.buf, `player.getSMScode Received "uid":`...)
		w.buf = append(w.buf, w.s.cast.accounts[e.actor]...)
		w.buf = append(w.buf, ` "trace_id":`...)
		w.buf = append(w.buf, trace...)
	case kindOrdinary:
		w.ordinary(e, trace)
	}
	return Line{Time: at.UTC(), Msg: string(w.buf), TraceID: trace}
}

// limit writes one of the two shapes in which the story's gateway says that a client is over the limit.
func (w *writer) limit(e event, trace string) {
	a := &w.s.cast.actors[e.actor]
	if e.salt%10 < 3 {
		w.buf = append(w.buf, "gateway-"...)
		w.buf = strconv.AppendUint(w.buf, uint64(e.salt>>8%7), 10)
		w.buf = append(w.buf, " rate limit for true-client-ip: "...)
		w.client(a, e.salt)
		w.buf = append(w.buf, " trace_id: "...)
		w.buf = append(w.buf, trace...)
		return
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, paths[e.salt>>4%uint32(len(paths))]...)
	w.buf = append(w.buf, ` HTTP/1.1" 200 `...)
	w.buf = strconv.AppendUint(w.buf, uint64(200+e.salt>>3%900), 10)
	w.buf = append(w.buf, ` "-" "`...)
	w.buf = append(w.buf, agents[e.salt>>7%uint32(len(agents))]...)
	w.buf = append(w.buf, `" "rate limit for true-client-ip": `...)
	w.client(a, e.salt)
	w.buf = append(w.buf, ` "trace_id": `...)
	w.buf = append(w.buf, trace...)
}

func (w *writer) client(a *actor, salt uint32) {
	addr := a.addr
	if len(a.siblings) > 0 {
		addr = a.siblings[int(salt>>5)%len(a.siblings)]
	}
	switch {
	case a.text != "":
		w.buf = append(w.buf, a.text...)
		return
	case a.brackets:
		w.buf = append(w.buf, '[')
		w.buf = addr.AppendTo(w.buf)
		w.buf = append(w.buf, ']')
	default:
		w.buf = addr.AppendTo(w.buf)
	}
	if a.ports {
		w.buf = append(w.buf, ':')
		w.buf = strconv.AppendUint(w.buf, uint64(1024+salt%60_000), 10)
	}
}

func (w *writer) ordinary(e event, trace string) {
	for _, c := range []byte(ordinaryLines[e.actor]) {
		switch c {
		case '#': // a number
			w.buf = strconv.AppendUint(w.buf, uint64(e.salt%100_000), 10)
		case '@': // somebody's address, for lines of traffic within the limit
			w.quietClient(e.salt)
		case '~': // a path
			w.buf = append(w.buf, paths[e.salt>>4%uint32(len(paths))]...)
		case '^': // a browser
			w.buf = append(w.buf, agents[e.salt>>7%uint32(len(agents))]...)
		default:
			w.buf = append(w.buf, c)
		}
	}
	if trace != "" {
		w.buf = append(w.buf, ` "trace_id": `...)
		w.buf = append(w.buf, trace...)
	}
}

// quietClient writes the address of somebody who never meets the limit.
func (w *writer) quietClient(salt uint32) {
	w.buf = append(w.buf, "61.227."...)
	w.buf = strconv.AppendUint(w.buf, uint64(salt>>9%200), 10)
	w.buf = append(w.buf, '.')
	w.buf = strconv.AppendUint(w.buf, uint64(1+salt>>17%250), 10)
}

// traceID spells the n-th trace of the story in the form of a UUID.
func (s *Story) traceID(n uint32) string {
	const digits = "0123456789abcdef"
	hi, lo := mix(s.ids^uint64(n)), mix(s.ids+0x9e3779b97f4a7c15*uint64(n))
	var b [36]byte
	at := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[at] = '-'
			at++
		}
		half := hi
		if i >= 16 {
			half = lo
		}
		b[at] = digits[half>>(4*uint(15-i%16))&15]
		at++
	}
	b[14], b[19] = '4', digits[8+lo>>62]
	return string(b[:])
}

// mix is the finaliser of SplitMix64: neighbouring numbers give unlike ones, and no two the same.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

var paths = []string{
	"GET /index.html", "GET /api/v2/player/profile", "POST /api/v2/player/getSMScode", "POST /api/v2/login",
	"GET /assets/app.3f9c.js", "GET /api/v2/shop/items?page=2", "POST /api/v2/order", "GET /favicon.ico",
}

var agents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
	"Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 Chrome/123.0 Mobile Safari/537.36",
	"okhttp/4.12.0", "python-requests/2.31.0", "Dart/3.3 (dart:io)",
}

// ordinaryLines are the other kinds of line, with places to fill in (see writer.ordinary). The
// ones that speak of a rate limit without naming a client over it are there to be mistaken for one that does.
var ordinaryLines = []string{
	`"~ HTTP/1.1" 200 # "https://play.example.com/lobby?from=home&season=7" "^" client @ upstream 10.20.4.17:8080 rt=0.012 cache=MISS`,
	`"~ HTTP/1.1" 304 0 "https://play.example.com/shop/season-pass" "^" client @ upstream 10.20.4.18:8080 rt=0.002 cache=HIT`,
	`"~ HTTP/1.1" 404 # "-" "^" client @ upstream 10.20.4.17:8080 rt=0.001 cache=MISS`,
	`INFO  [http-nio-8080-exec-17] c.e.order.OrderService - order.create ok order=9# amount=# currency=CNY channel=ios coupon=none items=3 warehouse=hz-2 took=38ms`,
	`INFO  [http-nio-8080-exec-4] c.e.player.LoginService - player.login ok via=password session=s# device=android-14 region=cn-east new_device=false risk=low`,
	`INFO  [http-nio-8080-exec-9] c.e.player.SmsService - player.getSMScode Rejected reason="too early" session=s# wait=41s channel=sms-2 template=login_v3`,
	`INFO  [pay-callback-2] c.e.pay.CallbackController - payment.callback provider=alipay status=SUCCESS order=9# signature=ok attempts=1 settled_in=1.4s`,
	`DEBUG [cache-7] c.e.cache.ShopCache - cache miss key=shop:items:# took=#us loaded_from=replica-3 bytes=18231 ttl=300s evicted=0`,
	`WARN  [hikari-12] c.e.db.SlowQuery - slow query took=#ms sql="select id, state, amount from orders where player_id = ? and state in (?, ?) order by id desc limit 20" rows=20`,
	`{"level":"info","logger":"match.room","msg":"room closed","room":#,"players":8,"map":"harbour","duration_ms":624113,"winner":"blue","rated":true,"region":"cn-east"}`,
	`{"level":"warn","logger":"push.apns","msg":"token expired","device":"d#","app":"3.18.2","attempt":1,"will_retry":false,"queue_depth":112}`,
	`INFO  [gc] GC(#) Pause Young (Normal) (G1 Evacuation Pause) 812M->403M(2048M) 11.2ms workers=8 promoted=3M humongous=0`,
	`TRACE [probe] health check /healthz ok in #us db=ok redis=ok kafka=ok disk=61%`,
	`INFO  [ws-gateway-3] c.e.ws.Sessions - ws connection closed code=1001 session=s# sent=812 received=790 lag_p95=34ms reason="going away"`,
	`ERROR [http-nio-8080-exec-2] c.e.pay.Client - java.net.SocketTimeoutException: Read timed out at com.example.pay.Client.call(Client.java:#) at com.example.pay.Retry.run(Retry.java:57)`,
	`INFO  [cron] c.e.settle.Daily - cron job settle-daily finished rows=# skipped=0 duration=92s next=2h`,
	`INFO  [admin-1] c.e.ops.Campaigns - 活动配置已更新 version=# 操作人=运营 灰度=10% 生效时间=立即`,
	`INFO  [config] c.e.gateway.Config - config reloaded: rate limit for true-client-ip is 20 per 2m, revision # applied on 12 nodes`,
	`INFO  [support] c.e.support.Inbox - ticket #: "what does 'rate limit for true-client-ip' mean?" queue=general lang=en`,
	`WARN  [gateway-5] c.e.gateway.Headers - true-client-ip header missing, falling back to peer address; listener=internal peer=10.20.1.9`,
}
