package webattack

// commandPatterns are what only a shell understands, of Unix or Windows, and commands
// that talk to a mail server. Commands behind a separator are shell.go's.
func commandPatterns() []pattern {
	const commands = `(?:whoami|id|ls|ps|cat|uname|ifconfig|wget|curl|nc|bash|sh|perl|python[\d.]*|php|ping\d?|echo|env|sleep|touch|rm|chmod|cmd|dir|type|powershell)\b`
	return []pattern{
		{name: "shell with command", phrases: []string{"sh -c", "sh -i", "/sh\x01", "/sh ", "bin/bash", "bin/sh", "bin/zsh", "bin/ksh", "bin/dash", "$shell", "${shell", "cmd /c", "cmd /k", "cmd.exe", "/dev/tcp", "/dev/udp", "sh)0>", "sh,-c", "|sh", "| sh", "|bash", "| bash", "nc -"}, re: word + `(?:ba|z|k|c|da|a)?sh\s+-[ci]\b|\$\{?shell\}?\s+-c|(?:[\x02\s=;|&(]|\x01/?)/?(?:usr/)?bin/(?:ba|z|k|c|da|a)?sh\b|cmd(?:\.exe)?["']?\s*/[ck]\b|system32[/\\]+cmd\.exe|/dev/(?:tcp|udp)/|\bnc(?:\.\w+)?\s+-[lenvpk]|sh\)0>|sh,-c|\|\s*(?:ba)?sh\s*[\x01;|&]`, quoted: true, shell: true},
		{name: "path of a command", phrases: []string{"bin/"}, re: `[\x02\s;|&(]/?(?:usr/)?(?:local/)?s?bin/(?:\w*[?*]\w*|cat|ls|id|nc|curl|wget|python[\d.]*|perl|php|ping|uname|whoami|echo|chmod|rm|cp|mv|touch|sleep|find|ps|env|ansible|chef|cscli|visudo|less|head|tail|tac)(?:[\x01\s;|&` + "`" + `]|$)`, quoted: true, shell: true},
		{name: "path with wildcards", phrases: []string{"?/", "*/", "/et*", "/ca?", "/b?", "*wd"}, re: `[\x02\s;|&,{+]/(?:[a-z]{0,4}\?[a-z?*]{0,6}|[a-z]{2,4}\*|\?\?\?)/[a-z?*\[\]./]*[?*\]][a-z?*]*|[\s;+/](?:s?bin|etc|usr)/[a-z]*[?*][a-z?*]*(?:[\s+]+/|/)|/et\*/`, only: inURL},
		{name: "path with brackets", phrases: []string{"]/", "/[", "/etc/", "bin/", "/usr/"}, re: `/(?:etc|bin|usr|var|proc|home)/[a-z/]*\[[^\]\x01]+\][a-z]|[\x02\s]/[a-z]{0,3}\[[a-z!^?/-]+\][a-z]{0,3}(?:/|[\x01])`, only: inURL},
		{name: "substitution", phrases: []string{"$(", "${", "$["}, re: `\$\(\s*(?:` + commands + `|\$\(|\()|\$\{(?:\x60|\w+#\{|shell\b|ifs\b|path[:#]|\w+[@%^,]{1,2}\})|\$\[(?:\d+[-+*/]\d+)?\]|[\x02=]\s*\$\(\(?\$?[({]|\w\$\(\)[\w\s]`, quoted: true},
		{name: "substitution", phrases: []string{"`"}, re: "`\\s*" + commands + "(?:\\s[^`\\x01]*)?`|\\w``[\\w\\s]|`cat<<<", quoted: true},
		{name: "process substitution", phrases: []string{"<(", ">("}, re: `\x02[<>]\(\s*\w|[a-z][<>]\(\)[a-z]|\s[<>]\(\s*` + commands, only: inURL},
		{name: "here string", phrases: []string{"<<<"}, re: `<<<\s*['"$\w]`},
		{name: "blank variable", phrases: []string{"$ifs", "${ifs"}},
		{name: "output to file", phrases: []string{">/", "> /"}, re: `>+\s*/(?:tmp|var|dev|etc|home|root|www)/\w`, only: inURL},
		{name: "shell function", phrases: []string{"() {", "(){"}, re: start + `\s*\(\)\s*\{|(?:\w|:)\(\)\s*\{\s*[\w:]+\s*\|\s*[\w:]+\s*&`},
		{name: "brace expansion", phrases: []string{"{,", "{cat,", "{ls,", "{id,", "{ps,", "{echo,", "{curl,", "{wget,", "{ping,", "{nc,", "{bash,", "{rm,", "}s\x01", "}t\x01", "{/?"}, re: `\{,[a-z$/][^{}:"]*\}|\{,\$['"]|\{(?:cat|ls|echo|curl|wget|ping|nc|bash|sh|rm),[-/\w][^{}:]*\}|\x02\{(?:id|ls|ps|cat),[^{}:"]*\}[\x01]|\x02\w{0,3}\{\w*,-?\w{1,4}\}\w{1,3}[\x01]|\{/\?[a-z?/]+`, only: inURL},
		{name: "alias", phrases: []string{"\x02alias "}, re: `\x02alias\s+(?:[+-]\w+\+?\s+)?\w+=`, quoted: true},
		{name: "history expansion", phrases: []string{"\x02!"}, re: `\x02!(?:!|-?\d+(?:!-?\d+)*)[\x01]`, only: inPath},
		{name: "change of mode", phrases: []string{"chmod "}, re: `chmod\s+(?:-\w+\s+)*(?:\+[xrws]|[0-7]{3,4}\b|[ugoa]+[+=])`, quoted: true, shell: true},
		{name: "fetch and run", phrases: []string{"wget ", "curl ", "lwp-download ", "fetch ", "tftp "}, re: `(?:[\x02;|&(` + "`" + `'][\s]*|/tmp[;&\s]+)(?:wget|curl|lwp-download|fetch|tftp)(?:\s+-\S+)*\s+['"]?(?:(?:https?|ftp)://|\d{1,3}\.\d{1,3}\.)`, quoted: true, shell: true},
		{name: "base64 to shell", phrases: []string{"base64 -d", "base64 --d"}, re: `\|\s*base64\s+-`},
		{name: "find with exec", phrases: []string{" -exec "}, re: `find\s[^\x01]+\s-exec\s`, quoted: true},
		{name: "package to install", phrases: []string{"\x02pip install ", "\x02pip3 install ", "\x02npm install ", "\x02apt install ", "\x02apt-get install ", "\x02yum install ", "\x02gem install "}, quoted: true},
		{name: "powershell", phrases: []string{"powershell", "pwsh ", "invoke-", "new-object", "downloadstring", "downloadfile", "start-process", "get-content", "set-content", "get-wmiobject", "[system.", "iex(", "iex (", "iwr ", "iwmi "}, re: word + `(?:(?:powershell|pwsh)(?:\.exe)?\s+(?:-|/|&|\w+-\w+)|invoke-(?:expression|webrequest|restmethod|command|mimikatz|item|wmimethod|shellcode)\b|new-object\s+(?:system\.)?net\.|download(?:string|file)\s*\(|start-process\s+\S|(?:get|set)-content\s+[-\w:\\/]|get-wmiobject\s|\[system\.(?:text|net|convert|io|diagnostics)|iex\s*\()|[;&\x02]\s*(?:iwr|iwmi)\s+\S`, quoted: true, shell: true},
		{name: "batch loop", phrases: []string{" in (", " in("}, re: word + `for\s+(?:/[dflr]\s+)*(?:\\?"[^"\x01]*"\s+|[a-z]:\\[^\x01%]*\s+)*%{1,2}\S*\s+in\s?\(`},
		{name: "batch condition", phrases: []string{" exist ", " defined ", "errorlevel", "cmdextversion", " equ ", " neq ", " lss ", " leq ", " gtr ", " geq "}, re: word + `if(?:/i)?\s+(?:/i\s+)?(?:not\s+)?(?:exist\s+["(\w%]|defined\s+\w|errorlevel\s+\d|cmdextversion\s+\d|[^\x01]+\s(?:equ|neq|lss|leq|gtr|geq)\s)|%errorlevel%`},
		{name: "batch condition", phrases: []string{"\x02if ", "\x02if/i "}, re: `\x02if(?:/i)?\s+(?:/i\s+)?(?:not\s+)?(?:["\[({]?[a-z]?[%!][^\x01=]*={2,3}|["\[({]?[\w.]+(?: [\w.]+)?["\])}]?\s*={2,3}\s*["\[({]?[\w.%]*(?: [\w.]+)?["\])}]?\s+(?:echo|cmd|goto|call|set|exit|do|cd|del|start|copy|@echo)\b|not\s+["{]?[a-z]?%)|\x02if\s?/i\s+(?:not\s+)?\S+\s*==\s*\S+\s+\w`, quoted: true},
		{name: "windows tool", phrases: []string{"regedit", "mshta", "certutil", "bitsadmin", "regsvr32", "rundll32", "bcdboot", "bcdedit", "wmic ", "schtasks", "net user", "net localgroup", ";at ", "&at "}, re: word + `(?:regedit\s+/[es]|mshta\s+(?:https?:|vbscript|javascript)|certutil(?:\.exe)?\s+-|bitsadmin\s+/|regsvr32\s+/|rundll32\s+\w|wmic\s+\w+\s+(?:call|get|list)|schtasks\s+/|net\s+(?:user|localgroup)\s+\w+\s+\S+\s+/add)|[;&|]\s*(?:at\s+\d+:\d|(?:bcdboot|bcdedit)(?:\s*<|\s*/))`, shell: true},
		{name: "sqlite shell", phrases: []string{".shell ", ". shell", ".system", ".databases", ";.sh "}, re: `(?:\\n|\n|;|" )\.\s*(?:shell|system|databases|sh\s+\w)`, only: inURL},
		{name: "mail command", phrases: []string{"\nmail from:", "\nrcpt to:", "\nehlo ", "\nhelo ", "\nretr ", "\nlist ", "\ntop ", "\nauth ", "\napop ", "\ndata\x01", "\nquit\x01", "\nhelp ", " examine ", "\ndele "}, re: `[\r\n]\s*(?:mail\s+from:\s*<|rcpt\s+to:\s*<|(?:ehlo|helo)\s+\S+[\x01\s]|retr\s+\d|list\s+\d+[\x01]|top\s+\d+\s+\d|auth\s+\w+\s+\S+=[\x01]|apop\s+\w+\s+[0-9a-f]{32}|data[\x01]|quit[\x01]|help\s+\w+[\x01]|[a-z]\d{1,5}\s+(?:examine|select|login|fetch|list|create|delete)\s+\S|dele\s+\d)`, only: inURL},
		{name: "windows variable", phrases: []string{"%systemroot%", "%windir%", "%comspec%", "%programfiles%"}},
		{name: "windows tool", phrases: []string{"netsh ", "reg add ", "net view", "reg query ", "sysinfo"}, re: `[;|&]\s*(?:netsh\s+\w+\s+\w|net\s+view|sysinfo[\x01])|reg\s+(?:add|query)\s+"?hk`},
		{name: "reverse shell", phrases: []string{"socket.socket(", "os.dup2(", "subprocess.call", "subprocess.popen", "subprocess.run", "subprocess.check_output", "pty.spawn"}, quoted: true},
		{name: "command as agent", phrases: []string{"\x01id\x01", "\x01whoami\x01", "\x01visudo\x01", "\x01chef-shell\x01", "\x01uname\x01", "\x01set -o ", "\x01ansible-config ", "\x01ansible-doc ", "\x01ansible-vault ", "\x01ansible-galaxy ", "\x01ansible-playbook ", "\x01cscli ", "\x01chef-run "}, only: inAgent | inReferer},
		{name: "command as agent", phrases: []string{"&&$"}, re: `\x01(?:[a-z])=\w+&&\$`, only: inAgent | inReferer},
	}
}
