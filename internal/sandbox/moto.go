package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
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

// startMoto starts moto and waits until it listens; stop ends it. Its output goes to logFile. It listens on a Unix socket in
// a folder that only this user may enter, which no web page can call and no other user.
func startMoto(ctx context.Context, region, logFile string) (c client, stop func(), err error) {
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
			return client{url: "http://localhost", region: region, transport: transport}, stop, nil
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

// client asks moto over AWS's own protocols. Nothing is signed, because moto checks no signature; the header only names
// the service and region.
type client struct {
	url, region string
	transport   http.RoundTripper // nil is that of http.DefaultClient
}

// statusError is an answer of moto's that is no success.
type statusError struct {
	call   string
	status int
	body   string
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.call, e.status, e.body)
}

func notFound(err error) bool {
	var e statusError
	return errors.As(err, &e) && (e.status == http.StatusNotFound || strings.Contains(e.body, "NotFound") || strings.Contains(e.body, "NoSuch"))
}

func (c client) do(ctx context.Context, service, method, path string, header map[string]string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=sandbox/20260101/"+c.region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := (&http.Client{Transport: c.transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = statusError{service + " " + method + " " + path, response.StatusCode, string(answer)}
	}
	return answer, err
}

// get reads JSON over a REST protocol.
func (c client) get(ctx context.Context, service, path string, out any) error {
	answer, err := c.do(ctx, service, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// logs calls CloudWatch Logs.
func (c client) logs(ctx context.Context, action string, in any) error {
	return c.target(ctx, "logs", "Logs_20140328."+action, in, nil)
}

// putLogEvent writes one event, making the stream first where it is missing.
func (c client) putLogEvent(ctx context.Context, group, stream, message string) error {
	event := map[string]any{"logGroupName": group, "logStreamName": stream, "logEvents": []map[string]any{
		{"timestamp": time.Now().UnixMilli(), "message": message},
	}}
	err := c.logs(ctx, "PutLogEvents", event)
	if err == nil || !strings.Contains(err.Error(), "stream") {
		return err
	}
	if err := c.logs(ctx, "CreateLogStream", map[string]string{"logGroupName": group, "logStreamName": stream}); err != nil &&
		!strings.Contains(err.Error(), "ResourceAlreadyExists") {
		return err
	}
	return c.logs(ctx, "PutLogEvents", event)
}

// query calls IAM, STS and EC2 over the Query protocol.
func (c client) query(ctx context.Context, service, version, action string, parameters map[string]string, out any) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for k, v := range parameters {
		form.Set(k, v)
	}
	answer, err := c.do(ctx, service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(form.Encode()))
	if err != nil {
		return err
	}
	return xml.Unmarshal(answer, out)
}

// accountID asks which account moto plays.
func (c client) accountID(ctx context.Context) (string, error) {
	var out struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	err := c.query(ctx, "sts", "2011-06-15", "GetCallerIdentity", nil, &out)
	return out.Account, err
}

// vpcEndpoint is what moto knows of an endpoint of this account.
type vpcEndpoint struct {
	ID          string `xml:"vpcEndpointId"`
	VpcID       string `xml:"vpcId"`
	ServiceName string `xml:"serviceName"`
	PrivateDNS  string `xml:"privateDnsEnabled"`
	State       string `xml:"state"`
	Policy      string `xml:"policyDocument"`
}

// policy reads an endpoint's policy. AWS's own full access has the older version, which differs in variables only, and
// those are not understood in any version.
func (e vpcEndpoint) policy() (*iampolicy.Document, error) {
	document, err := iampolicy.ParseResource(strings.Replace(e.Policy, `"2008-10-17"`, `"2012-10-17"`, 1))
	if err != nil {
		return nil, fmt.Errorf("policy of endpoint %s: %w", e.ID, err)
	}
	return &document, nil
}

func (c client) vpcEndpoints(ctx context.Context) ([]vpcEndpoint, error) {
	var out struct {
		Endpoints []vpcEndpoint `xml:"vpcEndpointSet>item"`
	}
	err := c.query(ctx, "ec2", "2016-11-15", "DescribeVpcEndpoints", nil, &out)
	// moto lists deleted ones for ever
	return slices.DeleteFunc(out.Endpoints, func(e vpcEndpoint) bool { return e.State != "available" }), err
}

func (c client) vpcOfSubnet(ctx context.Context, subnetID string) (string, error) {
	var out struct {
		VpcID string `xml:"subnetSet>item>vpcId"`
	}
	err := c.query(ctx, "ec2", "2016-11-15", "DescribeSubnets", map[string]string{"SubnetId.1": subnetID}, &out)
	return out.VpcID, err
}
