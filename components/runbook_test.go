package components

import (
	"os"
	"strings"
	"testing"
)

// Whoever is woken by a message that the runbook does not know has to find out at night what it means.
func TestRunbookKnowsEveryMessage(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, line := range strings.Split(string(content), "\n") {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			known[name] = true
		}
	}
	rung := map[string]bool{}
	for _, a := range alarms("f", "a", "s", 1) {
		rung[a.name] = true
	}
	for _, r := range tamperRules(watched{buckets: []string{"b"}, logGroups: []string{"l"}, keyIds: []string{"k"}, apiId: "a", functionArn: "f", topicArn: "t", name: "n", database: "d", workgroup: "w"}) {
		rung[r.name] = true
	}
	for name := range rung {
		if !known[name] {
			t.Errorf("docs/runbook.md has no heading %q", name)
		}
	}
	for name := range known {
		if !rung[name] {
			t.Errorf("docs/runbook.md has %q, which nothing rings", name)
		}
	}
}
