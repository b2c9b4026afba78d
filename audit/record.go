// Package audit reads Amazon Bedrock's model invocation log: who asked which model what and when, and what it answered.
package audit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// record is one line of the log (Bedrock User Guide, "Monitor model invocation using CloudWatch Logs and Amazon S3").
// That page lists neither inferenceRegion nor the cache's counts, the S3 paths and errorCode: real records have them. The
// bodies stay as they are until somebody asks for their text.
type record struct {
	SchemaType string    `json:"schemaType"`
	Timestamp  time.Time `json:"timestamp"`
	Identity   struct {
		ARN string `json:"arn"`
	} `json:"identity"`
	Region          string            `json:"region"`
	RequestID       string            `json:"requestId"`
	Operation       string            `json:"operation"`
	ModelID         string            `json:"modelId"`
	RequestMetadata map[string]string `json:"requestMetadata"`
	InferenceRegion string            `json:"inferenceRegion"`
	ErrorCode       json.RawMessage   `json:"errorCode"`
	Status          json.RawMessage   `json:"status"`
	Input           struct {
		BodyJSON             json.RawMessage `json:"inputBodyJson"`
		BodyS3Path           string          `json:"inputBodyS3Path"`
		TokenCount           int64           `json:"inputTokenCount"`
		CacheReadTokenCount  int64           `json:"cacheReadInputTokenCount"`
		CacheWriteTokenCount int64           `json:"cacheWriteInputTokenCount"`
	} `json:"input"`
	Output struct {
		BodyJSON   json.RawMessage `json:"outputBodyJson"`
		BodyS3Path string          `json:"outputBodyS3Path"`
		TokenCount int64           `json:"outputTokenCount"`
	} `json:"output"`
}

// parse reads a line. A record that has a field of another type than AWS's comes with an error that names the field: the
// rest of it is evidence all the same.
func parse(line []byte) (*record, error) {
	r := &record{}
	err := json.Unmarshal(line, r)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err != nil && (!errors.As(err, &mistyped) || mistyped.Field == ""):
		return nil, fmt.Errorf("not a record: %w", err)
	case r.SchemaType != "ModelInvocationLog":
		return nil, fmt.Errorf("not a record of Bedrock's: schemaType is %q, want ModelInvocationLog", r.SchemaType)
	case r.Timestamp.IsZero():
		return nil, errors.New("a record without a timestamp")
	}
	return r, err
}

// Entry is what an auditor asks of a record. Its names in JSON are the record's own.
type Entry struct {
	Timestamp            time.Time `json:"timestamp"`
	RequestID            string    `json:"requestId"`
	APIExtendedRequestID string    `json:"apiExtendedRequestId,omitempty"`
	// Caller is who called the API, as the API told Bedrock in requestMetadata, or who called Bedrock. Whoever may call
	// Bedrock past the API can write metadata too: Verify names such records.
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
	// Record is the whole of it, with its large bodies, if the query asks for it.
	Record json.RawMessage `json:"-"`

	metadataCaller string
}

// entry is the record without its texts.
func (r *record) entry() Entry {
	e := Entry{
		Timestamp: r.Timestamp.UTC(), RequestID: r.RequestID, APIExtendedRequestID: r.RequestMetadata["apiExtendedRequestId"],
		IdentityARN: r.Identity.ARN, SourceVpce: r.RequestMetadata["sourceVpce"], SourceIP: r.RequestMetadata["sourceIp"],
		ModelID: r.ModelID, Operation: r.Operation, Region: r.Region, InferenceRegion: r.InferenceRegion,
		InputTokenCount: r.Input.TokenCount, OutputTokenCount: r.Output.TokenCount,
		CacheReadInputTokenCount: r.Input.CacheReadTokenCount, CacheWriteInputTokenCount: r.Input.CacheWriteTokenCount,
		metadataCaller: r.RequestMetadata["caller"],
		ErrorCode:      cmp.Or(plain(r.ErrorCode), failed(plain(r.Status))),
	}
	address := ""
	if e.SourceIP != "" {
		address = e.SourceIP + " via " + cmp.Or(e.SourceVpce, "no endpoint")
	}
	e.Caller = cmp.Or(e.metadataCaller, address, e.IdentityARN)
	return e
}

// plain is a text or number.
func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// failed is a status unless it tells of success.
func failed(status string) string {
	if strings.HasPrefix(status, "2") || strings.EqualFold(status, "success") {
		return ""
	}
	return status
}
