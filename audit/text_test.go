package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// sample returns a record in AWS's format, as one line of the log.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, content); err != nil {
		t.Fatal(err)
	}
	return line.Bytes()
}

const data = "s3://log-bucket/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/2026/11/23/10/data/6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001_"

// Prompts and answers are extracted for every kind of call that Bedrock logs.
func TestTexts(t *testing.T) {
	t.Parallel()
	jane, role := "arn:aws:sts::123456789012:assumed-role/Clerk/jane", "arn:aws:sts::123456789012:assumed-role/bedrock-app-dev-function-role/bedrock-app-dev-function"
	for name, want := range map[string]struct{ caller, prompt, answer, errorCode string }{
		"text-completion-stream": {role, "settings: {\"stop_sequences\":[\"\\n\\nHuman:\"]}\n\nuser: \n\nHuman: Hello\n\nAssistant:", " Hello!", ""},
		"messages": {
			jane, "system: Be brief.\n\nuser: What is in this picture?\n\nassistant: Which one?\n\nuser: This one:\n[image image/png of 8 bytes]",
			"[reasoning] A cat, surely.\nA cat.\n[tool feed] {\"grams\":30}", "",
		},
		"messages-stream": {jane, "What is the weather?", "Let me look. \n[tool weather] {\"city\":\"Tokyo\"}", ""},
		"converse":        {jane, "system: Answer in Japanese.\n\nuser: 今日の天気は？", "[reasoning] I cannot know.\n分かりません。", ""},
		"converse-stream": {
			"10.0.131.7 via vpce-0123456789abcdef0",
			"user: Look it up.\n\nassistant: [tool search] {\"q\":\"rates\"}\n\nuser: [tool result] {\"rate\":0.5}\n[document pdf report s3://files/report.pdf]",
			"The rate is 0.5.", "",
		},
		"nova":              {role, "[image png of 8 bytes]\nDescribe it.", "A dot.", ""},
		"nova-stream":       {role, "Say hello.", "Hello.", ""},
		"titan-text-stream": {role, "User: Hello\n\nBot:", " Hello! How can I help?", ""},
		"llama":             {role, "What is the capital of Sudan?", "Khartoum.", ""},
		"embedding":         {role, "a sentence", "[embedding of 3 numbers]", ""},
		"embedding-batch":   {role, "one\ntwo", "[embedding of 2 numbers] [embedding of 2 numbers]\n{\"texts\":[\"one\",\"two\"]}", ""},
		"image":             {role, "a blue whale", "[" + data + "output.png]", ""},
		"large-bodies":      {jane, "[" + data + "input.json.gz]", "[" + data + "output.json.gz]", ""},
		"error":             {jane, "", "", "ThrottlingException"},
		"without-text":      {jane, "", "", ""},
		"unknown":           {role, `{"strophe":["all the world","is a stage"]}`, `{"verse":{"line":1}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := Reader{Roles: roles}.entry(t.Context(), Query{Texts: true}, sample(t, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if e.Caller != want.caller || e.Prompt != want.prompt || e.Answer != want.answer || e.ErrorCode != want.errorCode {
				t.Errorf("got caller %q\nprompt %q\nanswer %q\nerror %q\nwant %q", e.Caller, e.Prompt, e.Answer, e.ErrorCode, want)
			}
		})
	}
	samples, err := filepath.Glob("testdata/*.json")
	if err != nil || len(samples) != 16 {
		t.Errorf("%d samples, want each in the table: %v", len(samples), err)
	}
}

// Answers are extracted for other formats of models, for JSON in a text, and for chunks in base64.
func TestAnswerShapes(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`"{\"completion\":\"within a text\"}"`:                                                  "within a text",
		`{"choices":[{"message":{"role":"assistant","content":"chosen"}}]}`:                     "chosen",
		`[{"choices":[{"delta":{"content":"cho"}}]},{"choices":[{"delta":{"content":"sen"}}]}]`: "chosen",
		`[{"chunk":{"bytes":"eyJjb21wbGV0aW9uIjoieWVzIn0="}}]`:                                  "yes",
		`{"outputs":[{"text":"mistral"}]}`:                                                      "mistral",
		`{"results":[{"outputText":"titan"}]}`:                                                  "titan",
		`{"images":["iVBORw0KGgo="]}`:                                                           "[1 images]",
		`{"embeddings":{"float":[[1,2],[3,4]]}}`:                                                "[embedding of 2 numbers] [embedding of 2 numbers]",
		`{"embeddings":[{"embeddingType":"TEXT","embedding":[1,2,3]}]}`:                         "[embedding of 3 numbers]",
		`[{"type":"message_start","message":{}},{"type":"message_stop"}]`:                       `[{"type":"message_start","message":{}},{"type":"message_stop"}]`,
		`[[1],[2]]`:                           "[[1],[2]]",
		`[]`:                                  "[]",
		`{"content":[{"x":"y"}]}`:             `{"x":"y"}`,
		`"{\"completion\":\"shown\"} hidden"`: `{"completion":"shown"} hidden`,
		`{"content":[{"type":"tool_use","name":"t","input":{"n":12345678901234567890}}]}`: `[tool t] {"n":12345678901234567890}`,
		// These are formats of newer models, complete and in chunks.
		`{"choices":[{"text":"deep"},{"text":"seek"}]}`:                                                         "deep\nseek",
		`[{"choices":[{"text":"deep","stop_reason":null}]},{"choices":[{"text":"seek","stop_reason":"stop"}]}]`: "deepseek",
		`{"message":"pegasus","finishReason":"stop"}`:                                                           "pegasus",
		`[{"message":"pega"},{"message":"sus"},{"finishReason":"stop"}]`:                                        "pegasus",
		`[{"verse":"one"},{"verse":"two"}]`:                                                                     `{"verse":"onetwo"}`,
		`{"choices":[{"message":{"content":"ok","reasoning_content":"hm"}}]}`:                                   "[reasoning] hm\nok",
		`[{"choices":[{"delta":{"role":"assistant","reasoning_content":"h"}}]},{"choices":[{"delta":{"reasoning_content":"m"}}]},{"choices":[{"delta":{"role":"assistant","content":"ok"}}]}]`:                                                                                                                                                                                                                      "[reasoning] hm\nok",
		`{"choices":[{"message":{"content":null,"tool_calls":[{"type":"function","function":{"name":"wire","arguments":"{\"to\":1}"}}]}}]}`:                                                                                                                                                                                                                                                                         `[tool wire] {"to":1}`,
		`[{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"name":"b","arguments":""}},{"index":0,"function":{"name":"a","arguments":"{}"}}]}}]},{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"to\":1}"}}]}}]}]`:                                                                                                                                         "[tool a] {}\n[tool b] {\"to\":1}",
		`{"content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Sure."},{"type":"text","text":"Done."}]}`:                                                                                                                                                                                                                                                                           "[reasoning] hm\nSure.\nDone.",
		`[{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Su"}},{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}},{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"re."}},{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Done."}}]`:                                                 "[reasoning] hm\nSure.\nDone.",
		`[{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}},{"contentBlockDelta":{"contentBlockIndex":1,"delta":{"text":"Sure."}}},{"contentBlockDelta":{"contentBlockIndex":10,"delta":{"text":"Done."}}},{"contentBlockStart":{"contentBlockIndex":2,"start":{"toolUse":{"name":"t"}}}},{"contentBlockDelta":{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}}]`: "[reasoning] hm\nSure.\n[tool t] {}\nDone.",
		// These are answers that a guardrail blocked.
		`{"output":{"message":{"content":[{"text":"Sorry."}]}},"stopReason":"guardrail_intervened","trace":{"guardrail":{"modelOutput":["secret"]}}}`:                                                     "[guardrail intervened] Sorry.\n[blocked by the guardrail, not sent] secret",
		`[{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Sorry."}}},{"messageStop":{"stopReason":"guardrail_intervened"}},{"metadata":{"trace":{"guardrail":{"modelOutput":["secret"]}}}}]`: "[guardrail intervened] Sorry.\n[blocked by the guardrail, not sent] secret",
		`{"content":[{"type":"text","text":"Sorry."}],"amazon-bedrock-guardrailAction":"INTERVENED","amazon-bedrock-trace":{"guardrail":{"modelOutput":["secret"]}}}`:                                     "[guardrail intervened] Sorry.\n[blocked by the guardrail, not sent] secret",
		`[{"outputText":"So","amazon-bedrock-guardrailAction":"NONE"},{"outputText":"rry.","amazon-bedrock-guardrailAction":"INTERVENED"}]`:                                                               "[guardrail intervened] Sorry.",
	} {
		if got := answer(parseJSON([]byte(body))); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// Every part of a prompt is extracted.
func TestPromptShapes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("あ", 600)
	for body, want := range map[string]string{
		`{"messages":[{"role":"user","content":[{"document":{"format":"txt","name":"d","source":{"text":"one"}}},{"document":{"name":"e","source":{"content":[{"text":"two"}]}}},{"text":"sum up"}]}]}`: "[document txt d]\none\n[document e]\ntwo\nsum up",
		`{"messages":[{"content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain text"}}]}]}`:                                                                       "[document text/plain]\nplain text",
		`{"messages":[{"content":[{"document":{"format":"txt","name":"d","source":{"bytes":"a2VzdHJlbA=="}}}]}]}`:                                                                                       "[document txt d of 7 bytes]\nkestrel",
		`{"messages":[{"content":[{"document":{"format":"pdf","name":"g","source":{"s3Uri":"s3://log/x.pdf"}}}]}]}`:                                                                                     "[document pdf g s3://log/x.pdf]",
		`{"message":"and now?","chat_history":[{"role":"USER","message":"a"},{"role":"CHATBOT","message":"b"}],"preamble":"p","documents":[{"title":"t","snippet":"s"}]}`:                               "system: p\n\ndocument: s\n{\"title\":\"t\"}\n\nUSER: a\n\nCHATBOT: b\n\nuser: and now?",
		`{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"wire","arguments":"{}"}}]},{"role":"tool","content":"done"}]}`:                "user: q\n\nassistant: [tool wire] {}\n\ntool: done",
		`{"messages":[{"content":[{"searchResult":{"source":"s","content":[{"text":"found"}]}},{"new":{"block":1}},{"cachePoint":{"type":"default"}}]}]}`:                                               "found\n{\"source\":\"s\"}\n{\"new\":{\"block\":1}}",
		`{"inputs":[{"content":[{"type":"text","text":"embedded"}]}]}`:                                                                                                                                  "embedded", `{"inputPrompt":"pegasus"}`: "pegasus", `{"inPaintingParams":{"text":"a whale"}}`: "a whale",
		`{"query":"q","documents":["a","b"]}`: "document: a\n\ndocument: b\n\nuser: q",
		`{"verse":"` + long + `"}`:            `{"verse":"` + long + `"}`, `{"verse": "\u5929\ud83d\ude00\"\u0007\\u5929"}`: `{"verse":"天😀\"\u0007\\u5929"}`,
	} {
		if got := asked(parseJSON([]byte(body))); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// Texts contain content of unknown kinds too.
func TestTextsContainUnknownContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`[{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"toolResult":[{"text":"CANARY"}]}}}]`, `[{"outputText":"a"},{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"citation":{"title":"CANARY"}}}}]`,
		`[{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}},{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"cited_text":"CANARY"}}}]`,
		`{"content":[{"cachePoint":{"type":"default"},"new":"CANARY"}]}`, `{"content":[{"type":"tool_result","new":"CANARY"}]}`, `{"content":[{"toolResult":{"new":"CANARY"}}]}`,
		`{"choices":[{"message":{"content":"a","audio":{"data":"UklGRgAAAAA=","transcript":"CANARY"}}}]}`, `{"content":[{"type":"document","context":"CANARY","source":{"type":"text","data":"a"}}]}`,
		`{"content":[{"searchResult":{"title":"CANARY","content":[{"text":"a"}]}}]}`, `{"content":[{"text":"a","new":{"b":["CANARY"]}}]}`, `{"content":[{"text":"a","t\u0065xt":"CANARY"}]}`, `{"content":[{"toolUse":{"name":"n","input":{},"new":"CANARY"}}]}`,
		`{"content":[{"document":{"source":{"bytes":"Q0FOQVJZ/w"}}}]}`, `{"content":[{"document":{"source":{"bytes":"//5DAEEATgBBAFIAWQA="}}}]}`, `{"content":[{"document":{"source":"CANARY"}}]}`,
	} {
		if got := answer(parseJSON([]byte(body))); !strings.Contains(got, "CANARY") || strings.Contains(got, "UklG") {
			t.Errorf("answer %s: got %q", body, got)
		}
		body = `{"messages":[{"role":"user","content":` + body + `}]}`
		if got := asked(parseJSON([]byte(body))); !strings.Contains(got, "CANARY") && !strings.Contains(body, "/") {
			t.Errorf("prompt %s: got %q", body, got)
		}
	}
	for _, body := range []string{
		`{"prompt":"a","suffix":"CANARY"}`, `{"textToImageParams":{"text":"a","negativeText":"CANARY"}}`, `{"message":"a","tool_results":[{"outputs":[{"b":"CANARY"}]}]}`,
		`{"messages":[{"role":"user","content":"a"}],"toolConfig":{"tools":[{"toolSpec":{"name":"n","description":"CANARY"}}]}}`, `{"messages":[{"cachePoint":{"type":"default"},"new":"CANARY"}]}`,
	} {
		if got := asked(parseJSON([]byte(body))); !strings.Contains(got, "CANARY") {
			t.Errorf("prompt %s: got %q", body, got)
		}
	}
}

// No record breaks the reader. A caller controls the prompt, and a log can contain forged records.
func FuzzEntry(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range samples {
		f.Add(sample(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Reader{}.entry(t.Context(), Query{Texts: true, Record: true}, line)
		if e == nil {
			if err == nil {
				t.Error("neither a record nor an error")
			}
			return
		}
		if !utf8.ValidString(e.Prompt) && utf8.Valid(line) {
			t.Errorf("prompt %q", e.Prompt)
		}
		if json.Valid(line) && !json.Valid(e.Record) { // a damaged line is shown unchanged
			t.Errorf("the whole record is no JSON: %s", e.Record)
		}
	})
}

// No body breaks the extraction of texts.
func FuzzTexts(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"=="}}}]}]}`))
	f.Add([]byte(`[{"chunk":{"bytes":"e30="}},{"delta":{"text":"a"}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		joined(prompt(parseJSON(body)))
		answer(parseJSON(body))
	})
}

// A shortened text is the beginning of the complete text, although less of the body is read.
func TestShortenedTextIsPrefix(t *testing.T) {
	t.Parallel()
	b := &bodies{Rand: rand.New(rand.NewPCG(13, 4))}
	text := func() string {
		return string([]rune(strings.Repeat([]string{"word ", "天気", "😀", "\n", `"`, "é", "\x01"}[b.IntN(7)], 200))[:b.IntN(200)])
	}
	for range 500 {
		answer := any(map[string]any{"content": []any{map[string]any{"text": text()}, map[string]any{"text": text()}}})
		if b.IntN(2) == 0 {
			answer = b.stream("x" + text())
		}
		var messages []any
		for range 1 + b.IntN(3) {
			messages = append(messages, map[string]any{"role": "user", "content": text() + "."})
		}
		record := recordOf(b.encode(map[string]any{"system": "be brief", "tools": text(), "messages": messages}), b.encode(answer))
		whole, err := Reader{}.entry(t.Context(), Query{Texts: true}, record)
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 30, 100} {
			short, err := Reader{}.entry(t.Context(), Query{Texts: true, Limit: limit}, record)
			if err != nil {
				t.Fatal(err)
			}
			last := whole.Prompt[strings.LastIndex(whole.Prompt, "\n\nuser: ")+len("\n\nuser: "):]
			if want := shorten(fmt.Sprintf("[turn %d] %s", 1+len(messages), last), limit); short.Prompt != want {
				t.Errorf("%d characters of the prompt: got %q, want %q, of\n%s", limit, short.Prompt, want, record)
			}
			if want := shorten(whole.Answer, limit); short.Answer != want {
				t.Errorf("%d characters of the answer: got %q, want %q, of\n%s", limit, short.Answer, want, record)
			}
		}
	}
}
