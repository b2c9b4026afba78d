package repocheck

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
	inProject()
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
	inProject()
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

// A pull request's own code runs in its preview: what the preview holds, each author of a pull request has. A deployment's
// role and token must be out of its reach, and must be given to the default branch only.
func TestWorkflowsKeepDeploymentsApart(t *testing.T) {
	t.Parallel()
	inProject()
	files, _ := filepath.Glob(".github/workflows/*.yml")
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(".github/workflows", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	const deploys = "deploy.yml"
	deploy := read(deploys)
	for _, want := range []string{
		"\non:\n  push:\n    branches: [main]\n  workflow_dispatch:\npermissions:",
		"&& github.ref == format('refs/heads/{0}', github.event.repository.default_branch)\n",
		"\n        stack: [dev, prod]\n    environment: ${{ matrix.stack }}\n",
	} {
		if !strings.Contains(deploy, want) {
			t.Errorf("%s lacks %q: it deploys what is not the default branch, or without its environment's rules", deploys, want)
		}
	}
	// The address of the state opens nothing by itself.
	held := regexp.MustCompile(`\b(?:secrets|vars)\b[.\w'"\[\]-]*`)
	shared := map[string]bool{"vars.PULUMI_BACKEND_URL": true}
	ofDeployments := map[string]bool{}
	for _, name := range held.FindAllString(deploy, -1) {
		ofDeployments[name] = !shared[name]
	}
	if !ofDeployments["secrets.PULUMI_ACCESS_TOKEN"] || !ofDeployments["vars.DEPLOY_ROLE_ARN"] {
		t.Fatalf("%s holds %v, want its token and its role", deploys, ofDeployments)
	}
	named := regexp.MustCompile(`^(secrets|vars)\.[A-Z_]+$`)
	for _, file := range files {
		name := filepath.Base(file)
		text := read(name)
		for _, held := range held.FindAllString(text, -1) {
			if !named.MatchString(held) { // secrets: inherit, toJSON(secrets), secrets['…']
				t.Errorf("%s: %q, want one secret or variable by its name", name, held)
			}
			if name != deploys && ofDeployments[held] {
				t.Errorf("%s shares %s with deployments", name, held)
			}
		}
		if name == deploys {
			continue
		}
		jobs, environments := strings.Count(text, "\n    runs-on:"), strings.Count(text, "\n    environment: preview\n")
		if strings.Count(text, "environment:") != environments {
			t.Errorf("%s uses an environment of deployments", name)
		}
		if (strings.Contains(text, "secrets.") || strings.Contains(text, "id-token")) && environments != jobs {
			t.Errorf("%s: a secret or a token of AWS's is outside of the environment preview", name)
		}
	}
}

// The steps of docs/deployer.md are what keeps a deployment's rights from others; a workflow cannot set them.
func TestDeployerStepsNameWhatWorkflowsUse(t *testing.T) {
	t.Parallel()
	inProject()
	page, err := os.ReadFile("docs/deployer.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Deployment branches", "Required reviewers", "Environment secrets", "include_claim_keys", "job_workflow_ref", "Stack Read"}
	files, _ := filepath.Glob(".github/workflows/*.yml")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:secrets|vars)\.(\w+)`).FindAllStringSubmatch(string(content), -1) {
			want = append(want, "`"+m[1]+"`")
		}
	}
	for _, text := range want {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/deployer.md does not name %s", text)
		}
	}
	owners, err := os.ReadFile(".github/CODEOWNERS")
	if err != nil || !regexp.MustCompile(`(?m)^/\.github/ @`).Match(owners) {
		t.Errorf("the workflows have no code owner: %v", err)
	}
}
