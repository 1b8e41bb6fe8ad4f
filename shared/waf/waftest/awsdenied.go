package waftest

import "strings"

// denied is AWS's answer to what no policy allows.
func denied(r request, code, resource string) *apiError {
	return refuse(code, "User: %s is not authorized to perform: %s:%s on resource: %s because no identity-based policy allows the %s:%s action",
		r.caller, r.service, r.op, resource, r.service, r.op)
}

// Deny makes the account's calls of some actions fail as they do without a permission,
// from now on and before anything else is judged: "UpdateIPSet", "sts:AssumeRole", or "*" for all. It
// replaces what was denied before; without arguments it denies nothing.
func (v *View) Deny(actions ...string) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	v.aws.denied[v.account] = actions
}

// permit judges the request against what was denied.
func (a *AWS) permit(r request) *apiError {
	for _, action := range a.denied[r.account] {
		if action != "*" && action != r.op && action != r.service+":"+r.op {
			continue
		}
		resource := "*"
		for _, field := range []string{"ARN", "ResourceARN", "WebACLArn", "RoleArn"} {
			if ref := r.str(field); ref != "" {
				resource = ref
			}
		}
		if kind := kindOf(r.op); resource == "*" && kind != "" && r.str("Name") != "" {
			id := r.str("Id")
			if id == "" {
				id = "*"
			}
			resource = arn(r.space(), kind, r.str("Name"), id)
		}
		if r.service == serviceWAF {
			return denied(r, "AccessDeniedException", resource)
		}
		return denied(r, "AccessDenied", resource)
	}
	return nil
}

// kindOf is what an ARN calls the objects of an operation.
func kindOf(op string) string {
	for suffix, kind := range map[string]string{"IPSet": "ipset", "RuleGroup": "rulegroup", "WebACL": "webacl"} {
		if strings.HasSuffix(op, suffix) {
			return kind
		}
	}
	return ""
}
