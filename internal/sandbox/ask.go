package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// The end-to-end tests read back what is deployed, and ask the sandbox how it decides by it.

// Allows reports whether a role's policies, and the policy of the endpoint that the call goes through, if any, allow every request.
func Allows(requests []iampolicy.Request, identity []iampolicy.Document, endpoint *iampolicy.Document) bool {
	return allowed(requests, identity, endpoint) == nil
}

// APIAllows reports whether API Gateway lets a call of a private API through. endpoint is nil where its policy is not known; foreign is
// a caller of another account.
func APIAllows(endpoint *iampolicy.Document, api iampolicy.Document, identity []iampolicy.Document, foreign bool, r iampolicy.Request) bool {
	decision, _ := apiCall{endpoint: endpoint, api: api, identity: identity, foreign: foreign, request: r}.decide()
	return decision == iampolicy.Allow
}

// ModelRequests are all that IAM is asked for one call of a model, or of an inference profile that routes to models.
func ModelRequests(action, model string, routes []string, guardrail, version string, caller map[string][]string, region string) []iampolicy.Request {
	return ModelCall{action: action, model: model, routes: routes, guardrail: guardrail, version: version}.requests(caller, region)
}

// ModelByID is the ARN of what a model's id stands for, and the models behind it.
func ModelByID(region, account, id string) (arn string, routes []string, err error) {
	call, err := (&Bedrock{Region: region, Account: account}).resolve("bedrock:InvokeModel", id)
	return call.model, call.routes, err
}

// GroupEncryption are the requests of KMS for an encrypted log group, by one principal.
func GroupEncryption(by iampolicy.Principal, keys map[string][]string) []iampolicy.Request {
	return groupEncryption(by, keys)
}

// Matches reports whether an event pattern matches CloudTrail's event of a call.
func Matches(pattern, region, account, service, name string, parameters map[string]any) (bool, error) {
	var parsed, event map[string]any
	if err := json.Unmarshal([]byte(pattern), &parsed); err != nil {
		return false, err
	}
	c := call{service, name, parameters}
	if err := json.Unmarshal(toJSON(c.event(region, account, "x", "", nil, time.Now())), &event); err != nil {
		return false, err
	}
	return matches(parsed, event)
}

// Sample is a value of a metric.
type Sample struct {
	Namespace, Metric string
	Dimensions        map[string]string
	Value             float64
	At                time.Time
}

// AlarmState is the state, by these samples alone, of the alarm in a response of DescribeAlarms whose name has this suffix.
func AlarmState(described []byte, suffix string, samples []Sample, now time.Time) (string, error) {
	var out struct {
		Alarms []metricAlarm `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	if err := xml.Unmarshal(described, &out); err != nil {
		return "", err
	}
	var own []sample
	for _, s := range samples {
		own = append(own, sample{s.Namespace, s.Metric, s.Dimensions, s.Value, s.At})
	}
	for _, a := range out.Alarms {
		if strings.HasSuffix(a.Name, suffix) {
			return a.state(own, now)
		}
	}
	return "", fmt.Errorf("no alarm whose name ends with %s", suffix)
}
