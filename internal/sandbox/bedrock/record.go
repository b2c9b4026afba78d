package bedrock

import "encoding/json"

// Record is one line of Bedrock's model invocation log (Bedrock User Guide, "Model invocation logging").
type Record struct {
	SchemaType      string            `json:"schemaType"`
	SchemaVersion   string            `json:"schemaVersion"`
	Timestamp       string            `json:"timestamp"`
	AccountID       string            `json:"accountId"`
	Identity        Identity          `json:"identity"`
	Region          string            `json:"region"`
	RequestID       string            `json:"requestId"`
	Operation       string            `json:"operation"`
	ModelID         string            `json:"modelId"`
	RequestMetadata map[string]string `json:"requestMetadata,omitempty"`
	Input           Input             `json:"input"`
	Output          Output            `json:"output"`
	InferenceRegion string            `json:"inferenceRegion,omitempty"`

	Dies string `json:"-"` // where its delivery ends, as if killed: before the first destination, or between them
}

// Identity of a caller.
type Identity struct {
	ARN string `json:"arn"`
}

// Input of a model. A body of more than 100 KB lies in an object of its own.
type Input struct {
	ContentType string          `json:"inputContentType"`
	BodyJSON    json.RawMessage `json:"inputBodyJson,omitempty"`
	BodyS3Path  string          `json:"inputBodyS3Path,omitempty"`
	TokenCount  int             `json:"inputTokenCount"`
	// Of a request that marks what to cache.
	CacheReadTokenCount  *int `json:"cacheReadInputTokenCount,omitempty"`
	CacheWriteTokenCount *int `json:"cacheWriteInputTokenCount,omitempty"`
}

// Output of a model.
type Output struct {
	ContentType string          `json:"outputContentType"`
	BodyJSON    json.RawMessage `json:"outputBodyJson,omitempty"`
	BodyS3Path  string          `json:"outputBodyS3Path,omitempty"`
	TokenCount  int             `json:"outputTokenCount"`
}
