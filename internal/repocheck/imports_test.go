package repocheck

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/private-bedrock/private-bedrock/"

// A function that imports Pulumi's components, or an audit that imports the deployment, can't be understood or trusted
// by itself.
func TestPackagesImportWhatArchitectureAllows(t *testing.T) {
	t.Parallel()
	inProject()
	content, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(content), "<!-- imports -->\n")
	table, _, _ = strings.Cut(table, "<!-- /imports -->")
	matches := func(folder string) func(string) bool {
		return func(pattern string) bool { found, _ := path.Match(pattern, folder); return found }
	}
	allowed := map[string][]string{}
	for _, row := range strings.Split(table, "\n")[2:] {
		if names := strings.Split(row, "`"); len(names) > 1 { // every second one is between two quotes
			for i := 3; i < len(names); i += 2 {
				allowed[names[1]] = append(allowed[names[1]], names[i])
			}
		}
	}
	err = filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		folder := filepath.Dir(file)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (len(file) > 1 && file[0] == '.' || file == "tools"): // tools/ has modules of its own
			return fs.SkipDir
		case !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(folder, "test"):
			return nil
		case folder == ".":
			folder = "main"
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rows := allowed[folder]
		if rows == nil && matches(folder)("internal/sandbox/*") {
			rows = allowed["internal/sandbox/*"]
		}
		for _, spec := range parsed.Imports {
			imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if ours && !slices.ContainsFunc(rows, matches(imported)) {
				t.Errorf("%s imports %s: ARCHITECTURE.md allows %q", file, imported, rows)
			}
		}
		return nil
	})
	if err != nil || len(allowed) < 10 {
		t.Errorf("%d rows: %v", len(allowed), err)
	}
}

// A map with a file that is gone leads a newcomer astray.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	inProject()
	content, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(content), "## Imports")
	names := strings.Split(before, "`")
	for i := 1; i < len(names); i += 2 {
		if found, _ := filepath.Glob(names[i]); strings.ContainsAny(names[i], "/.") && len(found) == 0 {
			t.Errorf("no %s", names[i])
		}
	}
}
