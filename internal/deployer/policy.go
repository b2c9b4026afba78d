package deployer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// OfEc2AndIam tells the rights that are in a policy of their own, policies/deployer-policy-ec2-iam.json: one would be too long.
func OfEc2AndIam(r Right) bool {
	service, _, _ := strings.Cut(r.Action, ":")
	return service == "ec2" || service == "iam" || service == "route53"
}

// Implied are rights that no call in the sandbox shows: what AWS itself checks, or what the provider does only on AWS.
var Implied = []Right{
	// The provider's deletion of a security group or subnet deletes the network interfaces that Lambda leaves behind, once
	// Lambda lets go of them. They have no tag.
	{Action: "ec2:DeleteNetworkInterface", Resource: "arn:aws:ec2:ap-northeast-1:123456789012:network-interface/*"},
	// The first API of an account makes AWS's own role for API Gateway (API Gateway Developer Guide, "Using service-linked
	// roles for API Gateway").
	{"iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway", "iam:AWSServiceName", "ops.apigateway.amazonaws.com"},
	// The answers of auditors' queries go with the stack (components/auditquery.go): the provider empties their bucket. It
	// cannot read them.
	{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::bedrock-audit-*/*"},
	{Action: "s3:DeleteObjectVersion", Resource: "arn:aws:s3:::bedrock-audit-*/*"},
	{Action: "s3:ListBucketVersions", Resource: "arn:aws:s3:::bedrock-audit-*"},
}

// denied are uses of the rights to tag, by which the deployer could make another owner's resource, or the log's key, one that
// a tag allows it to delete or to change. KMS and EC2 check these rights for a new resource too, which has no alias and no
// tag yet.
var denied = []statement{
	// The log's key has an alias from its deployment on, the alarms' key has none, and the deployer deletes no alias
	// (KMS Developer Guide, "Use aliases to control access to KMS keys").
	{"Deny", []string{"kms:ScheduleKeyDeletion", "kms:TagResource"}, []string{"arn:aws:kms:ap-northeast-1:123456789012:key/*"},
		map[string]map[string][]string{"Null": {"kms:ResourceAliases": {"false"}}}},
	{"Deny", []string{"kms:TagResource"}, []string{"arn:aws:kms:ap-northeast-1:123456789012:key/*"},
		map[string]map[string][]string{"Null": {systemTag: {"false"}}}},
	// Only calls of CreateTags itself have no ec2:CreateAction (EC2 User Guide, "Grant permission to tag Amazon EC2 resources
	// during creation").
	{"Deny", []string{"ec2:CreateTags"}, []string{"*"}, map[string]map[string][]string{"Null": {systemTag: {"false"}, "ec2:CreateAction": {"true"}}}},
}

type statement struct {
	Effect           string
	Action, Resource []string
	Condition        map[string]map[string][]string `json:",omitempty"`
}

// Policy is the identity policy that allows these rights, which are patterns, except what is denied, and nothing else, beside
// a policy that allows others. EC2 and Glue check each action against its own types of resource only, so those of theirs that have one condition,
// or none, share a statement.
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
		if r.Key == "ec2:CreateAction" { // a tag goes on what the call makes, whatever that is
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

// covered tells a right that a wider one holds already, on the same condition or without one.
func covered(r Right, by []Right) bool {
	return slices.ContainsFunc(by, func(wider Right) bool {
		return wider != r && wider.Action == r.Action && (wider.Key == "" || wider.Key == r.Key && wider.Value == r.Value) && holds(wider.Resource, r.Resource)
	})
}

// holds tells whether a resource, or one that ends in *, matches all that another does. "*" alone is of actions that have no
// resource.
func holds(wider, resource string) bool {
	start, any := strings.CutSuffix(wider, "*")
	return wider == resource || any && start != "" && strings.HasPrefix(resource, start)
}
