//go:build e2e

package e2e

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateRights = flag.Bool("update", false, "rewrite the rights that deployments use; afterwards: go test ./internal/deployer -update")

// newRoles makes those that docs/deployer.md describes, each with exactly the policies that are documented for it.
func (s *running) newRoles(t *testing.T) map[string]*deployingRole {
	t.Helper()
	roles := map[string]*deployingRole{}
	for name, files := range map[string][]string{
		"preview": {"policies/preview-policy.json"},
		"deploy":  {"policies/preview-policy.json", "policies/deployer-policy.json", "policies/deployer-policy-ec2-iam.json"},
	} {
		report := func(err error) {
			if !*updateRights {
				t.Errorf("%s: %v; see docs/deployer.md", name, err)
			}
		}
		roles[name], s.fronts[name] = newRole(t, s.aws, report, files...)
	}
	return roles
}

// as is the environment in which a role runs pulumi. With retainLogs false, which stack local has, destroy deletes the
// records: the deployer cannot.
func (s *running) as(stack, command string) []string {
	front := s.fronts["deploy"]
	switch {
	case stack == "local" && command == "destroy":
		return s.env
	case command == "preview" || command == "refresh":
		front = s.fronts["preview"]
	}
	return append(slices.Clone(s.env), "AWS_ENDPOINT_URL="+front)
}

// changeFunction has the next deployment upload other code.
func (s *running) changeFunction(t *testing.T) {
	t.Helper()
	content := "package main\n\nvar changed = map[string]bool{}\n\nfunc init() { changed[\"e2e\"] = true }\n"
	if err := os.WriteFile(filepath.Join(s.root, "function", "changed.go"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// usesEveryRight: a right that is recorded and that no deployment uses any more is one too many in the policies.
func (s *running) usesEveryRight(t *testing.T) {
	for name, role := range s.roles {
		file := filepath.Join("internal/deployer/testdata", name+".txt")
		got := slices.Sorted(maps.Keys(role.seen))
		if *updateRights {
			if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(content)), "\n")
		for _, line := range want {
			if !role.seen[line] {
				t.Errorf("%s: no call needed %s", file, line)
			}
		}
		for _, line := range got {
			if !slices.Contains(want, line) {
				t.Errorf("%s lacks %s", file, line)
			}
		}
	}
}
