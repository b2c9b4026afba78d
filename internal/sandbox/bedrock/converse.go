package bedrock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

type converseRequest struct {
	Messages        []message `json:"messages"`
	System          []block   `json:"system"`
	GuardrailConfig struct {
		Identifier string `json:"guardrailIdentifier"`
		Version    string `json:"guardrailVersion"`
	} `json:"guardrailConfig"`
	ToolConfig struct {
		Tools []struct {
			ToolSpec struct {
				Name string `json:"name"`
			} `json:"toolSpec"`
		} `json:"tools"`
	} `json:"toolConfig"`
	ServiceTier struct {
		Type string `json:"type"`
	} `json:"serviceTier"`
	RequestMetadata map[string]string `json:"requestMetadata"`
	InferenceConfig struct {
		MaxTokens *int `json:"maxTokens"`
	} `json:"inferenceConfig"`
}

type message struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// block is a union: an object with one member.
type block map[string]any

// Bedrock API Reference, ContentBlock and SystemContentBlock.
var (
	contentBlocks = []string{
		"text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint", "reasoningContent",
		"citationsContent", "searchResult", "toolAddition", "toolRemoval",
	}
	systemBlocks = []string{"text", "guardContent", "cachePoint"}
)

func readConverse(_ http.Header, body []byte) (asked, error) {
	var in converseRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return asked{}, noJSON(err)
	}
	tool := ""
	for _, t := range slices.Backward(in.ToolConfig.Tools) {
		tool = cmp.Or(t.ToolSpec.Name, tool) // a tool may be a cachePoint
	}
	return asked{
		form: converseForm{}, prompt: lastText(in.Messages), guarded: in.guarded(), texts: in.texts(), tool: tool, tier: in.ServiceTier.Type,
		guardrail: in.GuardrailConfig.Identifier, version: in.GuardrailConfig.Version,
		maxTokens: in.InferenceConfig.MaxTokens, cached: caches("cachePoint", in.System, in.Messages),
		metadata: in.RequestMetadata, recorded: withoutMetadata(body),
	}, in.check()
}

func noJSON(err error) fault {
	return fault{"ValidationException", "The request body is no JSON of this operation: " + err.Error()}
}

// check refuses what Converse refuses.
func (in converseRequest) check() error {
	if len(in.Messages) == 0 || in.Messages[0].Role != "user" {
		return fault{"ValidationException", "A conversation must start with a user message. Try again with a conversation that starts with a user message."}
	}
	for i, m := range in.Messages {
		if m.Role != "user" && m.Role != "assistant" || i > 0 && m.Role == in.Messages[i-1].Role {
			return fault{"ValidationException", "A conversation must alternate between user and assistant roles."}
		}
		if len(m.Content) == 0 {
			return fault{"ValidationException", fmt.Sprintf("The content field in the Message object at messages.%d is empty.", i)}
		}
		if err := checkBlocks("ContentBlock", fmt.Sprintf("messages.%d.content", i), m.Content, contentBlocks); err != nil {
			return err
		}
	}
	return checkBlocks("SystemContentBlock", "system", in.System, systemBlocks)
}

func checkBlocks(kind, at string, blocks []block, known []string) error {
	for i, b := range blocks {
		members := slices.Collect(maps.Keys(b))
		if len(members) != 1 || !slices.Contains(known, members[0]) {
			return fault{"ValidationException", fmt.Sprintf("The %s object at %s.%d must set one of the following keys: %s.", kind, at, i, strings.Join(known, ", "))}
		}
		if text, found := b["text"]; found && strings.TrimSpace(fmt.Sprint(text)) == "" {
			return fault{"ValidationException", fmt.Sprintf("The text field in the %s object at %s.%d is blank.", kind, at, i)}
		}
	}
	return nil
}

// text is what the model reads of a block, if it is text. marked tells that a guardrail is to look at it: a block for the
// contextual grounding check alone is not marked so (Bedrock User Guide, "Use contextual grounding check to filter
// hallucinations in responses").
func (b block) text() (text string, found, marked bool) {
	if guard, ok := b["guardContent"].(map[string]any); ok {
		content, _ := guard["text"].(map[string]any)
		text, found = content["text"].(string)
		qualifiers, _ := content["qualifiers"].([]any)
		return text, found, len(qualifiers) == 0 || slices.Contains(qualifiers, any("guard_content"))
	}
	text, found = b["text"].(string)
	return text, found, false
}

// lastText is of the last user message: it may have none.
func lastText(messages []message) (last string) {
	for _, m := range messages {
		if m.Role != "user" {
			continue
		}
		last = ""
		for _, b := range m.Content {
			if text, found, _ := b.text(); found {
				last = text
			}
		}
	}
	return last
}

// guarded are the texts that a guardrail looks at: of the system prompt what is marked, and of the messages what is
// marked or, where nothing is, every text. One marked word lets all others pass, and neither tools nor their calls and results
// are looked at (Bedrock User Guide, "Include a guardrail with the Converse API").
func (in converseRequest) guarded() []string {
	_, system := texts(in.System)
	var all, marked []string
	for _, m := range in.Messages {
		a, b := texts(m.Content)
		all, marked = append(all, a...), append(marked, b...)
	}
	if len(marked) > 0 {
		all = marked
	}
	return append(all, system...)
}

// texts are all that a guardrail looks at which no mark hides anything from.
func (in converseRequest) texts() []string {
	all, _ := texts(in.System)
	for _, m := range in.Messages {
		more, _ := texts(m.Content)
		all = append(all, more...)
	}
	return all
}

func texts(blocks []block) (all, marked []string) {
	for _, b := range blocks {
		text, found, isMarked := b.text()
		if found {
			all = append(all, text)
		}
		if isMarked {
			marked = append(marked, text)
		}
	}
	return all, marked
}

// caches tells whether a block has the member that marks the end of what is to be cached.
func caches(member string, system []block, messages []message) bool {
	marks := func(b block) bool { return b[member] != nil }
	return slices.ContainsFunc(system, marks) || slices.ContainsFunc(messages, func(m message) bool {
		return slices.ContainsFunc(m.Content, marks)
	})
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

// object is one of JSON's.
type object = map[string]any

// converseForm is Converse's own (Bedrock API Reference, Converse and ConverseStream, "Response Syntax").
type converseForm struct{}

func (converseForm) said(a answer) []string { return []string{a.text} }

func (converseForm) whole(a answer) any {
	content := []any{object{"text": a.text}}
	if t := a.tool; t != nil {
		content = append(content, object{"toolUse": object{"toolUseId": t.id, "name": t.name, "input": t.input()}})
	}
	out := object{
		"output": object{"message": object{"role": "assistant", "content": content}},
		"usage":  a.usage, "metrics": object{"latencyMs": a.latency()},
	}
	if a.stop != "" {
		out["stopReason"] = a.stop
	}
	return a.tiered(out)
}

// tiered tells the tier beside a call's usage, where the request names one.
func (a answer) tiered(out object) object {
	if a.tier != "" {
		out["serviceTier"] = object{"type": a.tier}
	}
	return out
}

func (converseForm) head(answer) []event {
	return []event{{"messageStart", object{"role": "assistant"}}}
}

// word needs no contentBlockStart before it: that has no member for text (Bedrock API Reference, ContentBlockStart).
func (converseForm) word(text string) event {
	return event{"contentBlockDelta", object{"contentBlockIndex": 0, "delta": object{"text": text}}}
}

func (converseForm) tail(a answer) []event {
	events := []event{{"contentBlockStop", object{"contentBlockIndex": 0}}}
	if t := a.tool; t != nil {
		events = append(events, event{"contentBlockStart", object{"contentBlockIndex": 1, "start": object{"toolUse": object{"toolUseId": t.id, "name": t.name}}}})
		for _, half := range t.halves() {
			events = append(events, event{"contentBlockDelta", object{"contentBlockIndex": 1, "delta": object{"toolUse": object{"input": half}}}})
		}
		events = append(events, event{"contentBlockStop", object{"contentBlockIndex": 1}})
	}
	return append(events,
		event{"messageStop", object{"stopReason": a.stop}},
		event{"metadata", a.tiered(object{"usage": a.usage, "metrics": object{"latencyMs": a.latency()}})},
	)
}
