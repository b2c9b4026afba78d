package bedrock

import (
	"fmt"
	"net/http"
	"regexp"
	"time"
)

// enforcement is the account's enforced guardrail (Bedrock User Guide, "Apply cross-account safeguards with Amazon Bedrock
// Guardrails enforcements"). AWS does not say what a second one does: here it takes the place of the first. That of an
// organization's policy is not played.
type enforcement struct {
	id               string
	rules            guardrail
	created, updated time.Time
	createdBy, by    string
}

var enforcedPath = regexp.MustCompile(`^/enforcedGuardrailsConfiguration(/[a-z0-9]*)?$`)

// enforcedActions by method.
var enforcedActions = map[string]string{
	http.MethodGet: "ListEnforcedGuardrailsConfiguration", http.MethodPut: "PutEnforcedGuardrailConfiguration",
	http.MethodDelete: "DeleteEnforcedGuardrailConfiguration",
}

// enforcedRules are the enforced guardrail's, if there is one.
func (g *guardrails) enforcedRules() (rules guardrail, found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.enforced == nil {
		return guardrail{}, false
	}
	return g.enforced.rules, true
}

// serveEnforced answers Put-, List- and Delete-EnforcedGuardrail(s)Configuration, asked by whose ARN is given.
func (g *guardrails) serveEnforced(w http.ResponseWriter, r *http.Request, by string) {
	controlPlane(w, r, func(configID string, in map[string]any) (status int, out map[string]any, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case r.Method == http.MethodGet && configID == "":
			listed := []any{}
			if e := g.enforced; e != nil {
				listed = append(listed, map[string]any{
					"configId": e.id, "guardrailArn": e.rules.Arn, "guardrailId": e.rules.ID, "guardrailVersion": e.rules.Version, "owner": "ACCOUNT",
					"createdAt": isoTime(e.created), "createdBy": e.createdBy, "updatedAt": isoTime(e.updated), "updatedBy": e.by,
				})
			}
			return http.StatusOK, map[string]any{"guardrailsConfig": listed}, nil
		case r.Method == http.MethodPut && configID == "":
			return g.enforce(in, by)
		case r.Method == http.MethodDelete && configID != "":
			if g.enforced == nil || g.enforced.id != configID {
				return 0, nil, fault{"ResourceNotFoundException", "There is no enforced guardrail configuration " + configID + "."}
			}
			g.enforced = nil
			return http.StatusOK, nil, nil
		}
		return 0, nil, fault{"ValidationException", r.Method + " is no operation on enforced guardrails."}
	})
}

// enforce makes a configuration. That of models and of what callers' tags hide is not played: all is looked at, of every model.
func (g *guardrails) enforce(in map[string]any, by string) (status int, out map[string]any, err error) {
	config, _ := in["guardrailInferenceConfig"].(map[string]any)
	identifier, _ := config["guardrailIdentifier"].(string)
	version, _ := config["guardrailVersion"].(string)
	id, _ := in["configId"].(string)
	rules, found := g.by[g.id(identifier)][version]
	for name := range config {
		if name != "guardrailIdentifier" && name != "guardrailVersion" {
			return 0, nil, fault{"ValidationException", "The sandbox does not play " + name + " of an enforced guardrail."}
		}
	}
	switch {
	case !guardrailIdentifier.MatchString(identifier):
		return 0, nil, invalidMember(config["guardrailIdentifier"], "guardrailInferenceConfig.guardrailIdentifier", "Member must satisfy regular expression pattern: "+guardrailIdentifier.String())
	case version == "" || !guardrailVersion.MatchString(version): // a draft is not immutable
		return 0, nil, invalidMember(config["guardrailVersion"], "guardrailInferenceConfig.guardrailVersion", "Member must satisfy regular expression pattern: [1-9][0-9]{0,7}")
	case !found:
		return 0, nil, noGuardrail(fmt.Sprintf("%s version %s", identifier, version))
	case id != "" && (g.enforced == nil || g.enforced.id != id):
		return 0, nil, fault{"ResourceNotFoundException", "There is no enforced guardrail configuration " + id + "."}
	}
	now := time.Now()
	if g.enforced == nil {
		g.enforced = &enforcement{id: bedrockID(), created: now, createdBy: by}
	}
	g.enforced.rules, g.enforced.updated, g.enforced.by = rules, now, by
	return http.StatusOK, map[string]any{"configId": g.enforced.id, "updatedAt": isoTime(now), "updatedBy": by}, nil
}

// bound tells whether the account enforces a version of a guardrail, or, with "", any: then it cannot be deleted ("Can I delete a
// guardrail that's being used in an enforcement configuration?").
func (g *guardrails) bound(id, version string) bool {
	return g.enforced != nil && g.enforced.rules.ID == id && (version == "" || g.enforced.rules.Version == version)
}
