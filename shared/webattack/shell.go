package webattack

import "bytes"

// What a word at the place of a command says.
const (
	noCommand = iota
	// wordy: a word of English, a parameter's name or an abbreviation besides. Needs
	// arguments that only a shell understands.
	wordy
	// tool: a language or tool that people also list and search: needs a separator and
	// something more.
	tool
	// plainly: nothing else. One behind a separator is enough.
	plainly
	// runner: runs the command that follows.
	runner
)

// commandWords are the commands by kind, one blank apart.
var commandWords = map[int]string{
	plainly: "whoami uname ifconfig netstat lwp-download ncat socat chmod chown chattr nslookup tcpdump traceroute tracert ipconfig systeminfo journalctl lsof pstree pkill killall useradd userdel usermod adduser visudo printenv zcat bzcat xzcat zstdcat xxd hexdump mkfifo mknod aptitude apt-get dpkg gawk mawk nawk egrep fgrep bsdtar rmdir ls ll ps pwd cscli tasklist taskkill certutil bitsadmin mshta regsvr32 rundll32 bcdboot bcdedit wmic cscript wscript msiexec schtasks vssadmin icacls takeown findstr xcopy robocopy iwr iwmi invoke-expression invoke-webrequest invoke-command tcsh ksh csh",
	tool:    "bash zsh wget curl netcat nmap iptables systemctl crontab perl python python2 python3 pip pip3 kubectl docker ansible ansible-playbook ansible-galaxy ansible-config ansible-console ansible-doc ansible-inventory ansible-pull ansible-vault chef-client chef-run chef-shell chef-vault powershell pwsh cmd regedit iex mkdir",
	runner:  "time sudo nohup exec env strace ltrace busybox timeout setsid nice xargs command",
	wordy:   "sh ash dash id nc cat tac nl rm cp mv dd sleep vi vim w who set echo printf ping ping6 head tail less more find grep sed awk sort touch kill date uptime hostname last dig host ssh scp ftp tftp telnet tar zip unzip gzip php php5 php7 php8 ruby node lua gcc make mount top df du free reboot shutdown halt gem npm service passwd history alias export eval source tee mail test dir net copy del move ren md cd at reg start route arp finger strings od base64 openssl rsync screen tmux type script cut file install apt yum dnf apk ed ln unset umask split perf rc lynx w3m sftp mysql psql redis-cli git svn expr",
}

// commandKinds is the same by word.
func commandKinds() map[string]int {
	kinds := make(map[string]int)
	for kind, words := range commandWords {
		for word := range bytes.FieldsSeq([]byte(words)) {
			kinds[string(word)] = kind
		}
	}
	return kinds
}

// maxCommand is how long a command with its folder may be.
const maxCommand = 48

// shellCommand returns where in view a shell would begin to run a command that nobody
// writes by chance, -1 if nowhere. It reads each byte
// a bounded number of times.
func (b *book) shellCommand(f field, view []byte) (at, end int) {
	value := 0 // where the part of the request begins
	for i, c := range view {
		separator := false
		switch c {
		case edge, equals:
			value = i + 1
		case ';', '|', '&', '\n', '`':
			if separator = f != inAgent || i <= 2 || c == '`'; !separator {
				continue
			}
		case '(':
			if separator = i > 0 && view[i-1] == '$'; !separator {
				continue
			}
		default:
			continue
		}
		if c == '`' && i+1 < len(view) && view[i+1] == '`' {
			continue
		}
		if stop, ok := b.runs(view, value, i, separator); ok {
			return i, stop
		}
	}
	return -1, -1
}

// runs tells whether view[i], which begins a part or separates commands, is followed
// by a command to be believed.
func (b *book) runs(view []byte, value, i int, separator bool) (int, bool) {
	from := skip(view, i+1, " '\"{(")
	kind, stop := b.command(view, from)
	ran := kind == runner
	if ran {
		next, behind := b.command(view, skip(view, stop, " '\""))
		switch {
		case behind == stop || stop < len(view) && view[stop] != ' ':
			kind = wordy // env alone, time=5
		case next == tool || next == plainly:
			return behind, separator || !searching(view, value)
		default:
			kind = max(next, wordy)
			stop = behind
		}
	}
	if kind == noCommand || kind == runner {
		return 0, false
	}
	told := arguments(view[stop:])
	if at := skip(view, stop, " "); at > stop && at < len(view) && bytes.HasSuffix(view[:stop], []byte("sleep")) {
		told = view[at] >= '0' && view[at] <= '9' && separator
	}
	finished := stop == len(view) || bytes.IndexByte([]byte("\x01;|&<>)}`\n\\"), view[stop]) >= 0
	if !separator {
		// A value that is a command line. Only a value: prose begins with such words too.
		if finished && (kind == plainly || string(view[from:stop]) == "id") && shellName(view, i) {
			return stop, true
		}
		told = told || kind == plainly && stop+1 < len(view) && view[stop] == ' ' && alphanumeric(view[stop+1])
		return stop, told && !searching(view, value)
	}
	// The separator begins the value, or follows what closes one.
	first := skip(view, value, " '\"") >= i || bytes.IndexByte([]byte(")'\""), view[i-1]) >= 0
	twice := i > 0 && view[i-1] == view[i] && (view[i] == '&' || view[i] == '|')
	closed := view[i] == '`' || view[i] == '('
	blank := stop < len(view) && view[stop] == ' '
	switch kind {
	case plainly:
		if view[i] == '|' && !told && !first && !twice && from == i+1 && i > 0 && (view[i-1] >= 'a' && view[i-1] <= 'z') {
			return 0, false // a list of words
		}
		return stop, finished || blank || stop < len(view) && view[stop] == '/'
	case tool:
		return stop, told || finished && (first || twice || closed || host(view[value:i])) || blank && (twice || closed || view[i] == ';' || first)
	default:
		return stop, told || finished && view[i] != '\n' && (first || twice || closed || host(view[value:i]))
	}
}

// command reads the command that begins at from, with the folder that it lies in.
func (b *book) command(view []byte, from int) (kind, stop int) {
	base := from
	for stop = from; stop < len(view) && stop < from+maxCommand; stop++ {
		switch c := view[stop]; {
		case c == '/' || c == '\\':
			base = stop + 1
		case alphanumeric(c) || c == '_' || c == '-' || c == '.' || c == ':' && stop == from+1:
		default:
			return b.lookUp(view, from, base, stop), stop
		}
	}
	return b.lookUp(view, from, base, stop), stop
}

func (b *book) lookUp(view []byte, from, base, stop int) int {
	word := bytes.TrimSuffix(view[base:stop], []byte(".exe"))
	if base > from {
		folder := view[from:base]
		if !bytes.HasSuffix(folder, []byte("bin/")) && !bytes.HasPrefix(folder, []byte(`c:\`)) && string(folder) != "./" {
			return noCommand
		}
	}
	if bytes.HasPrefix(word, []byte("python3.")) || bytes.HasPrefix(word, []byte("python2.")) {
		return tool
	}
	return b.commands[string(word)]
}

// arguments tells whether rest begins with arguments as only a shell's user writes
// them: an option, a path, a variable, a redirection, a script.
func arguments(rest []byte) bool {
	i := 0
	for i < len(rest) && (rest[i] == ' ' || rest[i] == '+') {
		i++
	}
	if i == len(rest) {
		return false
	}
	if c := rest[i]; (c == '<' || c == '>') && i+1 < len(rest) && rest[i+1] != equals && rest[i+1] != edge {
		return true
	}
	if i == 0 {
		return false
	}
	if rest[i] == '\'' || rest[i] == '"' {
		i++
	}
	at := func(n int) byte {
		if i+n < len(rest) {
			return rest[i+n]
		}
		return edge
	}
	if at(1) == ':' && at(2) == '\\' {
		return true
	}
	switch at(0) {
	case '-':
		return alphanumeric(at(1)) && at(1) > '9' || at(1) == '-' && alphanumeric(at(2))
	case '/':
		return alphanumeric(at(1)) || at(1) == edge || at(1) == '?' || at(1) == '*' || at(1) == '['
	case '~':
		return at(1) == '/' || alphanumeric(at(1))
	case '$':
		return at(1) >= 'a' && at(1) <= 'z' || at(1) == '{' || at(1) == '('
	case '.':
		return at(1) == '/' || at(1) == '.' && at(2) == '/' || at(1) == ' ' && (at(2) == '-' || at(2) == ';')
	case '*':
		return true
	case '|':
		return at(1) == ' ' && at(2) >= 'a'
	}
	word := rest[i:]
	for n, c := range word {
		if n == maxCommand || c == ' ' || c <= equals || c == '\'' || c == '"' || c == ';' {
			word = word[:n]
			break
		}
	}
	return bytes.IndexByte(word, '/') > 0 && bytes.IndexByte(word, '/') < len(word)-1 && !bytes.HasSuffix(word, []byte("/or")) || bytes.IndexByte(word, '*') > 0 || script(word)
}

// shellName tells whether the value that begins behind view[i] has a name as web
// shells give their command.
func shellName(view []byte, i int) bool {
	if view[i] != equals {
		return false
	}
	begin := 1 + bytes.LastIndexByte(view[max(0, i-maxCommand):i], edge) + max(0, i-maxCommand)
	switch string(view[begin:i]) {
	case "cmd", "exec", "execute", "command", "c", "code", "run", "shell", "cmdline", "cmd_exec", "e", "sh", "pass", "x":
		return true
	}
	return false
}

// script tells whether word ends as scripts and logs do.
func script(word []byte) bool {
	dot := bytes.LastIndexByte(word, '.')
	if dot < 1 {
		return false
	}
	switch string(word[dot+1:]) {
	case "sh", "py", "pl", "php", "txt", "conf", "log", "exe", "bat", "dll", "hta", "zst", "gz", "ps1":
		return true
	}
	return false
}

// host tells whether text ends in an address or a host name, as the value of a form
// that pings does.
func host(text []byte) bool {
	text = bytes.TrimRight(text, " ")
	for _, suffix := range []string{".com", ".org", ".net", "localhost"} {
		if bytes.HasSuffix(text, []byte(suffix)) {
			return true
		}
	}
	dots := 0
	for i := len(text) - 1; i >= 0 && i >= len(text)-15; i-- {
		if text[i] == '.' {
			dots++
		} else if text[i] < '0' || text[i] > '9' {
			break
		}
	}
	return dots == 3
}

func skip(view []byte, from int, these string) int {
	for to := from + 16; from < len(view) && from < to && bytes.IndexByte([]byte(these), view[from]) >= 0; {
		from++
	}
	return from
}
