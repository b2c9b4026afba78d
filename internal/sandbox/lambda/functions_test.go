package lambda_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda/lambdatest"
)

func TestMain(m *testing.M) { lambdatest.Main(m) }

// Lost: a model's words would come all at once in the sandbox, and a stream that broke off would look whole.
func TestFunctionStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then func(*lambdatest.Lab, *lambdatest.Ask)
		want string // of the error
	}{
		"to its end":                  {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.End() }, ""},
		"fails in mid-stream":         {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Abort() }, "unexpected EOF"},
		"dies in mid-stream":          {func(_ *lambdatest.Lab, a *lambdatest.Ask) { syscall.Kill(a.PID, syscall.SIGKILL) }, string(lambda.ErrEnded)},
		"its time ends in mid-stream": {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(30 * time.Second) }, lambda.ErrTimedOut.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lambdatest.New(t)
			body, a := l.Stream(t)
			go c.then(l, a.Say(" last"))
			rest, err := io.ReadAll(body)
			if string(rest) != " last" && c.want == "" || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%q, %v, want %q", rest, err, c.want)
			}
			if c.want != "" {
				l.AwaitReport(c.want)
			}
			// The next call finds a copy that works: the same one, unless that is dead.
			body, again := l.Stream(t)
			go again.End()
			if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			if reused := again.PID == a.PID; reused != (c.want == "" || c.want == "unexpected EOF") {
				t.Errorf("reused: %v", reused)
			}
		})
	}
}

// Lost: what a function does after its client left, such as counting the tokens, would be cut off here and not on AWS.
func TestFunctionGoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	body, a := l.Stream(t)
	body.Close()
	a.Say(strings.Repeat("x", 1<<20)).Abort() // the failure comes after all that it said
	l.AwaitReport("unexpected EOF")
	body, again := l.Stream(t)
	defer body.Close()
	if again.PID != a.PID {
		t.Error("the copy was not used again")
	}
	again.End()
}

// Lost: an answer that Lambda refuses to carry would arrive here.
func TestFunctionLimits(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	if _, err := l.Invoke(t.Context(), "f", make([]byte, lambda.MaxBuffered+1)); !errors.Is(err, lambda.ErrEventTooBig) {
		t.Errorf("event: %v", err)
	}
	for _, contentType := range []string{"application/json", lambdatest.Streaming} {
		for _, size := range []int{lambda.MaxBuffered, lambda.MaxBuffered + 1} {
			go func() { (<-l.Asks).Begin(contentType).Say(strings.Repeat("x", size)).End() }()
			payload, err := l.Invoke(t.Context(), "f", []byte(`{}`))
			if fits := size <= lambda.MaxBuffered; fits != (err == nil) || fits && len(payload) != size || !fits && !errors.Is(err, lambda.ErrTooLarge) {
				t.Errorf("%s of %d bytes: %d, %v", contentType, size, len(payload), err)
			}
		}
	}
}

// Lost: a failing function would look like one that answers.
func TestFunctionFails(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	go func() { (<-l.Asks).Fail() }()
	var failed lambda.FunctionError
	if _, err := l.Invoke(t.Context(), "f", []byte(`{}`)); !errors.As(err, &failed) || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("%v", err)
	}
}
