//go:build e2e

package sandbox

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// A developer's machine has web pages open, and other users. Each socket that the sandbox opens is closed to both.
func (s *running) listensOnLoopback(t *testing.T) {
	tcp, unix := listening(t, s.started)
	if len(tcp) < 3 || len(unix) < 1 { // the API, the AWS endpoint, the functions' runtime; moto
		t.Errorf("found the sockets %v and %q, want at least three and one", tcp, unix)
	}
	for _, address := range tcp {
		if !address.Addr().IsLoopback() {
			t.Errorf("listens on %s, want loopback", address)
		}
	}
	for _, path := range unix {
		closedToOthers(t, path)
	}
}

func (s *running) refusesWebPages(t *testing.T) {
	tcp, _ := listening(t, s.started)
	refuseWebPages(t, tcp, filepath.Base(s.InvokeURL))
}

// started tells a process that the sandbox started, or its own.
func (s *running) started(pid int) bool {
	group, err := syscall.Getpgid(pid)
	return err == nil && group == s.cmd.Process.Pid
}

func refuseWebPages(t *testing.T, addresses []netip.AddrPort, stage string) {
	t.Helper()
	for _, address := range addresses {
		for name, header := range map[string][2]string{"rebinding": {"Host", "evil.example"}, "another origin": {"Origin", "https://evil.example"}, "another site": {"Sec-Fetch-Site", "cross-site"}} {
			for _, path := range []string{"/", "/moto-api/reset", "/2018-06-01/runtime/invocation/next", "/" + stage + "/generate/Hello"} {
				if name == "another origin" && strings.HasSuffix(path, "/generate/Hello") {
					continue // what browsers before 2023 send: docs/threat-model.md
				}
				r, err := http.NewRequest(http.MethodPost, "http://"+address.String()+path, strings.NewReader("a page can send this unasked"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "text/plain")
				if r.Header.Set(header[0], header[1]); header[0] == "Host" {
					r.Host = header[1]
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if response.StatusCode != 403 {
					t.Errorf("%s, %s, %s: status %d, want 403", address, path, name, response.StatusCode)
				}
			}
		}
	}
}

// closedToOthers checks that only its owner may connect to a Unix socket: by its own mode, or its folder's.
func closedToOthers(t *testing.T, path string) {
	t.Helper()
	var open os.FileMode = 0o077
	for _, file := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		open &= info.Mode().Perm()
	}
	if open != 0 {
		t.Errorf("%s is open to other users", path)
	}
}

// listening looks up the listening sockets of processes (proc(5), /proc/net/tcp, /proc/net/unix).
func listening(t *testing.T, of func(pid int) bool) (tcp []netip.AddrPort, unix []string) {
	t.Helper()
	sockets := map[string]bool{}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if pid, _ := strconv.Atoi(strings.Split(fd, "/")[2]); !of(pid) {
			continue
		}
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			sockets[strings.Trim(target, "socket:[]")] = true
		}
	}
	lines := func(table string) (all [][]string) {
		content, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			all = append(all, strings.Fields(line))
		}
		return all
	}
	for _, fields := range slices.Concat(lines("/proc/net/tcp"), lines("/proc/net/tcp6")) {
		if len(fields) < 10 || fields[3] != "0A" || !sockets[fields[9]] {
			continue
		}
		host, port, _ := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(host)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(raw); i += 4 { // words in the machine's byte order
			binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
		}
		number, err := strconv.ParseUint(port, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		address, _ := netip.AddrFromSlice(raw)
		tcp = append(tcp, netip.AddrPortFrom(address, uint16(number)))
	}
	for _, fields := range lines("/proc/net/unix") {
		if len(fields) == 8 && fields[3] == "00010000" && sockets[fields[6]] {
			unix = append(unix, fields[7])
		}
	}
	return tcp, unix
}

// moto deploys and runs what it is asked to, and answers each request that arrives.
func TestEndToEndMotoIsClosedToOthers(t *testing.T) {
	c, stop, err := wire.StartMoto(t.Context(), "ap-northeast-1", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if id, err := c.AccountID(t.Context()); err != nil || id != account {
		t.Errorf("got %q, %v", id, err)
	}
	children := func(pid int) bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err == nil && strings.Contains(string(status), ") S "+strconv.Itoa(os.Getpid())+" ")
	}
	tcp, unix := listening(t, children)
	if len(tcp) != 0 || len(unix) != 1 {
		t.Fatalf("moto listens on %v and %q, want one Unix socket", tcp, unix)
	}
	closedToOthers(t, unix[0])
}

// A Docker engine runs containers as root, with any folder of the machine in them. moto asks it to for each function that
// is invoked and each batch job.
func TestEndToEndMotoReachesNoDockerEngine(t *testing.T) {
	folder, err := os.MkdirTemp("", "docker")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	engine, err := net.Listen("unix", filepath.Join(folder, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var asked sync.Map
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method+" "+r.URL.Path, true)
		http.NotFound(w, r)
	})}
	go server.Serve(engine)
	defer server.Close()
	t.Setenv("DOCKER_HOST", "unix://"+engine.Addr().String())
	c, stop, err := wire.StartMoto(t.Context(), "ap-northeast-1", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	var ignored struct{}
	if err := iam.Query(ctx, c, "CreateRole", map[string]string{"RoleName": "f", "AssumeRolePolicyDocument": trust}, &ignored); err != nil {
		t.Fatal(err)
	}
	function := `{"FunctionName":"f","Runtime":"python3.13","Handler":"f.f","Role":"arn:aws:iam::` + account + `:role/f","Code":{"ZipFile":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}`
	if _, err := c.Do(ctx, "lambda", http.MethodPost, "/2015-03-31/functions", nil, []byte(function)); err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(ctx, "lambda", http.MethodPost, "/2015-03-31/functions/f/invocations", nil, []byte("{}"))
	t.Logf("invoked: %s, %v", answer, err)
	asked.Range(func(request, _ any) bool {
		t.Errorf("moto asked the Docker engine: %v", request)
		return true
	})
}
