//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
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
