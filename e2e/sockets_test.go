//go:build e2e

package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
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

// refusesWebPages: a page that a developer only looks at could otherwise deploy a function, which runs on the machine.
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
	var caller struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	if err := play(t).aws.Query(t.Context(), "sts", "2011-06-15", "GetCallerIdentity", nil, &caller); err != nil || caller.Account != account {
		t.Errorf("got %q, %v", caller.Account, err)
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
