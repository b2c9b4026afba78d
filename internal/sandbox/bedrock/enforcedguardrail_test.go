package bedrock

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	controlplane "github.com/aws/aws-sdk-go-v2/service/bedrock"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// Lost: a test that a stack works in an account that enforces a guardrail, and that nothing is read or written past it.
func TestEnforcedGuardrail(t *testing.T) {
	t.Parallel()
	c, s, ctx := controlClient(t), speak(t), t.Context()
	g := c.service.runtime.guardrails
	s.standIn.guardrails = g
	id, arn := makeGuardrail(t, g, someGuardrail)
	own, ownArn := makeGuardrail(t, g, strings.NewReplacer(`"g"`, `"own"`, "moon", "sun", "No.", "Not so.").Replace(someGuardrail))
	control(t, g, "POST", "/guardrails/"+id, "") // version 1
	put := func(config controltypes.AccountEnforcedGuardrailInferenceInputConfiguration, configID *string) (*controlplane.PutEnforcedGuardrailConfigurationOutput, error) {
		return c.PutEnforcedGuardrailConfiguration(ctx, &controlplane.PutEnforcedGuardrailConfigurationInput{ConfigId: configID, GuardrailInferenceConfig: &config})
	}
	version := func(version string) controltypes.AccountEnforcedGuardrailInferenceInputConfiguration {
		return controltypes.AccountEnforcedGuardrailInferenceInputConfiguration{GuardrailIdentifier: &id, GuardrailVersion: &version}
	}
	selective := version("1")
	selective.SelectiveContentGuarding = &controltypes.SelectiveContentGuarding{System: "SELECTIVE", Messages: "SELECTIVE"}
	for want, refuse := range map[string]func() error{
		"ValidationException":                         func() error { _, err := put(version("DRAFT"), nil); return err },
		"ValidationException of what is not played":   func() error { _, err := put(selective, nil); return err },
		"ResourceNotFoundException":                   func() error { _, err := put(version("2"), nil); return err },
		"ResourceNotFoundException of the other name": func() error { _, err := put(version("1"), aws.String("none")); return err },
		"ResourceNotFoundException on deletion": func() error {
			_, err := c.DeleteEnforcedGuardrailConfiguration(ctx, &controlplane.DeleteEnforcedGuardrailConfigurationInput{ConfigId: aws.String("none")})
			return err
		},
	} {
		if name, _, _ := strings.Cut(want, " "); refusedAs(refuse()) != name {
			t.Errorf("%v, want %s", refuse(), want)
		}
	}
	ask := func(guardrail string, system string, blocks ...types.ContentBlock) (string, ModelCall) {
		t.Helper()
		in := &bedrockruntime.ConverseInput{ModelId: aws.String(someModel), Messages: []types.Message{{Role: "user", Content: blocks}}}
		if system != "" {
			in.System = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: system}}
		}
		if guardrail != "" {
			in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: &guardrail, GuardrailVersion: aws.String("DRAFT")}
		}
		out, err := s.Converse(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return out.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value, <-s.asked
	}
	text := func(text string) types.ContentBlock { return &types.ContentBlockMemberText{Value: text} }
	mark := func(text string) types.ContentBlock {
		return &types.ContentBlockMemberGuardContent{Value: &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: &text}}}
	}
	if said, call := ask("", "", text("the moon")); said != "You said: the moon" || call.enforced != "" {
		t.Errorf("before: %q, IAM is asked about %+v", said, call)
	}

	made, err := put(version("1"), nil)
	if err != nil || made.ConfigId == nil || made.UpdatedAt == nil || *made.UpdatedBy != "arn:aws:iam::123456789012:root" {
		t.Fatalf("%+v, %v", made, err)
	}
	listed, err := c.ListEnforcedGuardrailsConfiguration(ctx, nil)
	if err != nil || len(listed.GuardrailsConfig) != 1 || *listed.GuardrailsConfig[0].GuardrailArn != arn || *listed.GuardrailsConfig[0].GuardrailVersion != "1" ||
		*listed.GuardrailsConfig[0].ConfigId != *made.ConfigId || listed.GuardrailsConfig[0].Owner != controltypes.ConfigurationOwnerAccount {
		t.Errorf("%+v, %v", listed, err)
	}
	for name, c := range map[string]struct {
		guardrail, system string
		blocks            []types.ContentBlock
		want              string
	}{
		"a message":              {"", "", []types.ContentBlock{text("the moon")}, "No."},
		"a system prompt":        {"", "the moon", []types.ContentBlock{text("hello")}, "No."},
		"beside a mark":          {"", "", []types.ContentBlock{text("the moon"), mark("hello")}, "No."},
		"its own guardrail":      {own, "", []types.ContentBlock{text("the sun")}, "Not so."},
		"past its own guardrail": {own, "", []types.ContentBlock{text("the moon")}, "No."},
		"harmless":               {own, "be", []types.ContentBlock{text("hello")}, "You said: hello"},
	} {
		said, call := ask(c.guardrail, c.system, c.blocks...)
		if said != c.want || call.enforced != arn || (call.Guardrail == ownArn) != (c.guardrail == own) {
			t.Errorf("%s: %q, want %q; IAM is asked about %+v", name, said, c.want, call)
		}
	}
	in := invokingBody(`{"prompt":"the moon <amazon-bedrock-guardrails-guardContent_x>hello</amazon-bedrock-guardrails-guardContent_x>","amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}`)
	in.GuardrailIdentifier, in.GuardrailVersion = &own, aws.String("DRAFT")
	if out, err := s.InvokeModel(ctx, in); err != nil || !strings.Contains(string(out.Body), `"completion":" No."`) {
		t.Errorf("beside a tag: %+v, %v", out, err)
	}
	for _, query := range []string{"", "?guardrailVersion=1"} {
		if _, exception, _ := control(t, g, "DELETE", "/guardrails/"+id+query, ""); exception != "ConflictException" {
			t.Errorf("deleted an enforced guardrail %q: %s", query, exception)
		}
	}
	if again, err := put(version("1"), made.ConfigId); err != nil || *again.ConfigId != *made.ConfigId {
		t.Errorf("changed: %+v, %v", again, err)
	}
	if _, err := c.DeleteEnforcedGuardrailConfiguration(ctx, &controlplane.DeleteEnforcedGuardrailConfigurationInput{ConfigId: made.ConfigId}); err != nil {
		t.Error(err)
	}
	if listed, err := c.ListEnforcedGuardrailsConfiguration(ctx, nil); err != nil || len(listed.GuardrailsConfig) != 0 {
		t.Errorf("%+v, %v", listed, err)
	}
	c.denied, c.asked = "bedrock:PutEnforcedGuardrailConfiguration", nil
	if _, err := put(version("1"), nil); refusedAs(err) != "AccessDeniedException" || len(c.asked) != 1 {
		t.Errorf("a denied change: %v", err)
	}
}
