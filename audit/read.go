package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Query selects the records to read, and the parts of them to return. The zero Query selects all records, without their
// texts.
type Query struct {
	// Since is the first time, and Until the first time that is excluded. A zero time means no limit.
	Since, Until time.Time
	// Caller is a part of the caller's name, address or ARN. Model is a part of the model's ID. Text is a part of the
	// prompt or the answer. Case doesn't matter. Metadata about the caller counts only in records of the function's
	// role.
	Caller, Model, Text string
	// RequestID is Bedrock's request ID, or the API's extended request ID.
	RequestID string
	// Texts fills Prompt and Answer with at most Limit characters each, or completely if Limit is 0.
	Texts bool
	Limit int
	// Bodies fetches large bodies, which are separate objects. Text implies it.
	Bodies bool
	// Record fills Entry.Record.
	Record bool
}

func (q Query) admits(e *Entry) bool {
	switch {
	case !q.Since.IsZero() && e.Timestamp.Before(q.Since), !q.Until.IsZero() && !e.Timestamp.Before(q.Until):
		return false
	case q.RequestID != "" && q.RequestID != e.RequestID && q.RequestID != e.APIExtendedRequestID:
		return false
	case !contains(e.ModelID, q.Model):
		return false
	}
	return contains(e.Caller, q.Caller) || contains(e.IdentityARN, q.Caller) ||
		e.byFunction && (contains(e.SourceIP, q.Caller) || contains(e.SourceVpce, q.Caller))
}

// Reader reads a log.
type Reader struct {
	Log Log
	// Roles are the function's role, and the roles of earlier deployments. In a record that no session of theirs made,
	// Entry.Caller is the identity that called Bedrock, whatever the metadata contains. Without roles, that applies to
	// every record.
	Roles []Role
	// Body opens a large body by its S3 path.
	Body func(ctx context.Context, path string) (io.ReadCloser, error)
	// Problem is called for each object or line that can't be read; reading continues. If Problem is nil, reading ends with
	// the first problem.
	Problem func(error)
	// Progress, if not nil, is called with the number of objects read and the last object's delivery time, which is in its
	// name.
	Progress func(objects int, delivered time.Time)
	// Workers is the number of objects that are read concurrently. 0 means 16, because objects are small, and each
	// request takes long.
	Workers int

	mostWaiting int // maximum bytes of texts and records that are held back for late records; 0 means 256 MiB
}

const (
	longestLine = 32 << 20
	largestBody = 256 << 20
	// lateness is how much older than objects that were delivered before it a record can be and still be returned in
	// order. A stream takes up to 15 minutes. A longer time would need more memory.
	lateness = 20 * time.Minute
	// longestCharacter is the length of the longest character in JSON: two escapes such as \ud83d\ude00.
	longestCharacter = 12
)

// Entries returns the records in the order of their time. It stops at an error. If 20 minutes have more than 256 MiB of
// texts, it returns the older half of them without waiting for late records. A late record then follows newer ones.
func (r Reader) Entries(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var waiting []*Entry
		var flushed time.Time
		held := 0
		size := func(e *Entry) int { return len(e.Prompt) + len(e.Answer) + len(e.Record) }
		sort := func() {
			slices.SortStableFunc(waiting, func(a, b *Entry) int { return a.Timestamp.Compare(b.Timestamp) })
		}
		flush := func(n int) bool {
			for _, e := range waiting[:n] {
				held -= size(e)
				if !yield(*e, nil) {
					return false
				}
			}
			waiting = slices.Delete(waiting, 0, n)
			return true
		}
		err := eachLine(ctx, r.Log, r.Workers, q.Since, q.Until,
			func(ctx context.Context, line []byte) (*Entry, error) { return r.entry(ctx, q, line) },
			func(delivered time.Time) bool {
				// Sorting after every object would be slow.
				if due := delivered.Add(-lateness); due.Sub(flushed) > time.Minute {
					flushed = due
					sort()
					n, _ := slices.BinarySearchFunc(waiting, due, func(e *Entry, t time.Time) int { return e.Timestamp.Compare(t) })
					return flush(n)
				}
				return true
			},
			func(e *Entry) bool {
				waiting = append(waiting, e)
				if held += size(e); held > cmp.Or(r.mostWaiting, 256<<20) {
					sort()
					return flush((len(waiting) + 1) / 2)
				}
				return true
			}, r.Problem, r.Progress)
		sort()
		switch {
		case errors.Is(err, errStopped):
		case flush(len(waiting)) && err != nil:
			yield(Entry{}, err)
		}
	}
}

// errStopped means that the consumer stopped the iteration.
var errStopped = errors.New("stopped")

type found[T any] struct {
	value   *T
	problem error
}

// reading is a piece that a worker reads.
type reading[T any] struct {
	piece
	found chan found[T]
}

// eachLine decodes the lines of a log. It reads several pieces concurrently, and returns the results in the log's
// order. It holds no complete piece in memory.
func eachLine[T any](
	ctx context.Context, log Log, workers int, since, until time.Time, decode func(context.Context, []byte) (*T, error),
	begin func(delivered time.Time) bool, each func(*T) bool, problem func(error), progress func(int, time.Time),
) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	queue := make(chan reading[T], cmp.Or(workers, 16)-1) // plus the one whose results are being returned
	var fatal error
	running.Go(func() {
		defer close(queue)
		for p, err := range log.pieces(ctx, since, until) {
			if err != nil {
				fatal = err
				return
			}
			next := reading[T]{p, make(chan found[T], 64)}
			select {
			case queue <- next:
			case <-ctx.Done():
				return
			}
			running.Go(func() { next.read(ctx, decode) })
		}
	})
	pieces := 0
	for piece := range queue {
		if begin != nil && !begin(piece.delivered) {
			return errStopped
		}
		for f := range piece.found {
			switch {
			case f.problem != nil && problem == nil:
				return f.problem
			case f.problem != nil:
				problem(f.problem)
			}
			if f.value != nil && !each(f.value) {
				return errStopped
			}
		}
		pieces++
		if progress != nil {
			progress(pieces, piece.delivered)
		}
	}
	return cmp.Or(fatal, context.Cause(ctx))
}

// read decodes the lines of a piece. Of a damaged object, it returns the lines before the damage, because they are
// evidence.
func (p reading[T]) read(ctx context.Context, decode func(context.Context, []byte) (*T, error)) {
	defer close(p.found)
	problems := 0
	send := func(f found[T]) bool {
		if f.problem != nil {
			if problems++; problems > 1 {
				f.problem = nil // the first problem of an object is enough
			} else {
				f.problem = fmt.Errorf("%s: %w", p.name, f.problem)
			}
		}
		select {
		case p.found <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	content, err := p.open(ctx)
	if err != nil {
		send(found[T]{nil, err})
		return
	}
	defer content.Close()
	lines := bufio.NewScanner(content)
	buffer := scanned.Get().(*[64 << 10]byte)
	defer scanned.Put(buffer)
	lines.Buffer(buffer[:], longestLine)
	for number := 1; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || bytes.Equal(line, permissionLine) {
			continue
		}
		value, err := decode(ctx, line)
		if err != nil {
			err = fmt.Errorf("line %d: %w", number, err)
		}
		if (value != nil || err != nil) && !send(found[T]{value, err}) {
			return
		}
	}
	if err := lines.Err(); err != nil {
		send(found[T]{nil, err})
	}
	if n := problems; n > 1 {
		problems = 0
		send(found[T]{nil, fmt.Errorf("%d problems in total", n)})
	}
}

// scanned are the scanner's initial buffers. A buffer that grew for longer lines isn't reused.
var scanned = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// permissionLine is the line that Bedrock writes into a log group when logging to it is configured.
var permissionLine = []byte("Permissions are correctly set for Amazon Bedrock logs.")

// entry returns nil if the query doesn't match the line. It compares the bodies last.
func (r Reader) entry(ctx context.Context, q Query, line []byte) (*Entry, error) {
	if q.rejects(line) {
		return nil, nil
	}
	t := trees.Get().(*tree)
	defer trees.Put(t)
	v := value{}
	if q.Texts {
		v = t.parse(line, bodyLevels)
	}
	if v.tree == nil { // or if only a body isn't JSON
		v = t.parse(line, recordLevels)
	}
	rec, err := parse(v)
	if err != nil {
		return nil, err
	}
	e := rec.Entry
	if slices.ContainsFunc(r.Roles, func(role Role) bool { return role.has(e.IdentityARN) }) {
		e.believe()
	}
	if !q.admits(e) {
		return nil, rec.mistyped
	}
	var errs []error
	inline := false // the text is in a body that also has an S3 path
	if q.Bodies || q.Text != "" {
		for _, body := range []*body{&rec.Input, &rec.Output} {
			if body.S3Path == "" {
				continue
			}
			large, err := r.body(ctx, body.S3Path)
			if err != nil {
				errs = append(errs, fmt.Errorf("record %s: %w", e.RequestID, err))
				continue
			}
			inline = inline || q.Text != "" && has(body.JSON, q.Text, asked)
			body.JSON = large
		}
	}
	if q.Text != "" && !inline && !has(rec.Input.JSON, q.Text, asked) && !has(rec.Output.JSON, q.Text, answer) {
		return nil, errors.Join(append(errs, rec.mistyped)...)
	}
	if q.Texts {
		if q.Limit > 0 {
			t.most = longestCharacter * (q.Limit + 1)
			e.Answer = begin(rec.Output.JSON, q.Limit)
			var n int
			if e.Prompt, n = latest(rec.Input.JSON); n > 1 {
				e.Prompt = fmt.Sprintf("[turn %d] %s", n, e.Prompt)
			}
		} else {
			e.Prompt, e.Answer = asked(rec.Input.JSON), answer(rec.Output.JSON)
		}
		if rec.Input.none() && rec.Input.S3Path != "" {
			e.Prompt = q.reference(rec.Input.S3Path)
		}
		if rec.Output.none() && rec.Output.S3Path != "" {
			e.Answer = q.reference(rec.Output.S3Path)
		}
		if q.Limit > 0 {
			e.Prompt, e.Answer = strings.Clone(shorten(e.Prompt, q.Limit)), strings.Clone(shorten(e.Answer, q.Limit))
		}
	}
	if q.Record {
		e.Record = whole(line, rec)
	}
	return e, errors.Join(append(errs, rec.mistyped)...)
}

// none reports whether a record contains nothing of a body, apart from a path.
func (b body) none() bool {
	return b.JSON.null() || b.JSON.is('{') && len(bytes.TrimSpace(b.JSON.raw()[1:])) == len("}")
}

// reference returns a placeholder for a large body that was not fetched or isn't JSON.
func (q Query) reference(path string) string {
	if q.Limit > 0 {
		return "[large body]"
	}
	return "[" + path + "]"
}

// body fetches a large body. It returns a plain text as a JSON string, and the zero value for other content.
func (r Reader) body(ctx context.Context, path string) (value, error) {
	if r.Body == nil {
		return value{}, fmt.Errorf("body %s: no bucket to fetch it from; set the log's bucket", path)
	}
	content, err := r.Body(ctx, path)
	if err != nil {
		return value{}, err
	}
	defer content.Close()
	b, err := io.ReadAll(io.LimitReader(content, largestBody+1))
	if err != nil {
		return value{}, fmt.Errorf("body %s: %w", path, err)
	}
	if len(b) > largestBody {
		return value{}, fmt.Errorf("body %s is larger than %d MiB; download it from S3", path, largestBody>>20)
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	v := parseJSON(b)
	if !v.is('{') && !v.is('[') && utf8.Valid(b) { // otherwise it is, for example, an image
		text, err := marshal(string(b))
		return parseJSON(text), err
	}
	return v, nil
}

// whole returns the line with the bodies that were fetched, each after the other fields of its side.
func whole(line []byte, r record) json.RawMessage {
	var b bytes.Buffer
	for name, field := range new(tree).parse(line, 1).fields() {
		b.WriteByte(',')
		b.Write(name.raw())
		b.WriteByte(':')
		one := field.raw()
		for side, body := range map[string]body{"input": r.Input, "output": r.Output} {
			if name.equals(side) && body.S3Path != "" && !body.none() {
				one = fmt.Appendf(one[:len(one)-1:len(one)-1], `,"%sBodyJson":%s}`, side, body.JSON.raw())
			}
		}
		b.Write(one)
	}
	return append(append([]byte("{"), b.Bytes()[1:]...), '}')
}

// marshal encodes JSON, and doesn't escape <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
