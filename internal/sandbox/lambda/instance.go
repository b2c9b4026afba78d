package lambda

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
)

// pool is the running copies of one version of a function.
type pool struct {
	version string
	slots   chan struct{}  // one for each copy that may run
	idle    chan *instance // copies that wait for an event
}

type instance struct {
	id     string
	next   chan *invocation
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	open   *invocation
}

// release lets a copy wait for its next event, or ends it if another version was deployed meanwhile.
func (f *Functions) release(name string, p *pool, i *instance) {
	f.mu.Lock()
	current := f.pools[name] == p
	if current {
		p.idle <- i // never blocks: it has a place for each copy. Under the lock, drain finds it if a version follows.
	}
	f.mu.Unlock()
	if !current {
		f.drop(p, i)
	}
}

// pool finds the copies of a function's deployed version, and ends those of an older one.
func (f *Functions) pool(config FunctionConfig) *pool {
	version, _ := json.Marshal(config)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pools[config.Name]
	if p == nil || p.version != string(version) {
		if p != nil {
			go f.drain(p)
		}
		p = &pool{version: string(version), slots: make(chan struct{}, maxInstances), idle: make(chan *instance, maxInstances)}
		f.pools[config.Name] = p
	}
	return p
}

// drain ends the idle copies of a version that is no longer deployed; release ends the busy ones.
func (f *Functions) drain(p *pool) {
	for {
		select {
		case i := <-p.idle:
			f.drop(p, i)
		default:
			return
		}
	}
}

func (f *Functions) acquire(ctx context.Context, p *pool, config FunctionConfig) (*instance, error) {
	select {
	case i := <-p.idle:
		return i, nil
	default:
	}
	select {
	case i := <-p.idle:
		return i, nil
	case p.slots <- struct{}{}:
		i, err := f.start(ctx, config)
		if err != nil {
			<-p.slots
		}
		return i, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drop ends a copy.
func (f *Functions) drop(p *pool, i *instance) {
	i.cmd.Process.Kill()
	<-i.exited
	<-p.slots
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.instances, i.id)
}

// start runs one copy of a function with the environment that Lambda gives it (Lambda Developer Guide, "Defined
// runtime environment variables").
func (f *Functions) start(ctx context.Context, config FunctionConfig) (*instance, error) {
	r, err := iam.ServiceRole(ctx, f.moto, config.Role, "lambda.amazonaws.com", nil)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	zipped := f.zips[config.CodeSha256]
	f.mu.Unlock()
	if zipped == nil {
		return nil, fmt.Errorf("the code of function %s, SHA-256 %s, was not deployed through this sandbox", config.Name, config.CodeSha256)
	}
	bootstrap, err := f.unzip(config.CodeSha256, zipped)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", config.Name, err)
	}
	suffix := make([]byte, 8)
	rand.Read(suffix)
	i := &instance{id: hex.EncodeToString(suffix), next: make(chan *invocation), exited: make(chan struct{})}
	accessKey := "ASIA" + strings.ToUpper(i.id)
	roleName := config.Role[strings.LastIndex(config.Role, "/")+1:]
	logStream := time.Now().UTC().Format("2006/01/02") + "/" + config.Name + "[$LATEST]" + i.id

	i.cmd = exec.Command(bootstrap)
	i.cmd.Dir = filepath.Dir(bootstrap)
	i.cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + f.listener.Addr().String() + "/" + i.id, "AWS_ENDPOINT_URL=" + f.aws.URL,
		"AWS_REGION=" + f.moto.Region, "AWS_DEFAULT_REGION=" + f.moto.Region,
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=sandbox", "AWS_SESSION_TOKEN=sandbox",
		"AWS_LAMBDA_FUNCTION_NAME=" + config.Name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(config.MemorySize),
		"AWS_LAMBDA_LOG_GROUP_NAME=" + config.LoggingConfig.LogGroup, "AWS_LAMBDA_LOG_STREAM_NAME=" + logStream,
		"AWS_LAMBDA_LOG_FORMAT=" + config.LoggingConfig.LogFormat, "AWS_LAMBDA_LOG_LEVEL=" + config.LoggingConfig.ApplicationLogLevel,
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "LAMBDA_TASK_ROOT=" + i.cmd.Dir, "_HANDLER=bootstrap",
		"LANG=en_US.UTF-8", "TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin",
	}
	for k, v := range config.Environment.Variables {
		i.cmd.Env = append(i.cmd.Env, k+"="+v)
	}
	output, input := io.Pipe()
	i.cmd.Stdout, i.cmd.Stderr = input, input

	// Under the lock: close must find every copy that was started.
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the sandbox is stopping")
	}
	if err := i.cmd.Start(); err != nil {
		return nil, fmt.Errorf("function %s, was it built for this machine's architecture? %w", config.Name, err)
	}
	f.instances[i.id] = i
	f.callers[accessKey] = Caller{
		SessionARN: "arn:aws:sts::" + f.account + ":assumed-role/" + roleName + "/" + config.Name,
		RoleARN:    config.Role, FunctionARN: config.Arn, VpcID: config.VpcConfig.VpcId,
	}
	f.logs.Go(func() { f.keepLog(r, config.LoggingConfig.LogGroup, logStream, output) })
	go func() { i.cmd.Wait(); input.Close(); close(i.exited) }()
	return i, nil
}

// unzip writes the zip's bootstrap where it can be run. As Lambda, it wants it at the root and executable.
func (f *Functions) unzip(sum string, zipped []byte) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return "", err
	}
	bootstrap := filepath.Join(f.folder, hex.EncodeToString(raw), "bootstrap")
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := os.Stat(bootstrap); err == nil {
		return bootstrap, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return "", err
	}
	file, err := archive.Open("bootstrap")
	if err != nil {
		return "", fmt.Errorf("Runtime.InvalidEntrypoint: the zip has no bootstrap at its root: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Mode()&0o111 == 0 {
		return "", errors.New("Runtime.InvalidEntrypoint: the zip's bootstrap is not executable")
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(bootstrap), 0o700); err != nil {
		return "", err
	}
	// A process that another function's start forks meanwhile would have the file open for writing, and nothing could execute it:
	// "text file busy" (golang/go#22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return bootstrap, os.WriteFile(bootstrap, content, 0o700)
}

// keepLog writes what a function prints into its log group, with its role.
func (f *Functions) keepLog(r iam.Role, group, stream string, output io.Reader) {
	resource := "arn:aws:logs:" + f.moto.Region + ":" + f.account + ":log-group:" + group + ":log-stream:" + stream
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !r.Allows("logs:PutLogEvents", resource, nil) || !r.Allows("logs:CreateLogStream", resource, nil) {
			f.report(fmt.Errorf("the function's role may not write %s", resource))
			continue
		}
		if err := logs.PutLogEvent(context.Background(), f.moto, group, stream, lines.Text()); err != nil {
			f.report(fmt.Errorf("the function's log: %w", err))
		}
		f.metrics.Embedded(lines.Text())
	}
	io.Copy(io.Discard, output) // a line too long for the scanner must not stop the function
}
