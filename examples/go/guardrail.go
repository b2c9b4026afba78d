package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// guardrail blocks attacks on the prompt and card numbers; a BedrockFunction given its id and version puts it on every call.
func guardrail(ctx *pulumi.Context) error {
	guardrail, err := components.NewGuardrail(ctx, "guardrail", &components.GuardrailArgs{
		ContentFilters: []string{"PROMPT_ATTACK"}, PiiEntities: []string{"CREDIT_DEBIT_CARD_NUMBER"},
	})
	if err != nil {
		return err
	}
	ctx.Export("guardrailId", guardrail.GuardrailId)
	ctx.Export("version", guardrail.Version)
	return nil
}
