package webattack

import "strings"

// handlers are the attributes that run script, where they are given a value.
func handlers() []string {
	var all []string
	for event := range strings.FieldsSeq("abort activate afterprint animationcancel animationend animationiteration animationstart auxclick beforecopy beforecut beforeinput beforepaste beforeprint beforetoggle beforeunload begin blur bounce canplay canplaythrough change click close contextmenu copy cuechange cut dblclick drag dragend dragenter dragleave dragover dragstart drop durationchange end ended error filterchange finish focus focusin focusout formdata fullscreenchange gotpointercapture hashchange input invalid keydown keypress keyup load loadeddata loadedmetadata loadend loadstart lostpointercapture message mousedown mouseenter mouseleave mousemove mouseout mouseover mouseup mousewheel offline pagehide pageshow paste pause play playing pointerdown pointerenter pointerleave pointermove pointerout pointerover pointerrawupdate pointerup popstate progress propertychange readystatechange reset resize scroll scrollend search seeked seeking select selectionchange selectstart show stalled start storage submit suspend timeupdate toggle touchcancel touchend touchmove touchstart transitioncancel transitionend transitionrun transitionstart unhandledrejection unload volumechange waiting webkitanimationend webkitmouseforcechanged webkitplaybacktargetavailabilitychanged webkittransitionend wheel zoom") {
		for _, behind := range []string{"=", " =", "\x02", " \x02"} {
			all = append(all, "on"+event+behind)
		}
	}
	return all
}

// xssPatterns are what libinjection's HTML grammar lets pass: script that needs no tag
// because the page puts the value into a script already, tags spelled for lenient
// browsers, and other encodings.
func xssPatterns() []pattern {
	const events = `(?:abort|activate|afterprint|animation\w+|auxclick|before\w+|blur|bounce|canplay\w*|change|click|close|contextmenu|copy|cuechange|cut|dblclick|drag\w*|drop|durationchange|end|ended|error|filterchange|finish|focus\w*|formdata|fullscreen\w*|gotpointercapture|hashchange|input|invalid|key(?:down|press|up)|load\w*|lostpointercapture|message\w*|mouse\w+|offline|page(?:hide|show)|paste|pause|play\w*|pointer\w+|popstate|progress|propertychange|readystatechange|reset|resize|scroll\w*|search|seek\w+|select\w*|show|stalled|start|storage|submit|suspend|timeupdate|toggle|touch\w+|transition\w+|unhandledrejection|unload|volumechange|waiting|webkit\w+|wheel|zoom)`
	return []pattern{
		{name: "script tag", phrases: []string{"<script", "</script", "< script", "<s ", "<  s", ":script", ": script", "/script>"}, re: `<\s*/?\s*(?:\w+:\s*)?script\b|<\s*s\s*c\s*r\s*i\s*p\s*t`},
		{name: "active tag", phrases: []string{"<iframe", "<svg", "<object", "<embed", "<applet", "<meta", "<base", "<link", "<img", "<video", "<audio", "<body", "<math", "<details", "<marquee", "<isindex", "<style", "<form", "<input", "<dialog", "<template", "<frameset", "<bgsound", "<keygen", "<?import", "<import"}, re: `<(?:iframe|svg|object|embed|applet|frameset|bgsound|math|marquee|isindex|dialog|keygen)(?:[\s/>]|[\x01])|<base\s[^>]*href|<link[\s/][^>]*href|<meta\s[^>]*(?:http-equiv|charset)|<object\s[^>]*data|<\??import[\s/]*implementation|<(?:img|video|audio|body|details|style|form|input|template)[\s/][^>]*(?:\bon\w+\s*=|javascript:|formaction|src\s*=\s*["']?x\b)`},
		{name: "spaced tag", phrases: []string{"<f ", "<i ", "<s ", "<d ", "<o ", "<e "}, re: `<(?:f\s+o\s+r\s+m|i\s+f\s+r\s+a\s+m\s+e|s\s+c\s+r|s\s+v\s+g|d\s+i\s+a\s+l\s+o\s+g|o\s+b\s+j\s+e\s+c\s+t|e\s+m\s+b\s+e\s+d)`},
		{name: "event handler", phrases: handlers(), re: `(?:["'` + "`" + `/;<]\s*|<[^>]*\s|` + start + `\s+)on` + events + `\s*[=\x02]|\son` + events + `\s*=\s*["']?\s*(?:alert|prompt|confirm|eval|document|window|javascript|location|fetch|import)`},
		{name: "attribute", phrases: []string{"formaction", "xmlns", "srcdoc", "xlink:href", "fscommand", "dynsrc", "lowsrc"}, re: `["'<\s]\s*(?:formaction|srcdoc|xlink:href|fscommand|dynsrc|lowsrc)\s*=|<[^>]*\sxmlns(?::\w+)?\s*=`},
		{name: "script address", phrases: []string{"script:", "script :"}, re: `(?:` + start + `|["'(=\s])\s*(?:j\s*a\s*v\s*a|vb|live)\s*script\s*:\s*(?:[a-z_$(/\\'"\[{` + "`" + `;]|[\x01])|url\s*\(\s*["']?\s*javascript`},
		{name: "data address", phrases: []string{"data:"}, re: `data\s*:\s*(?:text/html|text/xml|image/svg|application/x|text/javascript|[^\x01]*,\s*<|,\s*alert)|data:[^\x01]*;base64,phn2zy|data:[^\x01]*;base64,phnjcm`},
		{name: "data address", phrases: []string{"data: ,"}, re: `data:\s*,\s*<`},
		{name: "dialog", phrases: []string{"alert(", "alert (", "alert`", "alert\"]", "alert']", "prompt(", "prompt (", "prompt`", "prompt\"]", "prompt']", "confirm(", "confirm (", "confirm`", "confirm\"]", "confirm']"}, re: `(?:` + start + `|[^a-z0-9_.])(?:(?:window|top|self|parent|this|globalthis)\s*[.\[]\s*["']?)?(?:alert|prompt|confirm)["'\]]*\s*(?:\(\s*(?:\)|[\d'"` + "`" + `/]|document|string|this|window|origin|\w+\.)|` + "`" + `)`, quoted: true},
		{name: "script call", phrases: []string{"eval(", "eval (", "settimeout", "setinterval", "new function", "atob(", "btoa(", "atob (", "fromcharcode", "importscripts", "execscript", "document.write"}, re: word + `(?:eval\s*\(\s*['"\w\d` + "`" + `]|set(?:timeout|interval)\s*\(\s*['"\w]|new\s+function\s*\(|(?:atob|btoa)\s*\(|string\s*\.\s*fromcharcode|importscripts\s*\(|execscript\s*\(|document\s*\.\s*write(?:ln)?\s*\()`, quoted: true},
		{name: "page object", phrases: []string{"document.", "document[", "window.", "window[", "self.location", "top.location", "parent.location", "self[", "top[", "location=", "location =", "location.", "xmlhttprequest", "localstorage"}, re: word + `(?:document\s*[.\[]\s*["']?(?:cookie|domain|location|body|forms|head|createelement|getelement\w+|url)\b["'\]]*\s*[()=;+\]\[.]|(?:window|self|top|parent)\s*[.\[]\s*["']?(?:location|name|open|onerror|eval|alert)\b["'\]]*\s*[=(\[.]|location\s*(?:\.(?:href|replace|assign))?\s*=\s*["']?(?:javascript|http|/)|new\s+xmlhttprequest|localstorage\s*\.\s*(?:get|set)item)`, quoted: true, only: inURL},
		{name: "call without brackets", phrases: []string{"call`", "call `", "apply`", "map`", "sort`", "constructor`", "`${"}, re: `(?:call|apply|map|sort|constructor|filter|foreach)\s*` + "`"},
		{name: "constructor", phrases: []string{"constructor"}, re: `\{\{[^}]*constructor|constructor\s*(?:\.|\[\s*["'])\s*constructor|constructor\s*\(\s*["']`},
		{name: "unusual assignment", phrases: []string{"valueof", "tostring"}, re: `["'][^\x01]*\s*(?:in|,|;)\s*[^\x01]*(?:valueof|tostring)\s*=`},
		{name: "utf-7", phrases: []string{"+adw-", "+ad4-", " adw-"}, re: `[+ ]adw-?[a-z/]`},
		{name: "entity definition", phrases: []string{"!entity", "<!doctype", "!attlist", "!element"}, re: `!entity\s|<!doctype\s[^>]*\[|!(?:attlist|element)\s`},
		{name: "style expression", phrases: []string{"expression(", "-moz-binding", "behavior:"}, re: `(?:style|width|:)[^\x01]*expression\s*\(|-moz-binding\s*:|behavior\s*:\s*url`},
	}
}
