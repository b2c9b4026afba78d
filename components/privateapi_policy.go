package components

import (
	"fmt"
	"slices"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

// apiPolicy denies every request that doesn't come through one of the VPC endpoints and, if callers are named, every
// other caller. Deny and Allow are both needed: with IAM authorization a caller's own policy can replace the Allow, and
// without the Allow no caller is allowed (API Gateway Developer Guide, "How resource policies affect authorization
// workflow").
//
// API Gateway returns the short form "execute-api:/*" as a full ARN, which every preview would then report as a change.
// The API's own id isn't known before the API, so it's a wildcard. The policy is attached to this API only.
func apiPolicy(t iamdoc.Target, vpcEndpointIds []string, authorization string, callerArns []string) (string, error) {
	if len(vpcEndpointIds) == 0 || slices.Contains(vpcEndpointIds, "") {
		return "", fmt.Errorf("VpcEndpointIds: got %q, want at least one, and no empty one: the policy would deny "+
			"every call or none", vpcEndpointIds)
	}
	resource := []string{t.ARN("execute-api", "*/*")}
	deny := func(sid, operator, key string, unless []string) iamdoc.Statement {
		return iamdoc.Statement{
			Sid: sid, Effect: "Deny", Principal: "*", Action: []string{"execute-api:Invoke"}, Resource: resource,
			Condition: iamdoc.Conditions{operator: {key: unless}},
		}
	}
	statements := []iamdoc.Statement{
		deny("OnlyThroughTheseEndpoints", "StringNotEquals", "aws:SourceVpce", vpcEndpointIds),
	}
	allow := iamdoc.Statement{
		Sid: "Invoke", Effect: "Allow", Principal: "*", Action: []string{"execute-api:Invoke"}, Resource: resource,
	}
	switch {
	case len(callerArns) > 0:
		// In a condition and not as principals: API Gateway rejects principals that don't exist, and IAM would store their
		// unique IDs, and so deny a role that's recreated under the same name.
		var named []string
		for _, arn := range callerArns {
			if account, isAccount := strings.CutSuffix(arn, ":root"); isAccount {
				arn = account + ":*" // every principal in it
			}
			named = append(named, arn)
		}
		statements = append(statements, deny("OnlyTheseCallers", "ArnNotLike", "aws:PrincipalArn", named))
	case authorization == "AWS_IAM":
		allow.Principal = map[string][]string{"AWS": {t.Root()}}
	}
	return iamdoc.JSON(append(statements, allow)...)
}

// apiEndpointPolicy lets calls through an execute-api endpoint to this API only, all its stages and methods. The API's
// own policy decides which callers are allowed: callers without a signature are anonymous here (API Gateway Developer
// Guide, "Use VPC endpoint policies for private APIs").
func apiEndpointPolicy(executionArn string) (string, error) {
	return iamdoc.EndpointPolicy(iamdoc.Statement{
		Sid: "ThisApi", Effect: "Allow", Principal: "*", Action: []string{"execute-api:Invoke"},
		Resource: []string{executionArn + "/*"},
	})
}
