package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// shown is how many characters of JSON stand for a body or block of a shape that nobody here knows.
const shown = 300

// object is one of JSON's; nil if it is none.
type object = map[string]any

// tree is what JSON holds, with numbers as they are written; nil if it is none.
func tree(raw []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// at follows a path of keys, through the first element of every array on the way.
func at(v any, path ...string) any {
	for _, key := range path {
		if all, _ := v.([]any); len(all) > 0 {
			v = all[0]
		}
		o, _ := v.(object)
		v = o[key]
	}
	return v
}

// first is the first text that one of the paths leads to.
func first(v any, paths [][]string) (text string, found bool) {
	for _, path := range paths {
		if text, found = at(v, path...).(string); found {
			return text, true
		}
	}
	return "", false
}

// turn is what one side says.
type turn struct{ role, text string }

// inputs are where models that are invoked take a text (Bedrock User Guide, "Inference request parameters and response
// fields for foundation models").
var inputs = [][]string{
	{"prompt"}, {"inputText"}, {"message"}, {"textToImageParams", "text"}, {"text_prompts", "text"}, {"singleEmbeddingParams", "text", "value"},
}

// prompt has every turn: of a conversation that a caller sends, any may be invented, and the last need not be what matters.
func prompt(raw json.RawMessage) []turn {
	body := parseBody(raw)
	if messages, ok := at(body, "messages").([]any); ok {
		var turns []turn
		if system := content(at(body, "system")); system != "" {
			turns = append(turns, turn{"system", system})
		}
		for _, message := range messages {
			role, _ := at(message, "role").(string)
			turns = append(turns, turn{role, content(at(message, "content"))})
		}
		return turns
	}
	if text, found := first(body, inputs); found {
		return []turn{{"user", text}}
	}
	if texts, _ := at(body, "texts").([]any); len(texts) > 0 {
		return []turn{{"user", content(texts)}}
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return []turn{{"user", shorten(compact(raw), shown)}}
}

// joined names who speaks unless only one does.
func joined(turns []turn) string {
	if len(turns) == 1 {
		return turns[0].text
	}
	var b strings.Builder
	for i, t := range turns {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(t.role + ": " + t.text)
	}
	return b.String()
}

// outputs are where models that are invoked put their text (same page).
var outputs = [][]string{
	{"completion"}, {"generation"}, {"results", "outputText"}, {"outputText"}, {"outputs", "text"}, {"choices", "message", "content"}, {"text"},
}

// answer is a model's, whole or in chunks.
func answer(raw json.RawMessage) string {
	body := parseBody(raw)
	if chunks, ok := body.([]any); ok {
		if text, known := streamed(chunks); known {
			return text
		}
	} else if text, found := first(body, outputs); found {
		return text
	}
	o, _ := body.(object)
	switch {
	case at(o, "output", "message", "content") != nil:
		return content(at(o, "output", "message", "content"))
	case o["content"] != nil:
		return content(o["content"])
	case o["embedding"] != nil:
		return embedding(o["embedding"])
	case o["embeddings"] != nil:
		return embeddings(o["embeddings"])
	}
	for _, key := range []string{"images", "artifacts"} {
		if images, ok := o[key].([]any); ok {
			return fmt.Sprintf("[%d images]", len(images))
		}
	}
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return shorten(compact(raw), shown)
}

// parseBody takes JSON out of a text that holds it.
func parseBody(raw json.RawMessage) any {
	body := tree(raw)
	if text, is := body.(string); is && json.Valid([]byte(text)) { // the whole of it: nothing may hide behind
		return tree([]byte(text))
	}
	return body
}

func embedding(numbers any) string {
	all, _ := numbers.([]any)
	return fmt.Sprintf("[embedding of %d numbers]", len(all))
}

func embeddings(v any) string {
	all, _ := v.([]any)
	for _, kind := range slices.Sorted(maps.Keys(byKey(v))) {
		of, _ := byKey(v)[kind].([]any)
		all = append(all, of...)
	}
	var texts []string
	for _, one := range all {
		if numbers := at(byKey(one), "embedding"); numbers != nil {
			one = numbers
		}
		texts = append(texts, embedding(one))
	}
	return strings.Join(texts, " ")
}

func byKey(v any) object {
	o, _ := v.(object)
	return o
}

// deltas are where chunks of a stream have their text: of Anthropic's Messages API, of Nova and ConverseStream, and of
// models whose chunks are as their whole answers.
var deltas = append([][]string{
	{"delta", "text"}, {"delta", "partial_json"}, {"delta", "thinking"},
	{"contentBlockDelta", "delta", "text"}, {"contentBlockDelta", "delta", "toolUse", "input"},
	{"contentBlockDelta", "delta", "reasoningContent", "text"}, {"choices", "delta", "content"},
}, outputs...)

// toolStarts are where chunks name the tool whose input comes next.
var toolStarts = [][]string{{"content_block", "name"}, {"contentBlockStart", "start", "toolUse", "name"}}

// frames are what a stream has beside text.
var frames = []string{
	"delta", "message", "messageStart", "content_block", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
	"choices", "amazon-bedrock-invocationMetrics",
}

func streamed(chunks []any) (text string, known bool) {
	var b strings.Builder
	known = len(chunks) == 0
	for _, c := range chunks {
		if inner := at(byKey(c), "chunk"); inner != nil {
			c = inner
		}
		o := byKey(c)
		if encoded, is := o["bytes"].(string); is {
			if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				o = byKey(tree(decoded))
			}
		}
		if name, found := first(o, toolStarts); found {
			b.WriteString("[tool " + name + "] ")
		}
		text, found := first(o, deltas)
		b.WriteString(text)
		known = known || found
		for _, frame := range frames {
			known = known || o[frame] != nil
		}
	}
	return b.String(), known
}

// content is a text, or blocks of it (Bedrock API Reference, ContentBlock; Anthropic's Messages API).
func content(v any) string {
	if text, is := v.(string); is {
		return text
	}
	blocks, _ := v.([]any)
	var all []string
	for _, one := range blocks {
		if text := block(one); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "\n")
}

// block is what stands for one in a text: of an image or a document what it is, not its bytes.
func block(v any) string {
	if text, is := v.(string); is {
		return text
	}
	o := byKey(v)
	if text, found := first(o, [][]string{{"text"}, {"guardContent", "text", "text"}}); found {
		return text
	}
	if text, found := first(o, [][]string{{"thinking"}, {"reasoningContent", "reasoningText", "text"}}); found {
		return "[reasoning] " + text
	}
	kind, _ := o["type"].(string)
	inner := o
	if kind == "" && len(o) == 1 { // Converse's: a union
		for key, value := range o {
			kind, inner = key, byKey(value)
		}
	}
	switch kind {
	case "cachePoint":
		return ""
	case "image", "video", "audio", "document":
		return "[" + strings.Join(append([]string{kind}, source(inner)...), " ") + "]"
	case "toolUse", "tool_use":
		name, _ := inner["name"].(string)
		return "[tool " + name + "] " + toJSON(inner["input"])
	case "toolResult", "tool_result":
		return "[tool result] " + content(inner["content"])
	case "json":
		return toJSON(o["json"])
	case "citationsContent":
		return content(inner["content"])
	}
	return shorten(toJSON(v), shown)
}

// source says of a file its format, its name, and where it lies or how large it is.
func source(file object) (all []string) {
	for _, path := range [][]string{{"format"}, {"source", "media_type"}, {"name"}, {"title"}, {"source", "s3Location", "uri"}, {"source", "url"}} {
		if text, found := at(file, path...).(string); found {
			all = append(all, text)
		}
	}
	if encoded, found := first(file, [][]string{{"source", "bytes"}, {"source", "data"}}); found {
		all = append(all, fmt.Sprintf("of %d bytes", base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(encoded, "=")))))
	}
	return all
}

func toJSON(v any) string {
	b, err := marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// shorten keeps so many characters; 0 keeps all.
func shorten(text string, limit int) string {
	if limit == 0 || len(text) <= limit {
		return text
	}
	count := 0
	for i := range text {
		if count == limit {
			return text[:i] + "…"
		}
		count++
	}
	return text
}
