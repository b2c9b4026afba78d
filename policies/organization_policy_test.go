// Package policies holds the policies that an account's or an organization's administrator attaches, each with the page in docs
// that explains it. Its tests ask the organization policy and the permissions boundary; internal/deployer makes and asks the
// policies of the roles that deploy.
package policies

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

const (
	scpFile      = "service-control-policy.json"
	boundaryFile = "permissions-boundary.json"
)

// orgPolicy is all that the documents may hold: a Principal, which no SCP can have, is an error (Organizations User
// Guide, "SCP syntax").
type orgPolicy struct {
	Version   string
	Statement []orgStatement
}

type orgStatement struct {
	Sid, Effect      string
	Action, Resource []string
	Condition        map[string]map[string][]string `json:",omitempty"`
}

func readOrgPolicy(t *testing.T, file string) (orgPolicy, string) {
	t.Helper()
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p orgPolicy
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p, string(document)
}

// everything is both FullAWSAccess, which an SCP is attached beside, and AdministratorAccess.
const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// orgDocuments are the files, what AWS evaluates each together with, and what a case expects of it.
var orgDocuments = []struct {
	file   string
	beside []string
	want   func(orgCase) string
}{
	{scpFile, []string{everything}, func(c orgCase) string { return c.scp }},
	{boundaryFile, nil, func(c orgCase) string { return c.boundary }},
}

func parseOrgPolicies(t *testing.T, documents ...string) []iampolicy.Document {
	t.Helper()
	var parsed []iampolicy.Document
	for _, document := range documents {
		d, err := iampolicy.ParseIdentity(document)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, d)
	}
	return parsed
}

// orgVerdict is AWS's for a caller with AdministratorAccess: SCPs, boundary and identity policy must each allow, and a
// Deny in any is final (IAM User Guide, "Policy evaluation logic").
func orgVerdict(limit, identity []iampolicy.Document, c orgCase, action string) string {
	context := keys{"aws:PrincipalArn": {c.who}}
	maps.Copy(context, c.context)
	r := iampolicy.Request{Principal: iampolicy.Principal{ARN: c.who}, Action: action, Resource: c.resource, Context: context}
	for _, documents := range [][]iampolicy.Document{limit, identity} {
		if iampolicy.SameAccount(documents, nil, r) != iampolicy.Allow {
			return denied
		}
	}
	return allowed
}

// A policy that denies too little leaves a way around the log, one that denies too much stops the account's work.
func TestOrganizationPolicyVerdicts(t *testing.T) {
	t.Parallel()
	for _, d := range orgDocuments {
		_, document := readOrgPolicy(t, d.file)
		t.Run(d.file, func(t *testing.T) {
			t.Parallel()
			limit, identity := parseOrgPolicies(t, slices.Concat(d.beside, []string{document})...), parseOrgPolicies(t, everything)
			for _, c := range orgCases() {
				for _, action := range strings.Fields(c.actions) {
					if want := d.want(c); want != exempt {
						if got := orgVerdict(limit, identity, c, action); got != want {
							t.Errorf("%s: %s is %s, want %s", c.name, action, got, want)
						}
					}
				}
			}
		})
	}
}

// A line that no case needs protects nothing that anybody has looked at: it may never have worked.
func TestOrganizationPolicyNeedsEveryLine(t *testing.T) {
	t.Parallel()
	for _, d := range orgDocuments {
		p, _ := readOrgPolicy(t, d.file)
		for i, s := range p.Statement {
			for name, statements := range orgMutants(s) {
				t.Run(d.file+"/"+s.Sid+"/"+name, func(t *testing.T) {
					t.Parallel()
					document, err := json.Marshal(orgPolicy{p.Version, slices.Concat(p.Statement[:i], statements, p.Statement[i+1:])})
					if err != nil {
						t.Fatal(err)
					}
					limit, identity := parseOrgPolicies(t, slices.Concat(d.beside, []string{string(document)})...), parseOrgPolicies(t, everything)
					for _, c := range orgCases() {
						for _, action := range strings.Fields(c.actions) {
							about := func(pattern string) bool { match, _ := path.Match(pattern, action); return match }
							if want := d.want(c); want != exempt && slices.ContainsFunc(s.Action, about) &&
								orgVerdict(limit, identity, c, action) != want {
								return
							}
						}
					}
					t.Error("no case notices")
				})
			}
		}
	}
}

// orgMutants are what may go wrong with a statement: it is not there, it lacks an action, a resource or a condition,
// or its resources are all there are.
func orgMutants(s orgStatement) map[string][]orgStatement {
	mutants := map[string][]orgStatement{"removed": {}}
	for i, action := range s.Action {
		if m := s; len(s.Action) > 1 {
			m.Action = slices.Delete(slices.Clone(s.Action), i, i+1)
			mutants["without "+action] = []orgStatement{m}
		}
	}
	for i, resource := range s.Resource {
		if m := s; len(s.Resource) > 1 {
			m.Resource = slices.Delete(slices.Clone(s.Resource), i, i+1)
			mutants["without "+resource] = []orgStatement{m}
		}
	}
	for operator, keys := range s.Condition {
		for key := range keys {
			m := s
			m.Condition = maps.Clone(s.Condition)
			m.Condition[operator] = maps.Clone(keys)
			if delete(m.Condition[operator], key); len(m.Condition[operator]) == 0 {
				delete(m.Condition, operator)
			}
			mutants["without "+operator+" "+key] = []orgStatement{m}
		}
	}
	if m := s; !slices.Contains(s.Resource, "*") {
		m.Resource = []string{"*"}
		mutants["of everything"] = []orgStatement{m}
	}
	return mutants
}

// AWS refuses a document that is too long, and whoever is in a hurry then shortens it by a protection.
func TestOrganizationPolicyFits(t *testing.T) {
	t.Parallel()
	for file, limit := range map[string]int{
		scpFile:      5120, // Organizations User Guide, "Quotas and service limits"
		boundaryFile: 6144, // IAM User Guide, "IAM and AWS STS quotas"
	} {
		_, document := readOrgPolicy(t, file)
		// A deployer with a name as long as IAM Identity Center gives, and a stack with as long a one as it may have.
		document = strings.ReplaceAll(document, "private-bedrock-deployer",
			"aws-reserved/sso.amazonaws.com/ap-northeast-1/AWSReservedSSO_AdministratorAccess_0123456789abcdef")
		document = strings.ReplaceAll(document, "bedrock-app-dev", strings.Repeat("a", 37)) // config.go's maxName
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(document)); err != nil {
			t.Fatal(err)
		}
		if compact.Len() > limit {
			t.Errorf("%s has %d characters without white space, want at most %d", file, compact.Len(), limit)
		}
	}
}

// Whoever attaches a statement that the page does not explain, or fills in what it does not name, does not know what
// is denied.
func TestOrganizationPolicyIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/organization-policy.md")
	if err != nil {
		t.Fatal(err)
	}
	sids := map[string]bool{}
	for _, d := range orgDocuments {
		p, document := readOrgPolicy(t, d.file)
		for _, s := range p.Statement {
			sids[s.Sid] = true
			if s.Sid == "" || !strings.Contains(string(page), "\n| `"+s.Sid+"` |") {
				t.Errorf("%s: statement %q has no row", d.file, s.Sid)
			}
		}
		for _, placeholder := range []string{"vpce-0123456789abcdef0", "123456789012", "private-bedrock-deployer", "bedrock-app-dev", "abc123defg", "1234abcd-12ab-34cd-56ef-1234567890ab"} {
			if strings.Contains(document, placeholder) && !strings.Contains(string(page), "'s|"+placeholder+"|'") {
				t.Errorf("%s: the page does not fill in %s", d.file, placeholder)
			}
		}
	}
	if n := strings.Count(string(page), "\n| `"); n != len(sids) {
		t.Errorf("the page has %d rows of statements, the documents have %d statements", n, len(sids))
	}
}

// bedrockActions are the verdicts of docs/bedrock-actions.md, by the action's or operation's name.
func bedrockActions(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/bedrock-actions.md")
	if err != nil {
		t.Fatal(err)
	}
	verdicts, service := map[string]string{}, ""
	for _, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(line, " | ")
		switch {
		case len(cells) != 3 || strings.HasPrefix(line, "|---"):
			continue
		case strings.Contains(line, "| actions of `"):
			service = strings.Split(cells[2], "`")[1] + ":"
			continue
		}
		for _, action := range strings.Fields(strings.TrimSuffix(cells[2], "|")) {
			if verdicts[service+action] != "" {
				t.Errorf("%s%s has two verdicts", service, action)
			}
			verdicts[service+action] = strings.TrimPrefix(cells[0], "| ")
		}
	}
	return verdicts
}

// An action that no verdict was given on, such as one that AWS adds, may run a model without a record.
func TestBedrockActionsHaveAVerdict(t *testing.T) {
	t.Parallel()
	verdicts := bedrockActions(t)
	for _, client := range []any{&bedrock.Client{}, &bedrockruntime.Client{}} {
		for of, i := reflect.TypeOf(client), 0; i < of.NumMethod(); i++ {
			if operation := of.Method(i).Name; operation != "Options" && verdicts["bedrock:"+operation] == "" {
				t.Errorf("docs/bedrock-actions.md has no verdict on %s, an operation of the SDK", operation)
			}
		}
	}
	for _, d := range orgDocuments {
		_, document := readOrgPolicy(t, d.file)
		limit, identity := parseOrgPolicies(t, slices.Concat(d.beside, []string{document})...), parseOrgPolicies(t, everything)
		for action, verdict := range verdicts {
			// What the statements with conditions ask for: these calls come through the endpoint, by the deployer, and keep nothing.
			c := orgCase{who: "arn:aws:iam::123456789012:role/private-bedrock-deployer", resource: "*", context: keys{
				"aws:SourceVpce": {"vpce-0123456789abcdef0"}, "bedrock:DataRetentionMode": {"none"},
			}}
			got := orgVerdict(limit, identity, c, action)
			switch verdict {
			case "denied":
				if got != denied {
					t.Errorf("%s: %s is %s, and docs/bedrock-actions.md says denied", d.file, action, got)
				}
			case "logged", "no inference":
				if got != allowed {
					t.Errorf("%s: %s is %s, and docs/bedrock-actions.md says %s", d.file, action, got, verdict)
				}
			case "no action":
			default:
				t.Errorf("%s: got the verdict %q, want logged, denied, no inference or no action", action, verdict)
			}
		}
	}
}

// A name that Bedrock does not have denies nothing.
func TestOrganizationPolicyNamesBedrocksActions(t *testing.T) {
	t.Parallel()
	verdicts := bedrockActions(t)
	for _, d := range orgDocuments {
		p, _ := readOrgPolicy(t, d.file)
		for _, s := range p.Statement {
			for _, pattern := range s.Action {
				found := !strings.HasPrefix(pattern, "bedrock")
				for action, verdict := range verdicts {
					match, _ := path.Match(pattern, action)
					found = found || match && verdict != "no action"
				}
				if !found {
					t.Errorf("%s, %s: no action of docs/bedrock-actions.md is %s", d.file, s.Sid, pattern)
				}
			}
		}
	}
}
