package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// guardedBedrock is a Bedrock whose guardrail blocks the word "forbidden". It evaluates nothing of a model's call, so
// that a test observes only what the function evaluates.
type guardedBedrock struct {
	fixture
	mu      sync.Mutex
	applied []string // source and text of each evaluation
	asked   []received
}

// guard returns the function with that guardrail. The model responds with answer.
func guard(t testing.TB, answer string) *guardedBedrock {
	g := &guardedBedrock{fixture: newFixture(t)}
	var err error
	if g.guardrail, err = newGuardrail("3o06191495ze", "2"); err != nil {
		t.Fatal(err)
	}
	g.passed = &passed{}
	g.bedrock = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if !strings.HasPrefix(r.URL.Path, "/guardrail/") {
			g.asked = append(g.asked, received{r.URL.EscapedPath(), r.Header, string(body)})
			if strings.HasSuffix(r.URL.Path, "-stream") {
				w.Header().Set("Content-Type", eventStream)
			}
			io.WriteString(w, answer)
			return
		}
		var in struct {
			Source, OutputScope string
			Content             []struct{ Text struct{ Text string } }
		}
		if err := json.Unmarshal(body, &in); err != nil || len(in.Content) != 1 || in.OutputScope != "INTERVENTIONS" || r.URL.Path != "/guardrail/3o06191495ze/version/2/apply" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256") {
			t.Errorf("%s %s %v", r.URL.Path, body, err)
		}
		text := in.Content[0].Text.Text
		if len([]rune(text)) > pieceRunes {
			t.Errorf("%d characters in one evaluation, which Bedrock throttles", len([]rune(text)))
		}
		g.applied = append(g.applied, in.Source+" "+text)
		action := "NONE"
		if strings.Contains(text, "forbidden") || strings.Contains(text, strings.Repeat("😀", 99)+"!") {
			action = "GUARDRAIL_INTERVENED"
		}
		fmt.Fprintf(w, `{"action":%q,"outputs":[],"assessments":[]}`, action)
	}))
	return g
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func block(s string) string {
	return `{"messages":[{"role":"user","content":[{"text":"Hi"},` + s + `]}]}`
}

// ApplyGuardrail evaluates every member that Bedrock doesn't evaluate (Bedrock User Guide, "Include a guardrail with
// the Converse API"). Otherwise, a model could read blocked content there.
func TestUnevaluatedMembersAreEvaluated(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ operation, body, member string }{
		"tool result":           {"converse", block(`{"toolResult":{"toolUseId":"1","content":[{"text":"forbidden"}]}}`), "messages[0].content[1].toolResult"},
		"tool result, JSON":     {"converse-stream", block(`{"toolResult":{"toolUseId":"1","content":[{"json":{"a":["x",{"b":"forbidden"}]}}]}}`), "messages[0].content[1].toolResult"},
		"tool result, member":   {"converse", block(`{"toolResult":{"toolUseId":"1","content":[{"json":{"forbidden":1}}]}}`), "messages[0].content[1].toolResult"},
		"tool result, document": {"converse", block(`{"toolResult":{"toolUseId":"1","content":[{"document":{"format":"txt","name":"d","source":{"bytes":"` + b64("a forbidden word") + `"}}}]}}`), "messages[0].content[1].toolResult"},
		"tool use":              {"converse", block(`{"toolUse":{"toolUseId":"1","name":"t","input":{"a":"\u0066orbidden"}}}`), "messages[0].content[1].toolUse"},
		"tool use, id":          {"converse", block(`{"toolUse":{"toolUseId":"forbidden","name":"t","input":{}}}`), "messages[0].content[1].toolUse"},
		"description":           {"converse", `{"toolConfig":{"tools":[{"toolSpec":{"name":"a","inputSchema":{"json":{}}}},{"toolSpec":{"name":"t","description":"forbidden","inputSchema":{"json":{}}}}]}}`, "toolConfig.tools[0], toolConfig.tools[1]"},
		"schema":                {"converse-stream", `{"toolConfig":{"tools":[{"toolSpec":{"name":"t","inputSchema":{"json":{"type":"object","properties":{"forbidden":{}}}}}}]}}`, "toolConfig.tools[0]"},
		"tool choice":           {"converse", `{"toolConfig":{"toolChoice":{"tool":{"name":"forbidden"}}}}`, "toolConfig.toolChoice"},
		"reasoning":             {"converse", block(`{"reasoningContent":{"reasoningText":{"text":"forbidden"}}}`), "messages[0].content[1].reasoningContent"},
		"signature of words":    {"converse", block(`{"reasoningContent":{"reasoningText":{"signature":"forbidden"}}}`), "messages[0].content[1].reasoningContent"},
		"search result":         {"converse", block(`{"searchResult":{"source":"s","title":"t","content":[{"text":"forbidden"}]}}`), "messages[0].content[1].searchResult"},
		"document, text":        {"converse", block(`{"document":{"name":"d","format":"txt","source":{"text":"forbidden"}}}`), "messages[0].content[1].document"},
		"document, bytes":       {"converse", block(`{"document":{"name":"d","format":"csv","source":{"bytes":"` + b64("forbidden") + `"}}}`), "messages[0].content[1].document"},
		"document, name":        {"converse", block(`{"document":{"name":"forbidden","format":"md","source":{"bytes":"aGk="}}}`), "messages[0].content[1].document"},
		"prompt variables":      {"converse", `{"promptVariables":{"x":{"text":"forbidden"}}}`, "promptVariables"},
		"model's own fields":    {"converse", `{"additionalModelRequestFields":{"system":"forbidden"}}`, "additionalModelRequestFields"},
		"output configuration":  {"converse", `{"outputConfig":{"textFormat":{"structure":{"jsonSchema":{"schema":"{\"description\":\"\\u0066orbidden\"}"}}}}}`, "outputConfig"},
		"unknown":               {"converse", `{"newer":[[{"a":{"b":"forbidden"}}]]}`, "newer"},
		"unknown member":        {"converse-stream", `{"newer":["forbidden"]}`, "newer"},
		"messages, otherwise":   {"converse", `{"Messages":[{"role":"user","content":[{"text":"forbidden"}]}]}`, "Messages"},
		"system, otherwise":     {"converse", `{"SYSTEM":[{"text":"forbidden"}]}`, "SYSTEM"},
		"path as a member":      {"converse", `{"messages[].content[].text":"forbidden"}`, `"messages[].content[].text"`},
		"twice":                 {"converse", `{"toolConfig":{"x":"forbidden"},"toolConfig":{}}`, "toolConfig.x"},
		"prompt":                {"invoke", `{"prompt":"forbidden"}`, "prompt"},
		"embedding":             {"invoke", `{"inputText":"forbidden"}`, "inputText"},
		"system":                {"invoke", `{"system":"forbidden"}`, "system"},
		"message":               {"invoke-with-response-stream", `{"messages":[{"role":"user","content":"forbidden"}]}`, "messages[0].content"},
		"assistant":             {"invoke", `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":"forbidden"}]}]}`, "messages[0].content, messages[1].content[0].text"},
		"tools":                 {"invoke", `{"tools":[{"name":"t","description":"forbidden"}]}`, "tools[0]"},
		"tool_result":           {"invoke", `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"forbidden"}]}]}`, "messages[0].content[0].tool_use_id, messages[0].content[0].content"},
		"arguments":             {"invoke", `{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":\"\\u0066orbidden\"}"}}]}]}`, "messages[0].tool_calls"},
		"base64 of text":        {"invoke", `{"messages":[{"role":"user","content":[{"document":{"source":{"newer":"` + b64("a forbidden word in a text") + `"}}}]}]}`, "messages[0].content[0].document"},
		"invoke, document":      {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"forbidden"}}]}]}`, "messages[0].content[0].source"},
		"text as an image":      {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"/9j/ forbidden"}}]}]}`, "messages[0].content[0].source"},
		"words, Anthropic":      {"invoke", `{"messages":[{"role":"user","content":[{"type":"redacted_thinking","data":"` + strings.Repeat("forbidden-", 8) + `"}]}]}`, "messages[0].content[0].data"},
		"words in base64":       {"invoke", `{"messages":[{"role":"user","content":[{"type":"redacted_thinking","data":"` + strings.Repeat("forbidden+/", 8) + `"}]}]}`, "messages[0].content[0].data"},
		"words, Converse":       {"converse", block(`{"reasoningContent":{"reasoningText":{"signature":"` + strings.Repeat("forbidden-", 8) + `"}}}`), "messages[0].content[1].reasoningContent"},
		"words, redacted":       {"converse", block(`{"reasoningContent":{"redactedContent":"` + strings.Repeat("forbidden/", 8) + `"}}`), "messages[0].content[1].reasoningContent"},
		"arguments, spaced":     {"invoke", `{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"\n {\"a\":\"\\u0066orbidden\"}"}}]}]}`, "messages[0].tool_calls"},
		"schema, invoke":        {"invoke", `{"response_format":{"schema":" {\"a\":\"\\u0066orbidden\"}"}}`, "response_format"},
		"cut of a large text":   {"converse", block(`{"toolResult":{"content":[{"text":"` + strings.Repeat("x", pieceRunes-4) + `forbidden"}]}}`), "messages[0].content[1].toolResult"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, `{}`)
			response, _ := g.call(t, native(tt.operation, tt.body))
			if response.StatusCode != 400 || len(g.asked) > 0 || !strings.Contains(response.Body, string(marshal(tt.member + ": the guardrail intervened; no model was called"))[1:]) {
				t.Errorf("%d %s and %d calls, want a refusal that names %s", response.StatusCode, response.Body, len(g.asked), tt.member)
			}
			for _, applied := range g.applied {
				if !strings.HasPrefix(applied, "INPUT ") {
					t.Errorf("evaluated as %.20s", applied)
				}
			}
			allowed := guard(t, `{}`)
			if response, _ := allowed.call(t, native(tt.operation, strings.NewReplacer("orbidden", "ine", b64("forbidden"), "aGk=", b64("a forbidden word"), "aGk=").Replace(tt.body))); response.StatusCode != 200 && name != "base64 of text" {
				t.Errorf("without the word: %d %s", response.StatusCode, response.Body)
			}
		})
	}
}

// Content that a guardrail can't evaluate is refused: a binary document, a video, a mark that hides the other texts.
func TestUnevaluableContentIsRefused(t *testing.T) {
	t.Parallel()
	pdf, png := b64("%PDF-1.7 "+canary+strings.Repeat(" x", 99)), b64("\x89PNG\r\n\x1a\n"+strings.Repeat("\x00", 99))
	padded := png[:12] + strings.Repeat("A", 1012) + " forbidden words with spaces"
	for name, tt := range map[string]struct{ operation, body, member string }{
		"pdf":                   {"converse", block(`{"document":{"name":"d","format":"pdf","source":{"bytes":"` + pdf + `"}}}`), "messages[0].content[1].document"},
		"pdf as text":           {"converse", block(`{"document":{"name":"d","format":"txt","source":{"bytes":"` + pdf + `"}}}`), "messages[0].content[1].document"},
		"image as text":         {"converse", block(`{"document":{"name":"d","format":"txt","source":{"bytes":"` + png + `"}}}`), "messages[0].content[1].document"},
		"html":                  {"converse", block(`{"document":{"name":"d","format":"html","source":{"text":"f&#111;rbidden"}}}`), "messages[0].content[1].document"},
		"two formats":           {"converse", block(`{"document":{"format":"txt","format":"docx","source":{"bytes":"aGk="}}}`), "messages[0].content[1].document"},
		"text, not UTF-8":       {"converse", block(`{"document":{"format":"txt","source":{"bytes":"` + b64("\xff\xfef\x00o\x00") + `"}}}`), "messages[0].content[1].document"},
		"no base64":             {"converse", block(`{"document":{"format":"txt","source":{"bytes":"aGk= forbidden"}}}`), "messages[0].content[1].document"},
		"video":                 {"converse", block(`{"video":{"format":"mp4","source":{"bytes":"` + b64("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom") + `"}}}`), "messages[0].content[1].video"},
		"audio":                 {"converse-stream", block(`{"audio":{"format":"wav","source":{"bytes":"` + b64("RIFF\x00\x00\x00\x00WAVEfmt \x00\xff\xfe") + `"}}}`), "messages[0].content[1].audio"},
		"gif":                   {"converse", block(`{"image":{"format":"gif","source":{"bytes":"` + b64("GIF89a\x00\x01\x00\x02") + `"}}}`), "messages[0].content[1].image"},
		"image in a result":     {"converse", block(`{"toolResult":{"content":[{"image":{"format":"png","source":{"bytes":"` + png + `"}}}]}}`), "messages[0].content[1].toolResult"},
		"mark in system":        {"converse", `{"system":[{"text":"bad"},{"guardContent":{"text":{"text":"good","qualifiers":["grounding_source"]}}}]}`, "system[1].guardContent"},
		"mark, spelt otherwise": {"converse", `{"system":[{"GUARDC\u006fntent":{}}]}`, "system[0].GUARDContent"},
		"mark in a message":     {"converse-stream", block(`{"guardContent":{}}`), "messages[0].content[1].guardContent"},
		"mark, deeper":          {"converse", block(`{"newer":[{"guardContent":{}}]}`), "messages[0].content[1].newer"},
		"invoke, pdf":           {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}]}]}`, "messages[0].content[0].source"},
		"invoke, data URL":      {"invoke", `{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE"}}]}]}`, "messages[0].content[0].file"},
		"invoke, video":         {"invoke", `{"mediaSource":{"base64String":"` + b64("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom") + `"}}`, "mediaSource"},
		"invoke, raw audio":     {"invoke", `{"audio":"` + b64(strings.Repeat("\x01\xfe\x03", 999)) + `"}`, "audio"},
		"invoke, result":        {"invoke", `{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","data":"` + png + `"}}]}]}]}`, "messages[0].content[0].content"},
		"own fields":            {"converse", `{"additionalModelRequestFields":{"file":"` + pdf + `"}}`, "additionalModelRequestFields"},
		"document as an image":  {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"/9j/forbidden/ignore/all/previous123"}}]}]}`, "messages[0].content[0].source"},
		"declared twice":        {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"data":"/9j/forbidden/ignore/all/previous123","type":"base64","media_type":"image/png","type":"text"}}]}]}`, "messages[0].content[0].source"},
		"declared otherwise":    {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"image/png","media_type":"text/plain","data":"/9j/forbidden/ignore/all/previous123"}}]}]}`, "messages[0].content[0].source"},
		"not declared":          {"invoke", `{"messages":[{"role":"user","content":[{"type":"image","source":{"data":"` + png + `"}}]}]}`, "messages[0].content[0].source"},
		"short, no base64":      {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"/9j/-forbidden-ignore-all-previous-"}}]}]}`, "messages[0].content[0].source"},
		"image, then words":     {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"image/png","data":"` + padded + `"}}]}]}`, "messages[0].content[0].source"},
		"Anthropic, context":    {"invoke", `{"messages":[{"role":"user","content":[{"type":"document","context":"` + padded + `"}]}]}`, "messages[0].content[0].context"},
		"Cohere":                {"invoke", `{"message":"` + padded + `"}`, "message"},
		"Cohere, image":         {"invoke", `{"message":"` + png + `"}`, "message"},
		"Cohere, data URL":      {"invoke", `{"message":"data:image/png;base64,` + padded + `"}`, "message"},
		"Cohere, preamble":      {"invoke", `{"preamble":"` + padded + `"}`, "preamble"},
		"Cohere, snippet":       {"invoke", `{"documents":[{"snippet":"` + padded + `"}]}`, "documents"},
		"reasoning":             {"invoke", `{"messages":[{"role":"assistant","reasoning_content":"data:image/jpeg;base64,/9j/` + strings.Repeat("A", 1024) + ` forbidden"}]}`, "messages[0].reasoning_content"},
		"own fields, image":     {"converse", `{"additionalModelRequestFields":{"preamble":"` + padded + `"}}`, "additionalModelRequestFields"},
		"image of a document":   {"converse", block(`{"document":{"image":{"source":{"bytes":"` + png + `"}}}}`), "messages[0].content[1].document"},
		"bytes, data URL":       {"converse", block(`{"document":{"name":"d","format":"txt","source":{"bytes":"data:` + b64("forbidden") + `,aGk="}}}`), "messages[0].content[1].document"},
		"too much":              {"converse", block(`{"toolResult":{"content":[{"text":"` + strings.Repeat("a ", maxEvaluated/2+1) + `"}]}}`), "messages[0].content[1].toolResult"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, `{}`)
			response, _ := g.call(t, native(tt.operation, tt.body))
			if response.StatusCode != 400 || len(g.asked) > 0 || !strings.Contains(response.Body, `"message":"`+tt.member+": ") || strings.Contains(response.Body, "intervened") {
				t.Errorf("%d %s and %d calls, want a refusal that names %s", response.StatusCode, response.Body, len(g.asked), tt.member)
			}
		})
	}
}

// Images that a guardrail or no model evaluates as text are accepted.
func TestImagesPass(t *testing.T) {
	t.Parallel()
	png, jpeg := b64("\x89PNG\r\n\x1a\n"+strings.Repeat("\x00", 2000)), b64("\xff\xd8\xff"+strings.Repeat("\x01", 2000))
	anthropic := func(source string) string {
		return `{"messages":[{"role":"user","content":[{"type":"image","source":` + source + `}]}]}`
	}
	for name, tt := range map[string]struct{ operation, body string }{
		"Converse":              {"converse", block(`{"image":{"format":"png","source":{"bytes":"` + png + `"}}}`)},
		"Anthropic":             {"invoke", anthropic(`{"type":"base64","media_type":"image/png","data":"` + png + `"}`)},
		"Anthropic, other way":  {"invoke", anthropic(`{"data":"` + jpeg + `","media_type":"image/jpeg","type":"base64"}`)},
		"OpenAI, Mistral AI":    {"invoke", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpg;base64,` + jpeg + `"}}]}]}`},
		"Amazon Nova":           {"invoke", block(`{"image":{"format":"png","source":{"bytes":"` + png + `"}}}`)},
		"Llama, Cohere":         {"invoke", `{"images":["` + png + `","data:image/png;base64,` + png + `"]}`},
		"Titan":                 {"invoke", `{"inputImage":"` + png + `"}`},
		"Stability AI":          {"invoke", `{"image":"` + png + `","mask":"` + png + `"}`},
		"Nova Canvas":           {"invoke", `{"imageVariationParams":{"images":["` + jpeg + `"]}}`},
		"TwelveLabs":            {"invoke", `{"mediaSource":{"base64String":"` + jpeg + `"}}`},
		"beside a tool's image": {"converse", block(`{"image":{"format":"jpeg","source":{"bytes":"` + jpeg + `"}}},{"toolUse":{"input":{"image":"x"}}}`)},
	} {
		g := guard(t, `{}`)
		if response, _ := g.call(t, native(tt.operation, tt.body)); response.StatusCode != 200 || strings.Contains(strings.Join(g.applied, ""), "AAAA") || len(g.asked) != 1 {
			t.Errorf("%s: %v, evaluated %.200q", name, response, g.applied)
		}
	}
}

// A call that Bedrock evaluates completely costs no call of ApplyGuardrail.
func TestPlainCallsAreNotEvaluatedTwice(t *testing.T) {
	t.Parallel()
	for _, r := range []request{
		native("converse", `{"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}],"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}}]},{"role":"assistant","content":[{"text":"b"}]}],
			"inferenceConfig":{"maxTokens":1,"stopSequences":["###"]},"performanceConfig":{"latency":"optimized"},"requestMetadata":{"team":"x"},"guardrailConfig":{"guardrailIdentifier":"x"},"serviceTier":{"type":"default"}}`),
		native("converse", block(`{"reasoningContent":{"reasoningText":{"signature":"`+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\x8f\x1c\xd3\x07\xbe\xf0\x9a\xe5\xd5"), 99))+`"}}}`)),
		path("Hello"), post(`{"prompt":"x","system":"s","stop":["###"]}`),
	} {
		g := guard(t, `{"output":{"message":{"role":"assistant","content":[{"text":"forbidden"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}`)
		if response, _ := g.call(t, r); response.StatusCode != 200 || len(g.applied) > 0 || len(g.asked) != 1 {
			t.Errorf("%s: %v, %d calls, evaluated %q", r.Body, response, len(g.asked), g.applied)
		}
	}
}

// Everything that a model writes besides text is evaluated: a tool's input, its reasoning.
func TestAnswersAreEvaluated(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		operation, answer string
		member            string // if empty, the response is sent
	}{
		"tool use":          {"converse", `{"output":{"message":{"content":[{"text":"x"},{"toolUse":{"toolUseId":"1","name":"t","input":{"a":{"b":"forbidden ` + canary + `"}}}}]}},"stopReason":"tool_use"}`, "output.message.content[1].toolUse"},
		"member of tools":   {"converse", `{"output":{"message":{"content":[{"toolUse":{"input":{"forbidden":1}}}]}}}`, "output.message.content[0].toolUse"},
		"reasoning":         {"converse", `{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"forbidden"}}}]}}}`, "output.message.content[0].reasoningContent"},
		"unknown":           {"converse", `{"output":{"message":{"content":[{"newer":"forbidden"}]}}}`, "output.message.content[0].newer"},
		"own fields":        {"converse", `{"additionalModelResponseFields":{"x":"forbidden"}}`, "additionalModelResponseFields"},
		"video":             {"converse", `{"output":{"message":{"content":[{"video":{"source":{"bytes":"AAAA"}}}]}}}`, "the model's response isn't sent: output.message.content[0].video"},
		"text":              {"converse", `{"output":{"message":{"content":[{"text":"forbidden"},{"toolUse":{"toolUseId":"forbidden","name":"t","input":{"a":"b"}}}]}},"stopReason":"tool_use"}`, ""},
		"Anthropic":         {"invoke", `{"id":"forbidden","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"1","name":"t","input":{"a":"forbidden"}}],"stop_reason":"tool_use","usage":{}}`, "content[1].name, content[1].input"},
		"thinking":          {"invoke", `{"content":[{"type":"thinking","thinking":"forbidden"}]}`, "content[0].thinking"},
		"OpenAI":            {"invoke", `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\u0066orbidden\"}"}}]}}]}`, "choices[0].message.tool_calls"},
		"spaced":            {"invoke", `{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":" \n{\"a\":\"\\u0066orbidden\"}"}}]}}]}`, "choices[0].message.tool_calls"},
		"Cohere, member":    {"invoke", `{"text":"x","tool_calls":[{"name":"f","parameters":{"forbidden":1}}]}`, "text, tool_calls"},
		"Cohere, deeper":    {"invoke", `{"chat_history":[{"tool_calls":[{"parameters":{"a":{"forbidden":1}}}]}]}`, "chat_history"},
		"Cohere, escaped":   {"invoke", `{"text":"x","tool_calls":[{"parameters":{"a":"[\"\\u0066orbidden\"]"}}]}`, "text, tool_calls"},
		"image's beginning": {"invoke", `{"reasoning":"` + b64("\x89PNG\r\n\x1a\n") + ` ` + strings.Repeat("A", 1024) + ` forbidden"}`, "reasoning"},
		"image, then words": {"invoke", `{"reasoning":"iVBORw0KGgoA` + strings.Repeat("A", 1012) + ` forbidden"}`, "the model's response isn't sent: reasoning"},
		"opaque words":      {"invoke", `{"content":[{"type":"x","data":"` + strings.Repeat("forbidden-", 8) + `"}]}`, "content[0].type, content[0].data"},
		"Anthropic, text":   {"invoke", `{"id":"forbidden","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"forbidden"}],"stop_reason":"end_turn","usage":{"service_tier":"newer"}}`, ""},
		"embedding":         {"invoke", `{"embedding":[0.1,1e-7],"inputTextTokenCount":3}`, ""},
		"image":             {"invoke", `{"images":["` + b64("\x89PNG\r\n\x1a\n"+strings.Repeat("\x00", 2000)) + `"]}`, ""},
		"image, as it is":   {"invoke", "\x89PNG\r\n\x1a\n\x00", ""},
		"no JSON":           {"invoke", "forbidden", "the model's response isn't sent"},
		"goes on":           {"invoke", `{} "forbidden"`, "the model's response isn't sent"},
		"audio":             {"invoke", `{"audio":"` + b64(strings.Repeat("\x01\xfe\x03", 999)) + `"}`, "the model's response isn't sent: audio"},
		"nothing was said":  {"invoke", ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, tt.answer)
			response := g.roundTrip(t.Context(), t, native(tt.operation, `{}`))
			if response.StatusCode != 200 && strings.Contains(response.Body, canary) || strings.Contains(g.logged.String(), canary) {
				t.Errorf("%s, log %s", response.Body, g.logged)
			}
			if tt.member == "" && (response.StatusCode != 200 || response.Body != tt.answer) {
				t.Errorf("%v, want the answer as it is", response)
			}
			// No call that is refused before the model runs has this status, so SDKs don't retry it.
			if tt.member != "" && (response.StatusCode != 424 || response.Headers["X-Amzn-Errortype"] != "ModelErrorException" || !strings.Contains(response.Body, `"message":"`+tt.member)) {
				t.Errorf("%v, want an error that names %s", response, tt.member)
			}
			if len(g.asked) != 1 {
				t.Errorf("%d calls", len(g.asked))
			}
			for _, applied := range g.applied {
				if !strings.HasPrefix(applied, "OUTPUT ") {
					t.Errorf("evaluated as %.20s", applied)
				}
			}
		})
	}
}

// chunk is an event of InvokeModelWithResponseStream.
func chunk(t testing.TB, s string) []byte {
	return frame(t, "chunk", `{"bytes":"`+b64(s)+`","p":"abcd"}`)
}

// Streams are evaluated, and are forwarded byte by byte as the model sent them.
func TestStreamsAreEvaluated(t *testing.T) {
	t.Parallel()
	event := func(name, payload string) []byte { return frame(t, name, payload) }
	text := event("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"forbidden"},"p":"abc"}`) // which Bedrock evaluates
	tool := event("contentBlockStart", `{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"1","name":"t"}}}`)
	stop := event("contentBlockStop", `{"contentBlockIndex":1}`)
	end := bytes.Join([][]byte{event("messageStop", `{"stopReason":"tool_use"}`), event("metadata", `{"usage":{"inputTokens":1},"metrics":{"latencyMs":1}}`)}, nil)
	input := func(s string) []byte {
		return event("contentBlockDelta", `{"contentBlockIndex":1,"delta":{"toolUse":{"input":`+string(marshal(s))+`}}}`)
	}
	thought := func(s string) []byte {
		return event("contentBlockDelta", `{"contentBlockIndex":1,"delta":{"reasoningContent":{"text":`+string(marshal(s))+`}}}`)
	}
	json := func(s string) []byte {
		return chunk(t, `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":`+string(marshal(s))+`}}`)
	}
	said := chunk(t, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"forbidden"}}`)
	// A phrase of 100 characters, the most that a word filter takes, each of them escaped.
	long := strings.Repeat(`\ud83d\ude00`, 99) + `\u0021`
	var large [][]byte
	for i := range 400 {
		large = append(large, input(fmt.Sprintf("%0250d", i)))
	}
	for name, tt := range map[string]struct {
		operation   string
		frames      [][]byte
		sent        int // frames that are forwarded before the guardrail intervenes, or all frames
		evaluations int
	}{
		"text":                   {"converse-stream", [][]byte{text, text, end}, 3, 0},
		"tool use":               {"converse-stream", [][]byte{text, tool, input(`{"a":"fine`), input(`"}`), stop, end}, 6, 1},
		"fragments":              {"converse-stream", [][]byte{text, tool, input(`{"a":"forb`), input(`idden"}`), stop, end}, 1, 1},
		"escaped":                {"converse-stream", [][]byte{text, tool, input(`{"a":"\u00`), input(`66orbidden"}`), stop, end}, 1, 1},
		"name":                   {"converse-stream", [][]byte{text, event("contentBlockStart", `{"start":{"toolUse":{"name":"forbidden"}}}`), stop, end}, 1, 1},
		"two tools":              {"converse-stream", [][]byte{text, tool, input(`{"a":1}`), stop, tool, input(`{"a":"b"}`), stop, end}, 8, 1},
		"reasoning, then text":   {"converse-stream", [][]byte{thought("hm"), thought("m"), stop, text, text, end}, 6, 1},
		"reasoning":              {"converse-stream", [][]byte{text, thought("forbid"), thought("den"), stop, text, end}, 1, 1},
		"split by a text":        {"converse-stream", [][]byte{text, input("forb"), text, input("idden"), end}, 3, 2},
		"escaped, split":         {"converse-stream", [][]byte{input(long[:len(long)/2]), text, input(long[len(long)/2:]), end}, 2, 2},
		"escaped, cut":           {"converse-stream", [][]byte{input(strings.Repeat("x", 24_000) + long[:len(long)/2]), input(long[len(long)/2:]), end}, 1, 4},
		"unknown":                {"converse-stream", [][]byte{text, event("newer", `{"a":["forbidden"]}`), end}, 1, 1},
		"large":                  {"converse-stream", append(append([][]byte{text, tool}, large...), stop, end), 404, 5},
		"large, at last":         {"converse-stream", append(append([][]byte{text, tool}, large...), input("forbidden"), end), 366, 5},
		"Anthropic":              {"invoke-with-response-stream", [][]byte{said, json(`{"a":"fine"}`), said}, 3, 1},
		"Anthropic, fragments":   {"invoke-with-response-stream", [][]byte{said, json(`{"a":"forb`), json(`idden`), said}, 1, 1},
		"Anthropic, beginning":   {"invoke-with-response-stream", [][]byte{chunk(t, `{"type":"message_start","message":{"id":"x","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"a":"b"}}}`), chunk(t, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`), said, chunk(t, `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}`)}, 4, 0},
		"OpenAI":                 {"invoke-with-response-stream", [][]byte{chunk(t, `{"id":"x","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"forbidden"},"finish_reason":null}]}`), chunk(t, `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"forbidden"}}]}}]}`)}, 1, 1},
		"no JSON":                {"invoke-with-response-stream", [][]byte{said, chunk(t, `forbidden`)}, 1, 0},
		"bytes":                  {"converse-stream", [][]byte{text, event("newer", `{"video":{"bytes":"AAAA"}}`)}, 1, 0},
		"an exception of theirs": {"converse-stream", [][]byte{text, exception(errDeadline)}, 2, 0},
	} {
		for _, step := range []int{1 << 20, 7} { // for any split by the network
			t.Run(fmt.Sprint(name, step), func(t *testing.T) {
				t.Parallel()
				g := guard(t, "")
				apply := g.bedrock.http
				g.bedrock.http = doFunc(func(r *http.Request) (*http.Response, error) {
					if strings.HasPrefix(r.URL.Path, "/guardrail/") {
						return apply.Do(r)
					}
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {eventStream}}, Body: io.NopCloser(&stepping{bytes.Join(tt.frames, nil), step})}, nil
				})
				body := g.roundTrip(t.Context(), t, native(tt.operation, `{}`)).Body
				rest, found := strings.CutPrefix(body, string(bytes.Join(tt.frames[:tt.sent], nil)))
				if !found || tt.sent == len(tt.frames) && rest != "" {
					t.Fatalf("%q, want %d frames of %d", body, tt.sent, len(tt.frames))
				}
				if tt.sent < len(tt.frames) {
					message, err := eventstream.NewDecoder().Decode(strings.NewReader(rest), nil)
					if err != nil || message.Headers.Get(":exception-type").String() != "modelStreamErrorException" || !strings.Contains(string(message.Payload), "isn't sent") {
						t.Errorf("%q %v, want an exception at the end", rest, err)
					}
				}
				if len(g.applied) != tt.evaluations {
					t.Errorf("%d evaluations, want %d: %.200q", len(g.applied), tt.evaluations, g.applied)
				}
			})
		}
	}
}

type stepping struct {
	rest []byte
	step int
}

func (s *stepping) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), s.step)], s.rest)
	if s.rest = s.rest[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// If the guardrail fails, the call is refused, and the error says whether to retry.
func TestFailedEvaluationRefusesCall(t *testing.T) {
	t.Parallel()
	request, answer := block(`{"toolResult":{"content":[{"text":"x"}]}}`), `{"output":{"message":{"content":[{"toolUse":{"input":{"a":"b"}}}]}}}`
	for name, tt := range map[string]struct {
		status       int
		code, body   string
		want         int
		wantCode     string
		evaluatesOut bool
	}{
		"throttled":         {429, "ThrottlingException", `{"message":"` + canary + `"}`, 429, "ThrottlingException", false},
		"unavailable":       {503, "ServiceUnavailableException", `{}`, 503, "ServiceUnavailableException", false},
		"denied":            {403, "AccessDeniedException", `{"message":"arn:aws:iam::1:role/r"}`, 503, "ServiceUnavailableException", false},
		"no guardrail":      {404, "ResourceNotFoundException", `{}`, 503, "ServiceUnavailableException", false},
		"nothing":           {200, "", `{}`, 503, "ServiceUnavailableException", false},
		"unknown":           {200, "", `{"action":"NEWER"}`, 503, "ServiceUnavailableException", false},
		"no JSON":           {200, "", `<html>`, 503, "ServiceUnavailableException", false},
		"answer, throttled": {429, "ThrottlingException", `{}`, 424, "ModelErrorException", true},
		"answer, nothing":   {200, "", `{}`, 424, "ModelErrorException", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, answer)
			model := g.bedrock.http
			g.bedrock.http = doFunc(func(r *http.Request) (*http.Response, error) {
				if !strings.HasPrefix(r.URL.Path, "/guardrail/") {
					return model.Do(r)
				}
				return &http.Response{StatusCode: tt.status, Header: http.Header{"X-Amzn-Errortype": {tt.code}}, Body: io.NopCloser(strings.NewReader(tt.body))}, nil
			})
			body := request
			if tt.evaluatesOut {
				body = hello
			}
			response, _ := g.call(t, native("converse", body))
			if response.StatusCode != tt.want || response.Headers["X-Amzn-Errortype"] != tt.wantCode || (len(g.asked) == 1) != tt.evaluatesOut || (response.Headers["Retry-After"] != "") != (tt.want == 429) {
				t.Errorf("%v and %d calls, want %d", response, len(g.asked), tt.want)
			}
			if log := g.logged.String(); tt.code != "" && !strings.Contains(log, `"bedrockCode":"`+tt.code+`"`) {
				t.Errorf("log %s", log)
			}
		})
	}
}

// ALLOW_UNEVALUATED_TOOLS excludes tools from evaluation, and nothing else.
func TestUnevaluatedTools(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		operation, body, answer string
		status                  int
	}{
		"Converse":         {"converse", `{"toolConfig":{"tools":[{"toolSpec":{"name":"t","description":"forbidden"}}]},"messages":[{"content":[{"toolUse":{"input":{"a":"forbidden"}}},{"toolResult":{"content":[{"text":"forbidden"},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}}]}]}`, `{"output":{"message":{"content":[{"toolUse":{"name":"forbidden","input":{"a":"forbidden"}}}]}}}`, 200},
		"Converse, stream": {"converse-stream", `{}`, string(frame(t, "contentBlockDelta", `{"delta":{"toolUse":{"input":"forbidden"}}}`)), 200},
		"Anthropic":        {"invoke", `{"tools":[{"description":"forbidden"}],"messages":[{"content":[{"type":"tool_use","id":"forbidden","name":"forbidden","input":{"a":"forbidden"}},{"type":"tool_result","tool_use_id":"forbidden","content":"forbidden"}]}]}`, `{"content":[{"type":"tool_use","name":"forbidden","input":{"a":"forbidden"}}]}`, 200},
		"a document":       {"converse", block(`{"document":{"format":"txt","source":{"text":"forbidden"}}}`), `{}`, 400},
		"a mark":           {"converse", `{"system":[{"guardContent":{}}]}`, `{}`, 400},
		"system":           {"invoke", `{"system":"forbidden"}`, `{}`, 400},
		"reasoning":        {"converse", `{}`, `{"output":{"message":{"content":[{"reasoningContent":{"reasoningText":{"text":"forbidden"}}}]}}}`, 424},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard(t, tt.answer)
			g.unevaluatedTools = true
			if response, _ := g.call(t, native(tt.operation, tt.body)); response.StatusCode != tt.status || tt.status == 200 && response.Body != tt.answer {
				t.Errorf("%v, want %d", response, tt.status)
			}
		})
	}
	for value, want := range map[string]bool{"true": true, "": false, "TRUE": false, "1": false} {
		h, err := newHandler(func(name string) string {
			return map[string]string{"MODEL_IDS": "a.b", "RESPONSE_STREAMING": "true", "AWS_REGION": "eu-west-1", "ALLOW_UNEVALUATED_TOOLS": value}[name]
		})
		if err != nil || h.unevaluatedTools != want || h.passed == nil {
			t.Errorf("ALLOW_UNEVALUATED_TOOLS=%q: %v %v", value, h.unevaluatedTools, err)
		}
	}
}

// A text that passed isn't evaluated again in the next turn. A text that was blocked is evaluated again.
func TestEvaluationsAreRemembered(t *testing.T) {
	t.Parallel()
	g := guard(t, `{"output":{"message":{"content":[{"toolUse":{"input":{"a":"one"}}}]}}}`)
	turn := func(result string) string {
		return `{"toolConfig":{"tools":[{"toolSpec":{"name":"t","description":"d"}}]},"messages":[{"content":[{"toolResult":{"content":[{"text":"one"}]}},{"toolResult":{"content":[{"text":"` + result + `"}]}}]}]}`
	}
	for i, result := range []string{"one", "one", "two", "forbidden", "forbidden"} {
		if response, _ := g.call(t, native("converse", turn(result))); response.StatusCode != map[bool]int{true: 400, false: 200}[i > 2] {
			t.Errorf("turn %d: %v", i, response)
		}
	}
	want := []string{"INPUT t\nd\none\none", "OUTPUT a\none", "INPUT two", "INPUT forbidden", "INPUT forbidden"}
	if !slices.Equal(g.applied, want) {
		t.Errorf("evaluated %q, want %q", g.applied, want)
	}
	p := &passed{}
	for i := range 30_000 {
		p.add([][32]byte{hash("INPUT", fmt.Sprint(i))})
	}
	if len(p.by) > 10_001 {
		t.Errorf("%d hashes: a function's memory is bounded", len(p.by))
	}
}

// Every word is complete in one of the pieces.
func TestPiecesHideNoWord(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var b strings.Builder
		var words []string
		for b.Len() < 3*pieceRunes {
			word := strings.Repeat(string([]rune("aß語😀")[r.IntN(4)]), r.IntN(overlapRunes-10)) + fmt.Sprint(len(words), "e")
			words = append(words, word)
			b.WriteString(word)
			if r.IntN(3) > 0 {
				b.WriteByte(' ')
			}
		}
		cut := pieces(b.String())
		for _, piece := range cut {
			if n := len([]rune(piece)); n > pieceRunes || n == 0 {
				t.Errorf("a piece of %d characters", n)
			}
		}
		for _, word := range words {
			if !slices.ContainsFunc(cut, func(piece string) bool { return strings.Contains(piece, word) }) {
				t.Errorf("%q is in no piece", word)
			}
		}
	}
}

// A caller can't set the function's guardrail, metadata or trace by a header, in any spelling and on any operation.
func TestCallersCannotSetServerHeaders(t *testing.T) {
	t.Parallel()
	forged := []string{
		"X-Amzn-Bedrock-GuardrailIdentifier", "x-amzn-bedrock-guardrailidentifier", "X-AMZN-BEDROCK-GUARDRAILVERSION", "X_Amzn_Bedrock_GuardrailIdentifier", "X-Amzn-Bedrock-Trace",
		"x-amzn-bedrock-TRACE", "X-Amzn-Bedrock-Guardrail-Newer", "X-Amzn-Bedrock-Request-Metadata ", "x-amzn-bedrock-request-metadata", "X-Amzn-Bedrock-Newer", "X-Amzn-Bedrock_Trace",
	}
	for _, operation := range []string{"converse", "converse-stream", "invoke", "invoke-with-response-stream"} {
		for _, guarded := range []bool{true, false} {
			g := guard(t, string(frame(t, "messageStop", `{}`)))
			if !strings.HasSuffix(operation, "-stream") {
				g = guard(t, `{}`)
			}
			if !guarded {
				g.guardrail = nil
			}
			for _, name := range forged {
				r := native(operation, `{}`)
				r.Headers[name], r.Headers["X-Amzn-Bedrock-PerformanceConfig-Latency"] = `{"caller":"forged"}`, "optimized"
				g.asked = nil
				response, _ := g.call(t, r)
				// Otherwise, the caller would assume that the call is guarded.
				if !guarded && strings.EqualFold(name, guardrailHeader) {
					if response.StatusCode != 400 || !strings.Contains(response.Body, "X-Amzn-Bedrock-GuardrailIdentifier") || len(g.asked) > 0 {
						t.Errorf("%s without a guardrail: %v", name, response)
					}
					continue
				}
				if len(g.asked) != 1 {
					t.Fatalf("%s: %v", name, response)
				}
				want := http.Header{"X-Amzn-Bedrock-Performanceconfig-Latency": {"optimized"}}
				if strings.HasPrefix(operation, "invoke") {
					want[metadataHeader] = []string{own}
					if guarded {
						want[guardrailHeader], want[guardrailVersionHeader] = []string{"3o06191495ze"}, []string{"2"}
					}
				}
				got := g.asked[0].header
				for name, values := range got {
					if (strings.Contains(strings.ToLower(name), "bedrock") || strings.Contains(values[0], "forged")) && !slices.Equal(values, want[name]) {
						t.Errorf("%s: header %s is %q, want %q", operation, name, values, want[name])
					}
				}
				for name := range want {
					if got.Get(name) == "" {
						t.Errorf("%s: no header %s", operation, name)
					}
				}
			}
		}
	}
	for _, body := range []string{`{"guardrailConfig":{}}`, `{"GUARDRAILC\u006fnfig":{}}`} {
		g := guard(t, `{}`)
		g.guardrail = nil
		if response, _ := g.call(t, native("converse", body)); response.StatusCode != 400 || !strings.Contains(response.Body, "guardrailConfig") || len(g.asked) > 0 {
			t.Errorf("%s: %v", body, response)
		}
	}
	g := guard(t, `{}`)
	g.call(t, native("invoke", `{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"},"AMAZON-bedrock-trace":"x","amazon-bedrock-newer":{},"prompt":"x"}`))
	if len(g.asked) != 1 || g.asked[0].body != `{"prompt":"x"}` {
		t.Errorf("%v", g.asked)
	}
}

var word = regexp.MustCompile(`w[0-9]+w`)

// grower creates random bodies with a distinct word in each string.
type grower struct {
	*rand.Rand
	n int
}

func (g *grower) word() string { g.n++; return fmt.Sprintf("w%dw", g.n) }

func (g *grower) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g *grower) value(depth int) any {
	switch n := g.IntN(9); {
	case depth > 0 && n < 3:
		object := map[string]any{}
		for range g.IntN(4) {
			key := g.word()
			if g.IntN(2) == 0 {
				key = g.pick("messages", "role", "content", "text", "Text", "system", "toolUse", "toolResult", "input", "json", "document", "source", "format", "image", "reasoningContent", "newer", "tools", "prompt", "delta", "output", "message", "inferenceConfig", "stop", "id")
			}
			object[key] = g.value(depth - 1)
		}
		return object
	case depth > 0 && n < 5:
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(depth-1))
		}
		return list
	case n < 6:
		return g.IntN(9)
	case n == 6:
		return string(marshal(map[string]any{"text": g.word()})) // JSON in a string
	}
	return g.word()
}

func (g *grower) block() any {
	key := g.pick("text", "toolUse", "toolResult", "document", "reasoningContent", "searchResult", "citationsContent", "type", g.word())
	if key == "text" && g.IntN(2) == 0 {
		return map[string]any{key: g.word()}
	}
	return map[string]any{key: g.value(4), g.pick("cachePoint", "name", "x"): g.value(1)}
}

func (g *grower) body() []byte {
	body := map[string]any{}
	for range 1 + g.IntN(3) {
		var list []any
		for range g.IntN(3) {
			list = append(list, g.block())
		}
		switch key := g.pick("messages", "system", "toolConfig", "additionalModelRequestFields", "promptVariables", "tools", g.word()); key {
		case "messages":
			body[key] = []any{map[string]any{"role": g.pick("user", "assistant", g.word()), "content": list}, g.value(3)}
		case "system":
			body[key] = list
		default:
			body[key] = g.value(5)
		}
	}
	return marshal(body)
}

// Each word of a random body is in a text that Bedrock documents to evaluate, or is sent to ApplyGuardrail, or the call
// is refused.
func TestEveryWordIsEvaluated(t *testing.T) {
	t.Parallel()
	g := guard(t, `{}`)
	asked := 0
	for seed := range uint64(600) {
		grow := &grower{Rand: rand.New(rand.NewPCG(seed, 7))}
		body, operation := grow.body(), []string{"converse", "invoke"}[seed%2]
		g.applied, g.asked, g.passed = nil, nil, nil
		response := g.roundTrip(t.Context(), t, native(operation, string(body)))
		if response.StatusCode != 200 {
			if response.StatusCode != 400 || len(g.asked) > 0 {
				t.Errorf("%s: %v", body, response)
			}
			continue
		}
		asked++
		seen := strings.Join(g.applied, " ")
		if operation == "converse" { // Bedrock's part, decoded independently of the function
			var in struct {
				Messages []json.RawMessage
				System   []map[string]json.RawMessage
			}
			if err := json.Unmarshal([]byte(g.asked[0].body), &in); err != nil {
				t.Fatal(err)
			}
			for _, raw := range in.Messages {
				var message struct{ Content []map[string]any }
				json.Unmarshal(raw, &message) // another format isn't a message's text
				for _, block := range message.Content {
					if text, ok := block["text"].(string); ok {
						seen += " " + text
					}
				}
			}
			for _, block := range in.System {
				var marked struct{ Text struct{ Text any } }
				json.Unmarshal(block["guardContent"], &marked)
				if text, ok := marked.Text.Text.(string); ok {
					seen += " " + text
				}
			}
		}
		for _, each := range word.FindAllString(g.asked[0].body, -1) {
			if !strings.Contains(seen, each) && !strings.Contains(g.asked[0].header.Get(metadataHeader), each) {
				t.Errorf("no guardrail evaluates %s of %s %s: evaluated were %q", each, operation, g.asked[0].body, seen)
			}
		}
	}
	if asked < 300 {
		t.Errorf("%d of 600 bodies were sent: the test says little", asked)
	}
}

// No response or stream makes the function lose a frame, or use unbounded memory or time.
func FuzzGuardedStream(f *testing.F) {
	f.Add(append(frame(f, "contentBlockDelta", `{"delta":{"text":"x"}}`), frame(f, "contentBlockDelta", `{"delta":{"toolUse":{"input":"{\"a\":\"b"}}}`)...))
	f.Add(chunk(f, `{"delta":{"partial_json":"x"}}`))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x10"))
	g := guard(f, "")
	f.Fuzz(func(t *testing.T, stream []byte) {
		out, err := io.ReadAll(g.guardStream(t.Context(), io.NopCloser(bytes.NewReader(stream))))
		if !bytes.HasPrefix(stream, out) || err == nil && len(out) != len(stream) {
			t.Errorf("%q of %q, %v", out, stream, err)
		}
		g.applied = nil
	})
}

// A caller's body costs little time to collect. checkBody refuses bodies with more values than these. The test isn't
// parallel, because it measures the CPU time of the process.
func TestHostileBodiesAreCheapToCollect(t *testing.T) {
	const size, values = 6 << 20, 95_000
	fill := func(head, piece, tail string) string {
		return head + strings.Repeat(piece, min(values, (size-len(head)-len(tail))/len(piece))) + tail
	}
	sealed := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\x8f\x1c\xd3\x07\xbe\xf0\x9a\xe5\xd5\x8f\x1c\xd3"), 4))
	for name, body := range map[string]string{
		"words":            fill(`{"x":[`, `"abcdefg",`, `1]}`),
		"letters":          fill(`{"x":[`, `"a",`, `1]}`),
		"words in base64":  fill(`{"x":[`, `"QUJDREVGR0hJSktMTU5PUFFS",`, `1]}`),
		"JSON in texts":    fill(`{"x":[`, `"{\\n",`, `1]}`),
		"numbers":          fill(`{"x":[`, `1,`, `1]}`),
		"members":          fill(`{"x":1`, `,"abc":1`, `}`),
		"blocks":           fill(`{"messages":[{"content":[`, `"a",`, `1]}]}`),
		"signatures":       fill(`{"messages":[{"content":[`, `{"data":"`+sealed+`"},`, `1]}]}`),
		"a long signature": fill(`{"messages":[{"content":[{"data":"`+strings.Repeat(sealed, 90_000), sealed, `"}]}]}`),
		"a long base64":    fill(`{"x":"`+strings.Repeat("QUJD", 1_400_000), `QUJD`, `"}`),
		"a long image":     fill(`{"images":["iVBORw0KGgoA`+strings.Repeat("AAAA", 1_400_000), `AAAA`, `"]}`),
		"images":           fill(`{"images":[`, `"iVBORw0KGgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",`, `1]}`),
		"sources":          fill(`{"messages":[{"content":[`, `{"source":{}},`, `1]}]}`),
		"escaped lines":    fill(`{"x":"{`+strings.Repeat(`\\n`, 1_900_000), `\\n`, `"}`),
		"escapes":          fill(`{"messages":[{"content":[{"toolResult":{"content":[{"text":"{`+strings.Repeat(`\\u0041 `, 600_000), `\\u0041 `, `"}]}}]}]}`),
		"escapes, less":    fill(`{"x":"{`, `\\n`, `"}`),
	} {
		for which, r := range map[string]rules{"converse": converseRules, "invoke": invokeRules, "answer": answerRules} {
			cheap(t, name+", "+which, func() { collect([]byte(body), r, false) })
		}
	}
}

// BenchmarkCollect measures bodies of 4 MiB that are as slow as a caller can make them.
func BenchmarkCollect(b *testing.B) {
	for name, unit := range map[string]string{"members": `"%d":1,`, "long members": `"%0200d":1,`, "lists": `"a":[[[[[[%d]]]]]],`, "blocks": `"messages":[{"content":[{"a":%d}]}],`} {
		b.Run(name, func(b *testing.B) {
			var body strings.Builder
			for i := 0; body.Len() < 4<<20; i++ {
				fmt.Fprintf(&body, unit, i)
			}
			whole := []byte("{" + strings.TrimSuffix(body.String(), ",") + "}")
			for b.Loop() {
				collect(whole, converseRules, false)
			}
		})
	}
}
