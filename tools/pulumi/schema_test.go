package pulumi

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// `pulumi package add` makes of the schema what a program in another language imports; where it cannot, that language has
// no package.
func TestSchemaMakesSDKs(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../package/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(content, &spec); err != nil {
		t.Fatal(err)
	}
	pkg, diagnostics, err := schema.BindSpec(spec, schema.NewNullLoader(), schema.ValidationOptions{})
	if err != nil || len(diagnostics) > 0 {
		t.Fatalf("%v, %v", diagnostics, err)
	}
	typescript, err := nodejs.GeneratePackage("test", pkg, nil, nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	python, err := python.GeneratePackage("test", pkg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for token := range spec.Resources {
		name := token[strings.LastIndex(token, ":")+1:]
		for language, files := range map[string]map[string][]byte{"TypeScript": typescript, "Python": python} {
			found := false
			for _, file := range files {
				found = found || strings.Contains(string(file), "class "+name+" extends ") || strings.Contains(string(file), "class "+name+"(")
			}
			if !found {
				t.Errorf("%s has no %s", language, name)
			}
		}
	}
}
