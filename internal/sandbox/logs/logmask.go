package logs

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Masks are log groups' data protection policies, which moto does not know. They are kept, and nothing is masked.
type Masks struct {
	mu sync.Mutex
	by map[string]string // by log group
}

// NewMasks has no policy.
func NewMasks() *Masks { return &Masks{by: map[string]string{}} }

// Handle answers Put-, Get- and DeleteDataProtectionPolicy.
func (m *Masks) Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	action, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "Logs_20140328.")
	if !strings.HasSuffix(action, "DataProtectionPolicy") {
		return false, nil
	}
	var in struct {
		LogGroupIdentifier string `json:"logGroupIdentifier"`
		PolicyDocument     string `json:"policyDocument,omitempty"`
		LastUpdatedTime    int64  `json:"lastUpdatedTime,omitempty"`
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuseJSON(w, "SerializationException", err.Error())
		return true, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch action {
	case "PutDataProtectionPolicy":
		if wrong := checkLogMask(in.PolicyDocument); wrong != "" {
			refuseJSON(w, "InvalidParameterException", wrong)
			return true, nil
		}
		m.by[in.LogGroupIdentifier] = in.PolicyDocument
	case "DeleteDataProtectionPolicy":
		delete(m.by, in.LogGroupIdentifier)
	}
	in.PolicyDocument, in.LastUpdatedTime = m.by[in.LogGroupIdentifier], time.Now().UnixMilli()
	json.NewEncoder(w).Encode(in)
	return true, nil
}

// Amend has nothing to correct.
func (m *Masks) Amend(*http.Response) error { return nil }

// checkLogMask holds a policy to what CloudWatch Logs takes (CloudWatch Logs User Guide, "Create a data protection policy for
// a single log group").
func checkLogMask(document string) string {
	var policy struct {
		Statement []struct {
			DataIdentifier []string
			Operation      struct {
				Audit      *struct{ FindingsDestination *struct{} }
				Deidentify *struct{ MaskConfig *struct{} }
			}
		}
	}
	switch err := json.Unmarshal([]byte(document), &policy); {
	case err != nil:
		return "the policy is no JSON: " + err.Error()
	case len(document) > 30_720:
		return "the policy is longer than 30720 characters"
	case len(policy.Statement) != 2 || !slices.Equal(policy.Statement[0].DataIdentifier, policy.Statement[1].DataIdentifier):
		return "the policy needs two statements with the same DataIdentifier"
	}
	audit, mask := policy.Statement[0].Operation.Audit, policy.Statement[1].Operation.Deidentify
	if audit == nil || audit.FindingsDestination == nil || mask == nil || mask.MaskConfig == nil {
		return "the policy needs an Audit with a FindingsDestination, then a Deidentify with a MaskConfig"
	}
	return ""
}

func refuseJSON(w http.ResponseWriter, code, message string) {
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}
