package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

// A table of settings that has fallen behind sends its reader the wrong way.
func TestReadmeHasEverySetting(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	project, err := workspace.LoadProject("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for name, c := range project.Config {
		value := fmt.Sprintf("`%v`", c.Default)
		switch d := c.Default.(type) {
		case string:
			if d == "" {
				value = "none"
			}
			if name == "environment" {
				value = "the stack's name"
			}
		case []any:
			value = "none"
			if len(d) > 0 {
				value = fmt.Sprintf("`%v`", d[0])
			}
		}
		row := fmt.Sprintf("| `%s` | %s | %s |\n", name, value, c.Description)
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md has no row\n%s", row)
		}
		rows++
	}
	_, table, _ := strings.Cut(string(readme), "| setting | default | meaning |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	if n := len(strings.Split(table, "\n")); n != rows {
		t.Errorf("README.md has %d rows of settings, Pulumi.yaml %d", n, rows)
	}
}

// A route that only the document, or only the function, knows is a 403 or a surprise to its caller.
func TestReadmeHasEveryRoute(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	definition, err := os.ReadFile("components/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(definition, &document); err != nil {
		t.Fatal(err)
	}
	for path, operations := range document.Paths {
		for method := range operations {
			if row := "| `" + strings.ToUpper(method) + " " + path + "` |"; !strings.Contains(string(readme), row) {
				t.Errorf("README.md has no row %s", row)
			}
		}
	}
}
