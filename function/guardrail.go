package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// newGuardrail returns nil if no guardrail is set. Half of a guardrail is an error: calls would be unguarded.
func newGuardrail(id, version string) (*types.GuardrailConfiguration, error) {
	switch {
	case id == "" && version == "":
		return nil, nil
	case id == "" || version == "":
		const both = contract.EnvGuardrailID + ", " + contract.EnvGuardrailVersion
		return nil, fmt.Errorf(both+": got %q, %q, want both or none", id, version)
	}
	// No trace: it would quote what was blocked.
	return &types.GuardrailConfiguration{GuardrailIdentifier: &id, GuardrailVersion: &version}, nil
}

// errNoGuardrail refuses a guardrail of the caller's choice by name: IAM would deny the call, and without the guardrail the
// caller would take it for guarded.
var errNoGuardrail = badRequest("NoGuardrail", "guardrailConfig, X-Amzn-Bedrock-GuardrailIdentifier: this API has no guardrail: leave it out, or ask the API's operators to set one")

// In a model's own body, members with this prefix configure the guardrail: they narrow what it evaluates, delay its verdict,
// or have a trace quote what it blocks (Bedrock User Guide, "Apply tags to user input to filter content", "Configure streaming response behavior to
// filter content").
const guardrailMembers = "amazon-bedrock-"

// guarded marks each text of a system prompt. A guardrail evaluates nothing else of a system prompt (Bedrock User Guide,
// "Include a guardrail with the Converse API").
func guarded(system json.RawMessage) (json.RawMessage, error) {
	var blocks []json.RawMessage
	if err := json.Unmarshal(system, &blocks); err != nil {
		return nil, badRequest("InvalidBody", "system: want a list of blocks")
	}
	for i, block := range blocks {
		members, err := readObject(block)
		if err != nil {
			return nil, err
		}
		for j, m := range members {
			if m.key == "text" {
				members[j] = member{"guardContent", marshal(map[string]any{"text": map[string]any{"text": m.value}})}
			}
		}
		blocks[i] = writeObject(members)
	}
	return marshal(blocks), nil
}

const (
	// pieceRunes is the most that one call of ApplyGuardrail evaluates: 25 text units of 1,000 characters, the quota for a
	// second in most Regions (Bedrock endpoints and quotas, "On-demand ApplyGuardrail Content filter policy text units per
	// second").
	pieceRunes = 25_000
	// overlapRunes of a piece are in the next piece as well, so that the cut hides no word. A word filter's phrase has at
	// most 100 characters (Bedrock API Reference, GuardrailWordConfig), of up to 12 each where JSON escapes them.
	overlapRunes = 1_200
	// maxEvaluated bytes of a body are evaluated, in up to 42 calls of ApplyGuardrail. A body with more is refused.
	maxEvaluated = maxTextBytes
	// maxFrame is the largest frame of an event stream, of bytes, that clients read (AWS SDK for Go, eventstream.Decoder).
	maxFrame = 16 << 20
)

// part is the texts of one member of a body.
type part struct {
	member string
	text   strings.Builder
}

// rules say which strings of a body need no evaluation by ApplyGuardrail. A key of these maps is a path, without indices.
type rules struct {
	evaluated map[string]bool // by Bedrock itself
	skipped   map[string]bool // with all that is below: no model reads or writes it
	opaque    map[string]bool // signed or encrypted by the model's provider, if sealed
	images    map[string]bool // that no model reads as text, if PNG or JPEG
	// media says that any string may be media in base64, because the body is of a model's own shape, and is refused unless
	// it is one of images. Otherwise media is in members called bytes.
	media bool
	// answer says that the names of members are Bedrock's, except in the input of a tool.
	answer bool
	// fragments says that a string may be a part of one.
	fragments bool
}

var (
	// Bedrock User Guide, "Include a guardrail with the Converse API". Function guarded marks the texts of system prompts.
	converseRules = rules{
		evaluated: set("messages[].content[].text", "system[].text"),
		skipped:   set("requestMetadata", "guardrailConfig", "inferenceConfig.stopSequences"),
		opaque:    set("messages[].content[].reasoningContent.reasoningText.signature", "messages[].content[].reasoningContent.redactedContent"),
		images:    set("messages[].content[].image.source.bytes"),
	}
	// AWS does not document which members of a model's own body a guardrail evaluates, and without tags its prompt-attack
	// filter evaluates none (Bedrock User Guide, "Detect prompt attacks with Amazon Bedrock Guardrails").
	invokeRules = rules{
		opaque: set("messages[].content[].signature", "messages[].content[].data", "messages[].content[].reasoningContent.reasoningText.signature", "messages[].content[].reasoningContent.redactedContent"),
		images: set(
			"messages[].content[].source.data", "messages[].content[].image.source.bytes", "messages[].content[].image_url.url", // Anthropic, Amazon Nova, OpenAI and Mistral AI
			"images[]", "inputImage", "image", "mask", "init_image", "style_image", // Llama and Cohere, Titan, Stability AI
			"inputs[].content[].image_url.url", "mediaSource.base64String", "singleEmbeddingParams.image.source.bytes", // Cohere, TwelveLabs, Amazon Nova
			"imageVariationParams.images[]", "textToImageParams.conditionImage", "colorGuidedGenerationParams.referenceImage", "backgroundRemovalParams.image", // Titan, Nova Canvas
			"inPaintingParams.image", "inPaintingParams.maskImage", "outPaintingParams.image", "outPaintingParams.maskImage",
			"virtualTryOnParams.sourceImage", "virtualTryOnParams.referenceImage",
		),
		media: true,
	}
	// answerRules are for the answers of all operations.
	answerRules = rules{
		evaluated: set(
			"output.message.content[].text", "delta.text", // Converse, ConverseStream
			"content[].text", "content_block.text", // Anthropic
			"contentBlockDelta.delta.text",                                                         // Amazon Nova
			"results[].outputText", "outputText", "completion", "generation", "generations[].text", // Titan, Claude 2, Llama, Cohere
			"outputs[].text", "choices[].text", "choices[].message.content", "choices[].delta.content", // Mistral AI, OpenAI
		),
		skipped: set(
			"p", "trace", "usage", "metrics", "output.message.content[].toolUse.toolUseId", "start.toolUse.toolUseId",
			"id", "model", "object", "system_fingerprint", "message.id", "message.model", "content[].id", "content_block.id",
			"choices[].message.tool_calls[].id", "choices[].delta.tool_calls[].id", "amazon-bedrock-invocationMetrics",
			"contentBlockStart.start.toolUse.toolUseId", "message.usage", "service_tier", "serviceTier", "type",
			"stopReason", "stop_reason", "delta.stop_reason", "choices[].finish_reason", "generations[].finish_reason", "generations[].id",
		),
		opaque: set(
			"output.message.content[].reasoningContent.reasoningText.signature", "output.message.content[].reasoningContent.redactedContent",
			"delta.reasoningContent.signature", "delta.reasoningContent.redactedContent",
			"content[].signature", "content[].data", "content_block.data", "content_block.signature", "delta.signature",
		),
		images: set("output.message.content[].image.source.bytes", "images[]", "artifacts[].base64"), // Converse, Titan and Stability AI
		media:  true, answer: true,
	}
	// eventRules are for the events of streams.
	eventRules = rules{evaluated: answerRules.evaluated, skipped: answerRules.skipped, opaque: answerRules.opaque, answer: true, fragments: true}

	// documentFormats are where the format of a document is. Other formats than plain text can hide text from a guardrail.
	documentFormats = set("messages[].content[].document.format", "messages[].content[].toolResult.content[].document.format")
	plainFormats    = set("txt", "md", "csv")

	// free are JSON of a tool's own shape. Whatever a string there holds, a model reads or writes it as text.
	free = set(
		"toolConfig", "messages[].content[].toolUse.input", "messages[].content[].toolResult.content[].json",
		"tools", "messages[].content[].input", "output.message.content[].toolUse.input", "content[].input", "content_block.input",
	)
	// inputs are the names of members of answers that hold a tool's input, wherever they are.
	inputs = set("input", "parameters", "arguments")
	// imageSource are members that say whether the data beside them is an image or a text.
	imageSource = map[string]map[string]bool{sourcePath + ".type": set("base64"), sourcePath + ".media_type": set("image/png", "image/jpeg")}
	// texts are the names of members that are text in models' own bodies, whatever they hold.
	texts = set("text", "content", "prompt", "inputText", "system", "texts", "thinking", "arguments")

	// tools are what ALLOW_UNEVALUATED_TOOLS excepts, in requests, answers and streams.
	tools = set(
		"toolConfig", "messages[].content[].toolUse", "messages[].content[].toolResult",
		"tools", "tool_choice", "messages[].tool_calls", "messages[].tool_call_id", "messages[].content[].id", "messages[].content[].name",
		"messages[].content[].input", "messages[].content[].tool_use_id", "messages[].content[].content",
		"output.message.content[].toolUse", "start.toolUse", "delta.toolUse",
		"content[].name", "content[].input", "content_block.name", "content_block.input", "delta.partial_json",
		"choices[].message.tool_calls", "choices[].delta.tool_calls", "contentBlockStart.start.toolUse", "contentBlockDelta.delta.toolUse",
	)

	// opened are the paths whose members and elements have a part of their own each, and a name in errors.
	opened = set(
		"", "messages", "messages[]", "messages[].content", "messages[].content[]", "system", "system[]", "toolConfig", "toolConfig.tools", "tools",
		"output", "output.message", "output.message.content", "output.message.content[]", "content", "content[]", "start", "delta", "content_block",
		"choices", "choices[]", "choices[].message", "choices[].delta",
	)

	// vocabulary are words of the APIs themselves and of JSON Schema, as members or values: no text is said with them,
	// and they are most of what there is to evaluate in a small call.
	vocabulary = set(strings.Fields(`
		messages message role user assistant system content text toolConfig tools tool toolSpec toolChoice toolUse toolUseId toolResult status success error
		input inputSchema json name description type object string number integer boolean array null properties required items enum
		additionalProperties format default auto any none inferenceConfig maxTokens temperature topP stopSequences requestMetadata guardrailConfig
		additionalModelRequestFields additionalModelResponseFieldPaths performanceConfig latency standard optimized serviceTier priority flex reserved
		cachePoint ttl 5m 1h image document source bytes png jpeg txt md csv citations enabled reasoningContent reasoningText signature redactedContent
		tool_use tool_result tool_use_id tool_choice tool_calls tool_call_id function arguments input_schema cache_control ephemeral id index model
		thinking redacted_thinking data base64 media_type image/png image/jpeg max_tokens temperature top_p top_k stop_sequences anthropic_version
		bedrock-2023-05-31 anthropic_beta stream metadata prompt inputText textGenerationConfig
		output stopReason stop_reason stop_sequence finish_reason end_turn max_tokens tool_calls stop length content_filter guardrail_intervened
		content_filtered usage metrics trace start delta contentBlockIndex contentBlockStart contentBlockDelta contentBlockStop messageStart messageStop
		content_block content_block_start content_block_delta content_block_stop message_start message_delta message_stop text_delta input_json_delta
		partial_json thinking_delta signature_delta choices created chat.completion chat.completion.chunk embedding embeddings inputTextTokenCount results
		outputText tokenCount completionReason completion generation generations outputs prompt_token_count generation_token_count
		ping amazon-bedrock-guardrailAction NONE INTERVENED FINISH LENGTH inputTokens outputTokens totalTokens latencyMs input_tokens output_tokens`)...)
)

// sourcePath is where an image or a document of Anthropic's is.
const sourcePath = "messages[].content[].source"

func set(of ...string) map[string]bool {
	m := map[string]bool{}
	for _, each := range of {
		m[each] = true
	}
	return m
}

// unevaluated is an error that names the member that no guardrail evaluates.
func unevaluated(member, what, instead string) error {
	return badRequest("NotEvaluated", member+": this API's guardrail cannot evaluate "+what+": "+instead)
}

// collect returns the texts of a body that Bedrock itself does not evaluate, and whether it evaluates any. The time is
// linear in the size of the body.
func collect(body []byte, r rules, unevaluatedTools bool) (parts []*part, evaluated bool, err error) {
	w := walk{d: json.NewDecoder(bytes.NewReader(body)), rules: r, unevaluatedTools: unevaluatedTools}
	w.d.UseNumber() // 1e400 is a number
	if err := w.value(place{}, 0); err != nil {
		return nil, false, err
	}
	if _, err := w.d.Token(); err != io.EOF {
		return nil, false, errNoObject
	}
	return w.parts, w.evaluated, nil
}

var errNoObject = badRequest("InvalidBody", "the body is no JSON object")

type walk struct {
	d                *json.Decoder
	rules            rules
	unevaluatedTools bool
	parts            []*part
	size             int
	evaluated        bool
	image            bool           // the present source has an image
	declared         map[string]int // how many of the present source's members say that it is an image, and how many that it is not
}

// place of a value in a body.
type place struct {
	path    string // without indices; unknownPath for one that no rule names
	member  string // the name of its part
	key     string
	skipped bool
	media   bool
	free    bool
}

const unknownPath = "?"

// plain is whether a key can be a part of a path: "a.b" is none.
func plain(key string) bool {
	return key != "" && len(key) <= 40 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

func (p place) element(i int) place {
	if opened[p.path] {
		p.member += "[" + strconv.Itoa(i) + "]"
	}
	return p.below("[]")
}

func (p place) named(key string) place {
	known := plain(key)
	if opened[p.path] {
		name := key
		if !known { // a caller's own text
			name = strconv.Quote(strings.ToValidUTF8(key[:min(len(key), 40)], ""))
		}
		p.member = strings.TrimPrefix(p.member+"."+name, ".")
	}
	p.key = key
	if !known {
		p.path = unknownPath
		return p
	}
	if p.path == "" {
		return p.below(key)
	}
	return p.below("." + key)
}

// below bounds the length of a path, so that a deep body costs no more than a flat one.
func (p place) below(step string) place {
	if p.path != unknownPath && len(p.path) < 120 {
		p.path += step
	} else {
		p.path = unknownPath
	}
	return p
}

func (w *walk) value(at place, depth int) error {
	at.skipped = at.skipped || w.rules.skipped[at.path] || w.unevaluatedTools && tools[at.path]
	at.free = at.free || free[at.path] || w.rules.answer && inputs[at.key]
	at.media = at.media || w.rules.media || at.path == "additionalModelRequestFields"
	token, err := w.d.Token()
	if err != nil || depth > maxDepth {
		return badRequest("InvalidBody", fmt.Sprintf("%s: want JSON of at most %d levels", at.member, maxDepth))
	}
	switch t := token.(type) {
	case string:
		return w.string(at, t)
	case json.Delim:
		if at.path == sourcePath {
			w.image, w.declared = false, map[string]int{}
		}
		for i := 0; w.d.More(); i++ {
			below := at.element(i)
			if t == '{' {
				key, err := w.d.Token()
				if err != nil {
					return errNoObject
				}
				below = at.named(key.(string))
				if err := w.key(below); err != nil {
					return err
				}
			}
			if err := w.value(below, depth+1); err != nil {
				return err
			}
		}
		if _, err := w.d.Token(); err != nil {
			return errNoObject
		}
		if at.path == sourcePath && w.image && (w.declared["type"] == 0 || w.declared["media_type"] == 0 || w.declared["other"] > 0) {
			return unevaluated(at.member, "an image that is declared otherwise", "send it with the type base64 and the media_type image/png or image/jpeg")
		}
	}
	return nil
}

func (w *walk) key(at place) error {
	if strings.EqualFold(at.key, "guardContent") && !w.rules.media && !w.rules.answer && !at.free {
		// Beside it, a guardrail evaluates nothing else of the messages; with a qualifier, not all of it (Bedrock User Guide,
		// "Include a guardrail with the Converse API", "Use contextual grounding check to filter hallucinations in responses").
		return badRequest("GuardContent", at.member+": this API's guardrail evaluates all texts: send text in place of guardContent")
	}
	if at.skipped || w.rules.answer && !at.free || vocabulary[at.key] {
		return nil
	}
	return w.add(at, at.key)
}

func (w *walk) string(at place, s string) error {
	if wanted, found := imageSource[at.path]; found && wanted[s] {
		w.declared[at.key]++
	} else if found {
		w.declared["other"]++
	}
	also := "" // what a reader makes of the text
	switch {
	case at.skipped:
		return nil
	case w.rules.evaluated[at.path]:
		w.evaluated = true
		return nil
	case w.rules.opaque[at.path] && sealed(s):
		return nil
	case documentFormats[at.path] && !plainFormats[s]:
		return unevaluated(at.member, "this format", "send text, or a document of the format txt, md or csv")
	case vocabulary[s]:
		return nil
	case w.rules.images[at.path] && isImage(s):
		w.image = w.image || strings.HasPrefix(at.path, sourcePath)
		return nil
	case !at.free && strings.EqualFold(at.key, "bytes"):
		raw, err := strictBase64.DecodeString(s)
		if err != nil || !strings.HasPrefix(http.DetectContentType(raw), "text/") || !utf8.Valid(raw) {
			return unevaluated(at.member, "these bytes", "send text in UTF-8, or a png or jpeg image in a message")
		}
		s = string(raw)
	case at.media && !at.free && !texts[at.key]:
		kind := mediaType(s)
		if isMedia(kind) || len(s) >= 1024 && kind == "application/octet-stream" {
			return unevaluated(at.member, "what this holds in base64", "send text, or a png or jpeg image in a message")
		}
		if raw, ok := decodeBase64(s); kind != "" && ok && utf8.Valid(raw) {
			also = string(raw)
		}
	}
	if err := w.add(at, s); err != nil { // its limit is before what costs more
		return err
	}
	if json := strings.TrimSpace(s); !w.rules.fragments && json != "" && strings.Contains(`{["`, json[:1]) && strings.Contains(json, `\`) { // a tool's input
		if err := w.add(at, unescape(s)); err != nil {
			return err
		}
	}
	return w.add(at, also)
}

// add keeps a text, beside those of the same member.
func (w *walk) add(at place, text string) error {
	if text == "" {
		return nil
	}
	if w.size += len(text); w.size > maxEvaluated {
		return badRequest("TooMuchToEvaluate", at.member+": this API's guardrail evaluates at most 1 MiB of text beside that of messages: send less")
	}
	if n := len(w.parts); n == 0 || w.parts[n-1].member != at.member {
		w.parts = append(w.parts, &part{member: at.member})
	}
	last := w.parts[len(w.parts)-1]
	if last.text.Len() > 0 {
		last.text.WriteByte('\n')
	}
	last.text.WriteString(text)
	return nil
}

var (
	strictBase64 = base64.StdEncoding.Strict()
	lines        = strings.NewReplacer("\r", "", "\n", "")
	anyBase64    = strings.NewReplacer("-", "+", "_", "/", "=", "", "\r", "", "\n", "")
)

// decodeBase64 reads base64 of any kind and the data of a data URL.
func decodeBase64(s string) (raw []byte, ok bool) {
	if kind, data, found := strings.Cut(s, ","); found && strings.HasPrefix(kind, "data:") {
		s = data
	}
	raw, err := base64.RawStdEncoding.DecodeString(anyBase64.Replace(s))
	return raw, err == nil
}

// sealed is whether a string is base64 of random bytes, as a signature and what is encrypted are. A text without spaces can be
// base64, but has few capitals and digits.
func sealed(s string) bool {
	capitals, digits := 0, 0
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' {
			capitals++
		}
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if len(s) < 64 || capitals < len(s)/8 || digits < len(s)/16 || isMedia(mediaType(s)) {
		return false
	}
	raw, err := strictBase64.DecodeString(s)
	return err == nil && !utf8.Valid(raw)
}

// mediaType is the type of what a string holds in base64 or as a data URL; empty is neither. A word or an identifier may pass
// for application/octet-stream.
func mediaType(s string) string {
	head := s[:min(len(s), 1024)]
	if declared, data, found := strings.Cut(head, ","); found && strings.HasPrefix(declared, "data:") {
		if !strings.HasPrefix(declared, "data:image/") && !strings.HasPrefix(declared, "data:text/plain") {
			return strings.TrimPrefix(declared, "data:")
		}
		head = data
	}
	if len(head) < 22 { // 16 bytes
		return ""
	}
	head = lines.Replace(head)
	if len(s) > 1024 {
		head = head[:len(head)&^3]
	}
	raw, ok := decodeBase64(head)
	if !ok || len(raw) < 16 {
		return ""
	}
	return http.DetectContentType(raw)
}

// isPicture is whether Bedrock evaluates a type of image, if the guardrail has filters for images (Bedrock User Guide, "Block
// harmful images with content filters").
func isPicture(kind string) bool { return kind == "image/png" || kind == "image/jpeg" }

// isImage is whether all of a string is such an image, in base64 or as a data URL.
func isImage(s string) bool {
	if kind, data, found := strings.Cut(s, ";base64,"); found && strings.HasPrefix(kind, "data:image/") {
		s = data
	}
	raw, err := strictBase64.DecodeString(s)
	return err == nil && isPicture(http.DetectContentType(raw))
}

func isMedia(kind string) bool {
	return kind != "" && kind != "application/octet-stream" && !strings.HasPrefix(kind, "text/plain")
}

var escapes = regexp.MustCompile(`(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]`)

// unescape undoes the escapes of JSON, in a piece of it as well: a client of the tool would.
func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(escaped string) (plain string) {
		if json.Unmarshal([]byte(`"`+escaped+`"`), &plain) != nil {
			return escaped
		}
		return plain
	})
}

// pieces are of at most pieceRunes and overlap. A word of up to overlapRunes is whole in one of them.
func pieces(text string) (cut []string) {
	runes := []rune(text)
	for len(runes) > pieceRunes {
		end := space(runes, pieceRunes)
		cut = append(cut, string(runes[:end]))
		runes = runes[space(runes, end-overlapRunes):]
	}
	return append(cut, string(runes))
}

// space is the end of a word, at most overlapRunes before a place.
func space(runes []rune, before int) int {
	for i := before; i > before-overlapRunes && i > 0; i-- {
		if unicode.IsSpace(runes[i]) {
			return i
		}
	}
	return before
}

// passed are hashes of the texts that the guardrail let pass, because agents send tools and earlier turns again with every
// turn. A version of a guardrail never changes, and a deployment that sets another one replaces the function's copies.
type passed struct {
	mu sync.Mutex
	by map[[sha256.Size]byte]bool
}

func hash(source types.GuardrailContentSource, text string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(source) + "\x00" + text))
}

func (p *passed) has(h [sha256.Size]byte) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[h]
}

func (p *passed) add(all [][sha256.Size]byte) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil || len(p.by) > 10_000 { // 1 MB
		p.by = map[[sha256.Size]byte]bool{}
	}
	for _, h := range all {
		p.by[h] = true
	}
}

// intervened is the error for content that the guardrail blocks or masks. Its message names members and quotes no text.
func intervened(source types.GuardrailContentSource, members []string) error {
	names := strings.Join(members[:min(len(members), 3)], ", ")
	if more := len(members) - 3; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	if source == types.GuardrailContentSourceOutput {
		// The model was called: the status is not one that a call has which is refused before.
		return apiError{http.StatusFailedDependency, "GuardrailIntervened", names + ": the guardrail intervened in the model's answer, which is not sent"}
	}
	return badRequest("GuardrailIntervened", names+": the guardrail intervened; no model was called")
}

// evaluate has ApplyGuardrail evaluate texts. Whatever fails, nothing passes.
func (h handler) evaluate(ctx context.Context, source types.GuardrailContentSource, parts []*part) error {
	var members, batch []string
	var hashes [][sha256.Size]byte
	size := 0
	apply := func() error {
		if len(batch) == 0 {
			return nil
		}
		blocked, err := h.bedrock.applyGuardrail(ctx, h.guardrail, source, strings.Join(batch, "\n"))
		if err != nil {
			return h.notEvaluated(ctx, source, err)
		}
		if blocked {
			return intervened(source, members)
		}
		h.passed.add(hashes)
		members, batch, hashes, size = nil, nil, nil, 0
		return nil
	}
	for _, p := range parts {
		for _, piece := range pieces(p.text.String()) {
			key := hash(source, piece)
			if h.passed.has(key) {
				continue
			}
			runes := utf8.RuneCountInString(piece) + 1
			if size+runes > pieceRunes {
				if err := apply(); err != nil {
					return err
				}
			}
			if len(members) == 0 || members[len(members)-1] != p.member {
				members = append(members, p.member)
			}
			batch, hashes, size = append(batch, piece), append(hashes, key), size+runes
		}
	}
	return apply()
}

// notEvaluated is the error for a guardrail that did not answer.
func (h handler) notEvaluated(ctx context.Context, source types.GuardrailContentSource, err error) error {
	h.logFailure(ctx, err)
	switch status := classify(err).Status; {
	case status == http.StatusGatewayTimeout:
		return errDeadline
	case source == types.GuardrailContentSourceOutput:
		return apiError{http.StatusFailedDependency, "NotEvaluated", "the guardrail did not evaluate the model's answer, which is not sent; ask again later"}
	case status == http.StatusTooManyRequests:
		return apiError{status, "GuardrailThrottled", "the guardrail is throttled; no model was called: wait, then ask again, or send less text"}
	}
	return apiError{http.StatusServiceUnavailable, "GuardrailUnavailable", "the guardrail did not evaluate the request; no model was called: ask again later, or ask this API's operators"}
}

// applyGuardrail calls ApplyGuardrail (Bedrock API Reference). Masking is an intervention.
func (b bedrock) applyGuardrail(ctx context.Context, g *types.GuardrailConfiguration, source types.GuardrailContentSource, text string) (blocked bool, err error) {
	url := b.endpoint + "/guardrail/" + httpbinding.EscapePath(*g.GuardrailIdentifier, true) + "/version/" + httpbinding.EscapePath(*g.GuardrailVersion, true) + "/apply"
	answered, err := b.send(ctx, http.MethodPost, url, http.Header{"Content-Type": {"application/json"}}, marshal(map[string]any{
		"source": source, "outputScope": types.GuardrailOutputScopeInterventions, "content": []any{map[string]any{"text": map[string]string{"text": text}}},
	}))
	if err != nil {
		return false, err
	}
	defer answered.Body.Close()
	var out struct{ Action types.GuardrailAction }
	if err := json.NewDecoder(answered.Body).Decode(&out); err != nil {
		return false, err
	}
	switch out.Action {
	case types.GuardrailActionNone:
		return false, nil
	case types.GuardrailActionGuardrailIntervened:
		return true, nil
	}
	return false, errNoUse
}

// evaluateRequest evaluates what Bedrock does not evaluate of a caller's body.
func (h handler) evaluateRequest(ctx context.Context, operation string, body []byte) error {
	if h.guardrail == nil {
		return nil
	}
	r := invokeRules
	if strings.HasPrefix(operation, "converse") {
		r = converseRules
	}
	parts, _, err := collect(body, r, h.unevaluatedTools)
	if err != nil {
		return err
	}
	return h.evaluate(ctx, types.GuardrailContentSourceInput, parts)
}

// evaluateAnswer evaluates what Bedrock does not evaluate of a whole answer.
func (h handler) evaluateAnswer(ctx context.Context, body []byte) error {
	if h.guardrail == nil || len(body) == 0 {
		return nil
	}
	if isPicture(http.DetectContentType(body)) {
		return nil
	}
	parts, _, err := h.answerParts(body, answerRules)
	if err != nil {
		return err
	}
	return h.evaluate(ctx, types.GuardrailContentSourceOutput, parts)
}

func (h handler) answerParts(body []byte, r rules) (parts []*part, evaluated bool, err error) {
	if parts, evaluated, err = collect(body, r, h.unevaluatedTools); err != nil {
		e := classify(err) // a refusal of an answer has another status than that of a request
		return nil, false, apiError{http.StatusFailedDependency, e.Code, "the model's answer is not sent: " + e.Message}
	}
	return parts, evaluated, nil
}

// guardedStream is an event stream of which everything is evaluated before it goes on. Frames of text, which Bedrock
// evaluates, go on at once; others wait for the next text, the end, or until there is a whole piece to evaluate.
type guardedStream struct {
	io.Closer
	upstream    io.Reader
	handler     handler
	ctx         context.Context
	held, ready bytes.Buffer
	member      string // of the last text
	text        []rune // of what is held, and the last of what went on before
	fresh       int    // how many characters of it are not evaluated
}

func (s *guardedStream) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	return s.ready.Read(p)
}

func (s *guardedStream) next() error {
	frame, err := readFrame(s.upstream)
	if err == io.EOF && s.held.Len() > 0 {
		return s.release()
	}
	if err != nil {
		return err
	}
	parts, evaluated, err := s.handler.frameParts(frame)
	if err != nil {
		return err
	}
	if evaluated && len(parts) == 0 {
		if err := s.release(); err != nil {
			return err
		}
	}
	for i, p := range parts {
		// A string comes in fragments, one to a frame.
		if i > 0 || p.member != s.member {
			s.text, s.fresh = append(s.text, '\n'), s.fresh+1
		}
		added := []rune(p.text.String())
		s.text, s.fresh, s.member = append(s.text, added...), s.fresh+len(added), p.member
	}
	if s.fresh == 0 && s.held.Len() == 0 {
		s.ready.Write(frame)
		return nil
	}
	s.held.Write(frame)
	if s.fresh >= pieceRunes-2*overlapRunes || s.held.Len() >= maxFrame {
		return s.release()
	}
	return nil
}

// release evaluates what is held, and lets it go on.
func (s *guardedStream) release() error {
	if s.fresh > 0 {
		p := &part{member: s.member}
		written := string(s.text)
		p.text.WriteString(written)
		if plain := unescape(written); plain != written { // of a tool's input
			p.text.WriteString("\n" + plain)
		}
		if err := s.handler.evaluate(s.ctx, types.GuardrailContentSourceOutput, []*part{p}); err != nil {
			return err
		}
		s.text, s.fresh = s.text[max(0, len(s.text)-overlapRunes):], 0
	}
	s.held.WriteTo(&s.ready)
	return nil
}

// readFrame reads one frame. It begins with its length (Smithy, "Amazon Event Stream Specification").
func readFrame(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < 16 || size > maxFrame {
		return nil, io.ErrUnexpectedEOF
	}
	frame := bytes.NewBuffer(length[:])
	if _, err := io.CopyN(frame, from, int64(size)-4); err != nil {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return frame.Bytes(), nil
}

// frameParts are the texts of a frame that Bedrock does not evaluate. An exception's text is Bedrock's own.
func (h handler) frameParts(frame []byte) (parts []*part, evaluated bool, err error) {
	message, err := eventstream.NewDecoder().Decode(bytes.NewReader(frame), nil)
	if err != nil {
		return nil, false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	if kind := message.Headers.Get(eventstreamapi.MessageTypeHeader); len(message.Payload) == 0 || kind != nil && kind.String() != eventstreamapi.EventMessageType {
		return nil, false, nil
	}
	var chunk struct{ Bytes []byte } // of InvokeModelWithResponseStream
	if event := message.Headers.Get(eventstreamapi.EventTypeHeader); event == nil || event.String() != "chunk" {
		return h.answerParts(message.Payload, eventRules)
	}
	if err := json.Unmarshal(message.Payload, &chunk); err != nil {
		return nil, false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return h.answerParts(chunk.Bytes, eventRules)
}

// guardStream returns the stream as it is if no guardrail is set.
func (h handler) guardStream(ctx context.Context, upstream io.ReadCloser) io.ReadCloser {
	if h.guardrail == nil {
		return upstream
	}
	return &guardedStream{Closer: upstream, upstream: upstream, handler: h, ctx: ctx}
}
