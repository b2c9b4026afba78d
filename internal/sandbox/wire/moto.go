package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const motoVersion = "5.2.1"

// motoCommand is moto on the PATH, or else its image under Docker. Both listen on a Unix socket in the folder, and neither
// reaches a Docker engine, by which moto would run functions and batch jobs in containers, with any folder of this
// machine in them.
func motoCommand(folder string) (*exec.Cmd, error) {
	host := "unix://" + motoSocket(folder)
	if program, err := exec.LookPath("moto_server"); err == nil {
		cmd := exec.Command(program, "-H", host)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix:///dev/null")
		return cmd, nil
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, fmt.Errorf("neither moto_server nor docker is on the PATH: moto stands in for AWS; `make local` gets it, or: pip install 'moto[server]==%s'", motoVersion)
	}
	// As this user, because connecting to a Unix socket takes the right to write to it (unix(7)).
	cmd := exec.Command(docker, "run", "--rm", "--init", "--network", "none", "--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		"--volume", folder+":"+folder, "--env", "MOTO_IAM_LOAD_MANAGED_POLICIES", "--env", "MOTO_DISABLE_GLOBAL_CORS", "--env", "AWS_DEFAULT_REGION",
		"motoserver/moto:"+motoVersion, "-H", host)
	cmd.Env = os.Environ()
	return cmd, nil
}

func motoSocket(folder string) string { return filepath.Join(folder, "moto.sock") }

// StartMoto starts moto and waits until it listens; stop ends it. Its output goes to logFile. It listens on a Unix socket in
// a folder that only this user may enter, which no web page can call and no other user.
func StartMoto(ctx context.Context, region, logFile string) (c Client, stop func(), err error) {
	// A short path: unix(7) allows 107 bytes.
	folder, err := os.MkdirTemp("", "moto")
	if err != nil {
		return c, nil, err
	}
	cmd, err := motoCommand(folder)
	if err != nil {
		return c, nil, errors.Join(err, os.RemoveAll(folder))
	}
	// Without the first, moto knows none of AWS's own policies; without the second, any web page may read its answers.
	cmd.Env = append(cmd.Env, "MOTO_IAM_LOAD_MANAGED_POLICIES=true", "MOTO_DISABLE_GLOBAL_CORS=true", "AWS_DEFAULT_REGION="+region)
	if err := logTo(cmd, logFile); err != nil {
		return c, nil, errors.Join(fmt.Errorf("moto: %w", err), os.RemoveAll(folder))
	}
	// moto's queue of connections has 128 places. Where TCP waits for one, a Unix socket fails (connect(2), EAGAIN).
	transport := &http.Transport{MaxConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", motoSocket(folder))
	}}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM) // which docker passes on to the container; a kill would leave that running
		select {
		case <-exited:
		case <-time.After(10 * time.Second): // Docker's own patience with a container
			cmd.Process.Kill()
			<-exited
		}
		transport.CloseIdleConnections()
		os.RemoveAll(folder)
	}
	for {
		if connection, err := transport.DialContext(ctx, "", ""); err == nil {
			connection.Close()
			return Client{URL: "http://localhost", Region: region, Transport: transport}, stop, nil
		}
		select {
		case <-ctx.Done():
			stop()
			return c, nil, ctx.Err()
		case <-exited:
			stop()
			return c, nil, fmt.Errorf("moto ended at once; its output is in %s", logFile)
		case <-time.After(50 * time.Millisecond): // between two looks
		}
	}
}

// logTo starts a command whose output goes to a file.
func logTo(cmd *exec.Cmd, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	output, err := os.Create(file)
	if err != nil {
		return err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	return cmd.Start()
}
