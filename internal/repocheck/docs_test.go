package repocheck

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

var update = flag.Bool("update", false, "rewrite the tables in the documents")

// inProject changes to the project's folder. A test calls it, and not TestMain: go test records which files a test reads
// only once tests run, and would take a cached result for a changed document.
var inProject = sync.OnceFunc(func() {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
})

// A table of settings that has fallen behind sends its reader the wrong way. The README has of each what fits into a line.
func TestDocumentsHaveEverySetting(t *testing.T) {
	t.Parallel()
	inProject()
	project, err := workspace.LoadProject("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	head := "| setting | default | meaning |\n|---|---|---|\n"
	short, whole := head, head
	for _, name := range settingsInOrder(t) {
		c := project.Config[name]
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
				value = "`" + strings.Join(strings.Fields(strings.Trim(fmt.Sprint(d), "[]")), "`, `") + "`"
			}
		}
		sentence, _, _ := strings.Cut(c.Description, ". ")
		short += fmt.Sprintf("| `%s` | %s | %s. |\n", name, value, strings.TrimSuffix(sentence, "."))
		whole += fmt.Sprintf("| `%s` | %s | %s |\n", name, value, c.Description)
	}
	Table(t, *update, "README.md", "settings", short)
	japanese, err := os.ReadFile("README.ja.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Split(strings.TrimSpace(strings.TrimPrefix(short, head)), "\n") {
		cells := strings.SplitN(row, " | ", 3)
		if row := cells[0] + " | " + cmp.Or(map[string]string{"none": "なし", "the stack's name": "スタック名"}[cells[1]], cells[1]) + " | "; strings.Count(string(japanese), row) != 1 {
			t.Errorf("README.ja.md has no row %s", row)
		}
	}
	Table(t, *update, "docs/settings.md", "settings", whole)
}

// An output that no document names is looked for in the code, or not found at all.
func TestDocumentHasEveryOutput(t *testing.T) {
	t.Parallel()
	inProject()
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(settings), "| output | is |\n")
	names := func(pattern, text string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	first := regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllString(table, -1)
	got, want := names("`(\\w+)`", strings.Join(first, "")), names(`ctx\.Export\("(\w+)"`, string(program))
	if !slices.Equal(got, want) {
		t.Errorf("docs/settings.md has the outputs\n%q\nmain.go\n%q", got, want)
	}
}

// settingsInOrder are Pulumi.yaml's, as it has them.
func settingsInOrder(t *testing.T) (names []string) {
	t.Helper()
	content, err := os.ReadFile("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := strings.Cut(string(content), "\nconfig:\n")
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):$`).FindAllStringSubmatch(config, -1) {
		names = append(names, m[1])
	}
	return names
}

// A route that only the document, or only the function, knows is a 403 or a surprise to its caller.
func TestDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	inProject()
	page, err := os.ReadFile("docs/api.md")
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
			if row := "| `" + strings.ToUpper(method) + " " + path + "` |"; !strings.Contains(string(page), row) {
				t.Errorf("docs/api.md has no row %s", row)
			}
		}
	}
}

// A threat whose test is gone is a claim that nothing holds up.
func TestThreatModelNamesItsTests(t *testing.T) {
	t.Parallel()
	inProject()
	model, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	if err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && len(path) > 1 && strings.HasPrefix(path, "."): // .local and .tools are no sources of the project's
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		tests.Write(content)
		return err
	}); err != nil {
		t.Fatal(err)
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

// A link that leads nowhere leaves its reader without what it promised.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	inProject()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, "README.md", "README.ja.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "ARCHITECTURE.md")
	content := map[string]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		content[page] = string(text)
	}
	anchor := strings.NewReplacer(" ", "-", ",", "", ".", "", "'", "")
	for page, text := range content {
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`).FindAllStringSubmatch(text, -1) {
			to, part := filepath.Join(filepath.Dir(page), m[1]), m[2]
			if m[1] == "" {
				to = page
			}
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			headings := regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(content[to], -1)
			if part != "" && !slices.ContainsFunc(headings, func(h []string) bool { return anchor.Replace(strings.ToLower(h[1])) == part }) {
				t.Errorf("%s: %s has no heading #%s", page, to, part)
			}
		}
	}
}

// What only one of the two READMEs has, half of the readers miss; and only the English one's commands are run.
func TestReadmesSayTheSame(t *testing.T) {
	t.Parallel()
	inProject()
	shape := map[string][]string{}
	for _, file := range []string{"README.md", "README.ja.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Headings, blocks of commands and code, the first cells of tables' rows, and what links and pictures lead to.
		for _, m := range regexp.MustCompile("(?ms)^(##) |^```.*?^```$|^\\| (`[^|]*) \\||\\]\\(([^)]*)\\)").FindAllStringSubmatch(string(content), -1) {
			part := cmp.Or(m[1], m[2], m[3], m[0])
			if part != "README.ja.md" && part != "README.md" {
				shape[file] = append(shape[file], part)
			}
		}
	}
	english, japanese := shape["README.md"], shape["README.ja.md"]
	for i, part := range english {
		if i >= len(japanese) || japanese[i] != part {
			t.Fatalf("README.ja.md: got %q, want %q", append(japanese, "its end")[min(i, len(japanese))], part)
		}
	}
	if len(japanese) > len(english) {
		t.Errorf("README.ja.md has more than README.md: %q", japanese[len(english)])
	}
}
