package waftest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// aliParameters are what each action takes, as the vendor's API metadata has them: name, ! if it
// is required, * if it is repeated (Name.1, Name.2 …), at most 200 times unless another check says so. The
// service overlooks names that it does not know; the stand-in refuses them, since they are slips.
var aliParameters = map[string]string{
	"DescribeInstance":                 "RegionId",
	"CreateDefenseTemplate":            "InstanceId! TemplateName! TemplateType! TemplateStatus! DefenseScene! TemplateOrigin! Description RegionId UnbindResources* UnbindResourceGroups*",
	"DescribeDefenseTemplates":         "InstanceId! TemplateIds TemplateName TemplateId TemplateType DefenseScene DefenseSubScene Resource ResourceType PageNumber PageSize RegionId",
	"DescribeDefenseTemplate":          "InstanceId! TemplateId! RegionId",
	"ModifyDefenseTemplate":            "InstanceId! TemplateId! TemplateName! Description RegionId",
	"ModifyDefenseTemplateStatus":      "InstanceId! TemplateId! TemplateStatus! RegionId",
	"DeleteDefenseTemplate":            "InstanceId! TemplateId! RegionId",
	"ModifyTemplateResources":          "InstanceId! TemplateId! BindResources* BindResourceGroups* UnbindResources* UnbindResourceGroups* RegionId",
	"DescribeTemplateResources":        "InstanceId! TemplateId! ResourceType! Resource NextToken MaxResults RegionId",
	"DescribeDefenseResources":         "InstanceId! PageNumber PageSize Query RegionId",
	"DescribeDefenseResourceTemplates": "InstanceId! Resource! ResourceType RuleId RuleName RuleType TemplateName RegionId",
	"CreateDefenseRule":                "InstanceId! DefenseScene! Rules! TemplateId DefenseType Resource RegionId",
	"ModifyDefenseRule":                "InstanceId! Rules! DefenseScene TemplateId DefenseType Resource RegionId",
	"ModifyDefenseRuleStatus":          "InstanceId! RuleId! RuleStatus! TemplateId DefenseType RegionId",
	"DeleteDefenseRule":                "InstanceId! RuleIds! TemplateId DefenseType Resource RegionId",
	"DescribeDefenseRule":              "InstanceId! RuleId! TemplateId DefenseType Resource RegionId",
	"DescribeDefenseRules":             "InstanceId! RuleType Query PageNumber PageSize DefenseType RegionId",
	"AddAddress":                       "InstanceId! RuleId! AddressList* RegionId",
	"DeleteAddress":                    "InstanceId! RuleId! AddressList* RegionId",
	"ClearAddress":                     "InstanceId! RuleId! RegionId",
	"DescribeAddresses":                "InstanceId! RuleId AddressLike MaxResults NextToken RegionId",

	"AddAddressBook":              "GroupName! GroupType! Description! AddressList AutoAddTagEcs",
	"ModifyAddressBook":           "GroupUuid! GroupName! Description! AddressList ModifyMode AutoAddTagEcs",
	"DeleteAddressBook":           "GroupUuid!",
	"DescribeAddressBook":         "GroupUuid GroupType Query CurrentPage PageSize",
	"AddControlPolicy":            "AclAction! Description! Direction! Source! SourceType! Destination! DestinationType! Proto! NewOrder! " + policyParameters + " IpVersion",
	"ModifyControlPolicy":         "AclUuid! AclAction Description Direction Source SourceType Destination DestinationType Proto " + policyParameters,
	"DeleteControlPolicy":         "AclUuid! Direction",
	"DescribeControlPolicy":       "CurrentPage! PageSize! Direction Source Destination Description Proto AclAction Release AclUuid IpVersion RepeatType",
	"ModifyControlPolicyPriority": "AclUuid! Order!",
	"DescribePolicyPriorUsed":     "Direction! IpVersion",
}

const policyParameters = "ApplicationName ApplicationNameList* DestPort DestPortType DestPortGroup Release RepeatType DomainResolveType"

// sharedParameters may stand in every call and mean nothing here.
var sharedParameters = map[string][]string{
	productWAF:   {"ResourceManagerResourceGroupId"},
	productCloud: {"Lang", "SourceIp", "RegionId"},
}

var numbered = regexp.MustCompile(`^([A-Za-z]+)\.([1-9][0-9]*)$`)

// checkParameters holds a call to aliParameters.
func checkParameters(r aliRequest) *aliError {
	known := sharedParameters[r.product]
	var lists []string
	for one := range strings.FieldsSeq(aliParameters[r.action]) {
		name := strings.TrimRight(one, "!*")
		if strings.HasSuffix(one, "!") && r.str(name) == "" {
			return missing(name)
		}
		if strings.HasSuffix(one, "*") {
			lists = append(lists, name)
		} else {
			known = append(slices.Clip(known), name)
		}
	}
	for name := range r.params {
		if slices.Contains(known, name) {
			continue
		}
		m := numbered.FindStringSubmatch(name)
		if m == nil || !slices.Contains(lists, m[1]) {
			if slices.Contains(lists, name) {
				return badList(name)
			}
			return wrong(name, "%s does not take it", r.action)
		}
		if n, _ := strconv.Atoi(m[2]); n > 1 && !r.params.Has(m[1]+"."+strconv.Itoa(n-1)) {
			return wrong(m[1], "want %s.1, %s.2 … without a gap", m[1], m[1])
		}
	}
	return nil
}

// badList is the answer to a list that came as one text, a JSON array say.
func badList(name string) *aliError {
	if strings.HasPrefix(name, "Bind") || strings.HasPrefix(name, "Unbind") {
		return bad("Invalid"+name, "The specified %s is invalid: want %s.1, %s.2 …", name, name, name)
	}
	return wrong(name, "want %s.1, %s.2 …", name, name)
}

// aliName is what the names of templates, rules and books may be made of; blanks are not in it (DOC: CreateDefenseTemplate).
var aliName = regexp.MustCompile(`^[\p{Han}A-Za-z0-9_.-]{1,255}$`)

// maxDescription of templates and books, in characters. UNVERIFIED.
const maxDescription = 255
