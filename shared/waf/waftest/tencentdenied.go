package waftest

import "strings"

// Deny makes calls of some actions fail as they do without a permission, from now on:
// "CreateAddressTemplate", "vpc:CreateAddressTemplate", "vpc:*" or "*". It replaces what was denied before;
// without arguments it denies nothing.
func (t *Tencent) Deny(actions ...string) { t.mu.Lock(); t.denied = actions; t.mu.Unlock() }

// permit judges a request against what was denied. WAF answers with another code than its neighbours.
func (t *Tencent) permit(r tcRequest) *tcError {
	for _, action := range t.denied {
		service, name, named := strings.Cut(action, ":")
		if !named {
			service, name = r.service, action
		}
		if service != r.service || name != "*" && name != r.action {
			continue
		}
		code := "UnauthorizedOperation"
		if r.service == tcWAF {
			code = "AuthFailure.UnauthorizedOperation"
		}
		return tcRefuse(code, "you are not authorized to perform operation (%s:%s), resource (*) has no permission", r.service, r.action)
	}
	return nil
}
