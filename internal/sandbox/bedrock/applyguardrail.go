package bedrock

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bedrock API Reference, ApplyGuardrail.
var (
	applyPath           = regexp.MustCompile(`^/guardrail/([^/]+)/version/([^/]+)/apply$`)
	guardrailIdentifier = regexp.MustCompile(`^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)$`)
	appliedVersion      = regexp.MustCompile(`^([1-9][0-9]{0,7}|DRAFT)$`)
	qualifiers          = []string{"grounding_source", "query", "guard_content"}
)

type applyRequest struct {
	Source      string                       `json:"source"`
	OutputScope string                       `json:"outputScope"`
	Content     []map[string]json.RawMessage `json:"content"`
}

// textUnits is the quota of one second (Amazon Bedrock endpoints and quotas, "On-demand ApplyGuardrail ... policy text units
// per second"): a call of more is throttled whenever it comes. The calls of one second are not added up here.
func textUnits(region string) int {
	if region == "us-east-1" || region == "us-west-2" {
		return 200
	}
	return 25
}

// texts are the request's, or what ApplyGuardrail refuses of it. Of a blank text AWS does not say what becomes of it: here it is
// refused, as by Converse.
func (in applyRequest) texts() (all []string, err error) {
	if !slices.Contains([]string{"INPUT", "OUTPUT"}, in.Source) {
		return nil, invalidMember(in.Source, "source", "Member must satisfy enum value set: [INPUT, OUTPUT]")
	}
	if !slices.Contains([]string{"", "INTERVENTIONS", "FULL"}, in.OutputScope) {
		return nil, invalidMember(in.OutputScope, "outputScope", "Member must satisfy enum value set: [INTERVENTIONS, FULL]")
	}
	if in.Content == nil {
		return nil, invalidMember(nil, "content", "")
	}
	for i, block := range in.Content {
		at := fmt.Sprintf("content.%d.member", i+1)
		if len(block) != 1 || block["text"] == nil && block["image"] == nil {
			return nil, fault{"ValidationException", "The GuardrailContentBlock object at " + at + " must set one of the following keys: text, image."}
		}
		if block["image"] != nil {
			continue
		}
		var text struct {
			Text       *string  `json:"text"`
			Qualifiers []string `json:"qualifiers"`
		}
		if err := json.Unmarshal(block["text"], &text); err != nil {
			return nil, noJSON(err)
		}
		if text.Text == nil || strings.TrimSpace(*text.Text) == "" {
			return nil, fault{"ValidationException", "The text field in the GuardrailTextBlock object at " + at + " is blank."}
		}
		for _, qualifier := range text.Qualifiers {
			if !slices.Contains(qualifiers, qualifier) {
				return nil, invalidMember(qualifier, at+".text.qualifiers", "Member must satisfy enum value set: [grounding_source, query, guard_content]")
			}
		}
		all = append(all, *text.Text)
	}
	return all, nil
}

// serveApplyGuardrail answers POST /guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply. It has no record in the
// invocation log (Bedrock User Guide, "Model invocation logging").
func (b *Runtime) serveApplyGuardrail(w http.ResponseWriter, r *http.Request, _ string) error {
	path := applyPath.FindStringSubmatch(r.URL.EscapedPath())
	identifier, errID := url.PathUnescape(path[1])
	version, errVersion := url.PathUnescape(path[2])
	if r.Method != http.MethodPost || b.guardrails == nil {
		return fault{"ResourceNotFoundException", "there is no operation " + r.Method + " on a guardrail's version"}
	}
	if errID != nil || !guardrailIdentifier.MatchString(identifier) {
		return invalidMember(identifier, "guardrailIdentifier", "Member must satisfy regular expression pattern: "+guardrailIdentifier.String())
	}
	if errVersion != nil || !appliedVersion.MatchString(version) {
		return invalidMember(version, "guardrailVersion", "Member must satisfy regular expression pattern: "+appliedVersion.String())
	}
	arn := identifier
	if !strings.HasPrefix(arn, "arn:") {
		arn = b.guardrails.arn(identifier)
	}
	if _, err := b.authorize(r, ModelCall{Action: "bedrock:ApplyGuardrail", Model: arn}); err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var in applyRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return noJSON(err)
	}
	texts, err := in.texts()
	if err != nil {
		return err
	}
	rules, ok := b.guardrails.lookup(identifier, version)
	if !ok {
		return fault{"ResourceNotFoundException", "The guardrail identifier or version provided in the request does not exist."}
	}
	characters := 0
	for _, text := range texts {
		characters += utf8.RuneCountInString(text)
	}
	units := (characters + 999) / 1000
	if units > textUnits(b.Region) {
		return fault{"ThrottlingException", "Too many requests sent to ApplyGuardrail: On-demand ApplyGuardrail word filter policy text units per second limit exceeded"}
	}
	return json.NewEncoder(w).Encode(rules.apply(in.Source, texts, units, characters))
}

// apply is ApplyGuardrail's answer (Bedrock API Reference, ApplyGuardrail, "Response Syntax").
func (g guardrail) apply(source string, texts []string, units, characters int) object {
	out := object{
		"action": "NONE", "actionReason": "No action.", "outputs": []any{}, "assessments": []any{object{}},
		"usage": object{
			"topicPolicyUnits": 0, "contentPolicyUnits": 0, "wordPolicyUnits": units, "sensitiveInformationPolicyUnits": 0,
			"sensitiveInformationPolicyFreeUnits": 0, "contextualGroundingPolicyUnits": 0,
		},
		"guardrailCoverage": object{"textCharacters": object{"guarded": characters, "total": characters}},
	}
	message, blocked := g.assess(source, texts)
	if !blocked {
		return out
	}
	var words []any
	for _, word := range g.blockedWords(source, texts) {
		words = append(words, object{"match": word, "action": "BLOCKED", "detected": true})
	}
	out["action"], out["actionReason"] = "GUARDRAIL_INTERVENED", "Guardrail blocked."
	out["outputs"] = []any{object{"text": message}}
	out["assessments"] = []any{object{"wordPolicy": object{"customWords": words, "managedWordLists": []any{}}}}
	return out
}
