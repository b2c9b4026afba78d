//go:build e2e

package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// as calls the sandbox's AWS with an access key.
func (s *setup) as(t *testing.T, accessKey, service, action string, parameters map[string]string) ([]byte, error) {
	t.Helper()
	form := url.Values{"Action": {action}}
	for k, v := range parameters {
		form.Set(k, v)
	}
	return s.aws.Do(t.Context(), service, http.MethodPost, "/", map[string]string{
		"Content-Type":  "application/x-www-form-urlencoded",
		"Authorization": "AWS4-HMAC-SHA256 Credential=" + accessKey + "/20260101/ap-northeast-1/" + service + "/aws4_request, SignedHeaders=host, Signature=none",
	}, []byte(form.Encode()))
}

func (s *setup) do(t *testing.T, accessKey, action string, parameters map[string]string) []byte {
	t.Helper()
	answer, err := s.as(t, accessKey, "iam", action, parameters)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (s *setup) accessKey(t *testing.T, caller, user string) (keys aws.Credentials) {
	t.Helper()
	var out struct {
		Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
	}
	if err := xml.Unmarshal(s.do(t, caller, "CreateAccessKey", map[string]string{"UserName": user}), &out); err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: out.Key.AccessKeyId, SecretAccessKey: out.Key.SecretAccessKey}
}

func (s *setup) assume(t *testing.T, caller, role string, more map[string]string) (aws.Credentials, error) {
	t.Helper()
	parameters := map[string]string{"RoleArn": role, "RoleSessionName": "s1"}
	maps.Copy(parameters, more)
	answer, err := s.as(t, caller, "sts", "AssumeRole", parameters)
	if err != nil {
		return aws.Credentials{}, err
	}
	var out struct {
		Keys struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"AssumeRoleResult>Credentials"`
	}
	err = xml.Unmarshal(answer, &out)
	return aws.Credentials{AccessKeyID: out.Keys.AccessKeyId, SecretAccessKey: out.Keys.SecretAccessKey, SessionToken: out.Keys.SessionToken}, err
}

func (s *setup) verify(t *testing.T, keys aws.Credentials, now time.Time) (iam.Signer, error) {
	t.Helper()
	body := []byte("{}")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://abc123.execute-api.ap-northeast-1.amazonaws.com/api/generate/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(hash[:]), "execute-api", "ap-northeast-1", now); err != nil {
		t.Fatal(err)
	}
	return s.sandbox.signers.Verify(t.Context(), r, body, now)
}

// permits asks the signer's own policies.
func permits(t *testing.T, who iam.Signer, action, resource string) bool {
	t.Helper()
	policies, err := who.IdentityPolicies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request := iampolicy.Request{Principal: iampolicy.Principal{ARN: who.ARN}, Action: action, Resource: resource, Context: who.Keys}
	return iampolicy.SameAccount(policies, nil, request) == iampolicy.Allow
}

// checkRefusal holds a refusal against its type and the beginning of its message; "" is none.
func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err == nil {
		return
	}
	var own wire.Refusal
	if !errors.As(err, &own) || own.Status != http.StatusForbidden || want == "" || !strings.HasPrefix(own.Type+": "+own.Message, want) {
		t.Errorf("got %#v, want %q", err, want)
	}
}

func allow(action, resource string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}]}`
}

func trustFor(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}]}`
}

// A user may do what his own and his groups' policies say, as long as his key is in use.
func TestEndToEndUserSigns(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.do(t, "sandbox", "CreateUser", map[string]string{"UserName": "ana", "Path": "/team/"})
	s.do(t, "sandbox", "PutUserPolicy", map[string]string{"UserName": "ana", "PolicyName": "p", "PolicyDocument": allow("execute-api:Invoke", "arn:aws:execute-api:*:*:inline/*")})
	s.do(t, "sandbox", "CreatePolicy", map[string]string{"PolicyName": "p", "PolicyDocument": allow("execute-api:Invoke", "arn:aws:execute-api:*:*:attached/*")})
	s.do(t, "sandbox", "AttachUserPolicy", map[string]string{"UserName": "ana", "PolicyArn": "arn:aws:iam::" + account + ":policy/p"})
	s.do(t, "sandbox", "CreateGroup", map[string]string{"GroupName": "g"})
	s.do(t, "sandbox", "PutGroupPolicy", map[string]string{"GroupName": "g", "PolicyName": "p", "PolicyDocument": allow("execute-api:Invoke", "arn:aws:execute-api:*:*:grouped/*")})
	s.do(t, "sandbox", "AttachGroupPolicy", map[string]string{"GroupName": "g", "PolicyArn": "arn:aws:iam::aws:policy/AmazonAPIGatewayInvokeFullAccess"})
	keys, second := s.accessKey(t, "sandbox", "ana"), s.accessKey(t, "sandbox", "ana")

	who, err := s.verify(t, keys, time.Now())
	if err != nil || who.ARN != "arn:aws:iam::"+account+":user/team/ana" || who.Account != account || who.AccessKey != keys.AccessKeyID {
		t.Fatalf("%+v, %v", who, err)
	}
	for _, c := range []struct {
		api  string
		want bool
	}{{"inline", true}, {"attached", true}, {"grouped", false}} {
		if got := permits(t, who, "execute-api:Invoke", "arn:aws:execute-api:ap-northeast-1:"+account+":"+c.api+"/x"); got != c.want {
			t.Errorf("%s: %v", c.api, got)
		}
	}
	s.do(t, "sandbox", "AddUserToGroup", map[string]string{"UserName": "ana", "GroupName": "g"})
	if !permits(t, who, "execute-api:Invoke", "arn:aws:execute-api:ap-northeast-1:"+account+":grouped/x") ||
		!permits(t, who, "execute-api:Invoke", "arn:aws:execute-api:ap-northeast-1:"+account+":managed/x") {
		t.Error("the group's policies are not read")
	}

	s.do(t, "sandbox", "UpdateAccessKey", map[string]string{"UserName": "ana", "AccessKeyId": keys.AccessKeyID, "Status": "Inactive"})
	_, err = s.verify(t, keys, time.Now())
	checkRefusal(t, err, "UnrecognizedClientException: ")
	s.do(t, "sandbox", "UpdateAccessKey", map[string]string{"UserName": "ana", "AccessKeyId": keys.AccessKeyID, "Status": "Active"})
	_, err = s.verify(t, keys, time.Now())
	checkRefusal(t, err, "")
	s.do(t, "sandbox", "DeleteAccessKey", map[string]string{"UserName": "ana", "AccessKeyId": keys.AccessKeyID})
	_, err = s.verify(t, keys, time.Now())
	checkRefusal(t, err, "UnrecognizedClientException: ")
	_, err = s.verify(t, second, time.Now())
	checkRefusal(t, err, "")
}

// A role that lets in whom AWS does not would call a broken trust policy good.
func TestEndToEndAssumeRole(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.do(t, "sandbox", "CreateUser", map[string]string{"UserName": "ana"})
	ana := s.accessKey(t, "sandbox", "ana").AccessKeyID
	root, user := "arn:aws:iam::"+account+":root", "arn:aws:iam::"+account+":user/ana"
	condition := func(key, value string) string {
		return strings.Replace(trustFor(root), `"Action"`, `"Condition":{"StringEquals":{"`+key+`":"`+value+`"}},"Action"`, 1)
	}
	for name, trust := range map[string]string{
		"root": trustFor(root), "user": trustFor(user), "stranger": trustFor("999999999999"), "external": condition("sts:ExternalId", "x"),
		"session": condition("sts:RoleSessionName", "s2"), "typed": condition("aws:PrincipalType", "User"),
		"service": strings.Replace(trustFor("lambda.amazonaws.com"), "AWS", "Service", 1),
	} {
		s.do(t, "sandbox", "CreateRole", map[string]string{"RoleName": name, "Path": "/app/", "AssumeRolePolicyDocument": trust})
	}
	arn := func(role string) string { return "arn:aws:iam::" + account + ":role/app/" + role }
	check := func(caller, role string, more map[string]string, want string) {
		t.Helper()
		_, err := s.assume(t, caller, role, more)
		var failed wire.StatusError
		errors.As(err, &failed)
		if (err == nil) != (want == "") || !strings.Contains(failed.Body, want) {
			t.Errorf("%s assumes %s with %v: %v, want %q", caller, role, more, err, want)
		}
	}
	denied := func(who, role string) string {
		return "<Code>AccessDenied</Code><Message>User: " + who + " is not authorized to perform: sts:AssumeRole on resource: " + role + "</Message>"
	}
	none := map[string]string{}
	check("sandbox", arn("root"), none, "")
	check("sandbox", arn("user"), none, denied(root, arn("user")))
	check("sandbox", arn("stranger"), none, denied(root, arn("stranger")))
	check("sandbox", arn("service"), none, denied(root, arn("service")))
	check("sandbox", arn("typed"), none, denied(root, arn("typed")))
	check("sandbox", arn("gone"), none, denied(root, arn("gone")))
	check("sandbox", strings.Replace(arn("root"), "/app/", "/", 1), none, denied(root, "arn:aws:iam::"+account+":role/root"))
	check("sandbox", "root", none, denied(root, "root"))
	check("sandbox", arn("external"), none, denied(root, arn("external")))
	check("sandbox", arn("external"), map[string]string{"ExternalId": "x"}, "")
	check("sandbox", arn("session"), none, denied(root, arn("session")))
	check("sandbox", arn("session"), map[string]string{"RoleSessionName": "s2"}, "")
	check("sandbox", arn("root"), map[string]string{"RoleSessionName": "s/2"}, "at &#39;roleSessionName&#39; failed to satisfy constraint")
	check("sandbox", arn("root"), map[string]string{"Policy": allow("*", "*")}, "does not understand Policy of AssumeRole")
	s.do(t, "sandbox", "PutRolePermissionsBoundary", map[string]string{"RoleName": "service", "PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"})
	check("sandbox", arn("service"), none, arn("service")+" has a permissions boundary, which is not understood")
	function := "arn:aws:sts::" + account + ":assumed-role/root/answer"
	s.sandbox.signers.Sessions = func(accessKey string) (string, bool) { return function, accessKey == "ASIAFUNCTION" }
	check("ASIAFUNCTION", arn("root"), none, denied(function, arn("root")))

	check(ana, arn("user"), none, "") // named itself, it needs no policy of its own
	check(ana, arn("root"), none, denied(user, arn("root")))
	s.do(t, "sandbox", "PutUserPolicy", map[string]string{"UserName": "ana", "PolicyName": "p", "PolicyDocument": allow("sts:AssumeRole", "arn:aws:iam::"+account+":role/app/*")})
	check(ana, arn("root"), none, "")
	check(ana, arn("typed"), none, "")
	check(ana, arn("stranger"), none, denied(user, arn("stranger")))
}

// A session may do what its role's policies say, until it ends or the role is gone.
func TestEndToEndSessionSigns(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.do(t, "sandbox", "CreateRole", map[string]string{"RoleName": "chat", "Path": "/app/", "AssumeRolePolicyDocument": trustFor("arn:aws:iam::" + account + ":root")})
	keys, err := s.assume(t, "sandbox", "arn:aws:iam::"+account+":role/app/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.verify(t, keys, time.Now())
	if err != nil || who.ARN != "arn:aws:sts::"+account+":assumed-role/chat/s1" || who.Keys["aws:PrincipalArn"][0] != "arn:aws:iam::"+account+":role/app/chat" {
		t.Fatalf("%+v, %v", who, err)
	}
	if permits(t, who, "execute-api:Invoke", "*") {
		t.Error("a role without policies may call")
	}
	s.do(t, "sandbox", "PutRolePolicy", map[string]string{"RoleName": "chat", "PolicyName": "p", "PolicyDocument": allow("execute-api:Invoke", "*")})
	if !permits(t, who, "execute-api:Invoke", "*") {
		t.Error("the role's policy is not read")
	}
	_, err = s.verify(t, keys, time.Now().Add(2*time.Hour))
	checkRefusal(t, err, "ExpiredTokenException: ")
	s.do(t, "sandbox", "DeleteRolePolicy", map[string]string{"RoleName": "chat", "PolicyName": "p"})
	s.do(t, "sandbox", "DeleteRole", map[string]string{"RoleName": "chat"})
	_, err = s.verify(t, keys, time.Now())
	checkRefusal(t, err, "UnrecognizedClientException: ")
}

// A caller of another account is that account's, and may do what is allowed there.
func TestEndToEndOtherAccountSigns(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	organizations := func(action, body string) string {
		t.Helper()
		answer, err := s.aws.Do(t.Context(), "organizations", http.MethodPost, "/", map[string]string{
			"X-Amz-Target": "AWSOrganizationsV20161128." + action, "Content-Type": "application/x-amz-json-1.1"}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	organizations("CreateOrganization", `{"FeatureSet":"ALL"}`)
	_, after, _ := strings.Cut(organizations("CreateAccount", `{"AccountName":"other","Email":"other@example.com"}`), `"AccountId": "`)
	other := after[:12]
	admin, err := s.assume(t, "sandbox", "arn:aws:iam::"+other+":role/OrganizationAccountAccessRole", nil)
	if err != nil {
		t.Fatal(err)
	}
	// A role of the same name in the API's own account must not be mistaken for it.
	s.do(t, "sandbox", "CreateRole", map[string]string{"RoleName": "chat", "AssumeRolePolicyDocument": trustFor(account)})
	s.do(t, "sandbox", "PutRolePolicy", map[string]string{"RoleName": "chat", "PolicyName": "p", "PolicyDocument": allow("s3:*", "*")})
	s.do(t, admin.AccessKeyID, "CreateRole", map[string]string{"RoleName": "chat", "AssumeRolePolicyDocument": trustFor(account)})
	s.do(t, admin.AccessKeyID, "PutRolePolicy", map[string]string{"RoleName": "chat", "PolicyName": "p", "PolicyDocument": allow("execute-api:Invoke", "*")})
	s.do(t, admin.AccessKeyID, "CreateUser", map[string]string{"UserName": "bob"})
	bob := s.accessKey(t, admin.AccessKeyID, "bob")
	chat, err := s.assume(t, "sandbox", "arn:aws:iam::"+other+":role/chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys aws.Credentials
		arn  string
		may  bool
	}{
		{chat, "arn:aws:sts::" + other + ":assumed-role/chat/s1", true},
		{bob, "arn:aws:iam::" + other + ":user/bob", false},
	} {
		who, err := s.verify(t, c.keys, time.Now())
		if err != nil || who.ARN != c.arn || who.Account != other || who.Keys["aws:PrincipalAccount"][0] != other {
			t.Errorf("%+v, %v, want %s", who, err, c.arn)
		}
		if permits(t, who, "execute-api:Invoke", "*") != c.may || permits(t, who, "s3:GetObject", "*") {
			t.Errorf("the policies of %s are not its own", c.arn)
		}
	}
	// Both sides must agree: here the role does, bob's account does not yet.
	if _, err := s.assume(t, bob.AccessKeyID, "arn:aws:iam::"+account+":role/chat", nil); err == nil {
		t.Error("a role was assumed from an account it does not trust")
	}
	s.do(t, "sandbox", "UpdateAssumeRolePolicy", map[string]string{"RoleName": "chat", "PolicyDocument": trustFor("arn:aws:iam::" + other + ":user/bob")})
	if _, err := s.assume(t, bob.AccessKeyID, "arn:aws:iam::"+account+":role/chat", nil); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("without a policy of his own: %v", err)
	}
	s.do(t, admin.AccessKeyID, "PutUserPolicy", map[string]string{"UserName": "bob", "PolicyName": "p", "PolicyDocument": allow("sts:AssumeRole", "arn:aws:iam::"+account+":role/chat")})
	if _, err := s.assume(t, bob.AccessKeyID, "arn:aws:iam::"+account+":role/chat", nil); err != nil {
		t.Error(err)
	}
}
