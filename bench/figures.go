package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

const (
	region  = "ap-northeast-1"
	account = "123456789012"
	model   = "anthropic.claude-haiku-4-5-20251001-v1:0"
)

// figure is one row of the table.
type figure struct {
	name, reference, unit, goal string
	met                         func(reference, measured float64) bool // nil: nothing is promised
	measure                     func(context.Context, *bench) (samples, error)
}

// samples are the measurements of both sides, taken in turn.
type samples struct{ reference, measured []float64 }

// errAbsent says what a figure needs that this machine lacks, which is no failure.
type errAbsent string

func (e errAbsent) Error() string { return string(e) }

func atMost(ratio float64) func(reference, measured float64) bool {
	return func(reference, measured float64) bool { return measured <= ratio*reference }
}

const (
	sdk       = "Go SDK's Converse, straight to the stand-in"
	sdkStream = "Go SDK's ConverseStream, straight to the stand-in, first event"
)

var figures = []figure{
	{"start of the process to ready for the first event", "Go function that only loads the AWS configuration", "ms", "≤ 1.5 ×", atMost(1.5), startAgainstGo},
	{"start of the process to ready for the first event", "the seed's function, Python and boto3", "ms", "≤ 1/20", atMost(1. / 20), startAgainstSeed},
	{"/generate, whole call, 1 caller", sdk, "ms", "≤ 1.25 ×", atMost(1.25), wholeCall(generateEvent, 1)},
	{"/generate, whole call, 32 callers", sdk, "ms", "≤ 1.25 ×", atMost(1.25), wholeCall(generateEvent, 32)},
	{"native converse, whole call, 1 caller", sdk, "ms", "≤ 1.15 ×", atMost(1.15), wholeCall(converseEvent, 1)},
	{"native converse, whole call, 32 callers", sdk, "ms", "≤ 1.15 ×", atMost(1.15), wholeCall(converseEvent, 32)},
	{"native converse-stream, first byte", sdkStream, "ms", "≤ 1.2 ×", atMost(1.2), firstByte(converseStreamEvent)},
	{"/generate as server-sent events, first byte", sdkStream, "ms", "≤ 1.2 ×", atMost(1.2), firstByte(generateStreamEvent)},
	{"resident memory after a stream of 100 MB", "after its start", "MiB", "≤ + 8 MiB", func(r, m float64) bool { return m <= r+8 }, memoryAfterStream},
	{"resident memory after 1,000 calls", "the seed's function, Python and boto3", "MiB", "≤ 1/2", atMost(1. / 2), memoryAgainstSeed},
	{"deployed zip, arm64", "", "MB", "≤ 5 MB", func(_, m float64) bool { return m <= 5 }, zipSize},
	{"compilation of the program, nothing changed", "the same with an empty build cache", "s", "", nil, compilation},
}

// bench is what the figures share.
type bench struct {
	folder  string
	standIn *standIn
	once    map[string]func() (string, error)
}

func newBench(ctx context.Context, folder string) (*bench, error) {
	s, err := startStandIn()
	if err != nil {
		return nil, err
	}
	b := &bench{folder: folder, standIn: s, once: map[string]func() (string, error){}}
	for name, build := range map[string]func() (string, error){
		"function":  func() (string, error) { return b.bootstrap(ctx, "function") },
		"reference": func() (string, error) { return b.bootstrap(ctx, "bench/reference") },
		"python":    func() (string, error) { return python(ctx) },
	} {
		b.once[name] = sync.OnceValues(build)
	}
	return b, nil
}

// function starts a copy of the function.
func (b *bench) function(ctx context.Context, endpoint string, variables ...string) (*process, error) {
	program, err := b.once["function"]()
	if err != nil {
		return nil, err
	}
	return start(ctx, endpoint, variables, program)
}

func (b *bench) seed(ctx context.Context) (*process, error) {
	python, err := b.once["python"]()
	if err != nil {
		return nil, err
	}
	return start(ctx, b.standIn.Bedrock, nil, python, "bench/seed.py")
}

func startAgainstGo(ctx context.Context, b *bench) (samples, error) {
	reference, err := b.once["reference"]()
	if err != nil {
		return samples{}, err
	}
	return starts(30, func() (*process, error) { return start(ctx, b.standIn.Bedrock, nil, reference) },
		func() (*process, error) { return b.function(ctx, b.standIn.Bedrock) })
}

func startAgainstSeed(ctx context.Context, b *bench) (samples, error) {
	return starts(10, func() (*process, error) { return b.seed(ctx) },
		func() (*process, error) { return b.function(ctx, b.standIn.Bedrock) })
}

func starts(n int, reference, measured func() (*process, error)) (samples, error) {
	startup := func(start func() (*process, error)) func() (float64, error) {
		return func() (float64, error) {
			p, err := start()
			if err != nil {
				return 0, err
			}
			p.stop()
			return ms(p.startup), nil
		}
	}
	return inTurn(n, startup(reference), startup(measured))
}

// inTurn measures reference, ours, reference, ours, …, so that what else the machine does falls on both. The first pair
// only warms caches.
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

// wholeCall is from the event's being handed to the function until its answer is whole.
func wholeCall(event func() ([]byte, error), callers int) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (samples, error) {
		return b.calls(ctx, event, callers, func(a answer) time.Duration { return a.whole }, func(client *bedrockruntime.Client) (time.Duration, error) {
			began := time.Now()
			_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(model), Messages: hello(), InferenceConfig: hundredTokens()})
			return time.Since(began), err
		})
	}
}

// firstByte is from the event's being handed to the function until the first byte of the answer's body.
func firstByte(event func() ([]byte, error)) func(context.Context, *bench) (samples, error) {
	return func(ctx context.Context, b *bench) (samples, error) {
		first := func(a answer) time.Duration { return a.first }
		return b.calls(ctx, event, 1, first, func(client *bedrockruntime.Client) (time.Duration, error) {
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
		}, "RESPONSE_STREAMING=true")
	}
}

// calls gives each caller a copy of the function to itself, as Lambda does, or a client of the SDK in this process. This
// process is Lambda for the function: the two requests of the Runtime API count as the function's time.
func (b *bench) calls(ctx context.Context, event func() ([]byte, error), callers int, took func(answer) time.Duration,
	reference func(*bedrockruntime.Client) (time.Duration, error), variables ...string) (samples, error) {
	body, err := event()
	if err != nil {
		return samples{}, err
	}
	clients, copies := make([]*bedrockruntime.Client, callers), make([]*process, callers)
	for i := range callers {
		clients[i] = bedrockruntime.New(bedrockruntime.Options{
			Region: region, BaseEndpoint: &b.standIn.Bedrock,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "ASIABENCH", SecretAccessKey: "bench", SessionToken: "bench"}, nil
			}),
		})
		if copies[i], err = b.function(ctx, b.standIn.Bedrock, variables...); err != nil {
			return samples{}, err
		}
		defer copies[i].stop()
	}
	// One caller takes turns by call; many by rounds, in which all of them call at once.
	rounds, each := 2000, 1
	if callers > 1 {
		rounds, each = 20, 20
	}
	const warmUp = 0.1
	var s samples
	for i := range rounds {
		r, err := atOnce(callers, each, func(caller int) (time.Duration, error) { return reference(clients[caller]) })
		if err != nil {
			return s, fmt.Errorf("reference: %w", err)
		}
		m, err := atOnce(callers, each, func(caller int) (time.Duration, error) {
			a, err := copies[caller].call(ctx, body)
			return took(a), err
		})
		if err != nil {
			return s, err
		}
		if float64(i) >= warmUp*float64(rounds) {
			s.reference, s.measured = append(s.reference, r...), append(s.measured, m...)
		}
	}
	return s, nil
}

// atOnce lets all callers call at once, each one call after the other.
func atOnce(callers, each int, call func(caller int) (time.Duration, error)) (all []float64, err error) {
	var group sync.WaitGroup
	took, errs := make([][]float64, callers), make([]error, callers)
	for caller := range callers {
		group.Go(func() {
			for range each {
				d, err := call(caller)
				if err != nil {
					errs[caller] = err
					return
				}
				took[caller] = append(took[caller], ms(d))
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
		p, err := b.function(ctx, b.standIn.Flood, "RESPONSE_STREAMING=true")
		if err != nil {
			return s, err
		}
		defer p.stop()
		before, err := p.resident()
		if err != nil {
			return s, err
		}
		a, err := p.call(ctx, event)
		if err == nil && a.size < floodSize {
			err = fmt.Errorf("got %d bytes of the stream", a.size)
		}
		if err != nil {
			return s, err
		}
		after, err := p.resident()
		if err != nil {
			return s, err
		}
		s.reference, s.measured = append(s.reference, before), append(s.measured, after)
	}
	return s, nil
}

func memoryAgainstSeed(ctx context.Context, b *bench) (samples, error) {
	event, err := pathEvent()
	if err != nil {
		return samples{}, err
	}
	after := func(start func() (*process, error)) func() (float64, error) {
		return func() (float64, error) {
			p, err := start()
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
	return inTurn(3, after(func() (*process, error) { return b.seed(ctx) }),
		after(func() (*process, error) { return b.function(ctx, b.standIn.Bedrock) }))
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
		// Without it, the next build links again.
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

// bootstrap builds a function as it is deployed, for this machine, and unpacks it as Lambda does.
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

// python is the interpreter itself: what the PATH leads to may be a script that looks for it first.
func python(ctx context.Context) (string, error) {
	return output(ctx, "", nil, "python3", "-c", "import sys, boto3; print(sys.executable)")
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

// apiEvent is a recorded event of API Gateway's, with another request in it.
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

// output runs a command in a folder; environment nil is this process's own.
func output(ctx context.Context, folder string, environment []string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = folder, environment
	// Interrupted, pulumi and terraform end what they started.
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, 20*time.Second
	var stdout, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &all), &all
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, all.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
