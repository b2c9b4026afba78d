package bedrock

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// invokeRequest is InvokeModel's, whose body is the model's own. Its shape tells which: models' ids are endless.
type invokeRequest struct {
	AnthropicVersion string          `json:"anthropic_version"`
	System           json.RawMessage `json:"system"`
	Messages         json.RawMessage `json:"messages"`
	Prompt           *string         `json:"prompt"`
	InputText        *string         `json:"inputText"`
	MaxTokens        *int            `json:"max_tokens"`
	Tools            []struct {
		Name string `json:"name"`
	} `json:"tools"`
	InferenceConfig struct {
		MaxTokens *int `json:"maxTokens"`
	} `json:"inferenceConfig"`
	GuardrailConfig *struct {
		TagSuffix *string `json:"tagSuffix"`
	} `json:"amazon-bedrock-guardrailConfig"`
}

func readInvoke(header http.Header, body []byte) (asked, error) {
	var in invokeRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return asked{}, noJSON(err)
	}
	a, err := in.read()
	a.recorded, a.texts, a.tier = body, a.guarded, header.Get(tierHeader)
	a.guardrail, a.version = header.Get("X-Amzn-Bedrock-GuardrailIdentifier"), header.Get("X-Amzn-Bedrock-GuardrailVersion")
	if metadata := header.Get("X-Amzn-Bedrock-Request-Metadata"); metadata != "" && err == nil {
		if json.Unmarshal([]byte(metadata), &a.metadata) != nil {
			err = fault{"ValidationException", "requestMetadata is no JSON object of strings."}
		}
	}
	if err != nil {
		return a, err
	}
	return a, in.guard(&a)
}

func readInvokeStream(header http.Header, body []byte) (asked, error) {
	a, err := readInvoke(header, body)
	if _, embeds := a.form.(embeddingForm); embeds && err == nil {
		err = fault{"ValidationException", "The model is unsupported for streaming."}
	}
	return a, err
}

func (in invokeRequest) read() (asked, error) {
	switch {
	case in.AnthropicVersion != "":
		return in.readAnthropic()
	case in.Messages != nil:
		return in.readNova()
	case in.Prompt != nil && *in.Prompt != "":
		turn := *in.Prompt
		if i := strings.LastIndex(turn, "\n\nHuman:"); i >= 0 {
			turn, _, _ = strings.Cut(turn[i+len("\n\nHuman:"):], "\n\nAssistant:")
		}
		return asked{form: completionForm{}, prompt: strings.TrimSpace(turn), guarded: []string{*in.Prompt}}, nil
	case in.InputText != nil && *in.InputText != "":
		// An embedding has no tokens.
		return asked{form: embeddingForm{}, prompt: *in.InputText, guarded: []string{*in.InputText}, maxTokens: new(int)}, nil
	}
	return asked{}, fault{"ValidationException", "Malformed input request: it is none of anthropic_version, messages, prompt or inputText."}
}

// readAnthropic reads a body of the Messages API (Bedrock User Guide, "Anthropic Claude Messages API").
func (in invokeRequest) readAnthropic() (asked, error) {
	var raw []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	system, err := blocksOrText(in.System)
	if err != nil {
		return asked{}, err
	}
	if in.Messages == nil || json.Unmarshal(in.Messages, &raw) != nil || len(raw) == 0 {
		return asked{}, fault{"ValidationException", "messages: at least one message is required"}
	}
	if in.MaxTokens == nil {
		return asked{}, fault{"ValidationException", "max_tokens: Field required"}
	}
	var messages []message
	for i, m := range raw {
		content, err := blocksOrText(m.Content)
		if err != nil {
			return asked{}, err
		}
		for j, b := range content {
			if b["type"] == nil {
				return asked{}, fault{"ValidationException", fmt.Sprintf("messages.%d.content.%d.type: Field required", i, j)}
			}
			if b["guardContent"] != nil || b["cachePoint"] != nil { // Converse's
				return asked{}, fault{"ValidationException", fmt.Sprintf("messages.%d.content.%d: Extra inputs are not permitted", i, j)}
			}
		}
		messages = append(messages, message{m.Role, content})
	}
	a := conversation(anthropicForm{}, "cache_control", system, messages, in.MaxTokens)
	if len(in.Tools) > 0 {
		a.tool = in.Tools[0].Name
	}
	return a, nil
}

// blocksOrText reads what Anthropic's models take as either.
func blocksOrText(raw json.RawMessage) ([]block, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []block{{"type": "text", "text": text}}, nil
	}
	var blocks []block
	if raw != nil {
		if err := json.Unmarshal(raw, &blocks); err != nil {
			return nil, noJSON(err)
		}
	}
	return blocks, nil
}

// readNova reads a body of Amazon Nova's, whose blocks may have a cachePoint beside their content (Bedrock User Guide,
// "Prompt caching for faster model inference").
func (in invokeRequest) readNova() (asked, error) {
	var conversed converseRequest
	if err := json.Unmarshal(in.Messages, &conversed.Messages); err != nil {
		return asked{}, noJSON(err)
	}
	if in.System != nil {
		if err := json.Unmarshal(in.System, &conversed.System); err != nil {
			return asked{}, noJSON(err)
		}
	}
	a := conversation(novaForm{}, "cachePoint", conversed.System, conversed.Messages, in.InferenceConfig.MaxTokens)
	for _, blocks := range append([][]block{conversed.System}, contents(conversed.Messages)...) {
		for _, b := range blocks {
			if len(b) > 1 {
				delete(b, "cachePoint")
			}
			if b["guardContent"] != nil {
				return a, fault{"ValidationException", "Malformed input request: extraneous key [guardContent] is not permitted"}
			}
		}
	}
	return a, conversed.check()
}

func contents(messages []message) (all [][]block) {
	for _, m := range messages {
		all = append(all, m.Content)
	}
	return all
}

// conversation of invoked models is guarded whole, the system prompt with it. Tools, their calls and their results are not: AWS says
// so of Converse, and of InvokeModel it does not say.
func conversation(f form, cachePoint string, system []block, messages []message, maxTokens *int) asked {
	guarded, _ := texts(system)
	for _, blocks := range contents(messages) {
		all, _ := texts(blocks)
		guarded = append(guarded, all...)
	}
	return asked{form: f, prompt: lastText(messages), guarded: guarded, maxTokens: maxTokens, cached: caches(cachePoint, system, messages)}
}

var tagSuffix = regexp.MustCompile(`^[0-9a-zA-Z]{1,20}$`)

// guard refuses what InvokeModel refuses of a guardrail (Bedrock API Reference, InvokeModel, guardrailIdentifier), and
// leaves to it what is tagged, if anything is: who may choose the suffix can tag one word and let all others pass (Bedrock
// User Guide, "Apply tags to user input to filter content").
func (in invokeRequest) guard(a *asked) error {
	if a.guardrail != "" && a.version == "" {
		return fault{"ValidationException", "guardrailVersion is required with guardrailIdentifier."}
	}
	if in.GuardrailConfig == nil {
		return nil
	}
	if a.guardrail == "" {
		return fault{"ValidationException", "amazon-bedrock-guardrailConfig is given, but no guardrailIdentifier."}
	}
	suffix := in.GuardrailConfig.TagSuffix
	if suffix == nil {
		return nil
	}
	if !tagSuffix.MatchString(*suffix) {
		return fault{"ValidationException", "tagSuffix must be 1 to 20 alphanumeric characters."}
	}
	tag := "amazon-bedrock-guardrails-guardContent_" + *suffix + ">"
	between := regexp.MustCompile("(?s)<" + tag + "(.*?)</" + tag)
	var tagged []string
	for _, text := range a.guarded {
		for _, found := range between.FindAllStringSubmatch(text, -1) {
			tagged = append(tagged, found[1])
		}
	}
	if len(tagged) > 0 {
		a.guarded = tagged
	}
	return nil
}
