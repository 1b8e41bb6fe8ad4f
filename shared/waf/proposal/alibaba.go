package proposal

import (
	"fmt"
	"net/netip"
)

// forAlibaba writes a custom rule of WAF 3.0, as CreateDefenseRule takes it. Its rate
// limit counts each client alone, which quiet ones never reach, so it challenges everybody.
func forAlibaba(p *Proposal, s shared) {
	condition := object{"opValue": "eq", "values": s.value}
	switch s.kind {
	case "path":
		condition["key"] = "URLPath"
	case "agent":
		condition["key"] = "User-Agent"
	case "network":
		network, err := netip.ParsePrefix(s.value)
		if err != nil {
			p.Refused = "WAF 3.0 takes address ranges, and no AS numbers: look up the operator's ranges and put them into an address book"
			return
		}
		condition = object{"key": "IP", "opValue": "contain", "values": network.Masked().String()}
	default:
		p.Refused = "which names WAF 3.0 has for fingerprints is not documented: make a bot management template in the console"
		return
	}
	p.Title = fmt.Sprintf("let a browser's script answer for every client of this %s", s.kind)
	p.Note = "Paste it as Rules of CreateDefenseRule (DefenseScene custom_acl, your TemplateId), or fill in the console's form for a custom rule. " +
		"It is for web pages: where programs call, take the action block with a condition of your own, or peak traffic throttling (spike_throttle). Take it away when the campaign is over."
	p.Text = asciiJSON([]object{{
		"name": "campaign-" + s.name, "origin": "custom", "status": 1, "action": "js", "ccStatus": 0, "conditions": []object{condition},
	}})
}
