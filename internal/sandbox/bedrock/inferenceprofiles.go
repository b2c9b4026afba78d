package bedrock

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// inferenceProfiles plays the control plane of Amazon Bedrock's inference profiles, which moto lacks: the
// system-defined ones of every model, and application inference profiles.
type inferenceProfiles struct {
	region, account string

	mu   sync.Mutex
	made map[string]inferenceProfile // application inference profiles, by id
	tags bedrockTags
}

func newInferenceProfiles(region, account string) *inferenceProfiles {
	return &inferenceProfiles{region: region, account: account, made: map[string]inferenceProfile{}, tags: bedrockTags{}}
}

type inferenceProfile struct {
	ID, Arn, Name, Type string
	// Models are the foundation models' ARNs.
	Models []string

	description string
	created     time.Time // zero for a system-defined one
}

// geographies of system-defined inference profiles: the Regions that one routes to, and those that may call it
// besides (Bedrock User Guide, "Supported Regions and models for inference profiles", and the tables "Geo inference
// details" of the models' own pages, joined: a single model's may be shorter).
var geographies = map[string]struct{ destinations, sources string }{
	"us": {"us-east-1 us-east-2 us-west-2", "ca-central-1 us-west-1"},
	"eu": {"eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3", "eu-central-2 eu-west-2 il-central-1"},
	"apac": {"ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 ap-southeast-4",
		"ap-east-2 ap-southeast-3 ap-southeast-5 ap-southeast-7 me-central-1"},
	"jp":     {"ap-northeast-1 ap-northeast-3", ""},
	"au":     {"ap-southeast-2 ap-southeast-4", "ap-southeast-6"},
	"ca":     {"ca-central-1 ca-west-1", ""},
	"global": {},
}

// Bedrock API Reference, CreateInferenceProfile.
var (
	profileName        = regexp.MustCompile(`^([0-9a-zA-Z][ _-]?)+$`)
	profileDescription = regexp.MustCompile(`^([0-9a-zA-Z:.][ _-]?)+$`)
)

// foundationModel takes every model to exist whose id has the right form.
func foundationModel(id string) bool {
	prefix, _, _ := strings.Cut(id, ".")
	_, profile := geographies[prefix]
	return !profile && modelID.MatchString(id)
}

// availability plays GetFoundationModelAvailability (Amazon Bedrock API Reference), in an account that has access to every model.
func availability(w http.ResponseWriter, r *http.Request) {
	controlPlane(w, r, func(model string, _ map[string]any) (int, map[string]any, error) {
		if !foundationModel(model) {
			return 0, nil, fault{"ResourceNotFoundException", "The requested model was not found: " + model}
		}
		return http.StatusOK, map[string]any{
			"modelId": model, "agreementAvailability": map[string]string{"status": "AVAILABLE"}, "authorizationStatus": "AUTHORIZED",
			"entitlementAvailability": "AVAILABLE", "regionAvailability": "AVAILABLE",
		}, nil
	})
}

// lookup finds a profile by its id or ARN, as callers in this Region see it.
func (p *inferenceProfiles) lookup(idOrArn string) (inferenceProfile, bool) {
	id := strings.TrimPrefix(strings.TrimPrefix(idOrArn, p.arn("inference-profile/")), p.arn("application-inference-profile/"))
	p.mu.Lock()
	found, ok := p.made[id]
	p.mu.Unlock()
	if !ok {
		found, ok = p.systemDefined(id)
	}
	return found, ok && (idOrArn == id || idOrArn == found.Arn)
}

func (p *inferenceProfiles) arn(resource string) string {
	return "arn:aws:bedrock:" + p.region + ":" + p.account + ":" + resource
}

func (p *inferenceProfiles) systemDefined(id string) (found inferenceProfile, ok bool) {
	prefix, model, _ := strings.Cut(id, ".")
	geography, ok := geographies[prefix]
	if !ok || !foundationModel(model) {
		return found, false
	}
	regions := strings.Fields(geography.destinations)
	where := "globally across all supported AWS Regions."
	if prefix == "global" {
		regions = []string{"", p.region} // in the order in which AWS answers
	} else {
		if !slices.Contains(regions, p.region) {
			if !slices.Contains(strings.Fields(geography.sources), p.region) {
				return found, false
			}
			regions = append(regions, p.region) // a request may always stay where it was sent
			slices.Sort(regions)
		}
		where = "in " + strings.Join(regions[:len(regions)-1], ", ") + " and " + regions[len(regions)-1] + "."
	}
	found = inferenceProfile{
		ID: id, Arn: p.arn("inference-profile/" + id), Name: strings.ToUpper(prefix) + " " + model, Type: "SYSTEM_DEFINED",
		description: "Routes requests to " + model + " " + where,
	}
	for _, region := range regions {
		found.Models = append(found.Models, "arn:aws:bedrock:"+region+"::foundation-model/"+model)
	}
	return found, true
}

// ServeHTTP answers Create-, Get-, List- and DeleteInferenceProfile and the operations on a profile's tags.
func (p *inferenceProfiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	controlPlane(w, r, func(identifier string, in map[string]any) (status int, out map[string]any, err error) {
		if tagPath.MatchString(r.URL.Path) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.tags.serve(r.URL.Path, in)
		}
		if identifier == "" {
			if r.Method == http.MethodPost {
				return p.create(in)
			}
			return http.StatusOK, p.list(r.URL.Query().Get("type")), nil
		}
		found, ok := p.lookup(identifier)
		switch {
		case !ok:
			return 0, nil, fault{"ResourceNotFoundException", "There is no inference profile " + identifier + " for " + p.region + "."}
		case r.Method == http.MethodGet:
			return http.StatusOK, found.answer(), nil
		case r.Method == http.MethodDelete && found.Type == "APPLICATION":
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.made, found.ID)
			delete(p.tags, found.Arn)
			return http.StatusOK, nil, nil
		}
		return 0, nil, fault{"ValidationException", r.Method + " is no operation on inference profile " + identifier + "."}
	})
}

func (p *inferenceProfiles) create(in map[string]any) (status int, out map[string]any, err error) {
	name, _ := in["inferenceProfileName"].(string)
	if len(name) > 64 || !profileName.MatchString(name) {
		return 0, nil, invalidMember(in["inferenceProfileName"], "inferenceProfileName", "Member must satisfy regular expression pattern: ([0-9a-zA-Z][ _-]?)+ and have at most 64 characters")
	}
	description, described := in["description"].(string)
	if described && (len(description) > 200 || !profileDescription.MatchString(description)) {
		return 0, nil, invalidMember(description, "description", "Member must satisfy regular expression pattern: ([0-9a-zA-Z:.][ _-]?)+ and have at most 200 characters")
	}
	modelSource, _ := in["modelSource"].(map[string]any)
	copyFrom, _ := modelSource["copyFrom"].(string)
	models := []string{copyFrom}
	// A model is one of this Region, several Regions are a system-defined profile's (Bedrock User Guide, "Create an
	// application inference profile").
	if model, found := strings.CutPrefix(copyFrom, "arn:aws:bedrock:"+p.region+"::foundation-model/"); !found || !foundationModel(model) {
		source, found := p.lookup(copyFrom)
		if !found || source.Type != "SYSTEM_DEFINED" || source.Arn != copyFrom {
			return 0, nil, invalidMember(modelSource["copyFrom"], "modelSource.copyFrom", "Member must be the ARN of a foundation model or of a system-defined inference profile in "+p.region)
		}
		models = source.Models
	}
	id := bedrockID()
	made := inferenceProfile{
		ID: id, Arn: p.arn("application-inference-profile/" + id), Name: name, Type: "APPLICATION", Models: models,
		description: description, created: time.Now(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made[id] = made
	p.tags.put(made.Arn, in["tags"])
	return http.StatusCreated, map[string]any{"inferenceProfileArn": made.Arn, "status": "ACTIVE"}, nil
}

// list is of application inference profiles only: where every model exists, so do endless system-defined ones.
func (p *inferenceProfiles) list(ofType string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	summaries := []any{}
	for _, id := range slices.Sorted(maps.Keys(p.made)) {
		if ofType == "" || ofType == p.made[id].Type {
			summaries = append(summaries, p.made[id].answer())
		}
	}
	return map[string]any{"inferenceProfileSummaries": summaries}
}

func (p inferenceProfile) answer() map[string]any {
	models := []any{}
	for _, arn := range p.Models {
		models = append(models, map[string]any{"modelArn": arn})
	}
	out := map[string]any{
		"inferenceProfileId": p.ID, "inferenceProfileArn": p.Arn, "inferenceProfileName": p.Name, "type": p.Type,
		"status": "ACTIVE", "models": models,
	}
	if p.description != "" {
		out["description"] = p.description
	}
	if !p.created.IsZero() {
		out["createdAt"], out["updatedAt"] = isoTime(p.created), isoTime(p.created)
	}
	return out
}

// controlPlane answers a request as Amazon Bedrock's control plane does, by what handle makes of the path's last part
// and of the body.
func controlPlane(w http.ResponseWriter, r *http.Request, handle func(identifier string, in map[string]any) (status int, out map[string]any, err error)) {
	_, escaped, _ := strings.Cut(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	identifier, err := url.PathUnescape(escaped) // an ARN has slashes of its own
	in := map[string]any{}
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(r.Body); len(body) > 0 && err == nil {
			err = json.Unmarshal(body, &in)
		}
	}
	status, out := 0, map[string]any{}
	if err != nil {
		err = fault{"ValidationException", "The request is none of this API: " + err.Error()}
	} else {
		status, out, err = handle(identifier, in)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", wire.NewID())
	if err != nil {
		f := fault{"InternalServerException", err.Error()}
		errors.As(err, &f)
		w.Header().Set("X-Amzn-Errortype", f.name)
		// ConflictException, which only the control plane has, is 400 as well.
		status, out = cmp.Or(Faults[f.name], http.StatusBadRequest), map[string]any{"message": f.message}
	}
	w.WriteHeader(status)
	if out == nil {
		out = map[string]any{}
	}
	json.NewEncoder(w).Encode(out)
}

// invalidMember has the words of AWS's own refusals.
func invalidMember(value any, member, constraint string) fault {
	if value == nil {
		return fault{"ValidationException", fmt.Sprintf("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)}
	}
	return fault{"ValidationException", fmt.Sprintf("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: %s", value, member, constraint)}
}

// bedrockID has the form of Bedrock's: 12 of a-z and 0-9.
func bedrockID() string { return strings.ToLower(rand.Text()[:12]) }

func isoTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// bedrockTags are the tags of every resource that has a key here, by ARN.
type bedrockTags map[string]map[string]string

var tagPath = regexp.MustCompile(`^/(listTagsForResource|tagResource|untagResource)/?$`)

// tagging tells whether a request is for the tags of a resource whose ARN contains kind.
func tagging(r *http.Request, kind string) bool {
	if r.Method != http.MethodPost || !tagPath.MatchString(r.URL.Path) {
		return false
	}
	var in struct {
		ResourceARN string `json:"resourceARN"`
	}
	body, err := wire.Peek(r)
	return err == nil && json.Unmarshal(body, &in) == nil && strings.Contains(in.ResourceARN, kind)
}

func (t bedrockTags) serve(path string, in map[string]any) (status int, out map[string]any, err error) {
	arn, _ := in["resourceARN"].(string)
	tags, found := t[arn]
	if !found {
		return 0, nil, fault{"ResourceNotFoundException", "There is no resource " + arn + "."}
	}
	switch strings.Trim(path, "/") {
	case "tagResource":
		t.put(arn, in["tags"])
		return http.StatusOK, nil, nil
	case "untagResource":
		keys, _ := in["tagKeys"].([]any)
		for _, key := range keys {
			delete(tags, fmt.Sprint(key))
		}
		return http.StatusOK, nil, nil
	}
	listed := []any{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		listed = append(listed, map[string]any{"key": key, "value": tags[key]})
	}
	return http.StatusOK, map[string]any{"tags": listed}, nil
}

// put adds tags as a request has them, and the resource where it is new.
func (t bedrockTags) put(arn string, tags any) {
	if t[arn] == nil {
		t[arn] = map[string]string{}
	}
	for _, tag := range jsonObjects(tags) {
		key, _ := tag["key"].(string)
		t[arn][key], _ = tag["value"].(string)
	}
}

// jsonObjects are the members of a list in JSON.
func jsonObjects(list any) (all []map[string]any) {
	members, _ := list.([]any)
	for _, m := range members {
		object, _ := m.(map[string]any)
		all = append(all, object)
	}
	return all
}
