package sandbox

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Lost: a model's words would come all at once in the sandbox, and a stream that broke off would look whole.
func TestFunctionStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then func(*lab, *ask)
		want string // of the error
	}{
		"to its end":                  {func(_ *lab, a *ask) { a.end() }, ""},
		"fails in mid-stream":         {func(_ *lab, a *ask) { a.abort() }, "unexpected EOF"},
		"dies in mid-stream":          {func(_ *lab, a *ask) { syscall.Kill(a.pid, syscall.SIGKILL) }, string(errEnded)},
		"its time ends in mid-stream": {func(l *lab, _ *ask) { l.ring(30 * time.Second) }, errTimedOut.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			body, a := l.stream(t)
			go c.then(l, a.say(" last"))
			rest, err := io.ReadAll(body)
			if string(rest) != " last" && c.want == "" || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%q, %v, want %q", rest, err, c.want)
			}
			if c.want != "" {
				l.awaitReport(c.want)
			}
			// The next call finds a copy that works: the same one, unless that is dead.
			body, again := l.stream(t)
			go again.end()
			if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			if reused := again.pid == a.pid; reused != (c.want == "" || c.want == "unexpected EOF") {
				t.Errorf("reused: %v", reused)
			}
		})
	}
}

// Lost: what a function does after its client left, such as counting the tokens, would be cut off here and not on AWS.
func TestFunctionGoesOnWhenItsCallerLeaves(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	body, a := l.stream(t)
	body.Close()
	a.say(strings.Repeat("x", 1<<20)).abort() // the failure comes after all that it said
	l.awaitReport("unexpected EOF")
	body, again := l.stream(t)
	defer body.Close()
	if again.pid != a.pid {
		t.Error("the copy was not used again")
	}
	again.end()
}

// Lost: an answer that Lambda refuses to carry would arrive here.
func TestFunctionLimits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := l.invoke(t.Context(), "f", make([]byte, maxBuffered+1)); !errors.Is(err, errEventTooBig) {
		t.Errorf("event: %v", err)
	}
	for _, contentType := range []string{"application/json", streaming} {
		for _, size := range []int{maxBuffered, maxBuffered + 1} {
			go func() { (<-l.asks).begin(contentType).say(strings.Repeat("x", size)).end() }()
			payload, err := l.invoke(t.Context(), "f", []byte(`{}`))
			if fits := size <= maxBuffered; fits != (err == nil) || fits && len(payload) != size || !fits && !errors.Is(err, errTooLarge) {
				t.Errorf("%s of %d bytes: %d, %v", contentType, size, len(payload), err)
			}
		}
	}
}

// Lost: a failing function would look like one that answers.
func TestFunctionFails(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	go func() { (<-l.asks).fail() }()
	var failed functionError
	if _, err := l.invoke(t.Context(), "f", []byte(`{}`)); !errors.As(err, &failed) || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("%v", err)
	}
}
