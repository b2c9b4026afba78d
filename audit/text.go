package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// turn is one message of a conversation.
type turn struct{ role, text string }

// inputs are the places of the prompt in a body, in reading order, with their role (Bedrock API Reference, "Converse";
// Bedrock User Guide, "Inference request parameters and response fields for foundation models").
var inputs = []struct {
	role string
	each bool // each element is a turn
	path []string
}{
	{"system", false, []string{"system"}}, {"system", false, []string{"preamble"}}, {"document", true, []string{"documents"}},
	{"user", true, []string{"chat_history"}}, {"user", true, []string{"messages"}}, {"user", false, []string{"prompt"}},
	{"user", false, []string{"inputText"}}, {"user", false, []string{"inputPrompt"}}, {"user", false, []string{"message"}},
	{"user", false, []string{"query"}}, {"user", false, []string{"texts"}}, {"user", false, []string{"inputs"}},
	{"user", false, []string{"text_prompts"}}, {"user", false, []string{"textToImageParams", "text"}},
	{"user", false, []string{"inPaintingParams", "text"}}, {"user", false, []string{"outPaintingParams", "text"}},
	{"user", false, []string{"imageVariationParams", "text"}}, {"user", false, []string{"singleEmbeddingParams", "text", "value"}},
}

// places maps the first name of an input, in JSON, to its index.
var places = func() map[string]int {
	all := map[string]int{}
	for i, in := range inputs {
		all[`"`+in.path[0]+`"`] = i
	}
	return all
}()

// firsts are the first names of the inputs.
var firsts = func() (names []string) {
	for _, in := range inputs {
		names = append(names, in.path[0])
	}
	return names
}()

// settings is the role of the content besides turns, such as descriptions of tools. It comes first.
const settings = "settings"

// input is the value of a body at one of the inputs.
type input struct {
	place int
	value
}

// inputsOf returns the inputs of a body in reading order.
func inputsOf(body value, found []input) []input {
	for name, one := range body.fields() {
		if place, known := places[string(name.raw())]; known {
			found = append(found, input{place, one.at(inputs[place].path[1:]...)})
		}
	}
	slices.SortStableFunc(found, func(a, b input) int { return a.place - b.place })
	return found
}

// prompt returns every turn. The caller sends the whole conversation and can invent any turn, so the last one isn't
// always the one that matters.
func prompt(raw value) (turns []turn) {
	var room [4]input
	body := parseBody(raw)
	for _, one := range inputsOf(body, room[:0]) {
		in := inputs[one.place]
		if in.each && one.is('[') {
			for one := range one.elements() {
				role, _ := one.get("role").text()
				turns = append(turns, turn{cmp.Or(role, in.role), say(one, 0)})
			}
		} else if text := say(one.value, 0); text != "" {
			turns = append(turns, turn{in.role, text})
		}
	}
	if len(turns) == 0 {
		return unread(raw)
	}
	var others []string
	for name, one := range body.fields() {
		if place, known := places[string(name.raw())]; known && len(inputs[place].path) > 1 {
			others = append(others, rest(one, inputs[place].path[1]))
		}
	}
	if text := together(append(others, rest(body, firsts...))); text != "" {
		turns = slices.Insert(turns, 0, turn{settings, text})
	}
	return turns
}

// unread returns a body of an unknown format as one turn.
func unread(raw value) []turn {
	text, is := raw.text()
	switch {
	case raw.null():
		return nil
	case !is:
		text = compact(raw.raw())
	}
	return []turn{{"user", text}}
}

// latest returns a prompt's last turn, and the number of turns. The new content is at the end.
func latest(raw value) (text string, n int) {
	var room [4]input
	last := value{}
	for _, one := range inputsOf(parseBody(raw), room[:0]) {
		if inputs[one.place].each && one.is('[') {
			for one := range one.elements() {
				n, last = n+1, one
			}
		} else if say(one.value, 0) != "" {
			n, last = n+1, one.value
		}
	}
	if n == 0 {
		return joined(unread(raw)), 1
	}
	return say(last, 0), n
}

// asked returns a prompt as one text. It names the roles if there are several turns.
func asked(raw value) string { return joined(prompt(raw)) }

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

// answer returns a model's response, complete or in chunks. It adds the text that a guardrail withheld from the caller,
// if the record contains its trace (Bedrock API Reference, "GuardrailTraceAssessment"; Bedrock User Guide, "Use your
// guardrail with inference operations").
func answer(raw value) string { return begin(raw, 0) }

// begin returns a response of which at most limit characters are needed, or all if the limit is 0.
func begin(raw value, limit int) string {
	body := parseBody(raw)
	if body.is('[') {
		if bytes.Contains(body.raw(), []byte("guardrail")) {
			limit = 0 // the guardrail's result is at the end
		}
		body = parseJSON(assemble(body, limit))
	}
	text := spoken(body, 0)
	if text == "" && !raw.null() {
		text = compact(raw.raw())
	}
	if string(body.get("stopReason").raw()) == `"guardrail_intervened"` ||
		bytes.HasSuffix(body.get("amazon-bedrock-guardrailAction").raw(), []byte(`INTERVENED"`)) { // each chunk can have one
		text = "[guardrail intervened] " + text
		for _, trace := range []string{"trace", "amazon-bedrock-trace"} {
			for blocked := range body.get(trace).at("guardrail", "modelOutput").elements() {
				text += "\n[blocked by the guardrail, not sent] " + say(blocked, 0)
			}
		}
	}
	return text
}

// parseBody parses JSON within a text.
func parseBody(raw value) value {
	// The complete text must be JSON, so that nothing is hidden after it.
	if text, is := raw.text(); is && json.Valid([]byte(text)) {
		if inner := parseJSON([]byte(text)); inner.is('{') || inner.is('[') {
			return inner
		}
	}
	return raw.open()
}

// deepestBlock is the depth to which blocks are parsed. Deeper blocks are shown as JSON.
const deepestBlock = 50

// say returns the text of a value. If it has no known text, it returns the value as JSON, so that nothing unknown is
// omitted.
func say(v value, depth int) string {
	switch string(v.raw()) {
	case "", "null", `""`, "{}", "[]":
		return ""
	}
	if text := spoken(v, depth); text != "" || v.get("cachePoint").tree != nil {
		return text
	}
	return compact(v.raw())
}

// spoken returns the known text of a value: of bodies, turns, choices and blocks (the same pages; Anthropic's Messages
// API; OpenAI's Chat Completions API). Reasoning comes first, as it did in the response. It returns "" if nothing is
// known.
func spoken(v value, depth int) string {
	if v.is('"') {
		text, _ := v.begin(v.tree.most)
		return text
	}
	if depth > deepestBlock {
		return ""
	}
	var few, more [4]string // enough for most values, without an allocation
	thought, all := few[:0], more[:0]
	for one := range v.elements() {
		all = append(all, say(one, depth+1))
	}
	switch kind := v.get("type").raw(); {
	case bytes.HasSuffix(kind, []byte(`tool_use"`)):
		return tool(v)
	case bytes.HasSuffix(kind, []byte(`tool_result"`)):
		return result(v, depth)
	case slices.Contains(files, string(kind)):
		return file(kind, v, depth)
	}
	var names [4]string
	read := names[:0]
	for name, one := range v.fields() {
		if one.null() {
			continue
		}
		n := len(all) + len(thought)
		switch key := name.raw(); string(key) {
		case `"thinking"`, `"reasoning"`, `"reasoning_content"`, `"reasoningContent"`:
			if text := say(one, depth+1); text != "" {
				thought = append(thought, "[reasoning] "+text)
			}
		case `"text"`, `"content"`, `"message"`, `"output"`, `"outputs"`, `"choices"`, `"results"`, `"generation"`, `"generations"`, `"completion"`, `"outputText"`,
			`"reasoningText"`, `"guardContent"`, `"searchResult"`, `"citationsContent"`, `"snippet"`, `"refusal"`:
			all = append(all, say(one, depth+1))
		case `"toolUse"`:
			all = append(all, tool(one))
		case `"tool_calls"`:
			for call := range one.elements() {
				all = append(all, tool(call))
			}
		case `"toolResult"`:
			all = append(all, result(one, depth))
		case `"image"`, `"video"`, `"audio"`, `"document"`:
			all = append(all, file(key, one, depth))
		case `"json"`:
			all = append(all, compact(one.raw()))
		case `"embedding"`:
			all = append(all, embedding(one))
		case `"embeddings"`:
			all = append(all, embeddings(one))
		case `"images"`, `"artifacts"`:
			all = append(all, fmt.Sprintf("[%d images]", one.count()))
		}
		if len(all)+len(thought) > n {
			if raw := name.raw(); !slices.Contains(read, string(raw[1:len(raw)-1])) {
				read = append(read, string(raw[1:len(raw)-1]))
			}
		}
	}
	return together(append(append(thought, all...), rest(v, read...)))
}

// together joins texts by line breaks.
func together(texts []string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n")
}

// quiet are fields that contain nothing to read: IDs, counts, and the guardrail's action, which an answer begins with.
var quiet = []string{
	"type", "role", "id", "object", "model", "index", "usage", "metrics", "signature", "status", "toolUseId", "tool_use_id", "tool_call_id",
	"stopReason", "stop_reason", "finishReason", "finish_reason", "completionReason", "stop", "anthropic_version", "schemaVersion", "taskType", "input_type", "service_tier",
	"trace", "amazon-bedrock-trace", "amazon-bedrock-guardrailAction", "amazon-bedrock-invocationMetrics", "response_type", "generation_id",
}

// rest returns an object's fields except those that were read, as JSON, if they contain a text.
func rest(v value, read ...string) string {
	var b strings.Builder
	for name, one := range v.fields() {
		key := name.raw() // a name with escapes isn't one that was read
		key = key[1 : len(key)-1]
		if slices.Contains(read, string(key)) || slices.Contains(quiet, string(key)) || !texts(one) {
			continue
		}
		if (string(key) == "cachePoint" || string(key) == "cache_control") && len(one.raw()) <= 64 {
			continue
		}
		b.WriteByte("{,"[min(b.Len(), 1)])
		b.WriteString(compact(name.raw()) + ":" + compact(one.raw()))
	}
	if b.Len() > 0 {
		b.WriteByte('}')
	}
	return b.String()
}

// texts reports whether a value contains a text, and not only numbers.
func texts(v value) bool {
	if v.closed() || v.is('"') && len(v.raw()) > len(`""`) {
		return true
	}
	for _, one := range v.fields() {
		if texts(one) {
			return true
		}
	}
	for one := range v.elements() {
		if texts(one) {
			return true
		}
	}
	return false
}

// result returns the text of a tool's result.
func result(v value, depth int) string {
	if !v.is('{') {
		return "[tool result] " + say(v, depth+1)
	}
	return strings.TrimSuffix("[tool result] "+together([]string{say(v.get("content"), depth+1), rest(v, "content")}), "\n")
}

// tool returns the text of a tool call. Its input is JSON, or a text that contains JSON.
func tool(v value) string {
	name, input := "", value{}
	for _, in := range []value{v, v.get("function")} {
		if text, is := in.get("name").text(); is {
			name = text
		}
		for _, key := range []string{"input", "arguments", "parameters"} {
			if one := in.get(key); one.tree != nil {
				input = one
			}
		}
	}
	text, is := input.text()
	if !is {
		text = compact(input.raw())
	}
	if name == "" && text == "" {
		return compact(v.raw())
	}
	return together([]string{"[tool " + name + "] " + text, rest(v, "name", "input", "arguments", "parameters", "function"), rest(v.get("function"), "name", "input", "arguments", "parameters")})
}

// embedding returns the number of an embedding's numbers, which aren't readable.
func embedding(numbers value) string {
	return fmt.Sprintf("[embedding of %d numbers]", numbers.count())
}

// embeddings returns the text of an array of embeddings, of objects with embeddings, or of arrays by kind.
func embeddings(v value) string {
	all := slices.Collect(v.elements())
	for _, kind := range v.fields() {
		all = slices.AppendSeq(all, kind.elements())
	}
	var texts []string
	for _, one := range all {
		if numbers := one.get("embedding"); numbers.tree != nil {
			one = numbers
		}
		texts = append(texts, embedding(one))
	}
	return strings.Join(texts, " ")
}

// files are the kinds of blocks that contain a file.
var files = []string{`"image"`, `"video"`, `"audio"`, `"document"`}

// file describes a file: its format, name, and place or size, and its text if it has one.
func file(kind []byte, v value, depth int) string {
	all := []string{string(kind[1 : len(kind)-1])}
	for _, path := range [][]string{
		{"format"}, {"source", "media_type"}, {"name"}, {"title"}, {"source", "s3Location", "uri"}, {"source", "s3Uri"}, {"source", "url"},
	} {
		if text, found := v.at(path...).text(); found {
			all = append(all, text)
		}
	}
	text := say(v.at("source", "text"), depth+1) + say(v.at("source", "content"), depth+1)
	if source := v.get("source"); !source.is('{') {
		text += say(source, depth+1)
	}
	for _, path := range [][]string{{"source", "bytes"}, {"source", "data"}, {"bytes"}, {"data"}} {
		encoded, found := v.at(path...).text()
		decoded := decode(nil, []byte(encoded))
		switch {
		case !found:
		case decoded == nil: // a text of the Messages API
			text += encoded
		default:
			all = append(all, fmt.Sprintf("of %d bytes", len(decoded)))
			if all[0] == "document" {
				text += legible(decoded)
			}
		}
	}
	return together([]string{
		"[" + strings.Join(all, " ") + "]", text, rest(v, "format", "name", "title", "source", "bytes", "data"),
		rest(v.get("source"), "media_type", "s3Location", "s3Uri", "url", "text", "content", "bytes", "data"),
	})
}

// compact returns JSON without spaces and unnecessary escapes.
func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil { // for example, because it is nested too deep
		return string(raw)
	}
	text, plain := b.Bytes(), make([]byte, 0, b.Len())
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return string(append(plain, text...))
		}
		r, size := escape(text[at:])
		if plain = append(plain, text[:at]...); r > unicode.MaxASCII && r != utf8.RuneError && unicode.IsPrint(r) {
			plain = utf8.AppendRune(plain, r)
		} else {
			plain = append(plain, text[at:at+size]...)
		}
		text = text[at+size:]
	}
}

// shorten truncates a text to limit characters. If 0, it keeps all.
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
