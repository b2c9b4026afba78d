package components

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrock"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Guardrail is a Bedrock guardrail with a published version, which a BedrockFunction puts on every call.
type Guardrail struct {
	pulumi.ResourceState

	// GuardrailId is for BedrockFunction, with Version.
	GuardrailId pulumi.StringOutput `pulumi:"guardrailId"`
	// Version changes whenever what the guardrail blocks changes.
	Version pulumi.StringOutput `pulumi:"version"`
}

// GuardrailArgs are Guardrail's arguments. At least one of the lists has an entry.
type GuardrailArgs struct {
	// ContentFilters that block prompts and answers, at Bedrock's highest strength: HATE, INSULTS, MISCONDUCT, SEXUAL,
	// VIOLENCE, and PROMPT_ATTACK, which applies to prompts only, and takes many a system prompt for an attack.
	ContentFilters []string `pulumi:"contentFilters,optional"`
	// BlockedWords in prompts and answers.
	BlockedWords []string `pulumi:"blockedWords,optional"`
	// PiiEntities, such as EMAIL or CREDIT_DEBIT_CARD_NUMBER, that block prompts and answers that hold them (Bedrock API
	// Reference, GuardrailPiiEntityConfig).
	PiiEntities []string `pulumi:"piiEntities,optional"`
	// BlockedMessage is answered in the place of what is blocked. Default: "Blocked by this organization's guardrail."
	BlockedMessage string `pulumi:"blockedMessage,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

// Bedrock API Reference, GuardrailContentFilterConfig, type.
var contentFilters = []string{"HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK", "SEXUAL", "VIOLENCE"}

// CheckContentFilters refuses filters that Bedrock does not have.
func CheckContentFilters(filters []string) error {
	for i, filter := range filters {
		if !slices.Contains(contentFilters, filter) || slices.Contains(filters[:i], filter) {
			return fmt.Errorf("got %q, want each once, of %s", filter, strings.Join(contentFilters, ", "))
		}
	}
	return nil
}

// Bedrock API Reference, GuardrailPiiEntityConfig, type: their form. The list grows.
var piiEntity = regexp.MustCompile(`^[A-Z][A-Z_]+$`)

// CheckPiiEntities refuses what cannot be the name of one.
func CheckPiiEntities(entities []string) error {
	for i, entity := range entities {
		if !piiEntity.MatchString(entity) || slices.Contains(entities[:i], entity) {
			return fmt.Errorf("got %q, want each once, such as EMAIL or CREDIT_DEBIT_CARD_NUMBER", entity)
		}
	}
	return nil
}

// guardrailVersion is one published version of a guardrail; the zero value means no guardrail.
type guardrailVersion struct{ arn, version string }

var (
	guardrailID            = regexp.MustCompile(`^[a-z0-9]{1,64}$`) // Bedrock API Reference, GuardrailConfiguration
	guardrailVersionNumber = regexp.MustCompile(`^[1-9][0-9]{0,7}$`)
	// An enforced guardrail is named with its version in an organization's policy, without it in IAM (Organizations User
	// Guide, "Amazon Bedrock policy syntax and examples"; Service Authorization Reference, "Amazon Bedrock", resource types).
	guardrailARN = regexp.MustCompile(`^(arn:aws[a-z-]*:bedrock:([a-z0-9-]+):[0-9]{12}:guardrail/[a-z0-9]{1,64})(:[1-9][0-9]{0,7})?$`)
)

// CheckGuardrail rejects what Bedrock rejects, and the version DRAFT, which changes with every edit of the guardrail.
func CheckGuardrail(id, version string) error {
	if !guardrailID.MatchString(id) || !guardrailVersionNumber.MatchString(version) {
		return fmt.Errorf("got guardrail %q, version %q, want a guardrail id such as 3o06191495ze and the number of a published "+
			"version such as 1", id, version)
	}
	return nil
}

// CheckEnforcedGuardrail rejects what isn't a guardrail's ARN, and a guardrail of another Region, which Bedrock doesn't enforce
// on calls in this one. If region is empty, every Region is accepted.
func CheckEnforcedGuardrail(arn, region string) error {
	found := guardrailARN.FindStringSubmatch(arn)
	switch {
	case found == nil:
		return fmt.Errorf("got %q, want the ARN of a guardrail such as "+
			"arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze, with or without a version such as :1", arn)
	case region != "" && found[2] != region:
		return fmt.Errorf("got %q, want one of region %s", arn, region)
	}
	return nil
}

func (a GuardrailArgs) validate(name string) error {
	var errs []error
	if len(name) > 50 { // Bedrock API Reference, CreateGuardrail, name
		errs = append(errs, fmt.Errorf("name: got %d characters, want at most 50", len(name)))
	}
	if len(a.ContentFilters)+len(a.BlockedWords)+len(a.PiiEntities) == 0 {
		errs = append(errs, errors.New("ContentFilters, BlockedWords, PiiEntities: got none, want at least one entry"))
	}
	if err := CheckContentFilters(a.ContentFilters); err != nil {
		errs = append(errs, fmt.Errorf("ContentFilters: %w", err))
	}
	if err := CheckPiiEntities(a.PiiEntities); err != nil {
		errs = append(errs, fmt.Errorf("PiiEntities: %w", err))
	}
	return errors.Join(errs...)
}

// NewGuardrail makes a Guardrail.
func NewGuardrail(ctx *pulumi.Context, name string, args *GuardrailArgs, opts ...pulumi.ResourceOption) (*Guardrail, error) {
	if args == nil {
		args = &GuardrailArgs{}
	}
	a := *args
	if a.BlockedMessage == "" {
		a.BlockedMessage = "Blocked by this organization's guardrail."
	}
	if err := a.validate(name); err != nil {
		return nil, fmt.Errorf("Guardrail %s: %w", name, err)
	}
	c := &Guardrail{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:Guardrail", name, c, opts...); err != nil {
		return nil, err
	}
	inputs := &bedrock.GuardrailArgs{
		Name: pulumi.String(name), Tags: a.Tags,
		// Without one the AWS provider makes the guardrail, then fails and forgets it.
		Description:           pulumi.String("put on every call by private-bedrock"),
		BlockedInputMessaging: pulumi.String(a.BlockedMessage), BlockedOutputsMessaging: pulumi.String(a.BlockedMessage),
	}
	if len(a.ContentFilters) > 0 {
		var filters bedrock.GuardrailContentPolicyConfigFiltersConfigArray
		for _, filter := range a.ContentFilters {
			output := "HIGH"
			if filter == "PROMPT_ATTACK" {
				output = "NONE" // Bedrock refuses any other: answers attack nobody
			}
			filters = append(filters, bedrock.GuardrailContentPolicyConfigFiltersConfigArgs{
				Type: pulumi.String(filter), InputStrength: pulumi.String("HIGH"), OutputStrength: pulumi.String(output),
			})
		}
		inputs.ContentPolicyConfig = bedrock.GuardrailContentPolicyConfigArgs{FiltersConfigs: filters}
	}
	if len(a.BlockedWords) > 0 {
		var words bedrock.GuardrailWordPolicyConfigWordsConfigArray
		for _, word := range a.BlockedWords {
			words = append(words, bedrock.GuardrailWordPolicyConfigWordsConfigArgs{Text: pulumi.String(word)})
		}
		inputs.WordPolicyConfig = bedrock.GuardrailWordPolicyConfigArgs{WordsConfigs: words}
	}
	if len(a.PiiEntities) > 0 {
		var entities bedrock.GuardrailSensitiveInformationPolicyConfigPiiEntitiesConfigArray
		for _, entity := range a.PiiEntities {
			entities = append(entities, bedrock.GuardrailSensitiveInformationPolicyConfigPiiEntitiesConfigArgs{
				Type: pulumi.String(entity), Action: pulumi.String("BLOCK"),
			})
		}
		inputs.SensitiveInformationPolicyConfig = bedrock.GuardrailSensitiveInformationPolicyConfigArgs{PiiEntitiesConfigs: entities}
	}
	guardrail, err := bedrock.NewGuardrail(ctx, name, inputs, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}
	// A version is a copy that no later change touches (Bedrock User Guide, "Create a version of a guardrail"): a change
	// above changes the description, and so makes a new one. The old one goes after the function has left it.
	rules := digest(fmt.Sprintf("%q %q %q %q", a.ContentFilters, a.BlockedWords, a.PiiEntities, a.BlockedMessage))
	version, err := bedrock.NewGuardrailVersion(ctx, name, &bedrock.GuardrailVersionArgs{
		GuardrailArn: guardrail.GuardrailArn, Description: pulumi.String("of settings " + rules[:16]),
	}, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}
	c.GuardrailId, c.Version = guardrail.GuardrailId, version.Version
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"guardrailId": c.GuardrailId, "version": c.Version})
}
