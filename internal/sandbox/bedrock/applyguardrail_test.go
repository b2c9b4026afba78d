package bedrock

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
)

func applying(id, source string, texts ...string) *bedrockruntime.ApplyGuardrailInput {
	in := &bedrockruntime.ApplyGuardrailInput{
		GuardrailIdentifier: &id, GuardrailVersion: aws.String("DRAFT"), Source: types.GuardrailContentSource(source), Content: []types.GuardrailContentBlock{},
	}
	for _, text := range texts {
		in.Content = append(in.Content, &types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: &text}})
	}
	return in
}

// Lost: a test that a function evaluates the texts that Bedrock's own guardrail leaves out, and that IAM is asked for it.
func TestApplyGuardrail(t *testing.T) {
	t.Parallel()
	s := speak(t)
	s.standIn.guardrails = newGuardrails("ap-northeast-1", "123456789012")
	id, arn := makeGuardrail(t, s.standIn.guardrails, strings.Replace(someGuardrail, `{"text":"moon"}`, `{"text":"moon"},{"text":"sun","inputEnabled":false}`, 1))
	for _, c := range []struct {
		in   *bedrockruntime.ApplyGuardrailInput
		want string // the output, "" is none
		word string
	}{
		{applying(id, "INPUT", "hello"), "", ""},
		{applying(arn, "INPUT", "hello"), "", ""},
		{applying(id, "INPUT"), "", ""},
		{applying(id, "INPUT", "hello", "to the Moon"), "No.", "moon"},
		{applying(id, "OUTPUT", "to the moon"), "No answer.", "moon"},
		{applying(id, "INPUT", "the sun"), "", ""},
		{applying(id, "OUTPUT", "the sun"), "No answer.", "sun"},
		{applying(id, "INPUT", strings.Repeat("x", 24_999)+" "), "", ""},
	} {
		out, err := s.ApplyGuardrail(t.Context(), c.in)
		if err != nil {
			t.Fatal(err)
		}
		if asked := <-s.asked; asked.Action != "bedrock:ApplyGuardrail" || asked.Model != arn || asked.Guardrail != "" {
			t.Errorf("IAM is asked about %+v", asked)
		}
		blocked := out.Action == types.GuardrailActionGuardrailIntervened
		text, word := "", ""
		if len(out.Outputs) == 1 {
			text = *out.Outputs[0].Text
		}
		if len(out.Assessments) == 1 && out.Assessments[0].WordPolicy != nil {
			word = *out.Assessments[0].WordPolicy.CustomWords[0].Match
		}
		if blocked != (c.want != "") || text != c.want || word != c.word || out.Usage.WordPolicyUnits == nil {
			t.Errorf("%s %+v: %s %q, word %q; want %q", c.in.Source, c.in.Content, out.Action, text, word, c.want)
		}
	}
	refused := func(want string, in *bedrockruntime.ApplyGuardrailInput) {
		t.Helper()
		if _, err := s.ApplyGuardrail(t.Context(), in); refusedAs(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refused("ValidationException", applying("A b", "INPUT", "hello"))
	refused("ValidationException", applying(id, "PROMPT", "hello"))
	refused("ValidationException", applying(id, "INPUT", " "))
	refused("ResourceNotFoundException", applying("abcdefghijkl", "INPUT", "hello"))
	refused("ThrottlingException", applying(id, "INPUT", strings.Repeat("x", 25_001)))
	version := applying(id, "INPUT", "hello")
	version.GuardrailVersion = aws.String("0")
	refused("ValidationException", version)
	version.GuardrailVersion = aws.String("7")
	refused("ResourceNotFoundException", version)
	if len(s.records) != 0 {
		t.Error("a call that AWS does not log was recorded")
	}
}

// answers of one prompt, in each of the four operations: their texts, tool inputs and why they ended.
func answers(t *testing.T, s spoken, guardrail, prompt, tools string) map[string]string {
	t.Helper()
	all := map[string]string{}
	var config *types.ToolConfiguration
	if tools != "" {
		config = bedrocktest.ToolNamed(tools, "the moon", "the moon")
	}
	result := types.ContentBlock(&types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
		ToolUseId: aws.String("a"), Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "the moon"}},
	}})
	messages := bedrocktest.Says(prompt)
	messages[0].Content = append(messages[0].Content, result)
	out, err := s.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: aws.String(someModel), Messages: messages, ToolConfig: config,
		GuardrailConfig: &types.GuardrailConfiguration{GuardrailIdentifier: &guardrail, GuardrailVersion: aws.String("DRAFT")},
	})
	if err != nil {
		t.Fatal(err)
	}
	all["Converse"] = bedrocktest.WholeSaid(t, out)

	stream, err := s.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(someModel), Messages: messages, ToolConfig: config,
		GuardrailConfig: &types.GuardrailStreamConfiguration{GuardrailIdentifier: &guardrail, GuardrailVersion: aws.String("DRAFT")},
	})
	if err != nil {
		t.Fatal(err)
	}
	said, pieces := bedrocktest.StreamSaid(stream.GetStream())
	if all["ConverseStream"] = said; slices.ContainsFunc(pieces, func(piece string) bool { return strings.Contains(piece, "moon") }) {
		t.Errorf("a piece has the whole word: %q", pieces)
	}

	body := `{"anthropic_version":"a","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"` + prompt + `"},{"type":"tool_result","tool_use_id":"a","content":"the moon"}]}]`
	if tools != "" {
		body += `,"tools":[{"name":"` + tools + `","description":"the moon","input_schema":{"title":"the moon"}}]`
	}
	in := invokingBody(body + "}")
	in.GuardrailIdentifier, in.GuardrailVersion = &guardrail, aws.String("DRAFT")
	invoked, err := s.InvokeModel(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	all["InvokeModel"] = still(string(invoked.Body))
	chunked, err := s.invokeStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	all["InvokeModelWithResponseStream"] = strings.Join(bedrocktest.Chunks(chunked), "\n")
	return all
}

// Lost: a test that fails while a function relies on Bedrock's own guardrail alone, which does not evaluate tools' definitions,
// results and inputs (Bedrock User Guide, "Include a guardrail with the Converse API").
func TestToolCallsPassTheGuardrail(t *testing.T) {
	t.Parallel()
	s := speak(t)
	s.standIn.guardrails = newGuardrails("ap-northeast-1", "123456789012")
	id, _ := makeGuardrail(t, s.standIn.guardrails, someGuardrail)
	got := answers(t, s, id, "call mo on", "look")
	for _, operation := range []string{"Converse", "ConverseStream"} {
		if want := `You said: call mo on|look{"word":"moon"}|tool_use`; got[operation] != want {
			t.Errorf("%s: %s, want %s", operation, got[operation], want)
		}
	}
	for operation, parts := range map[string][]string{
		"InvokeModel":                   {`"input":{"word":"moon"},"name":"look","type":"tool_use"`, `"stop_reason":"tool_use"`, `"amazon-bedrock-guardrailAction":"NONE"`},
		"InvokeModelWithResponseStream": {`"input":{},"name":"look","type":"tool_use"`, `"partial_json":"{\"word\":\"mo"`, `"partial_json":"on\"}"`, `"stop_reason":"tool_use"`},
	} {
		for _, part := range parts {
			if !strings.Contains(got[operation], part) {
				t.Errorf("%s: %s, want %s", operation, got[operation], part)
			}
		}
	}
	for operation, said := range answers(t, s, id, "call mo on", "") {
		if strings.Contains(said, "moon") || strings.Contains(said, "tool_use") {
			t.Errorf("%s: without tools: %s", operation, said)
		}
	}
	if r := <-s.records; !strings.Contains(string(r.Output.BodyJSON), `"toolUse":{"input":{"word":"moon"},"name":"look"`) {
		t.Errorf("recorded %s", r.Output.BodyJSON)
	}
}

// Lost: a guardrail on answers. It blocks the model's words on AWS, so a test here must see it.
func TestGuardrailOnAnswers(t *testing.T) {
	t.Parallel()
	s := speak(t)
	s.standIn.guardrails = newGuardrails("ap-northeast-1", "123456789012")
	id, _ := makeGuardrail(t, s.standIn.guardrails, strings.Replace(someGuardrail, `"moon"`, `"moon","inputEnabled":false`, 1))
	got := answers(t, s, id, "call the moon", "look")
	for _, operation := range []string{"Converse", "ConverseStream"} {
		if want := "No answer.|guardrail_intervened"; got[operation] != want {
			t.Errorf("%s: %s, want %s", operation, got[operation], want)
		}
	}
	for _, operation := range []string{"InvokeModel", "InvokeModelWithResponseStream"} {
		if said := got[operation]; !strings.Contains(said, `"amazon-bedrock-guardrailAction":"INTERVENED"`) || strings.Contains(said, "moon") || strings.Contains(said, "look") {
			t.Errorf("%s: %s", operation, said)
		}
	}
	for range 4 {
		if r := <-s.records; r.Input.TokenCount == 0 || strings.Contains(string(r.Output.BodyJSON), "moon") {
			t.Errorf("%s: the model was asked, and its answer is not kept: %d tokens, %s", r.Operation, r.Input.TokenCount, r.Output.BodyJSON)
		}
	}
	in := invokingBody(`{"inputText":"the moon"}`)
	in.GuardrailIdentifier, in.GuardrailVersion = &id, aws.String("DRAFT")
	if out, err := s.InvokeModel(t.Context(), in); err != nil || !strings.Contains(string(out.Body), `"NONE"`) {
		t.Errorf("an embedding says nothing: %+v, %v", out, err)
	}
}
