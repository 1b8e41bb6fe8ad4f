package webattack

import (
	"bytes"
	"regexp"
)

// traversalPatterns are ways out of a folder, files that an attacker wants whatever
// way leads there, and files that lie in the folder and were never meant to be served.
func traversalPatterns() []pattern {
	const files = `(?:etc/+(?:passwd|shadow|group|hosts|host\.conf|hostname|issue|motd|mtab|fstab|crontab|cron\.|init\.d|inittab|sudoers|subuid|subgid|profile|bashrc|master\.passwd|spwd|resolv|network|services|protocols|ssl/|ssh/|apache|httpd|nginx|mysql|my\.cnf|php|postfix|exports|ldap|samba|security|rc\.|release|os-release|redhat|debian|lsb|timezone|environment|vsftpd|proftpd|pam|ld\.so|gshadow|opasswd|kubernetes|docker|[*?\[])|proc/+(?:self|version|cpuinfo|meminfo|net|sys|mounts|cmdline|environ|stat\b|interrupts|devices|filesystems|partitions|kcore|sched_debug|\d+/)|sys/+(?:class|kernel|devices|module|firmware|block|bus|fs)\b|root/+\.|var/+(?:log/+[a-z]|adm/+[a-z]|lib/+(?:mysql|php|mlocate|docker)|run/+(?:secrets|docker)|mail/)|usr/+local/+(?:apps?|apache\d?|nginx|etc|php|lib)/|boot/+grub|dev/+(?:tcp|udp|mem|kmem|sd[a-z]))`
	places := []string{"/etc/", "/proc/", "/sys/", "/root/", "/var/log/", "/var/lib/", "/var/run/", "/var/mail/", "/var/adm/", "/usr/local/", "/usr/bin/", "/boot/grub", "/dev/tcp", "/dev/udp", "/dev/mem", "/dev/kmem", "/dev/sd", "etc/passwd", "etc/shadow", "c:/", `c:\`}
	return []pattern{
		{name: "many steps up", phrases: []string{"../", `..\`}, re: `(?:\.\.[/\\]+){3}|(?:\.\.[/\\]+){2}[^\x01]*(?:\.(?:php\d?|ini|conf|cfg|config|log|env|xml|ya?ml|json|sql|bak|key|pem|sh|py|jsp|aspx?|txt)(?:[^a-z]|$)|[\x00%]|(?:etc|proc|windows|winnt|var|root|home|boot|usr|opt|bin|passwd|shadow)\b)|` + start + `(?:\.\.[/\\]){2}[a-z_]*` + end},
		{name: "steps up by backslash", phrases: []string{`..\`}, re: `(?:` + start + `|[/\\])\.\.\\+[a-z0-9._]`},
		{name: "disguised steps up", phrases: []string{".../", `...\`, "..;/", "/./..", "....//", "..//..", "0x2e.", "0x2e0x2e", "..0x2f", "..0x5c", "..%", "/%2e", "%2e%2e"}, re: `(?:\.{3,}[/\\]+){2}|\.{4}//|\.\.;/|\.\./\./\.\.|\.\.//\.\.|(?:0x2e|\.)(?:0x2e|\.)0x(?:2f|5c)|0x2e\.|\.\.%(?:c0|c1|e0|u|25|2f|5c)|%2e(?:%2e|\.)|\.%2e`},
		{name: "system file", phrases: places, re: `(?:[\x02=]/*|\x01/+(?:\w+/+)?|[\x01"'(,<>]/+|@fs/+|:/+|(?:\.\./+)+)` + files + `|[\x01\x02=/ "'(]c:[/\\]+(?:windows|winnt|boot\.ini|inetpub|program files|programdata|xampp|wamp|pagefile)`},
		{name: "system file", phrases: places, re: `[\s;|&]/+` + files, quoted: true},
		{name: "system file", phrases: []string{"win.ini", "boot.ini", "system.ini", "php.ini", "my.ini", "system32", "httpd.conf", "apache2.conf", "nginx.conf", "web-inf/web.xml", "web-inf/classes", "meta-inf/manifest", "id_rsa", "id_dsa", "id_ed25519", "id_ecdsa", "authorized_keys", "known_hosts", ".bash_history", ".mysql_history", ".psql_history", ".ssh/", ".aws/", ".docker/", ".kube/config", ".gnupg/", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".boto"}, re: `(?:^|[/\\=\x01\x02 ])(?:win|boot|system|php|my)\.ini(?:[^a-z0-9]|$)|system32[/\\]+(?:drivers|config|cmd|inetsrv)|(?:\x02[^\x01]*|\.\./|\x01/)(?:httpd|apache2|nginx)\.conf|(?:web|meta)-inf/(?:web\.xml|classes|manifest)|(?:^|[/\\=\x01\x02])(?:id_(?:rsa|dsa|ed25519|ecdsa)|authorized_keys|known_hosts)\b|(?:^|[/\\=\x01\x02 ])\.(?:bash_history|mysql_history|psql_history|ssh/|aws/|docker/(?:config|secrets?)|kube/config|gnupg/|netrc|pgpass|npmrc|pypirc|boto)`},
		{name: "hidden file", phrases: []string{"/.env", "/.git", "/.svn/", "/.hg/", "/.bzr/", "/.ht", "/.ds_store", "/.vscode/", "/.idea/", "/.circleci/", "/.travis.yml", "/.dockerenv", "/.dockercfg", "/.s3cfg", "/.ftpconfig", "/.remote-sync", "/sftp-config.json", "/.terraform", "/.streamlit/", "/.credentials", "/.secret", "/.config/"}, re: `/\.(?:env(?:[._-]\w+)*(?:[/~]?[\x01\x00]|[.?])|git(?:/(?:config|head|index|logs|objects|refs|info|packed|description|hooks)|-credentials|config|ignore|modules|lab-ci)|svn/(?:entries|wc\.db|all-wcprops|format)|hg/|bzr/|ht(?:passwd|access|group)|ds_store|vscode/(?:sftp|settings|launch|tasks)|idea/\w|circleci/config|travis\.yml|dockerenv|dockercfg|s3cfg|ftpconfig|remote-sync|terraform|streamlit/secrets|credentials|secrets?\b|config/(?:gcloud|gh|git|rclone))|/sftp-config\.json`, only: inURL},
		{name: "assistant's file", phrases: []string{"/.claude", "/.cursor", "/.continue/", "/.aider", "/.roo/", "/.zed/", "/.cline", "/.kiro/", "/.windsurf", "/.rovodev/", "/.codex/", "/.opencode/", "/.a0proj/", "/.plandex", "/.fabric/", "/.n8n/", "/.junie/", "/.aiignore", "/.gemini/", "/.copilot/", "/.codeium/", "/.mcp"}, re: `/\.(?:(?:claude|cursor|continue|aider|roo|zed|cline|kiro|windsurf|rovodev|codex|opencode|a0proj|plandex|fabric|n8n|junie|gemini|copilot|codeium)/\.?[a-z]|aider\.|(?:ai|cursor|cline|claude|codeium)ignore|cursorrules|windsurfrules|mcp(?:\.json|/))`, only: inPath},
		{name: "backup or configuration", phrases: []string{"wp-config", "configuration.php", "settings.php", "config.php", "localsettings.php", "database.yml", "secrets.yml", "credentials", "parameters.yml", "appsettings", "web.config", "application.properties", "application.yml", ".sql", "backup", "dump.", "debug.log", "error.log", "errors.log", "error_log", "composer.lock", "docker-compose", "wallet.dat", "server.key", "privatekey", "storage/logs/laravel.log"}, re: `/(?:wp-config|configuration|settings|config|localsettings)\.(?:php\.|inc\.)?(?:bak|old|orig|save|swp|swo|txt|zip|dist|backup|php[~_]|php\.\w+|\d+)` + end + `|wp-config\.(?:php)?[.~_#-]|` + `\x02(?:[^\x01]*/)?wp-config\.php|/(?:database|secrets|parameters)\.ya?ml|/(?:aws|gcp|azure)?[._-]?credentials(?:\.(?:json|ya?ml|txt|csv|xml))?` + end + `|/appsettings(?:\.\w+)?\.json|(?:/|` + start + `)web\.config` + end + `|/application(?:-\w+)?\.(?:properties|ya?ml)|(?:/|` + start + `)[\w.-]+\.sql(?:\.(?:gz|zip|bz2|xz|tar|tgz|7z|rar|bak))?` + end + `|/(?:backup|dump|www|site|public_html|htdocs)\.(?:zip|tar|tgz|rar|7z|gz)|/(?:wp-content|logs?)/(?:debug|errors?|access)\.log|/storage/logs/laravel\.log|/wallet\.dat|/(?:server|privatekey|private)\.key|/docker-compose\.ya?ml`, only: inURL},
		{name: "null byte", phrases: []string{"\x00"}, re: `\.\w+\x00|/[\w.]*\x00|\x00\.\w{2,5}`, only: inURL},
		{name: "system file", phrases: []string{"passwd", "/issue\x01", "shadow\x01", "boot.ini", "c:"}, re: `\x02[^\x01]*etc[^a-z\x01]*[/\\](?:passwd|shadow|issue)|etc[^a-z /\x01]\S?\S?\S?\S?\S?\S?\S?\S?\S?(?:passwd|shadow|issue)\b|[\x02=]"?c:[/\\]+[^\x01]*\.(?:ini|log|conf|cnf|sys|bak|bat|msc|evt|sam|err|frm|myd|inc)` + end, only: inURL},
		{name: "working directory of a shell", phrases: []string{"~+", "~-"}, re: `\x02~[+-]\d*[\x01]`, only: inURL},
	}
}

var upward = regexp.MustCompile(`(?:^|[/\\=\x01\x02])\.\.[/\\]`)

// encodedDots reports steps up whose dots were percent-encoded: no client encodes a
// dot by itself, so it was done to get past a filter.
func (s *scan) encodedDots(f field, view []byte) {
	if s.has(PathTraversal) {
		return
	}
	if loc := upward.FindIndex(view[:min(len(view), maxValue)]); loc != nil {
		s.add(PathTraversal, f, "encoded steps up", view, loc[0], loc[1])
	}
}

// wrappedDots reports steps up that show only under a second layer of encoding.
func (s *scan) wrappedDots(f field, outer, inner []byte) {
	if s.has(PathTraversal) || bytes.Contains(outer, []byte("../")) || bytes.Contains(outer, []byte(`..\`)) {
		return
	}
	if loc := upward.FindIndex(inner[:min(len(inner), maxValue)]); loc != nil {
		s.add(PathTraversal, f, "encoded steps up", inner, loc[0], loc[1])
	}
}
