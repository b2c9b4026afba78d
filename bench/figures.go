package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/internal/contract"
)

const (
	region  = "ap-northeast-1"
	account = "123456789012"
	model   = "anthropic.claude-haiku-4-5-20251001-v1:0"
)

// figure is one row of the table.
type figure struct {
	name, reference, unit, goal string
	met                         func(reference, measured float64) bool // if nil, there is no goal
	measure                     func(context.Context, *bench) (samples, error)
}

// samples are the alternating measurements of both sides.
type samples struct {
	reference, measured []float64
	profile             func(context.Context) (string, error) // optional: a profile of ours for a missed goal
}

// errAbsent names a requirement of a figure that this machine lacks. It isn't a failure.
type errAbsent string

func (e errAbsent) Error() string { return string(e) }

func atMost(ratio float64) func(reference, measured float64) bool {
	return func(reference, measured float64) bool { return measured <= ratio*reference }
}

const (
	straight       = "Go SDK's Converse, straight to the stand-in"
	straightStream = "Go SDK's ConverseStream, straight to the stand-in"
	bare           = "Go function that only calls the SDK's Converse"
	bareStream     = "Go function that only calls the SDK's ConverseStream"
	python         = "the seed's function, Python and boto3"
	duckDB         = "DuckDB on the same files, by read_json and ORDER BY"
	baseAudit      = "audit of the commit that BASE names"
	zcatJq         = "zcat piped to jq, printing as many"
	startup        = "start of the process to ready for the first event"
)

// streaming is the function's default environment.
const streaming = contract.EnvResponseStreaming + "=true"

var (
	sdk            = direct(converse)
	sdkStream      = direct(converseStream)
	bareFunction   = through(onlyConverse, whole, generateEvent)
	bareStreaming  = through(onlyConverse, first, generateEvent, streaming)
	generate       = through(ours, whole, generateEvent, streaming)
	native         = through(ours, whole, converseEvent, streaming)
	generateStream = through(ours, first, generateStreamEvent, streaming)
	nativeStream   = through(ours, first, converseStreamEvent, streaming)
)

var figures = []figure{
	{startup, "Go function that only loads the AWS configuration", "ms", "≤ 1.5 ×", atMost(1.5), startAgainst(onlyStarts, 30)},
	{startup, python, "ms", "≤ 1/20", atMost(1. / 20), startAgainst(seed, 10)},
	{"/generate, whole call, 1 caller", bare, "ms", "≤ 1.25 ×", atMost(1.25), calls(1, bareFunction, generate)},
	{"/generate, whole call, 1 caller", straight, "ms", "≤ 1.25 ×", atMost(1.25), calls(1, sdk, generate)},
	{"/generate, whole call, 32 callers", bare, "ms", "≤ 1.25 ×", atMost(1.25), calls(32, bareFunction, generate)},
	{"/generate, whole call, 32 callers", straight, "ms", "≤ 1.25 ×", atMost(1.25), calls(32, sdk, generate)},
	{"native converse, whole call, 1 caller", bare, "ms", "≤ 1.15 ×", atMost(1.15), calls(1, bareFunction, native)},
	{"native converse, whole call, 1 caller", straight, "ms", "≤ 1.15 ×", atMost(1.15), calls(1, sdk, native)},
	{"native converse, whole call, 32 callers", bare, "ms", "≤ 1.15 ×", atMost(1.15), calls(32, bareFunction, native)},
	{"native converse, whole call, 32 callers", straight, "ms", "≤ 1.15 ×", atMost(1.15), calls(32, sdk, native)},
	{"native converse-stream, first byte", bareStream, "ms", "≤ 1.2 ×", atMost(1.2), calls(1, bareStreaming, nativeStream)},
	{"native converse-stream, first byte", straightStream, "ms", "≤ 1.2 ×", atMost(1.2), calls(1, sdkStream, nativeStream)},
	{"/generate as server-sent events, first byte", bareStream, "ms", "≤ 1.2 ×", atMost(1.2), calls(1, bareStreaming, generateStream)},
	{"/generate as server-sent events, first byte", straightStream, "ms", "≤ 1.2 ×", atMost(1.2), calls(1, sdkStream, generateStream)},
	{"resident memory after a stream of 100 MB", "after its start", "MiB", "≤ + 8 MiB", func(r, m float64) bool { return m <= r+8 }, memoryAfterStream},
	{"resident memory after 1,000 calls", python, "MiB", "≤ 1/2", atMost(1. / 2), memoryAgainstSeed},
	{"100,000 records listed", zcatJq, "s", "≤ 1/10", atMost(1. / 10), reads(jqList)},
	{"100,000 records filtered by text", zcatJq, "s", "≤ 1/10", atMost(1. / 10), reads(jqText, "--text", needle)},
	{"100,000 records filtered by caller", zcatJq, "s", "≤ 1/10", atMost(1. / 10), reads(jqCaller, "--caller", needleCaller)},
	{"100,000 records listed", duckDB, "s", "≤ 1/1.2", atMost(1 / 1.2), duckListTime},
	{"100,000 records filtered by text", duckDB, "s", "≤ 1/1.2", atMost(1 / 1.2), duckTextTime},
	{"100,000 records filtered by caller", duckDB, "s", "≤ 1/1.2", atMost(1 / 1.2), duckCallerTime},
	{"most memory to list 100,000 records", duckDB, "MiB", "≤ 1/4", atMost(1. / 4), duckListMemory},
	{"most memory to filter 100,000 records by text", duckDB, "MiB", "≤ 1/4", atMost(1. / 4), duckTextMemory},
	{"most memory to filter 100,000 records by caller", duckDB, "MiB", "≤ 1/4", atMost(1. / 4), duckCallerMemory},
	{"100,000 records listed", baseAudit, "s", "≤ 1.05 ×", atMost(1.05), againstBase()},
	{"100,000 records filtered by text", baseAudit, "s", "≤ 1.05 ×", atMost(1.05), againstBase("--text", needle)},
	{"100,000 records filtered by caller", baseAudit, "s", "≤ 1.05 ×", atMost(1.05), againstBase("--caller", needleCaller)},
	{"most memory to list 100,000 records", "to list 50,000", "MiB", "≤ 1.1 ×", atMost(1.1), memoryOfReading},
	{"deployed zip, arm64", "", "MB", "≤ 5 MB", func(_, m float64) bool { return m <= 5 }, zipSize},
	{"compilation of the program, nothing changed", "the same with an empty build cache", "s", "", nil, compilation},
	{"pulumi preview without change, prebuilt program", "terraform plan without change of the seed", "s", "", nil, preview},
}

// bench is the state that the figures share.
type bench struct {
	folder   string
	base     string // optional: a commit whose audit is a reference
	standIn  *standIn
	commands map[string]func() ([]string, error) // to run each function, by folder, or the seed
	records  func() (records, error)             // created on the first use
	duckdb   func() (folder string, err error)   // installed on the first use
	running  sync.WaitGroup                      // functions, each until its context ends
}

const (
	ours         = "function"
	onlyStarts   = "bench/reference/start"
	onlyConverse = "bench/reference/converse"
	seed         = "bench/seed.py"
)

func newBench(ctx context.Context, folder, base string) (*bench, error) {
	s, err := startStandIn()
	if err != nil {
		return nil, err
	}
	b := &bench{folder: folder, base: base, standIn: s, commands: map[string]func() ([]string, error){seed: sync.OnceValues(func() ([]string, error) {
		// Run the interpreter directly: the program on the PATH can be a script that searches for it first.
		python, err := output(ctx, "", nil, "python3", "-c", "import sys, boto3; print(sys.executable)")
		return []string{python, seed}, err
	})}}
	b.records, b.duckdb = newRecords(ctx, b), newDuckDB(ctx, b)
	for _, dir := range []string{ours, onlyStarts, onlyConverse} {
		b.commands[dir] = sync.OnceValues(func() ([]string, error) {
			bootstrap, err := b.bootstrap(ctx, dir)
			return []string{bootstrap}, err
		})
	}
	return b, nil
}

func startAgainst(reference string, n int) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (samples, error) {
		startup := func(function string) func() (float64, error) {
			return func() (float64, error) {
				p, err := b.start(ctx, function, b.standIn.Bedrock, streaming)
				if err != nil {
					return 0, err
				}
				p.stop()
				return ms(p.startup), nil
			}
		}
		return inTurn(n, startup(reference), startup(ours))
	}
}

// inTurn measures reference, ours, reference, ours, …, so that other load affects both sides. The first pair only warms
// caches.
func inTurn(n int, reference, measured func() (float64, error)) (s samples, err error) {
	for i := range n + 1 {
		r, err := reference()
		if err != nil {
			return s, fmt.Errorf("reference: %w", err)
		}
		m, err := measured()
		if err != nil {
			return s, err
		}
		if i > 0 {
			s.reference, s.measured = append(s.reference, r), append(s.measured, m)
		}
	}
	return s, nil
}

// callers are functions that make the same call, one for each caller.
type callers func(context.Context, *bench, int) ([]func() (time.Duration, error), error)

// through returns callers of a function, with one instance each, as in Lambda. The measured time begins when the event
// is handed out. This process acts as Lambda, so the two requests of the Runtime API are part of the function's time.
func through(function string, took func(answer) time.Duration, event func() ([]byte, error), variables ...string) callers {
	return func(ctx context.Context, b *bench, n int) (each []func() (time.Duration, error), err error) {
		body, err := event()
		if err != nil {
			return nil, err
		}
		for range n {
			p, err := b.start(ctx, function, b.standIn.Bedrock, variables...)
			if err != nil {
				return nil, err
			}
			each = append(each, func() (time.Duration, error) {
				a, err := p.call(ctx, body)
				return took(a), err
			})
		}
		return each, nil
	}
}

func whole(a answer) time.Duration { return a.whole }
func first(a answer) time.Duration { return a.first }

// direct returns callers with an SDK client each, in this process.
func direct(call func(context.Context, *bedrockruntime.Client) (time.Duration, error)) callers {
	return func(ctx context.Context, b *bench, n int) (each []func() (time.Duration, error), _ error) {
		for range n {
			client := bedrockruntime.New(bedrockruntime.Options{
				Region: region, BaseEndpoint: &b.standIn.Bedrock,
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "ASIABENCH", SecretAccessKey: "bench", SessionToken: "bench"}, nil
				}),
			})
			each = append(each, func() (time.Duration, error) { return call(ctx, client) })
		}
		return each, nil
	}
}

func converse(ctx context.Context, client *bedrockruntime.Client) (time.Duration, error) {
	began := time.Now()
	_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(model), Messages: hello(), InferenceConfig: hundredTokens()})
	return time.Since(began), err
}

func converseStream(ctx context.Context, client *bedrockruntime.Client) (time.Duration, error) {
	began := time.Now()
	out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(model), Messages: hello(), InferenceConfig: hundredTokens()})
	if err != nil {
		return 0, err
	}
	defer out.GetStream().Close()
	_, ok := <-out.GetStream().Events()
	took := time.Since(began)
	if !ok {
		return 0, errors.Join(errors.New("the stream is empty"), out.GetStream().Err())
	}
	for range out.GetStream().Events() {
	}
	return took, out.GetStream().Err()
}

// calls measures n concurrent callers. A single caller alternates with the reference by call. Several callers alternate
// by rounds, in which all call concurrently.
func calls(n int, reference, measured callers) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (s samples, err error) {
		theirs, err := reference(ctx, b, n)
		if err != nil {
			return s, fmt.Errorf("reference: %w", err)
		}
		ours, err := measured(ctx, b, n)
		if err != nil {
			return s, err
		}
		rounds, each := 2000, 1
		if n > 1 {
			rounds, each = 20, 20
		}
		for i := range rounds {
			r, err := atOnce(theirs, each)
			if err != nil {
				return s, fmt.Errorf("reference: %w", err)
			}
			m, err := atOnce(ours, each)
			if err != nil {
				return s, err
			}
			if i >= rounds/10 { // the first rounds only warm up
				s.reference, s.measured = append(s.reference, r...), append(s.measured, m...)
			}
		}
		return s, nil
	}
}

// again retries a failed call a few times. If a response arrives before the client has read the end of its own request,
// smithy-go 1.28.8 reports that end as an error (safeWriteToReadCloser.WriteTo) and closes the connection. With a
// server that responds at once, this affects a few percent of the streams.
func again[T any](call func() (T, error)) (v T, err error) {
	for range 4 {
		if v, err = call(); err == nil {
			break
		}
	}
	return v, err
}

// atOnce runs all callers concurrently. Each makes one call after another.
func atOnce(callers []func() (time.Duration, error), each int) ([]float64, error) {
	var group sync.WaitGroup
	took, errs := make([][]float64, len(callers)), make([]error, len(callers))
	for i, call := range callers {
		group.Go(func() {
			for range each {
				d, err := again(call)
				if err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], ms(d))
			}
		})
	}
	group.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

func memoryAfterStream(ctx context.Context, b *bench) (s samples, err error) {
	event, err := converseStreamEvent()
	if err != nil {
		return s, err
	}
	for range 3 {
		got, err := again(func() (got [2]float64, err error) {
			p, err := b.start(ctx, ours, b.standIn.Flood, streaming)
			if err != nil {
				return got, err
			}
			defer p.stop()
			if got[0], err = p.resident(); err != nil {
				return got, err
			}
			a, err := p.call(ctx, event)
			if err == nil && a.size < floodSize {
				err = fmt.Errorf("got %d bytes of the stream", a.size)
			}
			if err != nil {
				return got, err
			}
			got[1], err = p.resident()
			return got, err
		})
		if err != nil {
			return s, err
		}
		s.reference, s.measured = append(s.reference, got[0]), append(s.measured, got[1])
	}
	return s, nil
}

func memoryAgainstSeed(ctx context.Context, b *bench) (samples, error) {
	event, err := pathEvent()
	if err != nil {
		return samples{}, err
	}
	after := func(function string) func() (float64, error) {
		return func() (float64, error) {
			p, err := b.start(ctx, function, b.standIn.Bedrock, streaming)
			if err != nil {
				return 0, err
			}
			defer p.stop()
			for range 1000 {
				if _, err := p.call(ctx, event); err != nil {
					return 0, err
				}
			}
			return p.resident()
		}
	}
	return inTurn(3, after(seed), after(ours))
}

func zipSize(ctx context.Context, b *bench) (samples, error) {
	file := filepath.Join(b.folder, "arm64.zip")
	if err := components.BuildFunctionZip(ctx, "function", "arm64", file); err != nil {
		return samples{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return samples{}, err
	}
	return samples{measured: []float64{float64(info.Size()) / 1e6}}, nil
}

func compilation(ctx context.Context, b *bench) (s samples, err error) {
	cache := filepath.Join(b.folder, "cache")
	build := func() (float64, error) {
		began := time.Now()
		_, err := output(ctx, "", append(os.Environ(), "GOCACHE="+cache), "go", "build", "-o", filepath.Join(b.folder, "compiled"), ".")
		// Without this file, the next build would link again.
		return time.Since(began).Seconds(), errors.Join(err, os.RemoveAll(filepath.Join(b.folder, "compiled")))
	}
	cold, err := build()
	if err != nil {
		return s, err
	}
	s.reference = []float64{cold}
	for range 3 {
		warm, err := build()
		if err != nil {
			return s, err
		}
		s.measured = append(s.measured, warm)
	}
	return s, nil
}

// bootstrap builds a function as for a deployment, for this machine, and unpacks it as Lambda does.
func (b *bench) bootstrap(ctx context.Context, dir string) (string, error) {
	folder := filepath.Join(b.folder, filepath.Base(dir))
	file := folder + ".zip"
	if err := components.BuildFunctionZip(ctx, dir, map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH], file); err != nil {
		return "", err
	}
	archive, err := zip.OpenReader(file)
	if err != nil {
		return "", err
	}
	defer archive.Close()
	if err := os.CopyFS(folder, archive); err != nil {
		return "", err
	}
	bootstrap := filepath.Join(folder, "bootstrap")
	return bootstrap, os.Chmod(bootstrap, 0o755)
}

func hello() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Hello"}}}}
}

func hundredTokens() *types.InferenceConfiguration {
	return &types.InferenceConfiguration{MaxTokens: aws.Int32(100)}
}

func generateEvent() ([]byte, error) {
	return apiEvent("/generate", nil, `{"prompt":"Hello","maxTokens":100}`)
}

func generateStreamEvent() ([]byte, error) {
	return apiEvent("/generate", nil, `{"prompt":"Hello","maxTokens":100,"stream":true}`)
}

func pathEvent() ([]byte, error) {
	return apiEvent("/generate/{prompt}", map[string]string{"prompt": "Hello"}, "")
}

func converseEvent() ([]byte, error)       { return nativeEvent("/model/{modelId}/converse") }
func converseStreamEvent() ([]byte, error) { return nativeEvent("/model/{modelId}/converse-stream") }

func nativeEvent(resource string) ([]byte, error) {
	return apiEvent(resource, map[string]string{"modelId": model}, `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":100}}`)
}

// apiEvent returns a recorded event of API Gateway with another request.
func apiEvent(resource string, parameters map[string]string, body string) ([]byte, error) {
	recorded, err := os.ReadFile("function/testdata/body.json")
	if err != nil {
		return nil, err
	}
	var event map[string]any
	if err := json.Unmarshal(recorded, &event); err != nil {
		return nil, err
	}
	event["resource"], event["pathParameters"], event["body"], event["isBase64Encoded"] = resource, parameters, body, false
	return json.Marshal(event)
}

// output runs a command in a folder. If environment is nil, the command gets this process's environment.
func output(ctx context.Context, folder string, environment []string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = folder, environment
	// On an interrupt, pulumi and terraform end the processes that they started.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 20*time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := stdout.String() + stderr.String()
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, said[max(0, len(said)-4000):])
	}
	return strings.TrimSpace(stdout.String()), nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
