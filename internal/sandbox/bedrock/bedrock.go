package bedrock

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Runtime stands in for Amazon Bedrock Runtime: it speaks its wire protocol, refuses what Bedrock refuses, and
// answers with what it was asked. The last text of the user's may be a command: "fault " and the name of one of Faults is
// answered with it, "break " and the name of one of StreamFaults with a stream that ends with it after the first word,
// what begins with "slowly " with a stream that pauses before every other word, and the delivery of the records of "die before"
// and "die between" dies before its first destination, or between the two, without a word to anybody. Where a request has tools,
// "call " has the first of them called with what follows, in one word: "call xyz zy" with {"word":"xyzzy"}, so that what the model
// says has a word that the prompt has not.
type Runtime struct {
	Region, Account string
	// Authorize names the caller of a request, or says why it may not make the call. nil allows every call.
	Authorize func(r *http.Request, call ModelCall) (identityArn string, err error)
	// Deliver takes the record of every call that was answered. nil drops it.
	Deliver func(ctx context.Context, record Record, now time.Time)
	// Pause of a slow stream; 0 is 100 ms.
	Pause time.Duration

	profiles   *inferenceProfiles // nil knows the system-defined ones
	guardrails *guardrails        // nil takes every guardrail for one that blocks nothing
}

// Faults by the exception's name (Bedrock API Reference, Converse, "Errors").
var Faults = map[string]int{
	"ValidationException": 400, "ServiceQuotaExceededException": 400, "AccessDeniedException": 403, "ResourceNotFoundException": 404,
	"ModelTimeoutException": 408, "ModelErrorException": 424, "ThrottlingException": 429, "ModelNotReadyException": 429,
	"InternalServerException": 500, "ServiceUnavailableException": 503,
}

// StreamFaults are the exceptions that a stream may end with, when it is too late for a status code (Bedrock API
// Reference, ConverseStream and InvokeModelWithResponseStream, "Response Elements").
var StreamFaults = map[string][]string{
	"ConverseStream": {
		"InternalServerException", streamError, "ServiceUnavailableException", "ThrottlingException", "ValidationException",
	},
	"InvokeModelWithResponseStream": {
		"InternalServerException", streamError, "ModelTimeoutException", "ServiceUnavailableException", "ThrottlingException", "ValidationException",
	},
}

// streamError is before a stream as well, but of InvokeModelWithResponseStream alone (Bedrock API Reference).
const streamError = "ModelStreamErrorException"

type fault struct{ name, message string }

func (f fault) Error() string { return f.name + ": " + f.message }

// Bedrock API Reference, Converse, requestMetadata.
var (
	metadataText = regexp.MustCompile(`^[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}$`)
	modelID      = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9.-]+(:[a-z0-9-]+)*$`)
)

// operation is one of Bedrock Runtime's.
type operation struct {
	name string
	// action is what IAM is asked for: no operation but InvokeModel and its stream has one of its own name (Bedrock API
	// Reference, Converse and ConverseStream).
	action string
	read   func(header http.Header, body []byte) (asked, error)
	stream bool
}

// operations by the last part of their path.
var operations = map[string]operation{
	"converse":                    {"Converse", "bedrock:InvokeModel", readConverse, false},
	"converse-stream":             {"ConverseStream", "bedrock:InvokeModelWithResponseStream", readConverse, true},
	"invoke":                      {"InvokeModel", "bedrock:InvokeModel", readInvoke, false},
	"invoke-with-response-stream": {"InvokeModelWithResponseStream", "bedrock:InvokeModelWithResponseStream", readInvokeStream, true},
}

// asked is what a request asks for, in whichever shape.
type asked struct {
	form               form
	prompt             string   // the last text of the user's
	guarded            []string // the texts that the guardrail of the request looks at
	texts              []string // those that one which the account enforces looks at: all
	guardrail, version string
	tool               string // the name of the first tool
	maxTokens          *int
	cached             bool   // something in it is marked to be cached
	tier               string // "" is the default one
	metadata           map[string]string
	recorded           json.RawMessage // the body as the record has it
}

// form is the shape of an answer, whole or in events: those before the first word, one for each word, and those after the
// last.
type form interface {
	// said are the texts of an answer that a guardrail looks at: the input of a tool call is none (Bedrock User Guide, "Include a
	// guardrail with the Converse API").
	said(a answer) []string
	whole(a answer) any
	head(a answer) []event
	word(text string) event
	tail(a answer) []event
}

type answer struct {
	id, model  string // of the request, and as it names it
	tier       string // as the request names it
	text, stop string
	tool       *toolCall // after the text, if any
	usage      usage
	// guarded tells that a guardrail looked at the call, and blocked that it stopped it or its answer.
	guarded, blocked bool
	start            time.Time
	firstByte        int64 // latency of a stream's first
}

// toolCall is a call of a tool of the request's.
type toolCall struct{ id, name, word string }

func (c toolCall) input() object { return object{"word": c.word} }

// halves is the input as a stream has it: in pieces, of which none has the whole word.
func (c toolCall) halves() [2]string {
	text := []rune(string(toJSON(c.input())))
	cut := len(text) - len([]rune(c.word))/2 - len(`"}`)
	return [2]string{string(text[:cut]), string(text[cut:])}
}

// block puts a guardrail's message in the place of all that a model says.
func (a *answer) block(message string) {
	a.text, a.stop, a.tool, a.blocked = message, "guardrail_intervened", nil, true
}

// latency is as yet.
func (a answer) latency() int64 { return time.Since(a.start).Milliseconds() }

// usage has Converse's names (Bedrock API Reference, TokenUsage).
type usage struct {
	Input      int  `json:"inputTokens"`
	Output     int  `json:"outputTokens"`
	Total      int  `json:"totalTokens"`
	CacheRead  *int `json:"cacheReadInputTokens,omitempty"`
	CacheWrite *int `json:"cacheWriteInputTokens,omitempty"`
}

// newUsage takes what is cached for as long as the rest and never cached before: input tokens are without it (Bedrock
// User Guide, "Prompt caching for faster model inference").
func newUsage(input, output int, cached bool) usage {
	u := usage{Input: input, Output: output, Total: input + output}
	if cached {
		u.CacheRead, u.CacheWrite = new(int), &input
		u.Total += input
	}
	return u
}

// refuse answers with a fault, which every other error is one of.
func refuse(w http.ResponseWriter, err error) {
	f := fault{"InternalServerException", err.Error()}
	errors.As(err, &f)
	w.Header().Set("X-Amzn-Errortype", f.name)
	w.WriteHeader(cmp.Or(Faults[f.name], http.StatusFailedDependency)) // streamError's
	json.NewEncoder(w).Encode(map[string]string{"message": f.message})
}

// ServeHTTP answers POST /model/{modelId}/ and one of operations, and ApplyGuardrail.
func (b *Runtime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := wire.NewID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.Header().Set("Content-Type", "application/json")
	serve := b.serve
	if applyPath.MatchString(r.URL.EscapedPath()) {
		serve = b.serveApplyGuardrail
	}
	if err := serve(w, r, requestID); err != nil {
		refuse(w, err)
	}
}

func (b *Runtime) serve(w http.ResponseWriter, r *http.Request, requestID string) error {
	start := time.Now()
	escaped, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/model/"), "/")
	op, found := operations[path]
	if r.Method != http.MethodPost || !found {
		return fault{"ResourceNotFoundException", "there is no operation " + r.Method + " " + path + " on a model"}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	model, err := url.PathUnescape(escaped)
	if err != nil {
		return errNoModel
	}
	in, invalid := op.read(r.Header, body) // who may not call is not told
	call, err := b.Resolve(op.action, model)
	if err != nil {
		return err
	}
	call.tier = in.tier
	watches, err := b.guard(&call, in)
	if err != nil {
		return err
	}
	identity, err := b.authorize(r, call)
	if err != nil {
		return err
	}
	if err := cmp.Or(invalid, checkTier(in.tier), checkMetadata(in.metadata)); err != nil {
		return err
	}
	command, name, _ := strings.Cut(in.prompt, " ")
	if command == "fault" && (Faults[name] != 0 || name == streamError && op.name == "InvokeModelWithResponseStream") {
		return fault{name, "as asked: " + in.prompt}
	}

	a := answer{
		id: requestID, model: model, tier: in.tier, text: "You said: " + in.prompt, stop: "end_turn", guarded: len(watches) > 0, start: start,
	}
	tokens := countTokens(a.text)
	if limit := in.maxTokens; limit != nil && tokens > *limit {
		tokens, a.stop = *limit, "max_tokens" // the text stays whole: an echo that is cut would hide what was lost on the way
	}
	a.usage = newUsage(countTokens(in.prompt), tokens, in.cached)
	if command == "call" && in.tool != "" {
		a.stop, a.tool = "tool_use", &toolCall{"tooluse_" + requestID, in.tool, strings.ReplaceAll(name, " ", "")}
	}
	for _, w := range watches {
		if message, blocked := w.assess("INPUT", w.texts); blocked && !a.blocked {
			a.block(message)
			a.usage = usage{} // no model was asked
		}
	}
	for _, w := range watches {
		if message, blocked := w.assess("OUTPUT", in.form.said(a)); blocked && !a.blocked {
			a.block(message)
		}
	}
	deliver := func(a answer, output any) {
		if b.Deliver == nil {
			return
		}
		dies := ""
		if command == "die" {
			dies, _, _ = strings.Cut(name, " ")
		}
		b.Deliver(context.WithoutCancel(r.Context()), Record{
			Dies:       dies,
			SchemaType: "ModelInvocationLog", SchemaVersion: "1.0", Timestamp: start.UTC().Format(time.RFC3339), AccountID: b.Account,
			Identity: Identity{identity}, Region: b.Region, RequestID: requestID, Operation: op.name, ModelID: b.recorded(call, model),
			RequestMetadata: in.metadata, InferenceRegion: b.inferenceRegion(call),
			Input: Input{
				ContentType: "application/json", BodyJSON: in.recorded, TokenCount: a.usage.Input,
				CacheReadTokenCount: a.usage.CacheRead, CacheWriteTokenCount: a.usage.CacheWrite,
			},
			Output: Output{ContentType: "application/json", BodyJSON: toJSON(output), TokenCount: a.usage.Output},
		}, start)
	}
	if in.tier != "" && strings.HasPrefix(op.name, "InvokeModel") {
		w.Header().Set(tierHeader, in.tier)
	}
	if op.stream {
		s := stream{w: w, form: in.form}
		if command == "slowly" {
			s.pause = cmp.Or(b.Pause, 100*time.Millisecond)
		}
		if command == "break" && slices.Contains(StreamFaults[op.name], name) {
			s.fault = fault{name, "as asked: " + in.prompt}
		}
		s.answer(r.Context(), a, deliver)
		return nil
	}
	out := in.form.whole(a)
	deliver(a, out)
	if op.name == "InvokeModel" {
		setCounts(w.Header(), a)
	}
	return json.NewEncoder(w).Encode(out)
}

var errNoModel = fault{"ValidationException", "The provided model identifier is invalid."}

// Resolve finds what a model's id or ARN stands for.
func (b *Runtime) Resolve(action, model string) (ModelCall, error) {
	profiles := b.profiles
	if profiles == nil {
		profiles = newInferenceProfiles(b.Region, b.Account)
	}
	if profile, ok := profiles.lookup(model); ok {
		return ModelCall{Action: action, Model: profile.Arn, Routes: profile.Models}, nil
	}
	if !foundationModel(model) {
		return ModelCall{}, errNoModel // a provisioned model as well: the emulated account has none
	}
	return ModelCall{Action: action, Model: "arn:aws:bedrock:" + b.Region + "::foundation-model/" + model}, nil
}

// authorize names the caller, who may make the call.
func (b *Runtime) authorize(r *http.Request, call ModelCall) (identityArn string, err error) {
	if b.Authorize == nil {
		return "arn:aws:iam::" + b.Account + ":root", nil
	}
	if identityArn, err = b.Authorize(r, call); err != nil {
		return "", fault{"AccessDeniedException", err.Error()}
	}
	return identityArn, nil
}

// watch is a guardrail, and the texts of a request that it looks at.
type watch struct {
	guardrail
	texts []string
}

// guard puts guardrails on the call: the request's, and the one that the account enforces. Both look ("All 3 guardrails will be
// enforced at runtime": Bedrock User Guide, "Apply cross-account safeguards with Amazon Bedrock Guardrails enforcements").
func (b *Runtime) guard(call *ModelCall, in asked) (watches []watch, err error) {
	if b.guardrails == nil {
		return nil, nil
	}
	if in.guardrail != "" || in.version != "" {
		rules, ok := b.guardrails.lookup(in.guardrail, in.version)
		if !ok {
			return nil, fault{"ValidationException", "The guardrail identifier or version provided in the request does not exist."}
		}
		call.Guardrail, call.Version = rules.Arn, rules.Version
		watches = append(watches, watch{rules, in.guarded})
	}
	if rules, ok := b.guardrails.enforcedRules(); ok {
		call.enforced = rules.Arn
		watches = append(watches, watch{rules, in.texts})
	}
	return watches, nil
}

// recorded is the model as records name it: an inference profile by its ARN.
func (b *Runtime) recorded(call ModelCall, model string) string {
	if call.Routes != nil {
		return call.Model
	}
	return model
}

// inferenceRegion is one that the profile routes to.
func (b *Runtime) inferenceRegion(call ModelCall) string {
	for _, route := range call.Routes {
		if region := strings.Split(route, ":")[3]; region != "" {
			return region
		}
	}
	return b.Region
}

// checkTier knows the tiers (Bedrock API Reference, ServiceTier).
func checkTier(tier string) error {
	if !slices.Contains([]string{"", "default", "flex", "priority", "reserved"}, tier) {
		return invalidMember(tier, "serviceTier", "Member must satisfy enum value set: [priority, default, flex, reserved]")
	}
	return nil
}

func checkMetadata(metadata map[string]string) error {
	if len(metadata) > 16 {
		return fault{"ValidationException", "requestMetadata has more than 16 entries."}
	}
	for k, v := range metadata {
		if k == "" || !metadataText.MatchString(k) || !metadataText.MatchString(v) {
			return fault{"ValidationException", "requestMetadata has a key or value that is too long or has other characters than it may."}
		}
	}
	return nil
}

// countTokens is a rough count: a model's own differs.
func countTokens(text string) int { return len([]rune(text))/4 + 1 }
