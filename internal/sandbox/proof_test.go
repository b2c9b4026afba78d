//go:build e2e

package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/apigateway"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
)

// proof is a table of who gets what, asked of the policies that are deployed, read back from the emulated AWS, with the
// very decisions that the front door, the Bedrock stand-in and the log delivery take.
type proof struct {
	documents map[string]string // by a name such as "local function role"
	rows      []row
}

// row is one request. asks takes the policies that it is asked of by name, so that a change of one asks only the rows
// that depend on it.
type row struct {
	name string
	want bool
	asks func(policy func(name string) iampolicy.Document) bool
}

func (p *proof) row(want bool, name string, asks func(policy func(name string) iampolicy.Document) bool) {
	p.rows = append(p.rows, row{name, want, asks})
}

// resource is a row that a resource's policy or a trust policy decides alone.
func (p *proof) resource(want bool, name, document string, r iampolicy.Request) {
	p.row(want, name, func(policy func(string) iampolicy.Document) bool {
		return policy(document).Decide(r) == iampolicy.Allow
	})
}

// identity is a row that a role's policy decides alone.
func (p *proof) identity(want bool, name, document string, r iampolicy.Request) {
	p.row(want, name, func(policy func(string) iampolicy.Document) bool {
		return iam.Allowed([]iampolicy.Request{r}, []iampolicy.Document{policy(document)}, nil) == nil
	})
}

func parsePolicy(name, document string) (iampolicy.Document, error) {
	switch {
	case strings.HasSuffix(name, " trust"):
		return iampolicy.ParseTrust(document)
	case strings.HasSuffix(name, " role"):
		return iampolicy.ParseIdentity(document)
	}
	return iampolicy.ParseResource(document)
}

// check asks every row, then again with each statement, condition, action (of NotAction, too) and resource of each policy
// taken away in turn, and each resource of an Allow widened to all: a change that no row notices is a rule that nothing
// proves.
func (p *proof) check(t *testing.T, unproven func(document, mutant string) bool) {
	t.Helper()
	parsed := map[string]iampolicy.Document{}
	for name, document := range p.documents {
		policy, err := parsePolicy(name, document)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, document)
		}
		parsed[name] = policy
	}
	dependents := map[string][]row{}
	for _, r := range p.rows {
		uses := map[string]bool{}
		if got := r.asks(func(name string) iampolicy.Document {
			if _, found := parsed[name]; !found {
				t.Fatalf("%s asks for %s, which is not deployed", r.name, name)
			}
			uses[name] = true
			return parsed[name]
		}); got != r.want {
			t.Errorf("%s: allowed %v, want %v", r.name, got, r.want)
		}
		for name := range uses {
			dependents[name] = append(dependents[name], r)
		}
	}
	mutants := 0
	for _, name := range slices.Sorted(maps.Keys(p.documents)) {
		for _, m := range mutantsOf(t, p.documents[name]) {
			if unproven(name, m.what) {
				continue
			}
			mutants++
			policy, err := parsePolicy(name, m.document)
			if err != nil && m.statements > 0 {
				t.Fatalf("%s without %s: %v", name, m.what, err)
			} // a document without statements allows nothing, as the zero one
			var caught []string
			for _, r := range dependents[name] {
				if r.asks(func(asked string) iampolicy.Document {
					if asked == name {
						return policy
					}
					return parsed[asked]
				}) != r.want {
					caught = append(caught, r.name)
				}
			}
			if len(caught) == 0 {
				t.Errorf("%s, %s: no row notices", name, m.what)
				continue
			}
			t.Logf("%s, %s: %d rows, such as: %s", name, m.what, len(caught), caught[0])
		}
	}
	t.Logf("%d rows, %d policies, %d mutants", len(p.rows), len(p.documents), mutants)
}

type mutant struct {
	what, document string
	statements     int
}

func mutantsOf(t *testing.T, document string) (all []mutant) {
	t.Helper()
	parse := func() (whole map[string]any, statements []map[string]any) {
		if err := json.Unmarshal([]byte(document), &whole); err != nil {
			t.Fatal(err)
		}
		for _, s := range oneOrMany(whole["Statement"]) {
			statements = append(statements, s.(map[string]any))
		}
		return whole, statements
	}
	mutate := func(what string, change func(statements []map[string]any) []map[string]any) {
		whole, statements := parse()
		statements = change(statements)
		whole["Statement"] = statements
		b, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mutant{what, string(b), len(statements)})
	}
	_, statements := parse()
	for i, s := range statements {
		sid := fmt.Sprint(s["Sid"])
		mutate("without "+sid, func(all []map[string]any) []map[string]any { return slices.Delete(all, i, i+1) })
		for spared := range sparedBy(s) {
			mutate(sid+" that spares "+spared, func(all []map[string]any) []map[string]any {
				all[i]["NotAction"] = append(oneOrMany(all[i]["NotAction"]), spared)
				return all
			})
		}
		conditions, _ := s["Condition"].(map[string]any)
		for operator, keys := range conditions {
			for key := range keys.(map[string]any) {
				mutate(sid+" without "+operator+" "+key, func(all []map[string]any) []map[string]any {
					of := all[i]["Condition"].(map[string]any)
					if delete(of[operator].(map[string]any), key); len(of[operator].(map[string]any)) == 0 {
						delete(of, operator)
					}
					if len(of) == 0 {
						delete(all[i], "Condition")
					}
					return all
				})
			}
		}
		if s["Effect"] == "Allow" && s["Principal"] != nil && s["Principal"] != "*" {
			mutate(sid+" with * for its principal", func(all []map[string]any) []map[string]any {
				all[i]["Principal"] = "*"
				return all
			})
		}
		for _, element := range []string{"Action", "NotAction", "Resource"} {
			values := oneOrMany(s[element])
			for j, value := range values {
				if len(values) > 1 {
					mutate(fmt.Sprint(sid, " without ", value), func(all []map[string]any) []map[string]any {
						all[i][element] = slices.Delete(oneOrMany(all[i][element]), j, j+1)
						return all
					})
				}
				if element == "Resource" && s["Effect"] == "Allow" && value != "*" {
					mutate(fmt.Sprint(sid, " with * for ", value), func(all []map[string]any) []map[string]any {
						changed := oneOrMany(all[i][element])
						changed[j] = "*"
						all[i][element] = changed
						return all
					})
				}
			}
		}
	}
	return all
}

// sparedBy are actions that a statement with NotAction could spare besides: all of each service that it names, and of those that it
// does not name, S3's reading.
func sparedBy(statement map[string]any) map[string]bool {
	spared := map[string]bool{}
	for _, action := range oneOrMany(statement["NotAction"]) {
		service, _, _ := strings.Cut(fmt.Sprint(action), ":")
		spared[service+":*"], spared["s3:GetObject"] = true, true
	}
	return spared
}

func oneOrMany(value any) []any {
	if list, ok := value.([]any); ok {
		return list
	}
	if value == nil {
		return nil
	}
	return []any{value}
}

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
	var function lambda.FunctionConfig
	var permission struct{ Policy string }
	path := "/2015-03-31/functions/" + outputs["functionName"]
	if err := s.aws.Get(ctx, "lambda", path+"/configuration", &function); err != nil {
		t.Fatal(err)
	}
	if err := s.aws.Get(ctx, "lambda", path+"/policy", &permission); err != nil {
		t.Fatal(err)
	}
	p.documents[name+" function"] = permission.Policy
	d.functionArn, d.roleArn, d.logGroup = function.Arn, function.Role, function.LoggingConfig.LogGroup
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

func (s *running) apiRows(p *proof, local, signed deployedStack) {
	admin := []iampolicy.Document{everything()}
	call := func(want bool, name string, d deployedStack, through, ownEndpoint, caller string, identity []iampolicy.Document) {
		s.apiRow(p, want, name, d, through, ownEndpoint, caller, identity)
	}
	const none = ""
	localDoor, signedDoor := "local execute-api endpoint", "second execute-api endpoint"
	call(true, "through its endpoint", local, local.endpoints["execute-api"], localDoor, none, nil)
	call(false, "through the other stack's endpoint", local, signed.endpoints["execute-api"], signedDoor, none, nil)
	call(false, "through no endpoint", local, none, none, none, nil)
	call(true, "through an admitted endpoint of another account", local, consumerEndpoint, none, none, nil)
	call(false, "through an endpoint of another account that is not admitted", local, strangerEndpoint, none, none, nil)
	call(false, "an administrator who signs, through no endpoint", local, none, none, "arn:aws:iam::"+account+":user/admin", admin)
	p.resource(false, "another API through the local stack's endpoint", localDoor, iampolicy.Request{
		Action: "execute-api:Invoke", Resource: "arn:aws:execute-api:" + s.Region + ":" + account + ":" + signed.apiID + "/api/POST/generate",
	})

	own := signed.endpoints["execute-api"]
	call(true, "a named caller who signs", signed, own, signedDoor, appUser, nil)
	call(false, "nobody signs", signed, own, signedDoor, none, nil)
	call(false, "another user of the account, whose own policy allows it", signed, own, signedDoor, "arn:aws:iam::"+account+":user/other", admin)
	call(false, "another user of the account", signed, own, signedDoor, "arn:aws:iam::"+account+":user/other", nil)
	call(true, "a named role of another account, whose own policy allows it", signed, own, signedDoor, partnerRole, admin)
	call(false, "a named role of another account, whose own policy does not", signed, own, signedDoor, partnerRole, nil)
	call(false, "another role of that account", signed, own, signedDoor, "arn:aws:iam::"+otherAccount+":role/other", admin)
	call(false, "a named caller through the other stack's endpoint", signed, local.endpoints["execute-api"], none, appUser, admin)
	call(false, "a named caller through no endpoint", signed, none, none, appUser, admin)
	call(false, "a named caller through an endpoint of another account", signed, consumerEndpoint, none, appUser, admin)
}

// apiRow is a call through an endpoint, whose policy is known where it is this account's, by a caller with policies of its
// own, or by nobody known.
func (s *running) apiRow(p *proof, want bool, name string, d deployedStack, through, ownEndpoint, caller string, identity []iampolicy.Document) {
	r := iampolicy.Request{
		Principal: iampolicy.Principal{ARN: caller}, Action: "execute-api:Invoke",
		Resource: "arn:aws:execute-api:" + s.Region + ":" + account + ":" + d.apiID + "/api/POST/generate", Context: map[string][]string{},
	}
	if through != "" {
		r.Context["aws:SourceVpce"] = []string{through}
	}
	if caller != "" {
		r.Context["aws:PrincipalArn"] = []string{caller}
	}
	p.row(want, d.name+" API: "+name, func(policy func(string) iampolicy.Document) bool {
		c := apigateway.Call{API: policy(d.name + " API"), Identity: identity, Foreign: caller != "" && iam.AccountOf(caller) != account, Request: r}
		if ownEndpoint != "" {
			endpoint := policy(ownEndpoint)
			c.Endpoint = &endpoint
		}
		decision, _ := c.Decide()
		return decision == iampolicy.Allow
	})
}

// functionRows: what Lambda does with the function's role, and who may call the function.
func (s *running) functionRows(p *proof, d deployedStack) {
	role := d.name + " function role"
	by := map[string][]string{"aws:PrincipalArn": {d.roleArn}}
	code := map[string][]string{"aws:PrincipalArn": {d.roleArn}, "lambda:SourceFunctionArn": {d.functionArn}}
	group := "arn:aws:logs:" + s.Region + ":" + account + ":log-group:"
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		p.identity(true, d.name+" function: "+action, role, iampolicy.Request{Action: action, Resource: group + d.logGroup + ":log-stream:x", Context: by})
		p.identity(false, d.name+" function: "+action+" in another group", role, iampolicy.Request{Action: action, Resource: group + "/aws/lambda/other:log-stream:x", Context: by})
	}
	for _, action := range []string{"xray:PutTelemetryRecords", "xray:PutTraceSegments"} {
		p.identity(true, d.name+" function: "+action, role, iampolicy.Request{Action: action, Resource: "*", Context: by})
	}
	for _, action := range []string{
		"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
		"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
	} {
		p.identity(true, d.name+" function: Lambda's "+action, role, iampolicy.Request{Action: action, Resource: "*", Context: by})
		p.identity(false, d.name+" function: the code's "+action, role, iampolicy.Request{Action: action, Resource: "*", Context: code})
	}
	beside := func(want bool, name, action, resource string, keys map[string][]string) { // what another policy or a grant allows
		p.row(want, d.name+" function: "+name, func(policy func(string) iampolicy.Document) bool {
			return iam.Allowed([]iampolicy.Request{{Action: action, Resource: resource, Context: keys}}, []iampolicy.Document{policy(role), everything()}, nil) == nil
		})
	}
	for _, action := range []string{"kms:Decrypt", "kms:Encrypt"} {
		key := "arn:aws:kms:" + s.Region + ":" + account + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
		beside(true, "Lambda's "+action+" of the environment, by a grant", action, key, by)
		beside(false, "the code's "+action+", by a policy that was added", action, key, code)
	}
	beside(false, "reads an object, by a policy that was added", "s3:GetObject", "arn:aws:s3:::any/x", code)
	beside(false, "Bedrock reads an s3Location in its name, by a policy that was added", "s3:GetObject", "arn:aws:s3:::any/x", by)
	beside(false, "assumes another role, by a policy that was added", "sts:AssumeRole", "arn:aws:iam::"+account+":role/x", code)
	s.trustRows(p, d.name+" function trust", "lambda.amazonaws.com", nil)

	for _, c := range []struct {
		want bool
		name string
		from string
		by   string
	}{
		{true, "this API", d.apiID, "apigateway.amazonaws.com"}, {false, "another API", "zzzzzzzzzz", "apigateway.amazonaws.com"},
		{false, "another service", d.apiID, "s3.amazonaws.com"},
	} {
		p.resource(c.want, d.name+" function: called by "+c.name, d.name+" function", iampolicy.Request{
			Principal: iampolicy.Principal{Service: c.by}, Action: "lambda:InvokeFunction", Resource: d.functionArn,
			Context: map[string][]string{"aws:SourceArn": {"arn:aws:execute-api:" + s.Region + ":" + account + ":" + c.from + "/api/POST/generate"}},
		})
	}
}

// trustRows: a service may use the role, for this account; everybody else may not.
func (s *running) trustRows(p *proof, document, service string, sourceArn func(region, account string) string) {
	ask := func(want bool, name, service, region, forAccount, arnAccount string) {
		keys := map[string][]string{}
		if sourceArn != nil {
			keys = map[string][]string{"aws:SourceAccount": {forAccount}, "aws:SourceArn": {sourceArn(region, arnAccount)}}
		}
		p.resource(want, document+": "+name, document, iampolicy.Request{
			Principal: iampolicy.Principal{Service: service}, Action: "sts:AssumeRole", Resource: "arn:aws:iam::" + account + ":role/x", Context: keys,
		})
	}
	ask(true, "its service", service, s.Region, account, account)
	ask(false, "another service", "cloudformation.amazonaws.com", s.Region, account, account)
	if sourceArn != nil {
		ask(false, "its service for another account", service, s.Region, otherAccount, otherAccount)
		ask(false, "its service for another account, with an ARN of this one", service, s.Region, otherAccount, account)
		ask(false, "its service in another region", service, "us-east-1", account, account)
	}
}

// modelRows: every form of model, on the list and off it, with and without guardrail, through the endpoint and past it.
func (s *running) modelRows(t *testing.T, p *proof, d, other deployedStack) {
	t.Helper()
	role, door := d.name+" function role", d.name+" bedrock-runtime endpoint"
	through := func(endpoint, vpc string) map[string][]string {
		keys := map[string][]string{"aws:PrincipalArn": {d.roleArn}, "lambda:SourceFunctionArn": {d.functionArn}}
		if endpoint != "" {
			keys["aws:SourceVpce"], keys["aws:SourceVpc"] = []string{endpoint}, []string{vpc}
		}
		return keys
	}
	inside := through(d.endpoints["bedrock-runtime"], d.vpcID)
	call := func(want bool, name string, c bedrock.ModelCall, keys map[string][]string, endpoint string) {
		p.row(want, d.name+" function: "+name, func(policy func(string) iampolicy.Document) bool {
			var through *iampolicy.Document
			if endpoint != "" {
				document := policy(endpoint)
				through = &document
			}
			return iam.Allowed(c.Requests(keys, s.Region), []iampolicy.Document{policy(role)}, through) == nil
		})
	}
	// Each on its own: what one policy refuses must not hide what the other would let through.
	both := func(want bool, name string, r iampolicy.Request) {
		p.identity(want, d.name+" function role: "+name, role, r)
		p.resource(want, door+": "+name, door, r)
	}
	guarded := func(c bedrock.ModelCall) bedrock.ModelCall {
		c.Guardrail, c.Version = d.guardrail, d.guardVersion
		return c
	}
	fm := func(region, id string) string { return "arn:aws:bedrock:" + region + "::foundation-model/" + id }
	for _, action := range []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"} {
		var profiles []bedrock.ModelCall
		for _, id := range d.modelIDs {
			c := s.resolve(t, id)
			c.Action = action
			id += " by " + action
			call(true, "calls "+id, guarded(c), inside, door)
			for tier, want := range map[string]bool{"default": true, "flex": slices.Contains(d.tiers, "flex"), "priority": false, "reserved": false} {
				keys := maps.Clone(inside)
				keys["bedrock:ServiceTier"] = []string{tier}
				call(want, "calls "+id+" with service tier "+tier, guarded(c), keys, door)
			}
			call(false, "calls "+id+" through no endpoint", guarded(c), through("", ""), "")
			call(false, "calls "+id+" through the other stack's endpoint", guarded(c), through(other.endpoints["bedrock-runtime"], other.vpcID), other.name+" bedrock-runtime endpoint")
			for _, r := range guarded(c).Requests(through(other.endpoints["bedrock-runtime"], other.vpcID), s.Region) {
				if r.Resource == c.Model { // without this there is no call
					p.identity(false, d.name+" function role: "+r.Action+" of "+r.Resource+" for "+id+" past its endpoint", role, r)
				}
			}
			administrator := map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::" + account + ":role/Administrator"}, "aws:SourceVpce": inside["aws:SourceVpce"]}
			for _, r := range guarded(c).Requests(administrator, s.Region) {
				p.resource(false, door+": an administrator's "+r.Action+" of "+r.Resource+" for "+id, door, r)
			}
			for _, route := range c.Routes {
				for _, way := range []struct{ name, profile string }{
					{"past the profile", ""}, {"through another profile", "arn:aws:bedrock:" + s.Region + ":" + account + ":inference-profile/other.profile"},
				} {
					r := bedrock.ModelCall{Action: c.Action, Model: route, Guardrail: d.guardrail, Version: d.guardVersion}.Requests(inside, s.Region)
					last := r[len(r)-1]
					if last.Resource != route {
						t.Fatalf("want the model last, got %v", last)
					}
					if way.profile != "" {
						last.Context["bedrock:InferenceProfileArn"] = []string{way.profile}
					}
					both(false, action+" of "+route+" "+way.name, last)
				}
			}
			if len(c.Routes) > 0 {
				profiles = append(profiles, c)
			}
			if d.guardrail != "" {
				call(false, "calls "+id+" without the guardrail", c, inside, door)
				old, foreign := guarded(c), guarded(c)
				old.Version, foreign.Guardrail = "9", strings.Replace(d.guardrail, "guardrail/", "guardrail/other", 1)
				call(false, "calls "+id+" with another version of the guardrail", old, inside, door)
				call(false, "calls "+id+" with another guardrail", foreign, inside, door)
				for _, r := range c.Requests(inside, s.Region) {
					if !strings.Contains(r.Resource, "profile/") {
						p.identity(false, d.name+" function role: "+r.Resource+" for "+id+" without the guardrail", role, r)
					}
				}
				p.identity(false, d.name+" function role: applies another guardrail for "+id, role, foreign.Requests(inside, s.Region)[0])
				p.resource(false, door+": applies another guardrail for "+id, door, foreign.Requests(inside, s.Region)[0])
			}
		}
		for _, off := range []string{
			fm(s.Region, "amazon.nova-premier-v1:0"), fm("us-east-1", "anthropic.claude-haiku-4-5-20251001-v1:0"),
			"arn:aws:bedrock:" + s.Region + ":" + account + ":inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
			"arn:aws:bedrock:" + s.Region + ":" + account + ":inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
			"arn:aws:bedrock:" + s.Region + ":" + account + ":inference-profile/au.anthropic.claude-haiku-4-5-20251001-v1:0",
			"arn:aws:bedrock:" + s.Region + ":" + account + ":provisioned-model/zzzzzzzzzzzz",
		} {
			r := guarded(bedrock.ModelCall{Action: action, Model: off}).Requests(inside, s.Region)
			both(false, action+" of "+off+", off the list", r[len(r)-1])
			for _, profile := range profiles { // no model slips in behind a profile that is on the list
				r := guarded(bedrock.ModelCall{Action: action, Model: profile.Model, Routes: []string{off}}).Requests(inside, s.Region)
				both(false, action+" of "+off+", behind "+profile.Model, r[len(r)-1])
			}
		}
	}
	control := d.name + " bedrock endpoint"
	read := func(want bool, name, document string, keys map[string][]string) {
		for _, action := range []string{"bedrock:GetAccountDataRetention", "bedrock:GetModelInvocationLoggingConfiguration"} {
			p.row(want, d.name+" function: "+action+" "+name, func(policy func(string) iampolicy.Document) bool {
				r := iampolicy.Request{Action: action, Resource: "*", Context: keys}
				if document == role {
					return iam.Allowed([]iampolicy.Request{r}, []iampolicy.Document{policy(role)}, nil) == nil
				}
				return policy(document).Decide(r) == iampolicy.Allow
			})
		}
	}
	apply := func(want bool, name, guardrail string) {
		both(want, "applies "+name, iampolicy.Request{Action: "bedrock:ApplyGuardrail", Resource: guardrail, Context: inside})
	}
	apply(d.name == "second", "the enforced guardrail", enforcedGuardrail(s.Region))
	apply(false, "another guardrail of that account", enforcedGuardrail(s.Region)+"x")
	if d.guardrail != "" {
		apply(true, "its own guardrail", d.guardrail)
	}
	read(true, "(role)", role, through(d.endpoints["bedrock"], d.vpcID))
	read(false, "past its endpoint", role, through(other.endpoints["bedrock"], other.vpcID))
	read(true, "(endpoint)", control, through(d.endpoints["bedrock"], d.vpcID))
	read(false, "as an administrator", control, map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::" + account + ":role/Administrator"}})
}

// resolve finds what a model's id stands for, as the stand-in does.
func (s *running) resolve(t *testing.T, id string) bedrock.ModelCall {
	t.Helper()
	call := bedrock.ModelCall{Action: "bedrock:InvokeModel", Model: id}
	switch {
	case strings.Contains(id, ":provisioned-model/"):
		return call
	case strings.Contains(id, ":application-inference-profile/"):
		var profile struct{ Models []struct{ ModelArn string } }
		if err := s.aws.Get(t.Context(), "bedrock", "/inference-profiles/"+url.PathEscape(id), &profile); err != nil {
			t.Fatal(err)
		}
		for _, m := range profile.Models {
			call.Routes = append(call.Routes, m.ModelArn)
		}
		return call
	}
	call, err := (&bedrock.Runtime{Region: s.Region, Account: account}).Resolve("bedrock:InvokeModel", id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return call
}

// logRows: who writes the invocation log, and how it can be reached.
func (s *running) logRows(t *testing.T, p *proof) {
	t.Helper()
	var out struct{ LoggingConfig *invocationlog.Config }
	if err := s.aws.Get(t.Context(), "bedrock", "/logging/modelinvocations", &out); err != nil {
		t.Fatal(err)
	}
	bucket := out.LoggingConfig.S3Config.BucketName
	document, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?policy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.documents["log bucket"] = string(document)
	s.readRole(t, p, "delivery", out.LoggingConfig.CloudWatchConfig.RoleArn)
	s.accessLogRows(t, p, bucket)
	s.keyRows(t, p, bucket, out.LoggingConfig.CloudWatchConfig.LogGroupName, out.LoggingConfig.CloudWatchConfig.RoleArn)

	arn := "arn:aws:s3:::" + bucket
	put := func(want bool, name string, who iampolicy.Principal, key string, keys map[string][]string) {
		p.resource(want, "log bucket: "+name, "log bucket", iampolicy.Request{Principal: who, Action: "s3:PutObject", Resource: arn + "/" + key, Context: keys})
	}
	source := func(forAccount, region, arnAccount, tls string) map[string][]string {
		return map[string][]string{
			"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:bedrock:" + region + ":" + arnAccount + ":model-invocation-logging"}, "aws:SecureTransport": {tls},
		}
	}
	here := source(account, s.Region, account, "true")
	for _, prefix := range []string{out.LoggingConfig.S3Config.KeyPrefix, out.LoggingConfig.CloudWatchConfig.LargeDataDeliveryS3Config.KeyPrefix} {
		record := prefix + "/AWSLogs/" + account + "/BedrockModelInvocationLogs/" + s.Region + "/2026/01/01/00/x.json.gz"
		put(true, "Bedrock for this account, under "+prefix, invocationlog.Principal, record, here)
		put(false, "Bedrock for another account, under "+prefix, invocationlog.Principal, record, source(otherAccount, s.Region, otherAccount, "true"))
		put(false, "Bedrock for another account, with an ARN of this one, under "+prefix, invocationlog.Principal, record, source(otherAccount, s.Region, account, "true"))
		put(false, "Bedrock in another region, under "+prefix, invocationlog.Principal, record, source(account, "us-east-1", account, "true"))
		put(false, "Bedrock over plain HTTP, under "+prefix, invocationlog.Principal, record, source(account, s.Region, account, "false"))
		put(false, "another service, under "+prefix, iampolicy.Principal{Service: "cloudtrail.amazonaws.com"}, record, here)
		put(false, "somebody of another account, under "+prefix, iampolicy.Principal{ARN: partnerRole}, record, here)
		put(false, "nobody known, under "+prefix, iampolicy.Principal{}, record, here)
	}
	put(false, "Bedrock for this account, elsewhere in the bucket", invocationlog.Principal, "elsewhere/x.json.gz", here)
	auditorRows(p, "log bucket", arn)

	s.trustRows(p, "delivery trust", "bedrock.amazonaws.com", func(region, account string) string {
		return "arn:aws:bedrock:" + region + ":" + account + ":model-invocation-logging"
	})
	group := "arn:aws:logs:" + s.Region + ":" + account + ":log-group:"
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		p.identity(true, "delivery: "+action, "delivery role", iampolicy.Request{Action: action, Resource: group + out.LoggingConfig.CloudWatchConfig.LogGroupName + ":log-stream:" + invocationlog.Stream})
		p.identity(false, "delivery: "+action+" in another group", "delivery role", iampolicy.Request{Action: action, Resource: group + "other:log-stream:" + invocationlog.Stream})
		p.identity(false, "delivery: "+action+" in another stream", "delivery role", iampolicy.Request{Action: action, Resource: group + out.LoggingConfig.CloudWatchConfig.LogGroupName + ":log-stream:other"})
	}
}

// auditorRows: whoever may read a bucket by his own policies may, over TLS.
func auditorRows(p *proof, document, arn string) {
	for _, c := range []struct{ action, resource string }{{"s3:GetObject", arn + "/bedrock/x"}, {"s3:ListBucket", arn}} {
		for tls, want := range map[string]bool{"true": true, "false": false} {
			r := iampolicy.Request{
				Principal: iampolicy.Principal{ARN: "arn:aws:iam::" + account + ":user/auditor"}, Action: c.action, Resource: c.resource,
				Context: map[string][]string{"aws:SecureTransport": {tls}},
			}
			p.row(want, document+": an auditor of the account, "+c.action+", TLS "+tls, func(policy func(string) iampolicy.Document) bool {
				return iampolicy.SameAccount([]iampolicy.Document{everything()}, []iampolicy.Document{policy(document)}, r) == iampolicy.Allow
			})
		}
	}
}

// accessLogRows: who writes the access log of the log's bucket.
func (s *running) accessLogRows(t *testing.T, p *proof, logged string) {
	t.Helper()
	answer, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+logged+"?logging", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Target string `xml:"LoggingEnabled>TargetBucket"`
	}
	if err := xml.Unmarshal(answer, &status); err != nil || status.Target == "" {
		t.Fatalf("the log's bucket has no access log: %s, %v", answer, err)
	}
	document, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+status.Target+"?policy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.documents["access log bucket"] = string(document)
	arn, delivery := "arn:aws:s3:::"+status.Target, iampolicy.Principal{Service: "logging.s3.amazonaws.com"}
	put := func(want bool, name string, who iampolicy.Principal, bucket, of, forAccount, tls string) {
		p.resource(want, "access log bucket: "+name, "access log bucket", iampolicy.Request{
			Principal: who, Action: "s3:PutObject", Resource: bucket + "/2026-01-01-00-00-00-x",
			Context: map[string][]string{"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:s3:::" + of}, "aws:SecureTransport": {tls}},
		})
	}
	put(true, "S3, of the log's bucket", delivery, arn, logged, account, "true")
	put(false, "S3, of another bucket", delivery, arn, "other", account, "true")
	put(false, "S3, of a bucket of that name in another account", delivery, arn, logged, otherAccount, "true")
	put(false, "S3, over plain HTTP", delivery, arn, logged, account, "false")
	put(false, "S3, into another bucket", delivery, "arn:aws:s3:::other", logged, account, "true")
	put(false, "another service", iampolicy.Principal{Service: "cloudtrail.amazonaws.com"}, arn, logged, account, "true")
	put(false, "somebody of another account", iampolicy.Principal{ARN: partnerRole}, arn, logged, account, "true")
	auditorRows(p, "access log bucket", arn)
}

// keyRows: who encrypts and decrypts with the invocation log's key, as service and by his own policies.
func (s *running) keyRows(t *testing.T, p *proof, bucket, group, deliveryRole string) {
	t.Helper()
	key, err := s3.BucketKey(t.Context(), s.aws, bucket)
	if err != nil {
		t.Fatal(err)
	}
	if ofGroup, err := logs.GroupKey(t.Context(), s.aws, group); err != nil || key == "" || ofGroup != key {
		t.Fatalf("the bucket's key is %q, the log group's %q, %v", key, ofGroup, err)
	}
	if p.documents["log key"], err = kms.KeyPolicy(t.Context(), s.aws, key); err != nil {
		t.Fatal(err)
	}
	by := func(want bool, name, service, action string, keys map[string][]string) {
		p.resource(want, "log key: "+name+": "+action, "log key", iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: action, Resource: key, Context: keys})
	}
	source := func(forAccount, region, arnAccount string) map[string][]string {
		return map[string][]string{"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:bedrock:" + region + ":" + arnAccount + ":model-invocation-logging"}}
	}
	const generate = "kms:GenerateDataKey"
	by(true, "Bedrock", invocationlog.Principal.Service, generate, source(account, s.Region, account))
	by(false, "Bedrock for another account", invocationlog.Principal.Service, generate, source(otherAccount, s.Region, otherAccount))
	by(false, "Bedrock for another account, with an ARN of this one", invocationlog.Principal.Service, generate, source(otherAccount, s.Region, account))
	by(false, "Bedrock in another region", invocationlog.Principal.Service, generate, source(account, "us-east-1", account))
	by(false, "Bedrock", invocationlog.Principal.Service, "kms:Decrypt", source(account, s.Region, account))
	by(false, "another service", "cloudtrail.amazonaws.com", generate, source(account, s.Region, account))

	service, arn := "logs."+s.Region+".amazonaws.com", "arn:aws:logs:"+s.Region+":"+account+":log-group:"
	context := func(group string) map[string][]string {
		return map[string][]string{"kms:EncryptionContext:aws:logs:arn": {arn + group}}
	}
	through := map[string][]string{"kms:ViaService": {service}}
	for _, r := range logs.Encryption(iampolicy.Principal{ARN: deliveryRole}, through) {
		r.Resource = key
		by(true, "CloudWatch Logs, for the group", service, r.Action, context(group))
		by(false, "CloudWatch Logs, for another group", service, r.Action, context("other"))
		by(false, "CloudWatch Logs, for no group", service, r.Action, nil)
		by(false, "CloudWatch Logs in another region", "logs.us-east-1.amazonaws.com", r.Action, context(group))
		by(false, "another service, for the group", "cloudtrail.amazonaws.com", r.Action, context(group))

		p.row(true, "delivery: "+r.Action+" through CloudWatch Logs", func(policy func(string) iampolicy.Document) bool {
			return iampolicy.SameAccountKeyOrRole([]iampolicy.Document{policy("delivery role")}, []iampolicy.Document{policy("log key")}, r) == iampolicy.Allow
		})
		for name, keys := range map[string]map[string][]string{"by itself": nil, "through S3": {"kms:ViaService": {"s3." + s.Region + ".amazonaws.com"}}} {
			p.identity(false, "delivery: "+r.Action+" "+name, "delivery role", iampolicy.Request{Action: r.Action, Resource: key, Context: keys})
		}
		p.identity(false, "delivery: "+r.Action+" with another key", "delivery role", iampolicy.Request{
			Action: r.Action, Resource: "arn:aws:kms:" + s.Region + ":" + account + ":key/other", Context: through,
		})
	}
	accountRows(p, "log key", key)
}

// accountRows: whom the account's own policies let use a key and change its policy may, and nobody else.
func accountRows(p *proof, document, key string) {
	for _, action := range []string{"kms:Decrypt", "kms:PutKeyPolicy"} {
		who := func(want bool, name, arn string, identity []iampolicy.Document) {
			r := iampolicy.Request{Principal: iampolicy.Principal{ARN: arn}, Action: action, Resource: key}
			p.row(want, document+": "+name+": "+action, func(policy func(string) iampolicy.Document) bool {
				decide := iampolicy.SameAccountKeyOrRole
				if iam.AccountOf(arn) != account {
					decide = iampolicy.CrossAccount
				}
				return decide(identity, []iampolicy.Document{policy(document)}, r) == iampolicy.Allow
			})
		}
		who(true, "somebody whose own policies allow it", "arn:aws:iam::"+account+":user/auditor", []iampolicy.Document{everything()})
		who(false, "somebody whose own policies do not", "arn:aws:iam::"+account+":user/other", nil)
		who(false, "somebody of another account, whose own policies allow it", partnerRole, []iampolicy.Document{everything()})
	}
}

// otherRows: flow logs, API Gateway's log role, the client instance.
func (s *running) otherRows(t *testing.T, p *proof, local, second deployedStack) {
	t.Helper()
	ctx := t.Context()
	var flow struct {
		Logs []struct {
			Resource string `xml:"resourceId"`
			Role     string `xml:"deliverLogsPermissionArn"`
			Group    string `xml:"logGroupName"`
			To       string `xml:"logDestination"`
		} `xml:"flowLogSet>item"`
	}
	if err := s.aws.Query(ctx, "ec2", "2016-11-15", "DescribeFlowLogs", nil, &flow); err != nil {
		t.Fatal(err)
	}
	for _, l := range flow.Logs {
		if l.Resource != local.vpcID {
			continue
		}
		s.readRole(t, p, "flow log", l.Role)
		s.trustRows(p, "flow log trust", "vpc-flow-logs.amazonaws.com", func(region, account string) string {
			return "arn:aws:ec2:" + region + ":" + account + ":vpc-flow-log/fl-0123456789abcdef0"
		})
		group := "arn:aws:logs:" + s.Region + ":" + account + ":log-group:"
		name := "/aws/vpc/bedrock-app-local-flow-log"
		for action, resource := range map[string]string{"logs:CreateLogStream": ":log-stream:x", "logs:PutLogEvents": ":log-stream:x", "logs:DescribeLogStreams": ""} {
			p.identity(true, "flow log: "+action, "flow log role", iampolicy.Request{Action: action, Resource: group + name + resource})
			p.identity(false, "flow log: "+action+" of another group", "flow log role", iampolicy.Request{Action: action, Resource: group + "other" + resource})
		}
	}
	var gateway struct{ CloudwatchRoleArn string }
	if err := s.aws.Get(ctx, "apigateway", "/account", &gateway); err != nil {
		t.Fatal(err)
	}
	s.readRole(t, p, "API Gateway's log", gateway.CloudwatchRoleArn)
	s.trustRows(p, "API Gateway's log trust", "apigateway.amazonaws.com", nil)

	var roles struct {
		Arns []string `xml:"ListRolesResult>Roles>member>Arn"`
	}
	if err := iam.Query(ctx, s.aws, "ListRoles", nil, &roles); err != nil {
		t.Fatal(err)
	}
	for _, arn := range roles.Arns {
		if !strings.Contains(arn, "role/bedrock-app-local-client-") {
			continue
		}
		s.readRole(t, p, "client", arn)
		s.trustRows(p, "client trust", "ec2.amazonaws.com", nil)
		for service, actions := range map[string][]string{
			"ssm":         {"ssm:UpdateInstanceInformation"},
			"ssmmessages": {"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"},
		} {
			for _, action := range actions {
				door := "local " + service + " endpoint"
				r := iampolicy.Request{Action: action, Resource: "*", Context: map[string][]string{"aws:PrincipalArn": {arn}}}
				p.identity(true, "client: "+action, "client role", r)
				p.resource(true, door+": the client's "+action, door, r)
				r.Context = map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::" + account + ":role/Administrator"}}
				p.resource(false, door+": an administrator's "+action, door, r)
			}
		}
	}
}
