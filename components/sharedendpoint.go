package components

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// warnOfPolicy compares the policy of a shared endpoint with the one that a component needs, and warns about what's
// missing: calls would be denied with nothing but status 403. It needs both from AWS, so that a first preview has no
// warning.
func warnOfPolicy(s scope, endpointId pulumi.StringInput, needed pulumi.StringOutput) {
	endpoint := ec2.LookupVpcEndpointOutput(s.ctx, ec2.LookupVpcEndpointOutputArgs{
		Id: endpointId.ToStringOutput().ToStringPtrOutput(),
	}, s.lookup())
	pulumi.All(endpointId, endpoint.Policy(), needed).ApplyT(func(v []any) (string, error) {
		missing, err := missingFrom(v[1].(string), v[2].(string))
		if err != nil || len(missing) == 0 {
			return "", err
		}
		warning := fmt.Sprintf("the policy of endpoint %v does not allow %s; its owner has to add:\n%s",
			v[0], strings.Join(missing, ", "), v[2])
		return "", s.ctx.Log.Warn(warning, &pulumi.LogArgs{Resource: s.component})
	})
}

// missingFrom lists what a needed policy allows and the owner's doesn't. An owner's policy that iampolicy can't parse
// allows nothing.
func missingFrom(owners, needed string) (missing []string, err error) {
	var document iamdoc.Document
	if err := json.Unmarshal([]byte(needed), &document); err != nil {
		return nil, err
	}
	// AWS's full-access policy has the older version, which differs in policy variables only. iampolicy has none.
	policy, refusal := iampolicy.ParseResource(strings.Replace(owners, `"2008-10-17"`, `"2012-10-17"`, 1))
	for _, s := range document.Statement {
		r := iampolicy.Request{Context: s.Condition["StringEquals"]}
		if caller := r.Context["aws:PrincipalArn"]; len(caller) > 0 {
			r.Principal.ARN = caller[0]
		}
		for _, r.Action = range s.Action {
			for _, resource := range s.Resource {
				if r.Resource = strings.ReplaceAll(resource, "/*", "/any"); refusal != nil || policy.Decide(r) != iampolicy.Allow {
					missing = append(missing, r.Action+" on "+resource)
				}
			}
		}
	}
	return missing, nil
}
