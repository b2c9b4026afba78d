package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is a line of the API's access log.
type Call struct {
	ExtendedRequestID string `json:"extendedRequestId"`
	HTTPMethod        string `json:"httpMethod"`
	ResourcePath      string `json:"resourcePath"`
	Status            string `json:"status"`
	RequestTimeEpoch  string `json:"requestTimeEpoch"`
	SourceIP          string `json:"sourceIp"`
	VpcEndpointID     string `json:"vpcEndpointId"`
	UserARN           string `json:"userArn"`
	Time              time.Time
}

func parseCall(line []byte) (*Call, error) {
	c := &Call{}
	if err := json.Unmarshal(line, c); err != nil {
		return nil, fmt.Errorf("not a line of the access log: %w", err)
	}
	ms, err := strconv.ParseInt(c.RequestTimeEpoch, 10, 64)
	if err != nil || c.ExtendedRequestID == "" {
		return nil, fmt.Errorf("not a line of the access log: requestTimeEpoch is %q, extendedRequestId %q", c.RequestTimeEpoch, c.ExtendedRequestID)
	}
	c.Time = time.UnixMilli(ms).UTC()
	return c, nil
}

// asks tells whether a call is one that leads to a model.
func (c *Call) asks() bool {
	return c.HTTPMethod == "POST" && (c.ResourcePath == "/generate" || strings.HasPrefix(c.ResourcePath, "/generate/") || strings.HasPrefix(c.ResourcePath, "/model/"))
}

func (c *Call) caller() string {
	if c.UserARN == "" || c.UserARN == "-" {
		return c.SourceIP + " via " + c.VpcEndpointID
	}
	return c.UserARN
}

// notMetadata is what requestMetadata cannot hold, and the function replaces (Bedrock API Reference, Converse).
var notMetadata = regexp.MustCompile(`[^a-zA-Z0-9\s:_@$#=/+,.-]`)

// agrees tells whether what a record says of its caller is what API Gateway saw.
func (c *Call) agrees(e Entry) bool {
	for _, pair := range [][2]string{{c.UserARN, e.metadataCaller}, {c.SourceIP, e.SourceIP}, {c.VpcEndpointID, e.SourceVpce}} {
		seen, said := notMetadata.ReplaceAllString(pair[0], "_"), pair[1]
		if said != "" && seen != "" && said != seen[:min(len(seen), 256)] {
			return false
		}
	}
	return true
}

func (c *Call) String() string {
	return fmt.Sprintf("call %s, %s, POST %s by %s", c.ExtendedRequestID, c.Time.Format(time.RFC3339), c.ResourcePath, c.caller())
}

func (e Entry) String() string {
	return fmt.Sprintf("record %s, %s, %s of %s by %s", e.RequestID, e.Timestamp.Format(time.RFC3339), e.Operation, e.ModelID, e.IdentityARN)
}

// Finding is one thing that an access log and the records do not agree on.
type Finding struct {
	Time time.Time
	// Text names the call or the record, never what was asked or answered.
	Text string
}

// Verdict is what Verify found, the oldest first.
type Verdict struct {
	Calls, Records int
	// Older counts records from before the access log's first line, whose calls nobody can know any more: CloudWatch Logs
	// keeps lines for days, the bucket records for years. With a since they are findings.
	Older    int
	Findings []Finding
}

// Verify holds the API's access log against the invocation log, both of the time that the query names: every successful
// call of a model must have its record, and every record its call, once. Either log is kept without the other's rights,
// so that a gap in one shows in the other.
func Verify(ctx context.Context, records Reader, access Log, since, until, now time.Time) (Verdict, error) {
	// At its edges, one log's line of a call may lie on the other side.
	wideSince, wideUntil := since, until
	if !since.IsZero() {
		wideSince = since.Add(-lateness)
	}
	if !until.IsZero() {
		wideUntil = until.Add(lateness)
	}
	within := func(t time.Time) bool {
		return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
	}
	var v Verdict
	find := func(at time.Time, subject fmt.Stringer, format string, values ...any) {
		v.Findings = append(v.Findings, Finding{at, subject.String() + ": " + fmt.Sprintf(format, values...)})
	}

	calls := map[string]*Call{}
	var oldest time.Time
	err := eachLine(ctx, access, records.Workers, wideSince, wideUntil,
		func(_ context.Context, line []byte) (*Call, error) { return parseCall(line) }, nil,
		func(c *Call) bool {
			if oldest.IsZero() || c.Time.Before(oldest) {
				oldest = c.Time
			}
			if c.asks() {
				calls[c.ExtendedRequestID] = c
			}
			return true
		}, records.Problem, nil)
	if err != nil {
		return v, fmt.Errorf("access log: %w", err)
	}

	seen := map[string]string{}     // request ids of Bedrock's, by themselves
	answered := map[string]string{} // request ids of Bedrock's that succeeded, by the API's
	recorded := map[string]bool{}   // request ids of the API's
	for e, err := range records.Entries(ctx, Query{Since: wideSince, Until: wideUntil}) {
		if err != nil {
			return v, err
		}
		api, inside := e.APIExtendedRequestID, within(e.Timestamp)
		if inside {
			v.Records++
		}
		recorded[api] = true
		switch {
		case seen[e.RequestID] != "" && inside:
			find(e.Timestamp, e, "it is in the log twice")
			continue
		case api == "" && inside:
			find(e.Timestamp, e, "not made through the API: its requestMetadata has no apiExtendedRequestId")
		case calls[api] == nil && since.IsZero() && e.Timestamp.Before(oldest):
			v.Older++
		case calls[api] == nil && inside:
			find(e.Timestamp, e, "its API request %s is not in the access log", api)
		case answered[api] != "" && api != "" && e.ErrorCode == "" && inside:
			find(e.Timestamp, e, "its API request %s already has record %s", api, answered[api])
		}
		if c := calls[api]; c != nil && inside && !c.agrees(e) {
			find(e.Timestamp, e, "it says that %s called, and the access log says %s", e.Caller, c.caller())
		}
		seen[e.RequestID] = e.RequestID
		if e.ErrorCode == "" { // the function tries again after an error of Bedrock's
			answered[api] = e.RequestID
		}
	}
	for id, c := range calls {
		if !within(c.Time) || c.Status != "200" {
			continue
		}
		v.Calls++
		if recorded[id] {
			continue
		}
		hint := ""
		if now.Sub(c.Time) < lateness {
			hint = "; it is recent, and Bedrock delivers in batches: verify again later"
		}
		find(c.Time, c, "no record in %v%s", records.Log, hint)
	}
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		if order := a.Time.Compare(b.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Text, b.Text)
	})
	return v, nil
}
