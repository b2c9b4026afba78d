package repocheck

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A component that uses a type of which the AWS plugin of air-gapped machines knows nothing cannot be deployed there.
func TestAirGappedPluginHasEveryType(t *testing.T) {
	t.Parallel()
	inProject()
	text, err := os.ReadFile("tools/pulumi-resource-aws/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Resources, DataSources map[string]struct{ Token string }
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, types := range []map[string]struct{ Token string }{table.Resources, table.DataSources} {
		for m := range maps.Values(types) {
			has[m.Token] = true
		}
	}
	files, err := filepath.Glob("components/*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, file := range append(files, "main.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for call, tokens := range awsCalls(t, file) {
			used++
			if !slices.ContainsFunc(tokens, func(token string) bool { return has[token] }) {
				t.Errorf("%s: %s is not in tools/pulumi-resource-aws/tokens.json; add its module to tokens/main.go there if that lacks it, then run: make tokens", file, call)
			}
		}
	}
	if used < 40 {
		t.Errorf("found %d uses of the AWS SDK, want more: this test does not see them", used)
	}
}

// awsCalls finds calls such as ec2.NewVpc and ec2.LookupVpc, with the tokens that each may stand for.
func awsCalls(t *testing.T, file string) map[string][]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for _, i := range parsed.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if module, ok := strings.CutPrefix(path, "github.com/pulumi/pulumi-aws/sdk/v6/go/aws"); ok {
			name := filepath.Base(path)
			if i.Name != nil {
				name = i.Name.Name
			}
			modules[name] = strings.TrimPrefix(module, "/")
			if module == "" {
				modules[name] = "index"
			}
		}
	}
	calls := map[string][]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name, ok := selector.X.(*ast.Ident)
		if !ok || modules[name.Name] == "" {
			return true
		}
		module, of := modules[name.Name], selector.Sel.Name
		tokenOf := func(name string) string {
			return "aws:" + module + "/" + strings.ToLower(name[:1]) + name[1:] + ":" + name
		}
		if resource, ok := strings.CutPrefix(of, "New"); ok {
			calls[name.Name+"."+of] = []string{tokenOf(resource)}
		}
		for _, prefix := range []string{"Get", "Lookup"} {
			if function, ok := strings.CutPrefix(of, prefix); ok {
				function = "get" + strings.TrimSuffix(function, "Output")
				calls[name.Name+"."+of] = []string{tokenOf(function), tokenOf(strings.TrimPrefix(function, "get"))}
			}
		}
		return true
	})
	return calls
}
