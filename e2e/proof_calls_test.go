//go:build e2e

package e2e

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/apigateway"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
)

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
		foreign := caller != "" && iam.AccountOf(caller) != account
		c := apigateway.Call{API: policy(d.name + " API"), Identity: identity, Foreign: foreign, Request: r}
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

// fenceRows: the function's role denies every action that another policy of the account could add, of services that it uses and of
// others.
func fenceRows(p *proof, d deployedStack) {
	role := d.name + " function role"
	for _, action := range []string{
		"bedrock:CreateModelInvocationJob", "bedrock:InvokeTool", "bedrock:PutAccountDataRetention", "bedrock:DeleteModelInvocationLoggingConfiguration",
		"ec2:RunInstances", "iam:PassRole", "kms:CreateGrant", "logs:DeleteLogGroup", "s3:GetObject", "s3:PutObject", "sts:AssumeRole", "xray:GetTraceSummaries",
	} {
		r := iampolicy.Request{Action: action, Resource: "*", Context: map[string][]string{"aws:PrincipalArn": {d.roleArn}}}
		p.row(false, role+": "+action+" by another policy of the account", func(policy func(string) iampolicy.Document) bool {
			return iam.Allowed([]iampolicy.Request{r}, []iampolicy.Document{policy(role), everything()}, nil) == nil
		})
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
