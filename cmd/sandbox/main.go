//go:build unix

// Command sandbox runs the whole system on this machine: an emulated AWS, the stack deployed to it by pulumi, and
// the private API in front of the deployed function.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox"
)

const usage = `Runs the whole system on this machine, without an AWS account: starts an emulated AWS, deploys stack "local" to it
with pulumi, and serves the private API. Listens on loopback only; everything it keeps is in the folder .local.

usage: go run ./cmd/sandbox [flags]

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "sandbox: stopped")
			os.Exit(130)
		}
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// outputs is what .local/outputs.json holds.
type outputs struct {
	AWSEndpointURL string         `json:"awsEndpointUrl"`
	InvokeURL      string         `json:"invokeUrl"`
	Region         string         `json:"region"`
	StackOutputs   map[string]any `json:"stackOutputs"`
}

const (
	folder = ".local"
	stack  = "local"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	port := flags.Int("port", 8480, "port of the private API; another free one if this default is taken")
	awsPort := flags.Int("aws-port", 8481, "port of the emulated AWS; another free one if this default is taken")
	checksums := flags.Bool("bedrock-checksums", false, "Bedrock sends the checksum without which S3 refuses a write to a bucket with object lock; AWS does not say whether it does")
	if err := flags.Parse(args); err != nil {
		return err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if flags.NArg() > 0 {
		return fmt.Errorf("got %q, want flags only; see --help", flags.Arg(0))
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("this machine runs %s, but the deployed function is a Linux program: use Linux, WSL or a container", runtime.GOOS)
	}
	if _, err := exec.LookPath("pulumi"); err != nil {
		return errors.New("pulumi is not on the PATH: start the sandbox by `make local`, which gets it, or see https://www.pulumi.com/docs/install/")
	}
	region, err := regionOf("Pulumi.local.yaml")
	if err != nil {
		return fmt.Errorf("run this in the project's folder: %w", err)
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()

	start := time.Now()
	say := func(format string, values ...any) {
		fmt.Fprintf(stdout, "[%4.0fs] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, values...))
	}
	aws, err := listen(*awsPort, given["aws-port"], "aws-port", say)
	if err != nil {
		return err
	}
	defer aws.Close()
	api, err := listen(*port, given["port"], "port", say)
	if err != nil {
		return err
	}
	defer api.Close()
	// moto forgets everything when it ends, so what the last run deployed is gone.
	if err := wipe(); err != nil {
		return err
	}
	defer wipe()

	var ready atomic.Bool
	say("starting the emulated AWS")
	s, err := sandbox.Start(ctx, sandbox.Options{Region: region, Folder: folder, AWS: aws, Checksums: *checksums, Report: func(err error) { say("! %v", err) }, Alarm: func(message string) {
		if ready.Load() { // before, it is pulumi that changes what is watched
			say("alarm: %s", message)
		}
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	environment, err := prepare(s.AWSEndpointURL, region)
	if err != nil {
		return err
	}
	pulumi := func(out io.Writer, args ...string) error {
		cmd := exec.CommandContext(ctx, "pulumi", append(args, "--stack", stack)...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(withoutAWS(os.Environ()), environment...), out, stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 20 * time.Second
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("pulumi %s: %w", args[0], err)
		}
		return nil
	}
	say("deploying stack %s with pulumi; the first time, Go compiles the AWS packages for some minutes", stack)
	// In the folder, whose copy of the configuration it adds a salt to.
	if err := pulumi(io.Discard, "stack", "init", "--cwd", folder); err != nil {
		return err
	}
	architecture := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH] // the function runs here
	if err := pulumi(io.Discard, "config", "set", "functionArchitecture", architecture, "--config-file", configFile()); err != nil {
		return err
	}
	if err := pulumi(stdout, "up", "--yes", "--skip-preview", "--config-file", configFile()); err != nil {
		return err
	}
	var exported strings.Builder
	if err := pulumi(&exported, "stack", "output", "--json"); err != nil {
		return err
	}
	o := outputs{AWSEndpointURL: s.AWSEndpointURL, Region: region}
	if err := json.Unmarshal([]byte(exported.String()), &o.StackOutputs); err != nil {
		return err
	}
	apiID, _ := o.StackOutputs["apiId"].(string)
	deployedURL, _ := o.StackOutputs["invokeUrl"].(string)
	o.InvokeURL = "http://" + api.Addr().String() + "/" + filepath.Base(deployedURL)
	s.ServeAPI(api, apiID)
	if err := writeOutputs(o, environment); err != nil {
		return err
	}
	say("ready\n\n%s", hints(o))
	ready.Store(true)
	<-ctx.Done()
	say("stopping")
	return nil
}

// wipe removes what is of no use without the moto that it was made with.
func wipe() error {
	var errs []error
	for _, name := range []string{"state", "pulumi", "functions", "outputs.json", "env"} {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, name)))
	}
	return errors.Join(errs...)
}

var regionLine = regexp.MustCompile(`(?m)^ *aws:region: *(\S+)`)

func regionOf(file string) (string, error) {
	config, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	match := regionLine.FindSubmatch(config)
	if match == nil {
		return "", fmt.Errorf("%s sets no aws:region", file)
	}
	return string(match[1]), nil
}

// lock keeps a second sandbox out of the folder, whose state it would take away. It ends with the process.
func lock() (unlock func() error, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, errors.New("a sandbox is running in this folder already; stop it first")
	}
	return file.Close, nil
}

// listen takes the port, or any other if it is a default that is taken.
func listen(port int, given bool, name string, say func(string, ...any)) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil || given {
		if err != nil {
			err = fmt.Errorf("--%s %d: %w; choose another, or 0 for any", name, port, err)
		}
		return l, err
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		say("port %d is taken; using %s", port, l.Addr())
	}
	return l, err
}

func configFile() string { return filepath.Join(folder, "Pulumi.local.yaml") }

// prepare copies the stack's configuration into the folder and answers with the environment in which pulumi and the
// AWS CLI reach the sandbox, and nothing else.
func prepare(awsEndpointURL, region string) ([]string, error) {
	state, err := filepath.Abs(filepath.Join(folder, "state"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	project, err := os.ReadFile("Pulumi.yaml")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "Pulumi.yaml"), project, 0o644); err != nil {
		return nil, err
	}
	config, err := os.ReadFile("Pulumi.local.yaml")
	if err != nil {
		return nil, err
	}
	environment := []string{
		"AWS_ENDPOINT_URL=" + awsEndpointURL, "AWS_ACCESS_KEY_ID=" + sandbox.RootKey, "AWS_SECRET_ACCESS_KEY=" + sandbox.RootKey,
		"AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"PULUMI_BACKEND_URL=file://" + state, "PULUMI_CONFIG_PASSPHRASE=", "PULUMI_SKIP_UPDATE_CHECK=true",
	}
	// With the AWS plugin on the PATH, nothing of the user's own ~/.pulumi is needed.
	if _, err := exec.LookPath("pulumi-resource-aws"); err == nil {
		environment = append(environment, "PULUMI_HOME="+filepath.Join(filepath.Dir(state), "pulumi"))
	}
	return environment, os.WriteFile(configFile(), config, 0o644)
}

// withoutAWS drops the user's own AWS settings: a profile would win over the sandbox's credentials.
func withoutAWS(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool { return strings.HasPrefix(variable, "AWS_") })
}

func writeOutputs(o outputs, environment []string) error {
	var exports strings.Builder
	exports.WriteString("unset AWS_PROFILE AWS_SESSION_TOKEN\n")
	// What tools/setup got is not on the user's PATH.
	if pulumi, err := exec.LookPath("pulumi"); err == nil {
		fmt.Fprintf(&exports, "export PATH=\"%s:$PATH\"\n", filepath.Dir(pulumi))
	}
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&exports, "export %s='%s'\n", name, value)
	}
	if err := os.WriteFile(filepath.Join(folder, "env"), []byte(exports.String()), 0o644); err != nil {
		return err
	}
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "outputs.json"), append(b, '\n'), 0o644)
}

func hints(o outputs) string {
	sign := ""
	if o.StackOutputs["authorization"] == "AWS_IAM" {
		sign = "--aws-sigv4 aws:amz:" + o.Region + ":execute-api --user " + sandbox.RootKey + ":" + sandbox.RootKey + " "
	}
	return fmt.Sprintf(`Ask a model, as a client inside the VPC:
  curl %[7]s-X POST %[1]s/generate/Hello
  curl %[7]s-N -X POST %[1]s/generate -H 'Content-Type: application/json' -d '{"prompt":"slowly count to ten","stream":true}'

Through another VPC's endpoint you are refused:
  curl %[7]s-X POST -H 'Host: %[2]v-vpce-0000000000000dead.execute-api.%[3]s.amazonaws.com' %[1]s/generate/Hello

See the records, in another terminal:
  . %[4]s/env
  aws s3 ls --recursive s3://%[5]v
  aws logs filter-log-events --log-group-name %[6]v --query 'events[].message' --output text

Change a setting and deploy again:
  pulumi config set logRetentionDays 30 --stack local --config-file %[4]s/Pulumi.local.yaml
  pulumi up --stack local --config-file %[4]s/Pulumi.local.yaml

Ctrl-C stops everything.`, o.InvokeURL, o.StackOutputs["apiId"], o.Region, folder, o.StackOutputs["logBucketName"], o.StackOutputs["logGroupName"], sign)
}
