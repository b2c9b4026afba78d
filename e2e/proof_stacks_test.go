//go:build e2e

package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/apigateway"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
)

// deployedStack is what the emulated AWS says of one stack.
type deployedStack struct {
	name, apiID, vpcID      string
	endpoints               map[string]string // ids by service
	functionArn, roleArn    string
	logGroup                string
	modelIDs                []string
	guardrail, guardVersion string
	tiers                   []string
}

// readStack reads a stack's policies back into the proof.
func (s *running) readStack(t *testing.T, p *proof, name string, outputs map[string]string) deployedStack {
	t.Helper()
	ctx := t.Context()
	d := deployedStack{name: name, apiID: outputs["apiId"], vpcID: outputs["vpcId"], endpoints: map[string]string{}}
	api, err := apigateway.DeploymentOf(ctx, s.aws, d.apiID)
	if err != nil {
		t.Fatal(err)
	}
	p.documents[name+" API"] = api.Policy
	endpoints, err := ec2.VPCEndpoints(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		if e.VpcID == d.vpcID {
			service := e.ServiceName[strings.LastIndex(e.ServiceName, ".")+1:]
			d.endpoints[service] = e.ID
			p.documents[name+" "+service+" endpoint"] = e.Policy
		}
	}
	var function struct {
		FunctionArn, Role string
		LoggingConfig     struct{ LogGroup string }
		Environment       struct{ Variables map[string]string }
	}
	var permission struct{ Policy string }
	path := "/2015-03-31/functions/" + outputs["functionName"]
	if err := s.aws.Get(ctx, "lambda", path+"/configuration", &function); err != nil {
		t.Fatal(err)
	}
	if err := s.aws.Get(ctx, "lambda", path+"/policy", &permission); err != nil {
		t.Fatal(err)
	}
	p.documents[name+" function"] = permission.Policy
	d.functionArn, d.roleArn, d.logGroup = function.FunctionArn, function.Role, function.LoggingConfig.LogGroup
	s.readRole(t, p, name+" function", function.Role)
	variables := function.Environment.Variables
	d.modelIDs, d.tiers = strings.Split(variables["MODEL_IDS"], ","), strings.Split(variables["SERVICE_TIERS"], ",")
	if variables["GUARDRAIL_ID"] != "" {
		d.guardrail, d.guardVersion = "arn:aws:bedrock:"+s.Region+":"+account+":guardrail/"+variables["GUARDRAIL_ID"], variables["GUARDRAIL_VERSION"]
	}
	return d
}

// readRole reads a role's trust policy and its own policies into the proof.
func (s *running) readRole(t *testing.T, p *proof, name, arn string) {
	t.Helper()
	roleName := arn[strings.LastIndex(arn, "/")+1:]
	var role struct {
		Trust string `xml:"GetRoleResult>Role>AssumeRolePolicyDocument"`
	}
	var inline struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	if err := iam.Query(t.Context(), s.aws, "GetRole", map[string]string{"RoleName": roleName}, &role); err != nil {
		t.Fatal(err)
	}
	if err := iam.Query(t.Context(), s.aws, "ListRolePolicies", map[string]string{"RoleName": roleName}, &inline); err != nil {
		t.Fatal(err)
	}
	p.documents[name+" trust"] = unescape(t, role.Trust)
	for _, policyName := range inline.Names {
		var out struct {
			Document string `xml:"GetRolePolicyResult>PolicyDocument"`
		}
		if err := iam.Query(t.Context(), s.aws, "GetRolePolicy", map[string]string{"RoleName": roleName, "PolicyName": policyName}, &out); err != nil {
			t.Fatal(err)
		}
		p.documents[name+" role"] = unescape(t, out.Document)
	}
}

func unescape(t *testing.T, document string) string {
	t.Helper()
	plain, err := url.PathUnescape(document)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

const (
	otherAccount = "999999999999"
	appUser      = "arn:aws:iam::" + account + ":user/app"
	partnerRole  = "arn:aws:iam::" + otherAccount + ":role/partner"
	// consumerEndpoint is of another account, and admitted to the first stack's API; strangerEndpoint is not.
	consumerEndpoint = "vpce-0000000000000dead"
	strangerEndpoint = "vpce-0000000000000beef"
)

// enforcedGuardrail is of another account, which is the organization's.
func enforcedGuardrail(region string) string {
	return "arn:aws:bedrock:" + region + ":" + otherAccount + ":guardrail/enforced1234"
}

// proves asks the deployed policies of both stacks: the first with authorization NONE in a VPC of its own, the second
// with AWS_IAM, a guardrail and every form of model, in a VPC that was there already.
func (s *running) proves(t *testing.T, second map[string]string) {
	p := &proof{documents: map[string]string{}}
	local, signed := s.readStack(t, p, "local", s.StackOutputs), s.readStack(t, p, "second", second)
	s.apiRows(p, local, signed)
	for _, d := range []deployedStack{local, signed} {
		other := signed
		if d.name == "second" {
			other = local
		}
		s.functionRows(p, d)
		fenceRows(p, d)
		s.modelRows(t, p, d, other)
	}
	s.logRows(t, p)
	s.topicRows(t, p)
	s.auditReaderRows(t, p)
	s.otherRows(t, p, local, signed)
	p.check(t, func(document, mutant string) bool {
		switch {
		case document == "second execute-api endpoint": // its owner's, who brought it
			return true
		case strings.HasSuffix(document, " function"): // Lambda writes it; it stands on this one function
			return strings.Contains(mutant, " with * for arn:")
		}
		return strings.HasPrefix(mutant, "Invoke with * for arn:") // the API's: it stands on this one API
	})
}

// provesIam asks the second stack's API when no callers are named: IAM's policies decide.
func (s *running) provesIam(t *testing.T, second map[string]string) {
	p := &proof{documents: map[string]string{}}
	api, err := apigateway.DeploymentOf(t.Context(), s.aws, second["apiId"])
	if err != nil {
		t.Fatal(err)
	}
	p.documents["second API"] = api.Policy
	d := deployedStack{name: "second", apiID: second["apiId"]}
	own, admin := second["executeApiEndpointId"], []iampolicy.Document{everything()}
	other := "arn:aws:iam::" + account + ":user/other"
	s.apiRow(p, true, "a user of the account whose own policy allows it", d, own, "", other, admin)
	s.apiRow(p, false, "a user of the account", d, own, "", other, nil)
	s.apiRow(p, false, "nobody signs", d, own, "", "", nil)
	s.apiRow(p, false, "a role of another account, whose own policy allows it", d, own, "", partnerRole, admin)
	s.apiRow(p, false, "a user whose own policy allows it, through another endpoint", d, strangerEndpoint, "", other, admin)
	p.check(t, func(_, mutant string) bool {
		// The account's own policies would do without it by AWS's table A; it is there should a private API want an Allow.
		return mutant == "without Invoke" || strings.HasPrefix(mutant, "Invoke with * for arn:")
	})
}

// everything is an administrator's policy.
func everything() iampolicy.Document {
	document, err := iampolicy.ParseIdentity(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	if err != nil {
		panic(err)
	}
	return document
}
