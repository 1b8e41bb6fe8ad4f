package aliwaf

import "github.com/tracewall/tracewall/shared/waf/targets"

// ParseTargets reads a JSON array of targets, as ALIBABA_TARGETS holds it:
//
//	[{"name":"shop","region":"cn-hangzhou"}]
//
// name and region are required. instance_id defaults to the WAF 3.0 instance that the account has there,
// mode to auto, action to block, drift to repair, max_release to 10, max_add to 100; without objects
// every protected object of the instance is protected. What else there is:
//
//	"instance_id":"waf_v3prepaid_public_cn-0xldbqtm005"
//	"mode":"address-book","batch":200,"entries":20000     addresses in one call; how many the edition's book holds
//	"mode":"ip-blacklist","set_size":200,"templates":2    addresses in one rule; templates that we may make
//	"mode":"cloud-firewall","books":5                     address books of 2,000 that we may make
//	"mode":"cloud-firewall","manage":true,"order":3       make and keep the policies that drop what the books list, third from the top
//	"objects":["shop.example.com-waf","alb-0a1b2c-alb"]   protect only these
//	"action":"monitor"                                    count and log, block nobody
//	"sync":"observe"                                      plan and report only, whatever SYNC_MODE says
//	"drift":"report","max_release":5,"max_add":50
//
// A key that is not known, or there twice, is a problem, and so is one that the mode has no use
// for. What is there and wrong is never replaced by a default; the error names every problem at once.
func ParseTargets(text string) ([]Target, error) {
	return targets.Parse(text, targetKeys, func(f targets.Fields) Target {
		t := readTarget(f)
		f.ClaimName(t.Name)
		return t
	})
}
