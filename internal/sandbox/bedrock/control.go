// Package bedrock plays Amazon Bedrock: models that answer with what they were asked, guardrails, inference profiles, and settings
// of the account.
package bedrock

import (
	"encoding/json"
	"fmt"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"net/http"
	"strings"
)

// Service is Amazon Bedrock: its runtime, and what moto lacks of its control plane.
type Service struct {
	runtime *Runtime
	// Authorize says why a request of the control plane may not perform an action. nil admits every request.
	Authorize func(r *http.Request, action string, keys map[string]string) error
	// Caller names the caller of a request.
	Caller    func(r *http.Request) (arn string)
	retention retention
}

// New gives the runtime the inference profiles and guardrails of its control plane.
func New(runtime *Runtime) *Service {
	runtime.profiles = newInferenceProfiles(runtime.Region, runtime.Account)
	runtime.guardrails = newGuardrails(runtime.Region, runtime.Account)
	return &Service{runtime: runtime}
}

// Handle answers all but the logging configuration, which moto keeps.
func (s *Service) Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	action, keys, err := controlAction(r)
	if err != nil {
		return false, err
	}
	if action != "" && s.Authorize != nil {
		if err := s.Authorize(r, action, keys); err != nil {
			refuse(w, fault{"AccessDeniedException", err.Error()})
			return true, nil
		}
	}
	switch path := r.URL.EscapedPath(); {
	case strings.HasPrefix(path, "/model/") || applyPath.MatchString(path):
		s.runtime.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/inference-profiles") || tagging(r, "inference-profile/"):
		s.runtime.profiles.ServeHTTP(w, r)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/foundation-model-availability/"):
		availability(w, r)
	case retentionPath.MatchString(path):
		s.retention.ServeHTTP(w, r)
	case enforcedPath.MatchString(path):
		s.runtime.guardrails.serveEnforced(w, r, s.Caller(r))
	case strings.HasPrefix(path, "/guardrails") || tagging(r, ":guardrail/"):
		s.runtime.guardrails.ServeHTTP(w, r)
	default:
		return false, nil
	}
	return true, nil
}

// Amend has nothing to correct.
func (s *Service) Amend(*http.Response) error { return nil }

// controlAction is what IAM is asked for a request of Bedrock's control plane, and with which condition keys; "" is of what is
// open to the deployer alone, which has the root user's key here.
func controlAction(r *http.Request) (action string, keys map[string]string, err error) {
	path := r.URL.EscapedPath()
	switch {
	case strings.TrimSuffix(path, "/") == "/logging/modelinvocations" && r.Method == http.MethodGet:
		return "bedrock:GetModelInvocationLoggingConfiguration", nil, nil
	case enforcedPath.MatchString(path) && enforcedActions[r.Method] != "":
		return "bedrock:" + enforcedActions[r.Method], nil, nil
	case retentionPath.MatchString(path) && r.Method == http.MethodGet:
		return "bedrock:GetAccountDataRetention", nil, nil
	case retentionPath.MatchString(path):
		body, err := wire.Peek(r)
		in := map[string]any{} // a struct would take "Mode" for "mode"
		if err == nil && json.Unmarshal(body, &in) == nil && in["mode"] != nil {
			keys = map[string]string{"bedrock:DataRetentionMode": fmt.Sprint(in["mode"])} // Bedrock User Guide, "Data retention"
		}
		return "bedrock:PutAccountDataRetention", keys, err
	}
	return "", nil, nil
}
