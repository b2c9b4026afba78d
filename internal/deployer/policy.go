package deployer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// OfEc2AndIam reports whether a right is in the separate policy policies/deployer-policy-ec2-iam.json. A single policy
// would be too long.
func OfEc2AndIam(r Right) bool {
	service, _, _ := strings.Cut(r.Action, ":")
	return service == "ec2" || service == "iam" || service == "route53"
}

// Implied lists rights that no call in the sandbox requires: AWS itself checks them, or the provider needs them only on
// AWS.
var Implied = []Right{
	// If you delete a security group or subnet, the provider deletes the network interfaces that Lambda leaves behind,
	// after Lambda releases them. They have no tag.
	{Action: "ec2:DeleteNetworkInterface", Resource: "arn:aws:ec2:ap-northeast-1:123456789012:network-interface/*"},
	// The first API of an account creates AWS's service-linked role for API Gateway (API Gateway Developer Guide,
	// "Using service-linked roles for API Gateway").
	{"iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway", "iam:AWSServiceName", "ops.apigateway.amazonaws.com"},
	// The results of auditors' queries are deleted with the stack (components/auditquery.go): the provider empties
	// their bucket. It can't read them.
	{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::bedrock-audit-*/*"},
	{Action: "s3:DeleteObjectVersion", Resource: "arn:aws:s3:::bedrock-audit-*/*"},
	{Action: "s3:ListBucketVersions", Resource: "arn:aws:s3:::bedrock-audit-*"},
}

// denied lists uses of the rights to tag that would let the deployer delete or change another owner's resource, or the
// log's key, because of a tag. KMS and EC2 check these rights for a new resource too, which has no alias and no tag
// yet.
var denied = []statement{
	// The log's key has an alias from its deployment on, and the alarms' key has none. The deployer deletes no alias
	// (KMS Developer Guide, "Use aliases to control access to KMS keys").
	{"Deny", []string{"kms:ScheduleKeyDeletion", "kms:TagResource"}, []string{"arn:aws:kms:ap-northeast-1:123456789012:key/*"},
		map[string]map[string][]string{"Null": {"kms:ResourceAliases": {"false"}}}},
	{"Deny", []string{"kms:TagResource"}, []string{"arn:aws:kms:ap-northeast-1:123456789012:key/*"},
		map[string]map[string][]string{"Null": {systemTag: {"false"}}}},
	// Only direct calls of CreateTags have no ec2:CreateAction (EC2 User Guide, "Grant permission to tag Amazon EC2
	// resources during creation").
	{"Deny", []string{"ec2:CreateTags"}, []string{"*"}, map[string]map[string][]string{"Null": {systemTag: {"false"}, "ec2:CreateAction": {"true"}}}},
}

type statement struct {
	Effect           string
	Action, Resource []string
	Condition        map[string]map[string][]string `json:",omitempty"`
}

// Policy returns the identity policy that allows exactly these rights, which are patterns, except the denied uses. It
// omits the rights of the policy beside it. EC2 and Glue check each action only against its own types of resource, so
// their actions with one condition, or without one, share a statement.
func Policy(rights, beside []Right) ([]byte, error) {
	rights = slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return slices.Contains(beside, r) || covered(r, slices.Concat(rights, beside)) })
	type group struct{ key, value, resources string }
	resources := map[Right][]string{} // by action and condition
	groups := map[group]*statement{}
	conditions := map[string]map[string]bool{} // by action
	for _, r := range rights {
		if conditions[r.Action] == nil {
			conditions[r.Action] = map[string]bool{}
		}
		conditions[r.Action][r.Key] = true
		condition := Right{Action: r.Action, Key: r.Key, Value: r.Value}
		resources[condition] = append(resources[condition], r.Resource)
	}
	for r, all := range resources {
		slices.Sort(all)
		g := group{r.Key, r.Value, strings.Join(all, " ")}
		if service, _, _ := strings.Cut(r.Action, ":"); (service == "ec2" || service == "glue") && all[0] != "*" && len(conditions[r.Action]) == 1 {
			g.resources = service
		}
		if r.Key == "ec2:CreateAction" { // the tag applies to every resource that the call creates
			g.value, g.resources = "", ""
		}
		s := groups[g]
		if s == nil {
			s = &statement{Effect: "Allow"}
			if r.Key != "" {
				s.Condition = map[string]map[string][]string{"StringEquals": {r.Key: nil}}
			}
			groups[g] = s
		}
		s.Action, s.Resource = append(s.Action, r.Action), append(s.Resource, all...)
		if r.Key != "" {
			s.Condition["StringEquals"][r.Key] = append(s.Condition["StringEquals"][r.Key], r.Value)
		}
	}
	var document struct {
		Version   string
		Statement []*statement
	}
	document.Version, document.Statement = "2012-10-17", slices.Collect(maps.Values(groups))
	for _, d := range denied {
		if tagging := d.Action[len(d.Action)-1]; conditions[tagging] != nil {
			document.Statement = append(document.Statement, &d)
		}
	}
	for _, s := range document.Statement {
		s.Action = sorted(slices.Clone(s.Action))
		resources := sorted(slices.Clone(s.Resource))
		s.Resource = slices.DeleteFunc(slices.Clone(resources), func(r string) bool {
			return slices.ContainsFunc(resources, func(wider string) bool { return wider != r && holds(wider, r) })
		})
		for key, values := range s.Condition["StringEquals"] {
			s.Condition["StringEquals"][key] = sorted(values)
		}
	}
	slices.SortFunc(document.Statement, func(a, b *statement) int {
		return slices.Compare(slices.Concat(a.Action, a.Resource), slices.Concat(b.Action, b.Resource))
	})
	content, err := json.MarshalIndent(document, "", "  ")
	return append(content, '\n'), err
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// covered reports whether a wider right contains a right, with the same condition or without one.
func covered(r Right, by []Right) bool {
	return slices.ContainsFunc(by, func(wider Right) bool {
		return wider != r && wider.Action == r.Action && (wider.Key == "" || wider.Key == r.Key && wider.Value == r.Value) && holds(wider.Resource, r.Resource)
	})
}

// holds reports whether a resource, which can end in *, matches everything that another one matches. "*" alone is for
// actions without a resource.
func holds(wider, resource string) bool {
	start, any := strings.CutSuffix(wider, "*")
	return wider == resource || any && start != "" && strings.HasPrefix(resource, start)
}
