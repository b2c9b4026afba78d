package repocheck

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A reader at 3 a.m. can't act on a sentence that has no actor or that has to be read twice. docs/settings.md contains the
// descriptions of Pulumi.yaml.
func TestDocumentsUsePlainEnglish(t *testing.T) {
	t.Parallel()
	inProject()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	notProse := regexp.MustCompile("(?s)```.*?```|`[^`]*`|\"[^\"]*\"|\\]\\([^)]*\\)|\\*\\*|<!--.*?-->")
	end := regexp.MustCompile(`[.?!:;…](\s|$)|\||\n\s*(-|#+|\d+\.) |\n\n`)
	banned := regexp.MustCompile(`(?i)\b(who(ever|mever|sever|m)|(no|some|every)body|but for|(is|are) (none|told)|tells|rings|rung|` +
		`heard|lets in|admits|admitted|brought|for want of|himself)\b`)
	word := regexp.MustCompile(`\b[a-z][\w'’-]*`) // not the names of AWS actions
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "ARCHITECTURE.md") {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, sentence := range end.Split(notProse.ReplaceAllString(string(content), ""), -1) {
			sentence = strings.Join(strings.Fields(sentence), " ")
			if found := banned.FindString(sentence); found != "" {
				t.Errorf("%s: %q in %q: name the actor, and use the words of AWS", page, found, sentence)
			}
			if n := len(word.FindAllString(sentence, -1)); n > 26 {
				t.Errorf("%s: %d words, want at most 26, in %q", page, n, sentence)
			}
		}
	}
}
