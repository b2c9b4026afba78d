// Package deployer determines the rights that a deployment needs. It derives them from the calls that Pulumi makes, and
// writes the policies policies/deployer-policy.json and policies/preview-policy.json.
package deployer

import (
	"fmt"
	"regexp"
	"strings"
)

// Right is what IAM checks for a call: an action on a resource. It has at most one of the condition keys that AWS
// sends; most rights have none.
type Right struct{ Action, Resource, Key, Value string }

// String returns the right as a line of testdata.
func (r Right) String() string {
	if r.Key == "" {
		return r.Action + " " + r.Resource
	}
	return r.Action + " " + r.Resource + " " + r.Key + "=" + r.Value
}

// Parse parses a line of testdata.
func Parse(line string) (Right, error) {
	fields := strings.Fields(line)
	switch len(fields) {
	case 2:
		return Right{Action: fields[0], Resource: fields[1]}, nil
	case 3:
		key, value, _ := strings.Cut(fields[2], "=")
		return Right{fields[0], fields[1], key, value}, nil
	}
	return Right{}, fmt.Errorf("got %q, must be an action, a resource, and optionally key=value", line)
}

// Context returns the condition keys of the request.
func (r Right) Context() map[string][]string {
	if r.Key == "" {
		return nil
	}
	return map[string][]string{r.Key: {r.Value}}
}

// These patterns match the names of the program's resources with Pulumi's suffix. The names of a second stack differ in
// the environment.
var (
	environments = regexp.MustCompile(`bedrock-app-(local|second)`)
	ownName      = regexp.MustCompile(`(bedrock-app-dev|bedrock-logging|bedrock-audit|api-gateway-account)-[^:/]*|(bedrock_audit)_[^:/]*`)
	suffix       = regexp.MustCompile(`-[0-9a-f]{7}$`)
	// foreignName matches the IDs that AWS chooses: of EC2 resources, keys, APIs, guardrails and inference profiles.
	foreignName = regexp.MustCompile(`^(arn:aws:(?:ec2:[^:]*:[^:]*:[a-z-]+|kms:[^:]*:[^:]*:key|bedrock:[^:]*:[^:]*:[a-z-]+|apigateway:[^:]*::/restapis)/).+`)
)

// OfDev returns the right with the names of stack dev, for which the policies are written.
func (r Right) OfDev() Right {
	r.Resource = environments.ReplaceAllString(r.Resource, "bedrock-app-dev")
	r.Value = environments.ReplaceAllString(r.Value, "bedrock-app-dev")
	return r
}

// Pattern returns the right for every resource whose name or ID is of this kind, because these differ between
// deployments. AWS's own resources keep their names.
func (r Right) Pattern() Right {
	r = r.OfDev()
	if r.Key == "iam:PassedToService" { // only the function's role can be passed to Lambda
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
