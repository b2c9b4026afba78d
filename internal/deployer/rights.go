// Package deployer knows the rights that a deployment needs. It reads them off the calls that pulumi makes, and makes of
// them the policies policies/deployer-policy.json and policies/preview-policy.json.
package deployer

import (
	"fmt"
	"regexp"
	"strings"
)

// Right is what IAM is asked about a call: an action on a resource. Of the condition keys that AWS sends along, only
// one is of use here; most rights have none.
type Right struct{ Action, Resource, Key, Value string }

// String is the right as a line of testdata.
func (r Right) String() string {
	if r.Key == "" {
		return r.Action + " " + r.Resource
	}
	return r.Action + " " + r.Resource + " " + r.Key + "=" + r.Value
}

// Parse reads such a line.
func Parse(line string) (Right, error) {
	fields := strings.Fields(line)
	switch len(fields) {
	case 2:
		return Right{Action: fields[0], Resource: fields[1]}, nil
	case 3:
		key, value, _ := strings.Cut(fields[2], "=")
		return Right{fields[0], fields[1], key, value}, nil
	}
	return Right{}, fmt.Errorf("got %q, want an action, a resource, and perhaps key=value", line)
}

// Context is what the request carries.
func (r Right) Context() map[string][]string {
	if r.Key == "" {
		return nil
	}
	return map[string][]string{r.Key: {r.Value}}
}

// The names under which the program makes resources, with what Pulumi appends. A second stack's differ in the environment.
var (
	environments = regexp.MustCompile(`bedrock-app-(local|second)`)
	ownName      = regexp.MustCompile(`(bedrock-app-dev|bedrock-logging|bedrock-audit|api-gateway-account)-[^:/]*|(bedrock_audit)_[^:/]*`)
	suffix       = regexp.MustCompile(`-[0-9a-f]{7}$`)
	// What AWS chose: ids of EC2, of keys, APIs, guardrails and inference profiles.
	foreignName = regexp.MustCompile(`^(arn:aws:(?:ec2:[^:]*:[^:]*:[a-z-]+|kms:[^:]*:[^:]*:key|bedrock:[^:]*:[^:]*:[a-z-]+|apigateway:[^:]*::/restapis)/).+`)
)

// OfDev is the same right of stack dev, for which the policies are written.
func (r Right) OfDev() Right {
	r.Resource = environments.ReplaceAllString(r.Resource, "bedrock-app-dev")
	r.Value = environments.ReplaceAllString(r.Value, "bedrock-app-dev")
	return r
}

// Pattern is the right as a policy gives it, on every resource that has a name or an id of this kind: those of one
// deployment are not those of the next. AWS's own resources keep their names.
func (r Right) Pattern() Right {
	r = r.OfDev()
	if r.Key == "iam:PassedToService" { // the function's role to Lambda, and no other of the stack's
		r.Resource = suffix.ReplaceAllString(r.Resource, "-*")
		return r
	}
	r.Resource = ownName.ReplaceAllStringFunc(r.Resource, func(name string) string {
		found := ownName.FindStringSubmatch(name)
		if found[2] != "" {
			return found[2] + "_*"
		}
		return found[1] + "-*"
	})
	if found := foreignName.FindStringSubmatch(r.Resource); found != nil {
		r.Resource = found[1] + "*"
	}
	return r
}
