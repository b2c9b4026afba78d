package bedrock

import (
	"hash/fnv"
	"net/http"
	"strconv"
)

const tierHeader = "X-Amzn-Bedrock-Service-Tier" // of a request and of its answer (Bedrock API Reference, InvokeModel)

// setCounts sets what InvokeModel tells beside a body that is the model's own. AWS's reference has none of these headers:
// they are as real answers have them.
func setCounts(header http.Header, a answer) {
	header.Set("X-Amzn-Bedrock-Invocation-Latency", strconv.FormatInt(a.latency(), 10))
	for name, count := range map[string]*int{
		"Input": &a.usage.Input, "Output": &a.usage.Output, "Cache-Read-Input": a.usage.CacheRead, "Cache-Write-Input": a.usage.CacheWrite,
	} {
		if count != nil {
			header.Set("X-Amzn-Bedrock-"+name+"-Token-Count", strconv.Itoa(*count))
		}
	}
}

// guarding adds what Bedrock adds to a model's own body where a guardrail looked at it (Bedrock User Guide, "Test your
// guardrail").
func (a answer) guarding(body object) object {
	if a.guarded {
		body["amazon-bedrock-guardrailAction"] = map[bool]string{false: "NONE", true: "INTERVENED"}[a.blocked]
	}
	return body
}

// last makes a body that of the last chunk.
func (a answer) last(body object) event {
	metrics := object{
		"inputTokenCount": a.usage.Input, "outputTokenCount": a.usage.Output, "invocationLatency": a.latency(), "firstByteLatency": a.firstByte,
	}
	if a.usage.CacheWrite != nil {
		metrics["cacheReadInputTokenCount"], metrics["cacheWriteInputTokenCount"] = a.usage.CacheRead, a.usage.CacheWrite
	}
	body["amazon-bedrock-invocationMetrics"] = metrics
	return event{chunk, a.guarding(body)}
}

// stopReason is one that the model knows: a guardrail's is Bedrock's.
func (a answer) stopReason(usual string) any {
	switch a.stop {
	case "":
		return nil
	case "max_tokens", "tool_use":
		return a.stop
	}
	return usual
}

// anthropicForm is the Messages API's.
type anthropicForm struct{}

func (anthropicForm) message(a answer, content ...any) object {
	usage := object{"input_tokens": a.usage.Input, "output_tokens": a.usage.Output}
	if a.usage.CacheWrite != nil {
		usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"] = a.usage.CacheRead, a.usage.CacheWrite
	}
	return object{
		"id": "msg_bdrk_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": append([]any{}, content...),
		"stop_reason": a.stopReason("end_turn"), "stop_sequence": nil, "usage": usage,
	}
}

func (anthropicForm) said(a answer) []string { return []string{a.text} }

func (f anthropicForm) whole(a answer) any {
	content := []any{object{"type": "text", "text": a.text}}
	if t := a.tool; t != nil {
		content = append(content, object{"type": "tool_use", "id": t.id, "name": t.name, "input": t.input()})
	}
	return a.guarding(f.message(a, content...))
}

func (f anthropicForm) head(a answer) []event {
	a.stop, a.usage.Output = "", 0 // as yet
	return []event{
		{chunk, object{"type": "message_start", "message": f.message(a)}},
		{chunk, object{"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""}}},
	}
}

func (anthropicForm) word(text string) event {
	return event{chunk, object{"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": text}}}
}

func (anthropicForm) tail(a answer) []event {
	events := []event{{chunk, object{"type": "content_block_stop", "index": 0}}}
	if t := a.tool; t != nil {
		block := object{"type": "tool_use", "id": t.id, "name": t.name, "input": object{}}
		events = append(events, event{chunk, object{"type": "content_block_start", "index": 1, "content_block": block}})
		for _, half := range t.halves() {
			delta := object{"type": "input_json_delta", "partial_json": half}
			events = append(events, event{chunk, object{"type": "content_block_delta", "index": 1, "delta": delta}})
		}
		events = append(events, event{chunk, object{"type": "content_block_stop", "index": 1}})
	}
	return append(events,
		event{chunk, object{
			"type": "message_delta", "delta": object{"stop_reason": a.stopReason("end_turn"), "stop_sequence": nil},
			"usage": object{"output_tokens": a.usage.Output},
		}},
		a.last(object{"type": "message_stop"}),
	)
}

// novaForm is Converse's, whose events stand in chunks under their names.
type novaForm struct{ converse converseForm }

func (novaForm) said(a answer) []string { return []string{a.text} }

func (f novaForm) whole(a answer) any {
	out := f.converse.whole(f.own(a)).(object)
	delete(out, "metrics")
	return a.guarding(out)
}

func (novaForm) own(a answer) answer {
	a.stop, _ = a.stopReason("end_turn").(string)
	a.tier = "" // a header's
	return a
}

func (f novaForm) head(a answer) []event { return inChunks(f.converse.head(a)) }

func (f novaForm) word(text string) event { return inChunks([]event{f.converse.word(text)})[0] }

func (f novaForm) tail(a answer) []event {
	all := inChunks(f.converse.tail(f.own(a)))
	last := len(all) - 1
	all[last] = a.last(all[last].payload.(object))
	return all
}

func inChunks(events []event) (all []event) {
	for _, e := range events {
		all = append(all, event{chunk, object{e.name: e.payload}})
	}
	return all
}

// completionForm is of Anthropic's models before the Messages API, whose answers begin with a space.
type completionForm struct{}

func (completionForm) said(a answer) []string { return []string{a.text} }

func (completionForm) whole(a answer) any {
	return a.guarding(object{"type": "completion", "completion": " " + a.text, "stop_reason": a.stopReason("stop_sequence")})
}

func (f completionForm) head(answer) []event { return []event{f.word(" ")} }

func (completionForm) word(text string) event {
	return event{chunk, object{"type": "completion", "completion": text, "stop_reason": nil}}
}

func (completionForm) tail(a answer) []event {
	return []event{a.last(object{"type": "completion", "completion": "", "stop_reason": a.stopReason("stop_sequence")})}
}

// embeddingForm is Amazon Titan's, of a few numbers that only the text decides. It has no stream.
type embeddingForm struct{ completionForm }

func (embeddingForm) said(answer) []string { return nil }

func (embeddingForm) whole(a answer) any {
	hash := fnv.New32a()
	hash.Write([]byte(a.text))
	var numbers []float64
	for _, b := range hash.Sum(nil) {
		numbers = append(numbers, float64(b)/128-1)
	}
	return a.guarding(object{"embedding": numbers, "inputTextTokenCount": a.usage.Input})
}
