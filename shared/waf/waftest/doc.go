// Package waftest holds what stands in for a firewall, and the tests that every firewall must pass.
//
// Three stand-ins speak the wire protocols of their clouds on loopback, so that the adapters and the
// functions are tried through the real SDKs: AWS, a WAFv2 with the STS and the CloudFront that a
// sync needs; Alibaba, a WAF 3.0 and a Cloud Firewall; and Tencent, security groups, load balancers and the
// access control list of WAF. Each is as strict as its service is documented to be, where a sloppier
// one would let bugs pass, and where no source says what a service does, it does what is harder to live
// with. What was asked of them is in their Calls; FailCall, FailWrite, Fail and Before say what goes wrong, before a
// call takes effect or after.
//
// Firewall and Booked are in memory: a waf.SetFirewall and a waf.BookFirewall with two-sided
// faults. TestFirewall is the contract; SecondWriter edits a wall as somebody else would.
package waftest
