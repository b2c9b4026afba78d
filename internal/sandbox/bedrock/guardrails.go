package bedrock

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// guardrails plays the control plane of Amazon Bedrock Guardrails, which moto lacks.
type guardrails struct {
	region, account string

	mu   sync.Mutex
	by   map[string]map[string]guardrail // by id and version
	last map[string]int                  // the last version's number by id: none is given twice
	tags bedrockTags

	enforced *enforcement // nil if the account enforces no guardrail
}

func newGuardrails(region, account string) *guardrails {
	return &guardrails{region: region, account: account, by: map[string]map[string]guardrail{}, last: map[string]int{}, tags: bedrockTags{}}
}

// guardrail is one version of a guardrail. It never changes.
type guardrail struct {
	ID, Arn, Version string

	answer map[string]any // GetGuardrail's
}

// The working draft's version. Others are numbers (Bedrock API Reference, GetGuardrail).
const draftVersion = "DRAFT"

var (
	guardrailName    = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,50}$`)
	guardrailVersion = regexp.MustCompile(`^([1-9][0-9]{0,7})?$`)
	contentFilters   = []any{"SEXUAL", "VIOLENCE", "HATE", "INSULTS", "MISCONDUCT", "PROMPT_ATTACK"}
	filterStrengths  = []any{"NONE", "LOW", "MEDIUM", "HIGH"}
)

// lookup finds a version of a guardrail by the guardrail's id or ARN; no version is the draft.
func (g *guardrails) lookup(idOrArn, version string) (guardrail, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.by[g.id(idOrArn)][cmp.Or(version, draftVersion)]
	return found, ok
}

func (g *guardrails) id(idOrArn string) string { return strings.TrimPrefix(idOrArn, g.arn("")) }

func (g *guardrails) arn(id string) string {
	return "arn:aws:bedrock:" + g.region + ":" + g.account + ":guardrail/" + id
}

// blockedWords are the words of the word policy that texts have (Bedrock User Guide, "Remove a specific list of words and
// phrases from conversations with word filters"); the other policies are models' judgement. Source is "INPUT" or "OUTPUT", as
// ApplyGuardrail has it.
func (g guardrail) blockedWords(source string, texts []string) (found []string) {
	action, enabled := "inputAction", "inputEnabled"
	if source == "OUTPUT" {
		action, enabled = "outputAction", "outputEnabled"
	}
	policy, _ := g.answer["wordPolicy"].(map[string]any)
	for _, word := range jsonObjects(policy["words"]) {
		if word[action] == "NONE" || word[enabled] == false {
			continue
		}
		// Japanese has no space between words.
		const boundary = `[^\p{L}\p{N}]|[\p{Han}\p{Hiragana}\p{Katakana}]`
		text := fmt.Sprint(word["text"])
		whole := regexp.MustCompile(`(?i)(^|` + boundary + `)` + regexp.QuoteMeta(text) + `($|` + boundary + `)`)
		if slices.ContainsFunc(texts, whole.MatchString) {
			found = append(found, text)
		}
	}
	return found
}

// assess tells whether the guardrail blocks texts, and the message that stands in for them.
func (g guardrail) assess(source string, texts []string) (message string, blocked bool) {
	if len(g.blockedWords(source, texts)) == 0 {
		return "", false
	}
	messaging := "blockedInputMessaging"
	if source == "OUTPUT" {
		messaging = "blockedOutputsMessaging"
	}
	message, _ = g.answer[messaging].(string)
	return message, true
}

// ServeHTTP answers Create-, Get-, Update-, Delete- and ListGuardrails, CreateGuardrailVersion and the operations on a
// guardrail's tags.
func (g *guardrails) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	controlPlane(w, r, func(identifier string, in map[string]any) (status int, out map[string]any, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		id, version := g.id(identifier), r.URL.Query().Get("guardrailVersion")
		switch {
		case tagPath.MatchString(r.URL.Path):
			return g.tags.serve(r.URL.Path, in)
		case id == "" && r.Method == http.MethodPost:
			made, err := g.put(bedrockID(), in)
			if err != nil {
				return 0, nil, err
			}
			g.tags.put(made.Arn, in["tags"])
			return http.StatusAccepted, pickMembers(made.answer, "guardrailId", "guardrailArn", "version", "createdAt"), nil
		case id == "":
			return g.list(r.URL.Query().Get("guardrailIdentifier"))
		case g.by[id] == nil:
			return 0, nil, noGuardrail(identifier)
		case r.Method == http.MethodPut:
			made, err := g.put(id, in)
			if err != nil {
				return 0, nil, err
			}
			return http.StatusAccepted, pickMembers(made.answer, "guardrailId", "guardrailArn", "version", "updatedAt"), nil
		case r.Method == http.MethodPost:
			made := g.snapshot(id, in["description"])
			return http.StatusAccepted, pickMembers(made.answer, "guardrailId", "version"), nil
		case version == draftVersion && r.Method == http.MethodGet:
			version = ""
		case !guardrailVersion.MatchString(version):
			return 0, nil, invalidMember(version, "guardrailVersion", "Member must satisfy regular expression pattern: [1-9][0-9]{0,7}")
		}
		found, ok := g.by[id][cmp.Or(version, draftVersion)]
		switch {
		case !ok:
			return 0, nil, noGuardrail(identifier + " version " + version)
		case r.Method == http.MethodGet:
			return http.StatusOK, found.answer, nil
		case r.Method == http.MethodDelete && g.bound(id, version):
			return 0, nil, fault{"ConflictException", "Guardrail " + identifier + " is in an enforced guardrail configuration."}
		case r.Method == http.MethodDelete && version != "":
			delete(g.by[id], version)
			return http.StatusAccepted, nil, nil
		case r.Method == http.MethodDelete: // all versions with it
			delete(g.by, id)
			delete(g.last, id)
			delete(g.tags, found.Arn)
			return http.StatusAccepted, nil, nil
		}
		return 0, nil, fault{"ValidationException", r.Method + " is no operation on a guardrail."}
	})
}

func noGuardrail(which string) fault {
	return fault{"ResourceNotFoundException", "There is no guardrail " + which + "."}
}

// put makes a guardrail's draft, or makes it anew.
func (g *guardrails) put(id string, in map[string]any) (guardrail, error) {
	if err := checkGuardrail(in); err != nil {
		return guardrail{}, err
	}
	for other, versions := range g.by {
		if other != id && versions[draftVersion].answer["name"] == in["name"] {
			return guardrail{}, fault{"ConflictException", fmt.Sprintf("A guardrail with the name %v exists already.", in["name"])}
		}
	}
	now := isoTime(time.Now())
	answer := asAnswered(in).(map[string]any)
	delete(answer, "clientRequestToken")
	delete(answer, "tags")
	if key, found := answer["kmsKeyId"]; found {
		delete(answer, "kmsKeyId")
		answer["kmsKeyArn"] = key // an alias stays one
	}
	if crossRegion, _ := answer["crossRegion"].(map[string]any); crossRegion != nil {
		delete(answer, "crossRegion")
		profile := path.Base(fmt.Sprint(crossRegion["guardrailProfileIdentifier"])) // an ARN's ends with the id
		answer["crossRegionDetails"] = map[string]any{
			"guardrailProfileId": profile, "guardrailProfileArn": "arn:aws:bedrock:" + g.region + ":" + g.account + ":guardrail-profile/" + profile,
		}
	}
	maps.Copy(answer, map[string]any{
		"guardrailId": id, "guardrailArn": g.arn(id), "version": draftVersion, "status": "READY", "createdAt": now, "updatedAt": now,
	})
	if before, found := g.by[id][draftVersion]; found {
		answer["createdAt"] = before.answer["createdAt"]
	} else {
		g.by[id] = map[string]guardrail{}
	}
	g.by[id][draftVersion] = guardrail{ID: id, Arn: g.arn(id), Version: draftVersion, answer: answer}
	return g.by[id][draftVersion], nil
}

// snapshot makes a version of the draft; its description is its own.
func (g *guardrails) snapshot(id string, description any) guardrail {
	g.last[id]++
	version := strconv.Itoa(g.last[id])
	answer := maps.Clone(g.by[id][draftVersion].answer)
	answer["version"] = version
	delete(answer, "description")
	if description != nil {
		answer["description"] = description
	}
	g.by[id][version] = guardrail{ID: id, Arn: g.arn(id), Version: version, answer: answer}
	return g.by[id][version]
}

// list is of all drafts, or of all versions of one guardrail.
func (g *guardrails) list(identifier string) (status int, out map[string]any, err error) {
	var listed []guardrail
	for id, versions := range g.by {
		switch {
		case identifier == "":
			listed = append(listed, versions[draftVersion])
		case id == g.id(identifier):
			listed = slices.Collect(maps.Values(versions))
		}
	}
	if identifier != "" && listed == nil {
		return 0, nil, noGuardrail(identifier)
	}
	slices.SortFunc(listed, func(a, b guardrail) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version)) })
	summaries := []any{}
	for _, each := range listed {
		summary := pickMembers(each.answer, "name", "description", "status", "version", "createdAt", "updatedAt", "crossRegionDetails")
		summary["id"], summary["arn"] = each.ID, each.Arn
		summaries = append(summaries, summary)
	}
	return http.StatusOK, map[string]any{"guardrails": summaries}, nil
}

// checkGuardrail refuses what CreateGuardrail and UpdateGuardrail refuse and a program can easily get wrong.
func checkGuardrail(in map[string]any) error {
	if name, _ := in["name"].(string); !guardrailName.MatchString(name) {
		return invalidMember(in["name"], "name", "Member must satisfy regular expression pattern: [0-9a-zA-Z-_]+ and have at most 50 characters")
	}
	for _, member := range []string{"blockedInputMessaging", "blockedOutputsMessaging"} {
		if text, _ := in[member].(string); text == "" || utf8.RuneCountInString(text) > 500 {
			return invalidMember(in[member], member, "Member must have 1 to 500 characters")
		}
	}
	filters := 0
	for name, policy := range in {
		if strings.HasSuffix(name, "PolicyConfig") {
			lists, _ := policy.(map[string]any)
			for _, list := range lists {
				filters += len(jsonObjects(list))
			}
		}
	}
	if filters == 0 { // Bedrock User Guide, "Create your guardrail"
		return fault{"ValidationException", "A guardrail must contain at least one filter."}
	}
	content, _ := in["contentPolicyConfig"].(map[string]any)
	for i, filter := range jsonObjects(content["filtersConfig"]) {
		for _, member := range []string{"type", "inputStrength", "outputStrength"} {
			values := filterStrengths
			if member == "type" {
				values = contentFilters
			}
			if !slices.Contains(values, filter[member]) {
				return invalidMember(filter[member], fmt.Sprintf("contentPolicyConfig.filtersConfig.%d.member.%s", i+1, member), fmt.Sprintf("Member must satisfy enum value set: %v", values))
			}
		}
		if filter["type"] == "PROMPT_ATTACK" && filter["outputStrength"] != "NONE" { // an answer is not an attack
			return fault{"ValidationException", "PROMPT ATTACK content filter strength for response must be NONE"}
		}
	}
	words, _ := in["wordPolicyConfig"].(map[string]any)
	for i, word := range jsonObjects(words["wordsConfig"]) {
		if text, _ := word["text"].(string); text == "" || utf8.RuneCountInString(text) > 100 {
			return invalidMember(word["text"], fmt.Sprintf("wordPolicyConfig.wordsConfig.%d.member.text", i+1), "Member must have 1 to 100 characters")
		}
	}
	return nil
}

// asAnswered turns a request's shape into an answer's, where filtersConfig is filters, and so on at every depth
// (Bedrock API Reference, CreateGuardrail and GetGuardrail).
func asAnswered(in any) any {
	switch in := in.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range in {
			out[strings.TrimSuffix(name, "Config")] = asAnswered(value)
		}
		return out
	case []any:
		out := []any{}
		for _, value := range in {
			out = append(out, asAnswered(value))
		}
		return out
	}
	return in
}

// pickMembers takes some members of an object, as far as it has them.
func pickMembers(from map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if value, found := from[name]; found {
			out[name] = value
		}
	}
	return out
}
