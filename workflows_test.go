package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// An action that is named by a tag is whatever its owner, or whoever took the tag over, makes of it later: with the
// deployer's rights.
func TestWorkflowsArePinned(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(".github/workflows/*.yml")
	if len(files) < 4 {
		t.Fatalf("found %q, want ci, preview, deploy and drift", files)
	}
	uses := regexp.MustCompile(`(?m)^\s*-?\s*uses:\s*(.*)$`)
	pinned := regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+`)
	pins := map[string]string{} // one version of each action
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(content), -1) {
			name, _, _ := strings.Cut(m[1], "@")
			pin := pinned.FindString(m[1])
			if pin == "" || pins[name] != "" && pins[name] != pin {
				t.Errorf("%s uses %s, want owner/action@ a commit # its version, everywhere the same", file, m[1])
			}
			pins[name] = pin
		}
	}
}

// A workflow that may write to the repository, or runs a stranger's code with credentials, is a way around every review.
func TestWorkflowsMayLittle(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(".github/workflows/*.yml")
	writes := regexp.MustCompile(`(?m)^\s+([\w-]+): write`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if !strings.Contains(text, "\npermissions:\n  contents: read\n") {
			t.Errorf("%s does not begin with contents: read", file)
		}
		for _, m := range writes.FindAllStringSubmatch(text, -1) {
			if m[1] != "id-token" && (m[1] != "pull-requests" || filepath.Base(file) != "preview.yml") {
				t.Errorf("%s: %s: write", file, m[1])
			}
		}
		if strings.Contains(text, "pull_request_target") || strings.Contains(text, "AWS_SECRET_ACCESS_KEY") {
			t.Errorf("%s runs others' code with its own rights, or keeps a key", file)
		}
		if strings.Contains(text, "pull_request:") && strings.Contains(text, "id-token") && !strings.Contains(text, "head.repo.full_name == github.repository") {
			t.Errorf("%s gives forks' pull requests credentials", file)
		}
		if strings.Count(text, "actions/checkout@") != strings.Count(text, "persist-credentials: false") {
			t.Errorf("%s leaves its token in the checkout", file)
		}
	}
}
