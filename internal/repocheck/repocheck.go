// Package repocheck holds the repository to what it says of itself: its documents, workflows and pinned tools. All but Table are
// tests.
package repocheck

import (
	"os"
	"strings"
	"sync"
	"testing"
)

var documents sync.Mutex // two tests may write to one

// Table compares what a document has between <!-- name --> and <!-- /name --> with what it should have, or writes that.
func Table(t *testing.T, update bool, file, name, want string) {
	t.Helper()
	documents.Lock()
	defer documents.Unlock()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(content), "<!-- "+name+" -->\n")
	got, after, ended := strings.Cut(rest, "<!-- /"+name+" -->\n")
	if !begun || !ended {
		t.Fatalf("%s: want <!-- %s -->, a table, <!-- /%s -->", file, name, name)
	}
	switch {
	case got == want:
	case update:
		text := before + "<!-- " + name + " -->\n" + want + "<!-- /" + name + " -->\n" + after
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s, %s: got\n%s\nwant\n%s\n(the flag -update writes it)", file, name, got, want)
	}
}
