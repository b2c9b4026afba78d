package sandbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Where only Docker is there, moto must run under it, be reached from this machine only, and end with the sandbox.
func TestMotoInDocker(t *testing.T) {
	folder := t.TempDir()
	said := filepath.Join(folder, "said")
	docker := `#!/bin/sh
echo "$@" "$MOTO_IAM_LOAD_MANAGED_POLICIES" >` + said + `
for port; do :; done
/bin/sleep 600 &
trap "echo stopped >>` + said + `; kill $!; exit" TERM
echo " * Running on http://127.0.0.1:$port"
echo " * Running on http://172.17.0.2:$port"
wait
`
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	c, stop, err := startMoto(t.Context(), "ap-northeast-1", filepath.Join(folder, "log", "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^run --rm --init --publish 127\.0\.0\.1:(\d+):(\d+) .*motoserver/moto:` + regexp.QuoteMeta(motoVersion) + ` -p (\d+) true\nstopped\n$`)
	port := want.FindStringSubmatch(string(text))
	if port == nil || port[1] != port[2] || port[2] != port[3] || c.url != "http://127.0.0.1:"+port[1] {
		t.Errorf("at %s: docker %s", c.url, text)
	}
}

func TestMotoNowhere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, _, err := startMoto(t.Context(), "ap-northeast-1", filepath.Join(t.TempDir(), "moto.log")); err == nil || !strings.Contains(err.Error(), "make local") {
		t.Errorf("error = %v, want the way out", err)
	}
}
