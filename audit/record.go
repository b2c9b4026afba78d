// Package audit reads Amazon Bedrock's model invocation log: which caller sent which prompt to which model, when, and
// what the model answered.
package audit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// record is one line of the log (Bedrock User Guide, "Monitor model invocation using CloudWatch Logs and Amazon S3"):
// its Entry, and its bodies, which are parsed on demand. AWS's page doesn't list inferenceRegion, the cache's counts,
// the S3 paths and errorCode, but real records contain them.
type record struct {
	*Entry
	Input, Output body

	mistyped error
}

// body is a body of a record, or the path of its object.
type body struct {
	JSON   value
	S3Path string
}

// parse reads a line. If a field has another type than AWS's, mistyped is set: the rest of the record is still
// evidence.
func parse(line value) (r record, err error) {
	if !line.is('{') {
		return r, errors.New("not a record: not a JSON object")
	}
	if schema, _ := line.get("schemaType").text(); schema != "ModelInvocationLog" {
		return r, fmt.Errorf("not a Bedrock record: schemaType is %q, must be ModelInvocationLog", schema)
	}
	at, _ := line.get("timestamp").text()
	when, err := time.Parse(time.RFC3339, at)
	when = when.UTC()
	if year := when.Year(); err != nil || when.IsZero() || year < 0 || year > 9999 { // time.MarshalJSON fails for other years
		return r, errors.New("a record without a usable timestamp")
	}
	identity, metadata := r.object(line, "identity"), r.object(line, "requestMetadata")
	input, output := r.object(line, "input"), r.object(line, "output")
	r.Entry = &Entry{
		Timestamp: when, RequestID: r.text(line, "requestId"),
		APIExtendedRequestID: r.text(metadata, contract.MetadataAPIExtendedRequestID),
		IdentityARN:          r.text(identity, "arn"),
		SourceVpce:           r.text(metadata, contract.MetadataSourceVpce), SourceIP: r.text(metadata, contract.MetadataSourceIP),
		ModelID: r.text(line, "modelId"), Operation: r.text(line, "operation"), Region: r.text(line, "region"), InferenceRegion: r.text(line, "inferenceRegion"),
		InputTokenCount: r.count(input, "inputTokenCount"), OutputTokenCount: r.count(output, "outputTokenCount"),
		CacheReadInputTokenCount: r.count(input, "cacheReadInputTokenCount"), CacheWriteInputTokenCount: r.count(input, "cacheWriteInputTokenCount"),
		ErrorCode:      cmp.Or(plain(line.get("errorCode")), failed(plain(line.get("status")))),
		metadataCaller: r.text(metadata, contract.MetadataCaller),
	}
	r.Caller = r.IdentityARN
	r.Input = body{input.get("inputBodyJson"), r.text(input, "inputBodyS3Path")}
	r.Output = body{output.get("outputBodyJson"), r.text(output, "outputBodyS3Path")}
	return r, nil
}

func (r *record) object(in value, name string) value {
	v := in.get(name)
	r.want(v.is('{'), v, name, "an object")
	return v
}

func (r *record) text(in value, name string) string {
	v := in.get(name)
	s, is := v.text()
	r.want(is, v, name, "a text")
	return s
}

// mostTokens is more than a call can use. Sums of such counts fit an int64 for 2 billion records.
const mostTokens = 1_000_000_000

func (r *record) count(in value, name string) int64 {
	v := in.get(name)
	if v.null() {
		return 0
	}
	n, err := strconv.ParseUint(string(v.raw()), 10, 64)
	if err != nil || n > mostTokens {
		n = 0
		r.want(false, v, name, fmt.Sprint("a whole number from 0 to ", mostTokens))
	}
	return int64(n)
}

// want doesn't quote the value, which can be part of a prompt.
func (r *record) want(is bool, v value, name, kind string) {
	if !is && !v.null() {
		r.mistyped = fmt.Errorf("%s is not %s", name, kind)
	}
}

// Entry contains the fields of a record that an auditor needs. Its JSON names are those of the record.
type Entry struct {
	Timestamp            time.Time `json:"timestamp"`
	RequestID            string    `json:"requestId"`
	APIExtendedRequestID string    `json:"apiExtendedRequestId,omitempty"`
	// Caller is the caller of the API according to requestMetadata, if the function's role called Bedrock. Otherwise,
	// it is IdentityARN: a principal that bypasses the API can write any metadata.
	Caller                    string `json:"caller"`
	IdentityARN               string `json:"identityArn"`
	SourceVpce                string `json:"sourceVpce,omitempty"`
	SourceIP                  string `json:"sourceIp,omitempty"`
	ModelID                   string `json:"modelId"`
	Operation                 string `json:"operation"`
	Region                    string `json:"region"`
	InferenceRegion           string `json:"inferenceRegion,omitempty"`
	InputTokenCount           int64  `json:"inputTokenCount"`
	OutputTokenCount          int64  `json:"outputTokenCount"`
	CacheReadInputTokenCount  int64  `json:"cacheReadInputTokenCount"`
	CacheWriteInputTokenCount int64  `json:"cacheWriteInputTokenCount"`
	ErrorCode                 string `json:"errorCode,omitempty"`
	Prompt                    string `json:"prompt"`
	Answer                    string `json:"answer"`
	// Record is the complete record with its large bodies, if the query sets Record.
	Record json.RawMessage `json:"-"`

	metadataCaller string
	byFunction     bool // one of Reader.Roles made the call
}

// believe sets the caller from the metadata that the function wrote.
func (e *Entry) believe() {
	e.byFunction = true
	address := ""
	if e.SourceIP != "" {
		address = e.SourceIP + " via " + cmp.Or(e.SourceVpce, "no endpoint")
	}
	e.Caller = cmp.Or(e.metadataCaller, address, e.IdentityARN)
}

// Role is a role of a function whose calls come from the API. The zero Role has no sessions.
type Role struct{ sessions string }

// ParseRole reads the ARN of a role, such as the stack's output functionRoleArn.
func ParseRole(arn string) (Role, error) {
	sessions, ok := iampolicy.SessionsOf(arn)
	if !ok {
		return Role{}, fmt.Errorf("got %q, want the ARN of a role, such as arn:aws:iam::123456789012:role/NAME", arn)
	}
	return Role{sessions}, nil
}

// has reports whether an identity is a session of the role.
func (r Role) has(identity string) bool {
	name, found := strings.CutPrefix(identity, r.sessions)
	return found && r.sessions != "" && name != "" && !strings.Contains(name, "/")
}

// plain returns a text or a number as a text.
func plain(v value) string {
	if text, is := v.text(); is || v.null() {
		return text
	}
	return string(v.raw())
}

// failed returns the status, or "" if it means success.
func failed(status string) string {
	if strings.HasPrefix(status, "2") || strings.EqualFold(status, "success") {
		return ""
	}
	return status
}
