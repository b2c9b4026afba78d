package components

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrock"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Guardrail is a Bedrock guardrail with a published version, which BedrockFunction adds to every call.
type Guardrail struct {
	pulumi.ResourceState

	// GuardrailId is the guardrail's ID. Pass it to BedrockFunction with Version.
	GuardrailId pulumi.StringOutput `pulumi:"guardrailId"`
	// Version is the published version's number. It changes whenever what the guardrail blocks changes.
	Version pulumi.StringOutput `pulumi:"version"`
}

// GuardrailArgs are Guardrail's arguments. At least one of ContentFilters, BlockedWords and PiiEntities must have an
// entry.
type GuardrailArgs struct {
	// ContentFilters are filters that block prompts and responses, at Bedrock's highest strength: HATE, INSULTS,
	// MISCONDUCT, SEXUAL, VIOLENCE and PROMPT_ATTACK. PROMPT_ATTACK applies to prompts only, and takes many system prompts
	// for an attack. Default: none.
	ContentFilters []string `pulumi:"contentFilters,optional"`
	// BlockedWords are words that block the prompts and responses that contain them. Default: none.
	BlockedWords []string `pulumi:"blockedWords,optional"`
	// PiiEntities are kinds of personal data, such as EMAIL or CREDIT_DEBIT_CARD_NUMBER, that block the prompts and
	// responses that contain them (Bedrock API Reference, GuardrailPiiEntityConfig). Default: none.
	PiiEntities []string `pulumi:"piiEntities,optional"`
	// BlockedMessage is the response to what is blocked. Default: "Blocked by this organization's guardrail."
	BlockedMessage string `pulumi:"blockedMessage,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a GuardrailArgs) withDefaults() GuardrailArgs {
	a.BlockedMessage = cmp.Or(a.BlockedMessage, "Blocked by this organization's guardrail.")
	return a
}

// Bedrock API Reference, GuardrailContentFilterConfig, type.
var contentFilters = []string{"HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK", "SEXUAL", "VIOLENCE"}

// CheckContentFilters rejects filters that Bedrock doesn't have, and repeated ones.
func CheckContentFilters(filters []string) error {
	for i, filter := range filters {
		if !slices.Contains(contentFilters, filter) || slices.Contains(filters[:i], filter) {
			return fmt.Errorf("got %q, want each once, of %s", filter, strings.Join(contentFilters, ", "))
		}
	}
	return nil
}

// Bedrock API Reference, GuardrailPiiEntityConfig, type: the form of the names. AWS adds names to the list.
var piiEntity = regexp.MustCompile(`^[A-Z][A-Z_]+$`)

// CheckPiiEntities rejects malformed and repeated names.
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
	// Guide, "Amazon Bedrock policy syntax and examples"; Service Authorization Reference, "Amazon Bedrock", resource
	// types).
	guardrailARN = regexp.MustCompile(`^(arn:aws[a-z-]*:bedrock:([a-z0-9-]+):[0-9]{12}:guardrail/[a-z0-9]{1,64})(:[1-9][0-9]{0,7})?$`)
)

// CheckGuardrail rejects what Bedrock rejects, and the version DRAFT, which changes with every edit of the guardrail.
func CheckGuardrail(id, version string) error {
	if !guardrailID.MatchString(id) || !guardrailVersionNumber.MatchString(version) {
		return fmt.Errorf("got guardrail %q, version %q, want a guardrail id such as 3o06191495ze and the number of a "+
			"published version such as 1", id, version)
	}
	return nil
}

// CheckEnforcedGuardrail rejects what isn't a guardrail's ARN, and a guardrail of another Region, which Bedrock doesn't
// enforce on calls in this one. If region is empty, every Region is accepted.
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
	var f faults
	// Bedrock API Reference, CreateGuardrail, name
	f.reject(len(name) > 50, "name: got %d characters, want at most 50", len(name))
	f.reject(len(a.ContentFilters)+len(a.BlockedWords)+len(a.PiiEntities) == 0,
		"ContentFilters, BlockedWords, PiiEntities: got none, want at least one entry")
	f.check("ContentFilters", CheckContentFilters(a.ContentFilters))
	f.check("PiiEntities", CheckPiiEntities(a.PiiEntities))
	return errors.Join(f...)
}

// NewGuardrail makes a Guardrail.
func NewGuardrail(
	ctx *pulumi.Context, name string, args *GuardrailArgs, opts ...pulumi.ResourceOption,
) (*Guardrail, error) {
	return construct(ctx, name, &Guardrail{}, args, opts)
}

func (c *Guardrail) provision(s scope, a GuardrailArgs) error {
	inputs := a.policies()
	inputs.Name, inputs.Tags = pulumi.String(s.name), s.tags
	// Without a description, the AWS provider creates the guardrail, then fails and doesn't record it.
	inputs.Description = pulumi.String("put on every call by private-bedrock")
	inputs.BlockedInputMessaging = pulumi.String(a.BlockedMessage)
	inputs.BlockedOutputsMessaging = pulumi.String(a.BlockedMessage)
	guardrail, err := bedrock.NewGuardrail(s.ctx, s.name, inputs, s.options()...)
	if err != nil {
		return err
	}
	// A version is a copy that no later change affects (Bedrock User Guide, "Create a version of a guardrail"). A change
	// of the rules changes the description, and so makes a new version. The old one is deleted after the function stops
	// using it.
	rules := digest(fmt.Sprintf("%q %q %q %q", a.ContentFilters, a.BlockedWords, a.PiiEntities, a.BlockedMessage))
	version, err := bedrock.NewGuardrailVersion(s.ctx, s.name, &bedrock.GuardrailVersionArgs{
		GuardrailArn: guardrail.GuardrailArn, Description: pulumi.String("of settings " + rules[:16]),
	}, s.options()...)
	if err != nil {
		return err
	}
	c.GuardrailId, c.Version = guardrail.GuardrailId, version.Version
	return nil
}

// policies are the guardrail's policies. Bedrock rejects empty ones.
func (a GuardrailArgs) policies() *bedrock.GuardrailArgs {
	inputs := &bedrock.GuardrailArgs{}
	if len(a.ContentFilters) > 0 {
		var filters bedrock.GuardrailContentPolicyConfigFiltersConfigArray
		for _, filter := range a.ContentFilters {
			output := "HIGH"
			if filter == "PROMPT_ATTACK" {
				output = "NONE" // Bedrock rejects any other strength
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
		inputs.SensitiveInformationPolicyConfig = bedrock.GuardrailSensitiveInformationPolicyConfigArgs{
			PiiEntitiesConfigs: entities,
		}
	}
	return inputs
}
