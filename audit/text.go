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

// turn is what one side says.
type turn struct{ role, text string }

// inputs are where models that are invoked take a text (Bedrock User Guide, "Inference request parameters and response
// fields for foundation models").
var inputs = [][]string{
	{"prompt"}, {"inputText"}, {"message"}, {"textToImageParams", "text"}, {"text_prompts", "text"}, {"singleEmbeddingParams", "text", "value"},
}

// prompt has every turn: of a conversation that a caller sends, any may be invented, and the last need not be what matters.
func prompt(raw value) []turn {
	body := parseBody(raw)
	if messages := body.get("messages"); messages.is('[') {
		var turns []turn
		if system := content(body.get("system")); system != "" {
			turns = append(turns, turn{"system", system})
		}
		for message := range messages.elements() {
			role, _ := message.get("role").text()
			turns = append(turns, turn{role, content(message.get("content"))})
		}
		return turns
	}
	if text, found := body.firstText(inputs); found {
		return []turn{{"user", text}}
	}
	if texts := body.get("texts"); texts.count() > 0 {
		return []turn{{"user", content(texts)}}
	}
	if raw.null() {
		return nil
	}
	return []turn{{"user", compact(raw.raw())}}
}

func asked(raw value) string { return joined(prompt(raw)) }

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
func answer(raw value) string {
	body := parseBody(raw)
	if body.is('[') {
		if text, known := streamed(body); known {
			return text
		}
	}
	if text, found := body.firstText(outputs); found {
		return text
	}
	for _, path := range [][]string{{"output", "message", "content"}, {"content"}} {
		if v := body.at(path...); !v.null() {
			return content(v)
		}
	}
	if v := body.get("embedding"); !v.null() {
		return embedding(v)
	}
	if v := body.get("embeddings"); !v.null() {
		return embeddings(v)
	}
	for _, key := range []string{"images", "artifacts"} {
		if images := body.get(key); images.is('[') {
			return fmt.Sprintf("[%d images]", images.count())
		}
	}
	if raw.null() {
		return ""
	}
	return compact(raw.raw())
}

// parseBody takes JSON out of a text that holds it.
func parseBody(raw value) value {
	if text, is := raw.text(); is {
		if inner := parseJSON([]byte(text)); !inner.null() { // the whole of it: nothing may hide behind
			return inner
		}
	}
	return raw
}

func embedding(numbers value) string {
	return fmt.Sprintf("[embedding of %d numbers]", numbers.count())
}

// embeddings are an array of them, or of objects that hold them, or arrays by kind.
func embeddings(v value) string {
	all := slices.Collect(v.elements())
	kinds := map[string]value{}
	for name, one := range v.fields() {
		kind, _ := name.text()
		kinds[kind] = one
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		all = slices.AppendSeq(all, kinds[kind].elements())
	}
	var texts []string
	for _, one := range all {
		if numbers := one.get("embedding"); !numbers.null() {
			one = numbers
		}
		texts = append(texts, embedding(one))
	}
	return strings.Join(texts, " ")
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

// streamed puts chunks together.
func streamed(chunks value) (text string, known bool) {
	var b strings.Builder
	known = chunks.count() == 0
	for c := range chunks.elements() {
		if inner := c.get("chunk"); !inner.null() {
			c = inner
		}
		if encoded, is := c.get("bytes").text(); is {
			if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				c = parseJSON(decoded)
			}
		}
		if name, found := c.firstText(toolStarts); found {
			b.WriteString("[tool " + name + "] ")
		}
		text, found := c.firstText(deltas)
		b.WriteString(text)
		known = known || found
		known = known || slices.ContainsFunc(frames, func(frame string) bool { return !c.get(frame).null() })
	}
	return b.String(), known
}

// content is a text, or blocks of it (Bedrock API Reference, ContentBlock; Anthropic's Messages API).
func content(v value) string {
	if text, is := v.text(); is {
		return text
	}
	var all []string
	for one := range v.elements() {
		if text := block(one); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "\n")
}

// block is what stands for one in a text: of an image or a document what it is, not its bytes.
func block(v value) string {
	if text, is := v.text(); is {
		return text
	}
	if text, found := v.firstText([][]string{{"text"}, {"guardContent", "text", "text"}}); found {
		return text
	}
	if text, found := v.firstText([][]string{{"thinking"}, {"reasoningContent", "reasoningText", "text"}}); found {
		return "[reasoning] " + text
	}
	kind, _ := v.get("type").text()
	inner := v
	if union := v.only(); kind == "" && union != "" { // Converse's
		kind, inner = union, v.get(union)
	}
	switch kind {
	case "cachePoint":
		return ""
	case "image", "video", "audio", "document":
		return "[" + strings.Join(append([]string{kind}, source(inner)...), " ") + "]"
	case "toolUse", "tool_use":
		name, _ := inner.get("name").text()
		return "[tool " + name + "] " + toJSON(inner.get("input"))
	case "toolResult", "tool_result":
		return "[tool result] " + content(inner.get("content"))
	case "json":
		return toJSON(v.get("json"))
	case "citationsContent":
		return content(inner.get("content"))
	}
	return toJSON(v)
}

// source says of a file its format, its name, and where it lies or how large it is.
func source(file value) (all []string) {
	for _, path := range [][]string{{"format"}, {"source", "media_type"}, {"name"}, {"title"}, {"source", "s3Location", "uri"}, {"source", "url"}} {
		if text, found := file.at(path...).text(); found {
			all = append(all, text)
		}
	}
	if encoded, found := file.firstText([][]string{{"source", "bytes"}, {"source", "data"}}); found {
		all = append(all, fmt.Sprintf("of %d bytes", base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(encoded, "=")))))
	}
	return all
}

// toJSON writes without spaces and needless escapes.
func toJSON(v value) string {
	b, err := marshal(v.any())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func compact(raw []byte) string {
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
