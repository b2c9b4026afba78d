//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
)

// asksTool is a conversation in which a tool was asked and answered.
func asksTool(input, result string) []types.Message {
	id, name := aws.String("tooluse_1"), aws.String("look")
	return []types.Message{
		bedrocktest.Says("of a refused tool")[0],
		{Role: "assistant", Content: []types.ContentBlock{&types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
			ToolUseId: id, Name: name, Input: document.NewLazyDocument(map[string]any{"where": []string{input}}),
		}}}},
		{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
			ToolUseId: id, Content: []types.ToolResultContentBlock{
				&types.ToolResultContentBlockMemberText{Value: "seen"},
				&types.ToolResultContentBlockMemberJson{Value: document.NewLazyDocument(map[string]any{"seen": []string{result}})},
			},
		}}}},
	}
}

// guardsTools: Bedrock's own guardrail does not evaluate tools. The stack evaluates them or refuses the call, in each operation. An
// agent whose tools have no blocked word is answered.
func (s *running) guardsTools(t *testing.T, who aws.Credentials, outputs map[string]string) {
	client, model := s.signedClient(who, outputs), aws.String("amazon.nova-micro-v1:0")
	claude := aws.String("jp.anthropic.claude-haiku-4-5-20251001-v1:0")
	const word = "xyzzy"
	anthropic := func(prompt, description, title, input, result string) []byte {
		return []byte(fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":99,"tools":[{"name":"look","description":%q,"input_schema":{"type":"object","title":%q}}],
			"messages":[{"role":"user","content":"of a refused tool"},{"role":"assistant","content":[{"type":"tool_use","id":"tooluse_1","name":"look","input":{"where":[%q]}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"tooluse_1","content":[{"type":"text","text":%q}]},{"type":"text","text":%q}]}]}`, description, title, input, result, prompt))
	}
	ask := func(tools *types.ToolConfiguration, messages []types.Message, body []byte) (said map[string]string, failed map[string]error) {
		said, failed = map[string]string{}, map[string]error{}
		out, err := client.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: model, Messages: messages, ToolConfig: tools})
		if failed["Converse"] = err; err == nil {
			said["Converse"] = bedrocktest.WholeSaid(t, out)
		}
		stream, err := client.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: model, Messages: messages, ToolConfig: tools})
		if err == nil {
			said["ConverseStream"], _ = bedrocktest.StreamSaid(stream.GetStream())
			err = stream.GetStream().Err()
		}
		failed["ConverseStream"] = err
		invoked, err := client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: claude, Body: body})
		if failed["InvokeModel"] = err; err == nil {
			said["InvokeModel"] = string(invoked.Body)
		}
		chunked, err := client.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: claude, Body: body})
		if err == nil {
			for _, one := range bedrocktest.Chunks(chunked.GetStream()) {
				var c struct {
					Delta struct {
						Text    string
						Partial string `json:"partial_json"`
					}
				}
				if err := json.Unmarshal([]byte(one), &c); err != nil {
					t.Fatal(err)
				}
				said["InvokeModelWithResponseStream"] += c.Delta.Text + c.Delta.Partial
			}
			err = chunked.GetStream().Err()
		}
		failed["InvokeModelWithResponseStream"] = err
		return said, failed
	}
	harmless := bedrocktest.ToolNamed("look", "looks", "where")
	for name, c := range map[string]struct {
		tools    *types.ToolConfiguration
		messages []types.Message
		body     []byte
	}{
		"a tool's description":   {bedrocktest.ToolNamed("look", "say "+word, "where"), asksTool("a", "b"), anthropic("go on", "say "+word, "where", "a", "b")},
		"a tool's schema":        {bedrocktest.ToolNamed("look", "looks", word), asksTool("a", "b"), anthropic("go on", "looks", word, "a", "b")},
		"what a tool was asked":  {harmless, asksTool(word, "b"), anthropic("go on", "looks", "where", word, "b")},
		"what a tool found":      {harmless, asksTool("a", "the "+word), anthropic("go on", "looks", "where", "a", "the "+word)},
		"what a tool was called": {bedrocktest.ToolNamed(word, "looks", "where"), asksTool("a", "b"), []byte(strings.ReplaceAll(string(anthropic("go on", "looks", "where", "a", "b")), `"look"`, `"`+word+`"`))},
	} {
		said, failed := ask(c.tools, c.messages, c.body)
		for operation, err := range failed {
			var answered interface{ HTTPStatusCode() int }
			if !errors.As(err, &answered) || answered.HTTPStatusCode() < 400 || strings.Contains(err.Error(), word) {
				t.Errorf("%s with a blocked word, %s: %v, want a refusal without the word; said %q", name, operation, err, said[operation])
			}
		}
	}
	if records := s.recordsOf(t, word); len(records) > 0 {
		for _, r := range records {
			if strings.Contains(string(r.Input.BodyJSON), "of a refused tool") {
				t.Errorf("a model was asked: %s", r.Input.BodyJSON)
			}
		}
	}
	said, failed := ask(harmless, bedrocktest.Says("call hel lo"), anthropic("call hel lo", "looks", "where", "a", "b"))
	for operation, err := range failed {
		if err != nil || !strings.Contains(said[operation], `{"word":"hello"}`) {
			t.Errorf("a harmless tool, %s: %q, %v", operation, said[operation], err)
		}
	}
	said, _ = ask(harmless, bedrocktest.Says("call xyz zy"), anthropic("call xyz zy", "looks", "where", "a", "b")) // refused or with something in its place
	for operation, text := range said {
		if strings.Contains(text, word) {
			t.Errorf("what a model asks a tool is sent with a blocked word, %s: %q", operation, text)
		}
	}
}

// enforcing is a guardrail that the account enforces.
type enforcing struct {
	s                 *running
	id, arn, configID string
}

func (s *running) enforceGuardrail(t *testing.T) enforcing {
	t.Helper()
	e := enforcing{s: s}
	put := func(method, path, body string, out any) {
		t.Helper()
		answer, err := s.aws.Do(t.Context(), "bedrock", method, path, map[string]string{"Content-Type": "application/json"}, []byte(body))
		if err == nil {
			err = json.Unmarshal(answer, out)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var made struct{ GuardrailID, GuardrailArn, ConfigID string }
	put(http.MethodPost, "/guardrails", `{"name":"enforced","blockedInputMessaging":"No.","blockedOutputsMessaging":"No.","wordPolicyConfig":{"wordsConfig":[{"text":"frobnitz"}]}}`, &made)
	e.id, e.arn = made.GuardrailID, made.GuardrailArn
	put(http.MethodPost, "/guardrails/"+e.id, "{}", &made)
	put(http.MethodPut, "/enforcedGuardrailsConfiguration", `{"guardrailInferenceConfig":{"guardrailIdentifier":"`+e.id+`","guardrailVersion":"1"}}`, &made)
	e.configID = made.ConfigID
	return e
}

// answersOnlyWhereNamed: a stack that names the enforced guardrail answers, under it, and one that does not is denied; then nothing
// is enforced any more.
func (e enforcing) answersOnlyWhereNamed(t *testing.T, ask func(prompt string) (int, string)) {
	t.Helper()
	const blocked = "say frobnitz"
	if status, body := ask("Hello"); status != 200 || !strings.Contains(body, "You said: Hello") {
		t.Errorf("the stack that names the enforced guardrail: status %d: %s", status, body)
	}
	if status, body := ask(blocked); strings.Contains(body, "You said") {
		t.Errorf("past the enforced guardrail: status %d: %s", status, body)
	}
	if status, _, body := e.s.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 403 {
		t.Errorf("the stack that does not name it: status %d, want 403: %s", status, body)
	}
	for _, path := range []string{"/enforcedGuardrailsConfiguration/" + e.configID, "/guardrails/" + e.id} {
		if _, err := e.s.aws.Do(t.Context(), "bedrock", http.MethodDelete, path, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := ask(blocked); status != 200 || !strings.Contains(body, "You said: "+blocked) {
		t.Errorf("nothing is enforced: status %d: %s", status, body)
	}
	if status, _, body := e.s.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 200 {
		t.Errorf("nothing is enforced, the other stack: status %d: %s", status, body)
	}
}
