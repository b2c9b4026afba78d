package apigateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
)

// metadata is what a streamed response begins with. API Gateway knows no other keys (API Gateway Developer Guide, "Set up
// a Lambda proxy integration with payload response streaming").
type metadata struct {
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Cookies           []string
	StatusCode        int
}

// The delimiter after the metadata must appear within the first 16 KB (same page).
const maxPrelude = 16 << 10

var delimiter = make([]byte, 8)

var errPrelude = errors.New("the streamed response does not begin as API Gateway asks for")

// readPrelude takes the metadata off a response's front, without waiting for more than the delimiter.
func readPrelude(r io.Reader) (m metadata, rest io.Reader, err error) {
	b := bufio.NewReaderSize(r, maxPrelude)
	for {
		_, err := b.Peek(b.Buffered() + 1)
		head, _ := b.Peek(b.Buffered())
		if at := bytes.Index(head, delimiter); at >= 0 {
			m, err := parseMetadata(head[:at])
			b.Discard(at + len(delimiter))
			return m, b, err
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull):
			return m, nil, fmt.Errorf("%w: no delimiter of 8 NUL bytes within the first 16 KB", errPrelude)
		case err != nil:
			return m, nil, err
		}
	}
}

func parseMetadata(text []byte) (m metadata, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%w: %w", errPrelude, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("%w: more than one JSON value before the delimiter", errPrelude)
	}
	if m.StatusCode == 0 {
		m.StatusCode = http.StatusOK
	}
	if !final(m.StatusCode) {
		return m, fmt.Errorf("%w: status %d", errPrelude, m.StatusCode)
	}
	return m, nil
}

// final tells whether a status can end a call.
func final(status int) bool { return 200 <= status && status < 600 }

// patient reads, and rings where one read takes too long.
type patient struct {
	io.Reader
	alarm lambda.Alarm
	limit time.Duration
	ring  func()
}

func (p patient) Read(b []byte) (int, error) {
	stop := p.alarm(p.limit, p.ring)
	defer stop()
	return p.Reader.Read(b)
}

// flushed sends every piece at once.
type flushed struct{ to http.ResponseWriter }

func (w flushed) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if err == nil {
		err = http.NewResponseController(w.to).Flush()
	}
	return n, err
}
