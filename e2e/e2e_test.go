//go:build e2e

package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// canary is in every prompt: where it turns up, prompts turn up.
const canary = "カナリア canary"

// TestEndToEnd is what a user does, in order: start, call, read the records, change, start a second stack, take
// everything down, start again. It runs the real pulumi, the real AWS provider and the deployed function's own executable.
func TestEndToEnd(t *testing.T) {
	root := checkout(t)
	program := filepath.Join(root, "sandbox")
	command(t, root, nil, "go", "build", "-o", program, "./cmd/sandbox")
	s := start(t, root, program)

	t.Run("a client in the VPC is answered", s.answers)
	t.Run("nobody else gets in", s.refusesOthers)
	t.Run("nothing listens beyond loopback", s.listensOnLoopback)
	t.Run("no web page reaches the emulated AWS", s.refusesWebPages)
	t.Run("bad requests are refused and not recorded", s.refusesBadRequests)
	t.Run("every call has its record", s.recordsCalls)
	t.Run("clients that know Bedrock only work", s.clientsWork)
	t.Run("what would not be kept, or costs more than is admitted, is not asked", s.refusesUnkept)
	t.Run("an operation that is not served says so by its name", s.namesWhatIsNotServed)
	t.Run("every fault has its status and its type", s.faultsAreTyped)
	t.Run("the first byte comes long before the last", s.streams)
	t.Run("a client that leaves harms nobody", s.clientLeaves)
	t.Run("a thousand calls of fifty callers have a thousand records", s.thousandCalls)
	t.Run("the API serves its definition", s.servesItsDefinition)
	t.Run("prompts are in the invocation log only", s.keepsPromptsToItself)
	t.Run("the auditor misses nothing but what is gone", s.audits)
	t.Run("the auditor's queries answer what the log has", s.queries)
	t.Run("the auditor sees large bodies and failures", s.showsLargeAndFailed)
	t.Run("a preview shows no change", func(t *testing.T) { s.pulumi(t, "local", "preview", "--expect-no-changes") })
	t.Run("the longest name passes the provider, a longer one is refused", s.longestName)
	t.Run("the README's commands for this machine work", s.readmeLocal)
	t.Run("what Bedrock loses is named", s.namesWhatIsLost)
	t.Run("a record that was made past the API is named", s.namesForgedRecords)
	t.Run("a changed setting updates in place", s.updatesInPlace)
	t.Run("a changed policy is in force", s.redeploys)
	t.Run("a refresh finds no drift", func(t *testing.T) { s.pulumi(t, "local", "refresh", "--yes", "--expect-no-changes") })
	t.Run("a client instance, a role for auditors and a mask over personal data are added", s.grows)
	t.Run("a second stack, in a brought VPC, with signed calls and a guardrail", s.secondStack)
	t.Run("nothing is asked of a model while nothing is kept", s.refusesUnlogged)
	t.Run("nothing is asked of a model while AWS may share it", s.refusesShared)
	t.Run("tampering is loud", s.tampers)
	t.Run("destroy leaves nothing", s.destroys)
	t.Run("the README's commands for AWS work, and the log is kept", s.readmeAWS)
	t.Run("a deployment has exactly its rights", s.usesEveryRight)
	t.Run("another sandbox keeps out of the folder", func(t *testing.T) {
		second := exec.Command(program)
		second.Dir = root
		if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "running in this folder already") {
			t.Errorf("%v: %s", err, out)
		}
	})
	s.stop(t)

	t.Run("Ctrl-C while deploying stops everything", func(t *testing.T) { interrupt(t, root, program) })
	t.Run("a second start works", func(t *testing.T) {
		again := start(t, root, program)
		if status, _, body := again.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 200 {
			t.Errorf("status %d: %s", status, body)
		}
		again.stop(t)
	})
}
