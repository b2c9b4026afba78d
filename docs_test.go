package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	definition, err := os.ReadFile("openapi/openapi.json")
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

// A threat whose test is gone is a claim that nothing holds up.
func TestThreatModelNamesItsTests(t *testing.T) {
	t.Parallel()
	model, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(content)
		}
	}
	_, table, _ := strings.Cut(string(model), "|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) < 20 {
		t.Errorf("found %d lines", len(rows))
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`(?: \"([^\"]+)\")?")
	for _, row := range rows {
		cells := strings.Split(row, " | ")
		found := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 4 || len(found) == 0 {
			t.Errorf("want attempt, what stops it, what remains, tests: %s", row)
		}
		for _, m := range found {
			if !strings.Contains(tests.String(), "func "+m[1]+"(") {
				t.Errorf("there is no %s", m[1])
			}
			if m[2] != "" && !strings.Contains(tests.String(), `t.Run("`+m[2]+`"`) {
				t.Errorf("%s has no step %q", m[1], m[2])
			}
		}
	}
}

// Figures that nobody measured, or measured once and then changed, are worse than none.
func TestReadmeHasTheMeasuredTable(t *testing.T) {
	t.Parallel()
	tables := map[string]string{}
	for _, file := range []string{"README.md", "bench/RESULTS.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(content), "<!-- table -->\n")
		tables[file], _, _ = strings.Cut(table, "<!-- /table -->")
	}
	if tables["README.md"] == "" || tables["README.md"] != tables["bench/RESULTS.md"] {
		t.Errorf("README.md's table is not that of bench/RESULTS.md:\n%s", tables["bench/RESULTS.md"])
	}
}
