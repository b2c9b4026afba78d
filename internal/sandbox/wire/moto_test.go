package wire

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Where only Docker is there, moto must run under it, be reached by this user only, and end with the sandbox.
func TestMotoInDocker(t *testing.T) {
	if said := os.Getenv("FAKE_DOCKER"); said != "" { // this is Docker
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		arguments := flag.Args()
		listener, err := net.Listen("unix", strings.TrimPrefix(arguments[len(arguments)-1], "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		<-ended
		line := strings.Join(append(arguments, os.Getenv("MOTO_IAM_LOAD_MANAGED_POLICIES"), "stopped"), " ")
		if err := os.WriteFile(said, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	said := filepath.Join(folder, "said")
	docker := "#!/bin/sh\nFAKE_DOCKER='" + said + "' exec '" + self + "' -test.run '^TestMotoInDocker$' -- \"$@\"\n"
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	_, stop, err := StartMoto(t.Context(), "ap-northeast-1", filepath.Join(folder, "log", "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^run --rm --init --network none --user ` + fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()) +
		` --volume (\S+):(\S+) .*motoserver/moto:` + regexp.QuoteMeta(motoVersion) + ` -H unix://(\S+)/moto\.sock true stopped$`)
	if m := want.FindStringSubmatch(string(text)); m == nil || m[1] != m[2] || m[2] != m[3] {
		t.Errorf("docker %s", text)
	} else if _, err := os.Stat(m[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", m[1], err)
	}
}

func TestMotoNowhere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, _, err := StartMoto(t.Context(), "ap-northeast-1", filepath.Join(t.TempDir(), "moto.log")); err == nil || !strings.Contains(err.Error(), "make local") {
		t.Errorf("error = %v, want the way out", err)
	}
}
