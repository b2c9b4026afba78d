package bedrock

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const someGuardrail = `{"name":"g","blockedInputMessaging":"No.","blockedOutputsMessaging":"No answer.","wordPolicyConfig":{"wordsConfig":[{"text":"moon"}]}}`

// makeGuardrail makes a guardrail and tells its id and ARN.
func makeGuardrail(t *testing.T, g *guardrails, body string) (id, arn string) {
	t.Helper()
	status, exception, out := control(t, g, http.MethodPost, "/guardrails", body)
	if status != 202 || out["version"] != "DRAFT" || out["createdAt"] == nil {
		t.Fatalf("created: %d %s %v", status, exception, out)
	}
	id, _ = out["guardrailId"].(string)
	arn, _ = out["guardrailArn"].(string)
	if len(id) != 12 || arn != "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/"+id {
		t.Fatalf("id %q, ARN %q", id, arn)
	}
	return id, arn
}

// The AWS provider reads a policy under other names than it wrote it: under any third one, each preview shows a change.
func TestGuardrailReadsBack(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	key := "arn:aws:kms:ap-northeast-1:123456789012:key/12345678-1234-1234-1234-123456789012"
	id, arn := makeGuardrail(t, g, `{"name":"g","description":"d","blockedInputMessaging":"No.","blockedOutputsMessaging":"No answer.",
		"contentPolicyConfig":{"filtersConfig":[{"type":"PROMPT_ATTACK","inputStrength":"HIGH","outputStrength":"NONE"}],"tierConfig":{"tierName":"STANDARD"}},
		"wordPolicyConfig":{"wordsConfig":[{"text":"moon"}],"managedWordListsConfig":[{"type":"PROFANITY"}]},
		"sensitiveInformationPolicyConfig":{"piiEntitiesConfig":[{"type":"EMAIL","action":"ANONYMIZE"}],"regexesConfig":[{"name":"n","pattern":"x","action":"BLOCK"}]},
		"topicPolicyConfig":{"topicsConfig":[{"name":"t","definition":"d","type":"DENY","examples":["e"]}]},
		"contextualGroundingPolicyConfig":{"filtersConfig":[{"type":"GROUNDING","threshold":0.75}]},
		"crossRegionConfig":{"guardrailProfileIdentifier":"apac.guardrail.v1:0"},
		"kmsKeyId":"`+key+`","tags":[{"key":"a","value":"1"}],"clientRequestToken":"t"}`)
	_, _, out := control(t, g, http.MethodGet, "/guardrails/"+id+"?guardrailVersion=DRAFT", "")
	for name, want := range map[string]string{
		"guardrailId": `"` + id + `"`, "guardrailArn": `"` + arn + `"`, "version": `"DRAFT"`, "status": `"READY"`, "name": `"g"`, "description": `"d"`,
		"blockedInputMessaging": `"No."`, "blockedOutputsMessaging": `"No answer."`, "kmsKeyArn": `"` + key + `"`,
		"contentPolicy":              `{"filters":[{"inputStrength":"HIGH","outputStrength":"NONE","type":"PROMPT_ATTACK"}],"tier":{"tierName":"STANDARD"}}`,
		"wordPolicy":                 `{"managedWordLists":[{"type":"PROFANITY"}],"words":[{"text":"moon"}]}`,
		"sensitiveInformationPolicy": `{"piiEntities":[{"action":"ANONYMIZE","type":"EMAIL"}],"regexes":[{"action":"BLOCK","name":"n","pattern":"x"}]}`,
		"topicPolicy":                `{"topics":[{"definition":"d","examples":["e"],"name":"t","type":"DENY"}]}`,
		"contextualGroundingPolicy":  `{"filters":[{"threshold":0.75,"type":"GROUNDING"}]}`,
		"crossRegionDetails":         `{"guardrailProfileArn":"arn:aws:bedrock:ap-northeast-1:123456789012:guardrail-profile/apac.guardrail.v1:0","guardrailProfileId":"apac.guardrail.v1:0"}`,
	} {
		if got := asJSON(t, out[name]); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
		delete(out, name)
	}
	if rest := slices.Sorted(maps.Keys(out)); strings.Join(rest, " ") != "createdAt updatedAt" {
		t.Errorf("there is more: %v", rest)
	}
	if _, _, out := control(t, g, http.MethodPost, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); asJSON(t, out) != `{"tags":[{"key":"a","value":"1"}]}` {
		t.Errorf("tags %v", out)
	}
}

// Calls name a version: one that changes with the draft would let through today what was refused when it was tried.
func TestGuardrailVersions(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	id, arn := makeGuardrail(t, g, strings.Replace(someGuardrail, `{`, `{"description":"the draft's",`, 1))
	path := "/guardrails/" + url.PathEscape(arn)
	version := func(body, want string) {
		t.Helper()
		if status, _, out := control(t, g, http.MethodPost, path, body); status != 202 || out["version"] != want || out["guardrailId"] != id {
			t.Errorf("version: %d %v, want %s", status, out, want)
		}
	}
	version(`{"description":"first"}`, "1")
	if status, _, out := control(t, g, http.MethodPut, path, strings.Replace(someGuardrail, "moon", "sun", 1)); status != 202 || out["version"] != "DRAFT" || out["updatedAt"] == nil {
		t.Errorf("updated: %d %v", status, out)
	}
	version("", "2")
	for query, want := range map[string]string{
		"":                         `{"words":[{"text":"sun"}]}, null`,
		"?guardrailVersion=DRAFT":  `{"words":[{"text":"sun"}]}, null`,
		"?guardrailVersion=1":      `{"words":[{"text":"moon"}]}, "first"`,
		"?guardrailVersion=2":      `{"words":[{"text":"sun"}]}, null`,
		"?guardrailVersion=3":      "ResourceNotFoundException",
		"?guardrailVersion=latest": "ValidationException",
	} {
		_, exception, out := control(t, g, http.MethodGet, path+query, "")
		if got := asJSON(t, out["wordPolicy"]) + ", " + asJSON(t, out["description"]); exception != want && got != want {
			t.Errorf("GET %s: %s %s, want %s", query, exception, got, want)
		}
	}
	for idOrArn, versions := range map[string]string{id: "1 2 DRAFT", arn: "1 2 DRAFT"} {
		for version := range strings.SplitSeq(versions, " ") {
			if found, ok := g.lookup(idOrArn, version); !ok || found.ID != id || found.Arn != arn || found.Version != version {
				t.Errorf("lookup %s %s: %+v %v", idOrArn, version, found, ok)
			}
		}
	}
	for _, other := range []string{"x", strings.Replace(arn, "ap-northeast-1", "us-east-1", 1), arn + "x", ""} {
		if _, ok := g.lookup(other, "DRAFT"); ok {
			t.Errorf("lookup %q finds one", other)
		}
	}
	listed := func(query, want string) {
		t.Helper()
		var got []string
		_, _, out := control(t, g, http.MethodGet, "/guardrails"+query, "")
		for _, each := range jsonObjects(out["guardrails"]) {
			got = append(got, each["version"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("list %s: %v, want %s", query, got, want)
		}
	}
	listed("", "DRAFT")
	listed("?guardrailIdentifier="+url.QueryEscape(arn), "1 2 DRAFT")

	if status, _, _ := control(t, g, http.MethodDelete, path+"?guardrailVersion=2", ""); status != 202 {
		t.Errorf("deleted a version: %d", status)
	}
	if status, _, _ := control(t, g, http.MethodGet, path+"?guardrailVersion=2", ""); status != 404 {
		t.Errorf("the deleted version: %d", status)
	}
	if _, exception, _ := control(t, g, http.MethodDelete, path+"?guardrailVersion=DRAFT", ""); exception != "ValidationException" {
		t.Errorf("deleted the draft alone: %s", exception)
	}
	version("", "3") // 2 is in old log records
	if status, _, _ := control(t, g, http.MethodDelete, path, ""); status != 202 {
		t.Errorf("deleted: %d", status)
	}
	for _, query := range []string{"", "?guardrailVersion=1"} {
		if status, exception, _ := control(t, g, http.MethodGet, path+query, ""); status != 404 || exception != "ResourceNotFoundException" {
			t.Errorf("GET %s after the deletion: %d %s", query, status, exception)
		}
	}
	listed("", "")
	makeGuardrail(t, g, someGuardrail) // the name is free again
}

// A guardrail that AWS refuses must fail here first.
func TestGuardrailRefused(t *testing.T) {
	t.Parallel()
	filter := func(of, input, output string) string {
		return strings.Replace(someGuardrail, `"wordPolicyConfig"`, `"contentPolicyConfig":{"filtersConfig":[{"type":"`+of+`","inputStrength":"`+input+`","outputStrength":"`+output+`"}]},"wordPolicyConfig"`, 1)
	}
	for name, c := range map[string]struct{ body, want, about string }{
		"a good one":                   {someGuardrail, "", ""},
		"a filter":                     {filter("HATE", "LOW", "HIGH"), "", ""},
		"prompt attacks":               {filter("PROMPT_ATTACK", "HIGH", "NONE"), "", ""},
		"prompt attacks in the answer": {filter("PROMPT_ATTACK", "HIGH", "HIGH"), "ValidationException", "PROMPT ATTACK"},
		"an unknown filter":            {filter("LIES", "HIGH", "HIGH"), "ValidationException", "filtersConfig.1.member.type"},
		"an unknown strength":          {filter("HATE", "HIGHEST", "HIGH"), "ValidationException", "inputStrength"},
		"no name":                      {strings.Replace(someGuardrail, `"name":"g",`, "", 1), "ValidationException", "'name'"},
		"a name with a space":          {strings.Replace(someGuardrail, `"g"`, `"g h"`, 1), "ValidationException", "'name'"},
		"a long name":                  {strings.Replace(someGuardrail, `"g"`, `"`+strings.Repeat("g", 51)+`"`, 1), "ValidationException", "'name'"},
		"no message for prompts":       {strings.Replace(someGuardrail, `"blockedInputMessaging":"No.",`, "", 1), "ValidationException", "blockedInputMessaging"},
		"an empty message for answers": {strings.Replace(someGuardrail, "No answer.", "", 1), "ValidationException", "blockedOutputsMessaging"},
		"a long message":               {strings.Replace(someGuardrail, "No.", strings.Repeat("長", 501), 1), "ValidationException", "blockedInputMessaging"},
		"an empty word":                {strings.Replace(someGuardrail, "moon", "", 1), "ValidationException", "wordsConfig.1"},
		"no policy":                    {strings.Replace(someGuardrail, "wordPolicyConfig", "x", 1), "ValidationException", "at least one filter"},
		"a policy of nothing":          {strings.Replace(someGuardrail, `{"text":"moon"}`, "", 1), "ValidationException", "at least one filter"},
		"no JSON":                      {"Hello", "ValidationException", ""},
		"a name that another one's is": {strings.Replace(someGuardrail, `"g"`, `"taken"`, 1), "ConflictException", "taken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{http.MethodPost, http.MethodPut} {
				g, path := newGuardrails("ap-northeast-1", "123456789012"), "/guardrails"
				makeGuardrail(t, g, strings.Replace(someGuardrail, `"g"`, `"taken"`, 1))
				if method == http.MethodPut {
					id, _ := makeGuardrail(t, g, someGuardrail)
					path += "/" + id
				}
				status, exception, out := control(t, g, method, path, c.body)
				message, _ := out["message"].(string)
				if exception != c.want || (status == 202) != (c.want == "") || c.want != "" && (status != 400 || !strings.Contains(message, c.about)) {
					t.Errorf("%s: %d %s %v, want %q about %q", method, status, exception, out, c.want, c.about)
				}
			}
		})
	}
}

// What is missing must be missing as on AWS: the provider takes any other refusal for a failure and stops.
func TestGuardrailNotFound(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "/guardrails/abcdefghijkl", ""},
		{http.MethodGet, "/guardrails?guardrailIdentifier=abcdefghijkl", ""},
		{http.MethodPut, "/guardrails/abcdefghijkl", someGuardrail},
		{http.MethodPost, "/guardrails/abcdefghijkl", "{}"},
		{http.MethodDelete, "/guardrails/abcdefghijkl", ""},
		{http.MethodPost, "/tagResource", `{"resourceARN":"arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/abcdefghijkl","tags":[]}`},
	} {
		if status, exception, out := control(t, g, c.method, c.path, c.body); status != 404 || exception != "ResourceNotFoundException" {
			t.Errorf("%s %s: %d %s %v", c.method, c.path, status, exception, out)
		}
	}
}

// A guardrail that blocks too little shows a user no block where AWS blocks; one that blocks too much, the reverse.
func TestGuardrailAssess(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	id, _ := makeGuardrail(t, g, strings.Replace(someGuardrail, `{"text":"moon"}`, `{"text":"Moon"},{"text":"project x"},{"text":"C++"},{"text":"機密"},
		{"text":"watched","inputAction":"NONE","outputAction":"BLOCK"},{"text":"heard","inputEnabled":false}`, 1))
	made, _ := g.lookup(id, "")
	for text, want := range map[string]struct{ input, output bool }{
		"":                            {},
		"to the moon":                 {true, true},
		"MOON!":                       {true, true},
		"moonlight":                   {},
		"honeymoon":                   {},
		"moon2":                       {},
		"the Project X, please":       {true, true},
		"project":                     {},
		"C++ and C":                   {true, true},
		"これは機密です":                     {true, true},
		"moonについて":                    {true, true},
		"a word that is watched":      {false, true},
		"what was heard":              {false, true},
		"vollmöndig moonö möon moons": {},
	} {
		for source, blocked := range map[string]bool{"INPUT": want.input, "OUTPUT": want.output} {
			message, got := made.assess(source, []string{"Hello", text})
			words := map[bool]map[string]string{true: {"INPUT": "No.", "OUTPUT": "No answer."}}[blocked][source]
			if got != blocked || message != words {
				t.Errorf("%s %q: %q %v, want %q", source, text, message, got, words)
			}
		}
	}
	if _, blocked := made.assess("INPUT", nil); blocked {
		t.Error("nothing is blocked")
	}
	if _, blocked := (guardrail{}).assess("INPUT", []string{"moon"}); blocked {
		t.Error("no guardrail blocks")
	}
}
