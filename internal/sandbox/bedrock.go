package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Bedrock stands in for Amazon Bedrock Runtime: it speaks its wire protocol, refuses what Bedrock refuses, and
// answers with what it was asked. A text that begins with "fault " and the name of one of Faults is answered with it.
type Bedrock struct {
	Region, Account string
	// Authorize names the caller of a request, or says why it may not make the call. nil admits everybody.
	Authorize func(r *http.Request, call ModelCall) (identityArn string, err error)
	// Deliver takes the record of every call that was answered. nil drops it.
	Deliver func(ctx context.Context, record Record, now time.Time)

	profiles   *inferenceProfiles // nil knows the system-defined ones
	guardrails *guardrails        // nil takes every guardrail for one that blocks nothing
}

// Faults by the exception's name (Bedrock API Reference, Converse, "Errors").
var Faults = map[string]int{
	"ValidationException": 400, "ServiceQuotaExceededException": 400, "AccessDeniedException": 403, "ResourceNotFoundException": 404,
	"ModelTimeoutException": 408, "ModelErrorException": 424, "ThrottlingException": 429, "ModelNotReadyException": 429,
	"InternalServerException": 500, "ServiceUnavailableException": 503,
}

type fault struct{ name, message string }

func (f fault) Error() string { return f.name + ": " + f.message }

// Bedrock API Reference, Converse, requestMetadata.
var (
	metadataText = regexp.MustCompile(`^[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}$`)
	modelID      = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9.-]+(:[a-z0-9-]+)*$`)
)

type converseRequest struct {
	Messages []struct {
		Role    string           `json:"role"`
		Content []map[string]any `json:"content"`
	} `json:"messages"`
	System []struct {
		GuardContent struct {
			Text struct {
				Text string `json:"text"`
			} `json:"text"`
		} `json:"guardContent"`
	} `json:"system"`
	GuardrailConfig struct {
		Identifier string `json:"guardrailIdentifier"`
		Version    string `json:"guardrailVersion"`
	} `json:"guardrailConfig"`
	RequestMetadata map[string]string `json:"requestMetadata"`
	InferenceConfig struct {
		MaxTokens *int `json:"maxTokens"`
	} `json:"inferenceConfig"`
}

// ServeHTTP answers POST /model/{modelId}/converse.
func (b *Bedrock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("Content-Type", "application/json")
	body, err := b.converse(r, requestID)
	if err != nil {
		f := fault{"InternalServerException", err.Error()}
		errors.As(err, &f)
		w.Header().Set("X-Amzn-Errortype", f.name)
		w.WriteHeader(Faults[f.name])
		json.NewEncoder(w).Encode(map[string]string{"message": f.message})
		return
	}
	w.Write(body)
}

func (b *Bedrock) converse(r *http.Request, requestID string) ([]byte, error) {
	start := time.Now()
	escaped, operation, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/model/"), "/")
	if r.Method != http.MethodPost || !ok || operation != "converse" {
		return nil, fault{"ResourceNotFoundException", "this stand-in answers POST /model/{modelId}/converse only"}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in converseRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fault{"ValidationException", "The request body is no JSON of this operation: " + err.Error()}
	}
	model, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, errNoModel
	}
	call, err := b.resolve("bedrock:InvokeModel", model)
	if err != nil {
		return nil, err
	}
	rules, err := b.guard(&call, in)
	if err != nil {
		return nil, err
	}
	identity := "arn:aws:iam::" + b.Account + ":root"
	if b.Authorize != nil {
		if identity, err = b.Authorize(r, call); err != nil {
			return nil, fault{"AccessDeniedException", err.Error()}
		}
	}
	prompt, err := in.check()
	if err != nil {
		return nil, err
	}
	if name, found := strings.CutPrefix(prompt, "fault "); found && Faults[name] != 0 {
		return nil, fault{name, "as asked: " + prompt}
	}

	text, stop := "You said: "+prompt, "end_turn"
	tokens := countTokens(text)
	if limit := in.InferenceConfig.MaxTokens; limit != nil && tokens > *limit {
		tokens, stop = *limit, "max_tokens" // the text stays whole: an echo that is cut would hide what was lost on the way
	}
	inputTokens := countTokens(prompt)
	if message, blocked := rules.assess("INPUT", in.guarded()); blocked {
		text, stop, inputTokens, tokens = message, "guardrail_intervened", 0, 0
	}
	out := map[string]any{
		"output":     map[string]any{"message": map[string]any{"role": "assistant", "content": []any{map[string]string{"text": text}}}},
		"stopReason": stop,
		"usage":      map[string]int{"inputTokens": inputTokens, "outputTokens": tokens, "totalTokens": inputTokens + tokens},
		"metrics":    map[string]int64{"latencyMs": time.Since(start).Milliseconds()},
	}
	answer, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	if b.Deliver != nil {
		b.Deliver(context.WithoutCancel(r.Context()), Record{
			SchemaType: "ModelInvocationLog", SchemaVersion: "1.0", Timestamp: start.UTC().Format(time.RFC3339), AccountID: b.Account,
			Identity: Identity{identity}, Region: b.Region, RequestID: requestID, Operation: "Converse", ModelID: b.recorded(call, model),
			RequestMetadata: in.RequestMetadata, InferenceRegion: b.inferenceRegion(call),
			Input:  Input{ContentType: "application/json", BodyJSON: withoutMetadata(body), TokenCount: inputTokens},
			Output: Output{ContentType: "application/json", BodyJSON: answer, TokenCount: tokens},
		}, start)
	}
	return answer, nil
}

var errNoModel = fault{"ValidationException", "The provided model identifier is invalid."}

// resolve finds what a model's id or ARN stands for.
func (b *Bedrock) resolve(action, model string) (ModelCall, error) {
	profiles := b.profiles
	if profiles == nil {
		profiles = newInferenceProfiles(b.Region, b.Account)
	}
	if profile, ok := profiles.lookup(model); ok {
		return ModelCall{action: action, model: profile.Arn, routes: profile.Models}, nil
	}
	if !foundationModel(model) {
		return ModelCall{}, errNoModel // a provisioned model as well: the emulated account has none
	}
	return ModelCall{action: action, model: "arn:aws:bedrock:" + b.Region + "::foundation-model/" + model}, nil
}

// guard puts the request's guardrail on the call.
func (b *Bedrock) guard(call *ModelCall, in converseRequest) (guardrail, error) {
	config := in.GuardrailConfig
	if config.Identifier == "" && config.Version == "" {
		return guardrail{}, nil
	}
	if b.guardrails == nil {
		return guardrail{}, nil
	}
	rules, ok := b.guardrails.lookup(config.Identifier, config.Version)
	if !ok {
		return guardrail{}, fault{"ValidationException", "The guardrail identifier or version provided in the request does not exist."}
	}
	call.guardrail, call.version = rules.Arn, rules.Version
	return rules, nil
}

// guarded are the texts that a guardrail looks at: messages, and of the system prompt what is marked (Bedrock User
// Guide, "Include a guardrail with the Converse API").
func (in converseRequest) guarded() (texts []string) {
	for _, m := range in.Messages {
		for _, block := range m.Content {
			if text, ok := block["text"].(string); ok {
				texts = append(texts, text)
			}
		}
	}
	for _, s := range in.System {
		texts = append(texts, s.GuardContent.Text.Text)
	}
	return texts
}

// recorded is the model as records name it: an inference profile by its ARN.
func (b *Bedrock) recorded(call ModelCall, model string) string {
	if call.routes != nil {
		return call.model
	}
	return model
}

// inferenceRegion is one that the profile routes to.
func (b *Bedrock) inferenceRegion(call ModelCall) string {
	for _, route := range call.routes {
		if region := strings.Split(route, ":")[3]; region != "" {
			return region
		}
	}
	return b.Region
}

// check refuses what Converse refuses and finds the last text of the user's.
func (in converseRequest) check() (prompt string, err error) {
	if len(in.Messages) == 0 || in.Messages[0].Role != "user" {
		return "", fault{"ValidationException", "A conversation must start with a user message. Try again with a conversation that starts with a user message."}
	}
	for i, m := range in.Messages {
		if m.Role != "user" && m.Role != "assistant" || i > 0 && m.Role == in.Messages[i-1].Role {
			return "", fault{"ValidationException", "A conversation must alternate between user and assistant roles."}
		}
		if len(m.Content) == 0 {
			return "", fault{"ValidationException", fmt.Sprintf("The content field in the Message object at messages.%d is empty.", i)}
		}
		for _, block := range m.Content {
			text, ok := block["text"].(string)
			if ok && strings.TrimSpace(text) == "" {
				return "", fault{"ValidationException", fmt.Sprintf("The text field in the ContentBlock object at messages.%d is blank.", i)}
			}
			if m.Role == "user" {
				prompt = text
			}
		}
	}
	if len(in.RequestMetadata) > 16 {
		return "", fault{"ValidationException", "requestMetadata has more than 16 entries."}
	}
	for k, v := range in.RequestMetadata {
		if k == "" || !metadataText.MatchString(k) || !metadataText.MatchString(v) {
			return "", fault{"ValidationException", "requestMetadata has a key or value that is too long or has other characters than it may."}
		}
	}
	return prompt, nil
}

// withoutMetadata is the body as the record has it: metadata stands beside it.
func withoutMetadata(body []byte) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return body
	}
	delete(fields, "requestMetadata")
	kept, _ := json.Marshal(fields) // raw messages that were parsed always marshal
	return kept
}

// countTokens is a rough count: a model's own differs.
func countTokens(text string) int { return len([]rune(text))/4 + 1 }

// newID has the form of AWS's request ids.
func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
