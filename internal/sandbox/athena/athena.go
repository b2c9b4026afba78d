// Package athena plays the workgroups and saved queries of Amazon Athena. It runs no query.
package athena

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Service plays Amazon Athena's workgroups and saved queries (Athena API Reference): moto can neither change a workgroup nor
// delete a saved query. It runs no query.
type Service struct {
	prefix string // of workgroups' ARNs

	mu         sync.Mutex
	workgroups map[string]map[string]any // by name, as GetWorkGroup has them
	queries    []map[string]any          // as GetNamedQuery has them, oldest first
	tags       map[string][]any          // by ARN
}

// New has no workgroup.
func New(region, account string) *Service {
	return &Service{
		prefix:     "arn:aws:athena:" + region + ":" + account + ":workgroup/",
		workgroups: map[string]map[string]any{}, tags: map[string][]any{},
	}
}

// Handle answers every request.
func (a *Service) Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	a.mu.Lock() // to the end: the answers are what is kept
	defer a.mu.Unlock()
	var in map[string]any
	err = json.NewDecoder(r.Body).Decode(&in)
	var out map[string]any
	if err == nil {
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonAthena.")
		out, err = a.answer(action, in)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]any{"__type": "InvalidRequestException", "Message": err.Error()}
	}
	json.NewEncoder(w).Encode(out)
	return true, nil
}

// Amend has nothing to correct.
func (a *Service) Amend(*http.Response) error { return nil }

func (a *Service) answer(action string, in map[string]any) (map[string]any, error) {
	text := func(name string) string { value, _ := in[name].(string); return value }
	byID := func(id string) int {
		return slices.IndexFunc(a.queries, func(q map[string]any) bool { return q["NamedQueryId"] == id })
	}
	nothing := map[string]any{}
	switch action {
	case "CreateWorkGroup":
		name := text("Name")
		if a.workgroups[name] != nil {
			return nil, fmt.Errorf("WorkGroup %s is already created", name)
		}
		a.workgroups[name] = map[string]any{"Name": name, "Description": in["Description"], "State": "ENABLED", "Configuration": in["Configuration"]}
		a.tags[a.prefix+name], _ = in["Tags"].([]any)
		return nothing, nil
	case "GetWorkGroup", "UpdateWorkGroup", "DeleteWorkGroup":
		name := text("WorkGroup")
		group := a.workgroups[name]
		switch {
		case group == nil:
			return nil, fmt.Errorf("WorkGroup %s is not found.", name) // the AWS provider goes by these words
		case action == "DeleteWorkGroup":
			delete(a.workgroups, name)
			a.queries = slices.DeleteFunc(a.queries, func(q map[string]any) bool { return q["WorkGroup"] == name })
		case action == "UpdateWorkGroup":
			update(group, in, "WorkGroup")
		default:
			return map[string]any{"WorkGroup": group}, nil
		}
		return nothing, nil
	case "ListWorkGroups":
		groups := []any{}
		for _, group := range a.workgroups {
			groups = append(groups, map[string]any{"Name": group["Name"], "State": group["State"]})
		}
		return map[string]any{"WorkGroups": groups}, nil
	case "CreateNamedQuery":
		if a.workgroups[text("WorkGroup")] == nil {
			return nil, fmt.Errorf("WorkGroup %s is not found.", text("WorkGroup"))
		}
		in["NamedQueryId"] = strings.ToLower(rand.Text())
		delete(in, "ClientRequestToken")
		a.queries = append(a.queries, in)
		return map[string]any{"NamedQueryId": in["NamedQueryId"]}, nil
	case "GetNamedQuery", "DeleteNamedQuery":
		i := byID(text("NamedQueryId"))
		switch {
		case i < 0:
			return nil, fmt.Errorf("NamedQuery %s does not exist", text("NamedQueryId")) // as above
		case action == "DeleteNamedQuery":
			a.queries = slices.Delete(a.queries, i, i+1)
			return nothing, nil
		}
		return map[string]any{"NamedQuery": a.queries[i]}, nil
	case "BatchGetNamedQuery":
		ids, _ := in["NamedQueryIds"].([]any)
		found := []any{}
		for _, id := range ids {
			if i := byID(fmt.Sprint(id)); i >= 0 {
				found = append(found, a.queries[i])
			}
		}
		return map[string]any{"NamedQueries": found}, nil
	case "ListNamedQueries":
		ids := []any{}
		for _, q := range a.queries {
			if q["WorkGroup"] == in["WorkGroup"] {
				ids = append(ids, q["NamedQueryId"])
			}
		}
		return map[string]any{"NamedQueryIds": ids}, nil
	case "ListTagsForResource":
		return map[string]any{"Tags": append([]any{}, a.tags[text("ResourceARN")]...)}, nil
	case "TagResource", "UntagResource":
		tags, _ := in["Tags"].([]any)
		gone, _ := in["TagKeys"].([]any)
		for _, tag := range tags {
			gone = append(gone, tag.(map[string]any)["Key"])
		}
		arn := text("ResourceARN")
		kept := slices.DeleteFunc(a.tags[arn], func(tag any) bool { return slices.Contains(gone, tag.(map[string]any)["Key"]) })
		a.tags[arn] = append(kept, tags...)
		return nothing, nil
	}
	return nil, fmt.Errorf("the sandbox's Athena has no %s", action)
}

// update changes what is set in an Update request: "XUpdates" changes what is in X, and "RemoveX" takes X away.
func update(of, by map[string]any, key string) {
	for name, value := range by {
		changes, nested := value.(map[string]any)
		within, isUpdate := strings.CutSuffix(name, "Updates")
		gone, isRemove := strings.CutPrefix(name, "Remove")
		switch {
		case name == key:
		case nested && isUpdate:
			inner, _ := of[within].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			update(inner, changes, "")
			of[within] = inner
		case isRemove:
			if value == true {
				delete(of, gone)
			}
		default:
			of[name] = value
		}
	}
}
