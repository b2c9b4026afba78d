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

// turn is what one side says.
type turn struct{ role, text string }

// inputs are where a body has what is asked, in the order in which it is read, and who asks it (Bedrock API Reference,
// "Converse"; Bedrock User Guide, "Inference request parameters and response fields for foundation models").
var inputs = []struct {
	role string
	each bool // element is a turn
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

// places are those of the inputs by their first name, as JSON has it.
var places = func() map[string]int {
	all := map[string]int{}
	for i, in := range inputs {
		all[`"`+in.path[0]+`"`] = i
	}
	return all
}()

// firsts are their first names.
var firsts = func() (names []string) {
	for _, in := range inputs {
		names = append(names, in.path[0])
	}
	return names
}()

// settings is the role of what a request has beside its turns, such as descriptions of tools. It comes first.
const settings = "settings"

// input is what a body has in one of the inputs.
type input struct {
	place int
	value
}

// inputsOf finds those of a body, in their order.
func inputsOf(body value, found []input) []input {
	for name, one := range body.fields() {
		if place, known := places[string(name.raw())]; known {
			found = append(found, input{place, one.at(inputs[place].path[1:]...)})
		}
	}
	slices.SortStableFunc(found, func(a, b input) int { return a.place - b.place })
	return found
}

// prompt has every turn: of a conversation that a caller sends, any may be invented, and the last need not be what matters.
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

// unread is a body of which nothing is known.
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

// latest is a prompt's last turn, and how many there are. What is new is at the end.
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

// asked is a prompt as one text, which names who speaks unless only one does.
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

// answer is a model's, whole or in chunks, and what a guardrail kept from the caller, as far as its trace is in the record
// (Bedrock API Reference, "GuardrailTraceAssessment"; Bedrock User Guide, "Use your guardrail with inference operations").
func answer(raw value) string { return begin(raw, 0) }

// begin is an answer of which no more than so many characters are wanted, unless the limit is 0.
func begin(raw value, limit int) string {
	body := parseBody(raw)
	if body.is('[') {
		if bytes.Contains(body.raw(), []byte("guardrail")) {
			limit = 0 // what it did is at the end
		}
		body = parseJSON(assemble(body, limit))
	}
	text := spoken(body, 0)
	if text == "" && !raw.null() {
		text = compact(raw.raw())
	}
	if string(body.get("stopReason").raw()) == `"guardrail_intervened"` ||
		bytes.HasSuffix(body.get("amazon-bedrock-guardrailAction").raw(), []byte(`INTERVENED"`)) { // chunks may each have one
		text = "[guardrail intervened] " + text
		for _, trace := range []string{"trace", "amazon-bedrock-trace"} {
			for blocked := range body.get(trace).at("guardrail", "modelOutput").elements() {
				text += "\n[blocked by the guardrail, not sent] " + say(blocked, 0)
			}
		}
	}
	return text
}

// parseBody takes JSON out of a text that holds it.
func parseBody(raw value) value {
	if text, is := raw.text(); is && json.Valid([]byte(text)) { // the whole of it: nothing may hide behind
		if inner := parseJSON([]byte(text)); inner.is('{') || inner.is('[') {
			return inner
		}
	}
	return raw.open()
}

// deepestBlock is how deep blocks are taken apart: what is deeper is shown as JSON.
const deepestBlock = 50

// say is what stands for a value in a text: what it says, or else all of it as JSON, so that nothing unknown is left out.
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

// spoken is what is known of a value to be said: of bodies, turns, choices and blocks alike (the same pages; Anthropic's
// Messages API; OpenAI's Chat Completions API). Reasoning comes first, as it was. Nothing is "".
func spoken(v value, depth int) string {
	if v.is('"') {
		text, _ := v.begin(v.tree.most)
		return text
	}
	if depth > deepestBlock {
		return ""
	}
	var few, more [4]string // most have no more, and need no memory
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

// together has a line for each text.
func together(texts []string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n")
}

// quiet are fields that say nothing to a reader: ids, counts and what a guardrail did, which an answer begins with.
var quiet = []string{
	"type", "role", "id", "object", "model", "index", "usage", "metrics", "signature", "status", "toolUseId", "tool_use_id", "tool_call_id",
	"stopReason", "stop_reason", "finishReason", "finish_reason", "completionReason", "stop", "anthropic_version", "schemaVersion", "taskType", "input_type", "service_tier",
	"trace", "amazon-bedrock-trace", "amazon-bedrock-guardrailAction", "amazon-bedrock-invocationMetrics", "response_type", "generation_id",
}

// rest is what an object has beside the fields that were read, as JSON, if there is a text in it.
func rest(v value, read ...string) string {
	var b strings.Builder
	for name, one := range v.fields() {
		key := name.raw() // one with escapes is none that was read
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

// texts tells whether a value has a text, and no numbers only.
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

// result is a tool's, which a stream's chunks have without a name.
func result(v value, depth int) string {
	if !v.is('{') {
		return "[tool result] " + say(v, depth+1)
	}
	return strings.TrimSuffix("[tool result] "+together([]string{say(v.get("content"), depth+1), rest(v, "content")}), "\n")
}

// tool is a model's call of one, whose input is JSON, or a text of it.
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

// embedding counts: its numbers say nothing to a reader.
func embedding(numbers value) string {
	return fmt.Sprintf("[embedding of %d numbers]", numbers.count())
}

// embeddings are an array of them, or of objects that hold them, or arrays by kind.
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

// files are what a block can be beside a text.
var files = []string{`"image"`, `"video"`, `"audio"`, `"document"`}

// file says what one is: its format, its name, where it lies or how large it is, and its text if it is one.
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
		case decoded == nil: // a text of the Messages API's
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

// compact is JSON without spaces and needless escapes.
func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil { // such as what is too deep
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
