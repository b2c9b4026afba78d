package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// Call is a line of the API's access log, whose format is PrivateApi's: components/testdata/access-log.json.
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

// streams tells whether the status is sent before the answer's end: then Bedrock can record a call of status 200 as failed.
func (c *Call) streams() bool {
	return c.ResourcePath == "/generate" || strings.HasSuffix(c.ResourcePath, "-stream")
}

func (c *Call) caller() string {
	if none(c.UserARN) {
		return c.SourceIP + " via " + c.VpcEndpointID
	}
	return c.UserARN
}

// none tells whether API Gateway had no value for a variable of the access log.
func none(seen string) bool { return seen == "" || seen == "-" }

// metadata is what the function writes for a value that API Gateway logged.
func metadata(seen string) string {
	if none(seen) {
		return ""
	}
	return contract.MetadataValue(seen)
}

const (
	// longestCall is the longest that the function can take (API Gateway Developer Guide, "Stream the integration response for
	// your proxy integrations"). Bedrock's timestamp is from when it was asked or when it had answered: AWS does not say which.
	longestCall = 15 * time.Minute
	// skew is how far API Gateway's clock and Bedrock's, which writes whole seconds, may differ.
	skew = time.Minute
)

// contradiction says why a record cannot be this call's, or nothing.
func (c *Call) contradiction(e Entry) string {
	if !mayFollow(c.Status, e.ErrorCode != "") {
		return fmt.Sprintf("the API answered its request %s with status %s, without asking a model or without an answer from one", c.ExtendedRequestID, c.Status)
	}
	if late := e.Timestamp.Sub(c.Time); late < -skew || late > longestCall+skew {
		return fmt.Sprintf("its API request %s was made at %s, and no call takes longer than %v", c.ExtendedRequestID, c.Time.Format(time.RFC3339), longestCall)
	}
	for _, one := range []struct{ name, seen, said string }{
		{contract.MetadataCaller, c.UserARN, e.metadataCaller}, {contract.MetadataSourceIP, c.SourceIP, e.SourceIP},
		{contract.MetadataSourceVpce, c.VpcEndpointID, e.SourceVpce},
	} {
		if want := metadata(one.seen); one.said != want {
			return fmt.Sprintf("its requestMetadata has %s %q, and the access log has %q", one.name, one.said, one.seen)
		}
	}
	return ""
}

// mayFollow tells whether the API can answer with a status after Bedrock made a record, of a failure or of an answer. The
// function checks requests before it asks a model, and API Gateway before it calls the function: what they refuse has no
// record. After a failure the function answers with Bedrock's status (Bedrock API Reference, Converse, "Errors").
func mayFollow(status string, failed bool) bool {
	switch status {
	case "200", // also after a failure: the function tries again, and a stream can break
		"424", "500", "502", "504": // also after an answer: it broke off, was empty or came too late
		return true
	case "400", "403", "404", "408", "429", "503":
		return failed
	}
	return false // 413 and 415 are never Bedrock's; a status that is not known here is to be looked into
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
	// Lines counts those of the access log, of every route. Without any, nothing was compared.
	Lines int
	// Older counts records of the function's role from before the access log's first line, whose calls cannot be known any
	// more: CloudWatch Logs keeps lines for days, the bucket records for years. With a since they are findings.
	Older    int
	Findings []Finding
}

// Agrees tells whether the logs were compared in whole, and say the same.
func (v Verdict) Agrees() bool { return len(v.Findings) == 0 && v.Older == 0 && v.Lines > 0 }

// Verify holds the API's access log against the invocation log, both of the time that the query names: every successful
// call of a model must have its record, and every record its call, once. A record is the API's only if a session of
// records.Roles called Bedrock, and only if it can be its call's by status, time and caller. Either log is kept without the
// other's rights, so that a gap in one shows in the other.
func Verify(ctx context.Context, records Reader, access Log, since, until, now time.Time) (Verdict, error) {
	if len(records.Roles) == 0 {
		return Verdict{}, errors.New("the function's role is not known, and without it no record can be told from one that was made past the API")
	}
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
	recent := func(t time.Time) string {
		if now.Sub(t) < lateness {
			return "; it is recent, and the logs are delivered in batches: verify again later"
		}
		return ""
	}

	calls := map[string]*Call{}
	var lines []time.Time
	err := eachLine(ctx, access, records.Workers, wideSince, wideUntil,
		func(_ context.Context, line []byte) (*Call, error) { return parseCall(line) }, nil,
		func(c *Call) bool {
			lines = append(lines, c.Time)
			if within(c.Time) {
				v.Lines++
			}
			if !c.asks() {
				return true
			}
			if other := calls[c.ExtendedRequestID]; other != nil && *other != *c {
				find(c.Time, c, "the access log has two lines of it, which differ")
			}
			calls[c.ExtendedRequestID] = c
			return true
		}, records.Problem, nil)
	if err != nil {
		return v, fmt.Errorf("access log: %w", err)
	}
	slices.SortFunc(lines, time.Time.Compare)

	type answer struct {
		record string
		at     time.Time
	}
	seen := map[string]bool{}       // request ids of Bedrock's
	recorded := map[string]bool{}   // request ids of the API's
	answered := map[string]answer{} // the one record of an answer, by the API's request id
	for e, err := range records.Entries(ctx, Query{Since: wideSince, Until: wideUntil}) {
		if err != nil {
			return v, err
		}
		inside := within(e.Timestamp)
		if inside {
			v.Records++
		}
		api, problem := e.APIExtendedRequestID, ""
		c := calls[api]
		first, again := answered[api]
		switch {
		case !e.byFunction && api != "":
			problem = fmt.Sprintf("made past the API, by no session of the function's role; its requestMetadata names API request %s", api)
		case !e.byFunction:
			problem = "made past the API, by no session of the function's role"
		case seen[e.RequestID]:
			problem = "it is in the log twice"
		case api == "":
			problem = "not made through the API: its requestMetadata has no " + contract.MetadataAPIExtendedRequestID
		case c == nil && since.IsZero() && len(lines) > 0 && e.Timestamp.Before(lines[0]):
			if inside {
				v.Older++
			}
			continue
		case c == nil:
			problem = fmt.Sprintf("its API request %s is no call of a model in the access log%s%s", api, hole(lines, e.Timestamp), recent(e.Timestamp))
		case again && (e.ErrorCode == "" || e.Timestamp.After(first.at)): // the function tries again after failures only
			problem = fmt.Sprintf("its API request %s already has record %s", api, first.record)
		default:
			problem = c.contradiction(e)
		}
		if problem != "" {
			if inside {
				find(e.Timestamp, e, "%s", problem)
			}
			continue
		}
		seen[e.RequestID] = e.RequestID != ""
		recorded[api] = recorded[api] || e.ErrorCode == "" || c.streams()
		if e.ErrorCode == "" {
			answered[api] = answer{e.RequestID, e.Timestamp}
		}
	}
	for id, c := range calls {
		if !within(c.Time) || c.Status != "200" {
			continue
		}
		v.Calls++
		if !recorded[id] {
			find(c.Time, c, "no record in %v%s", records.Log, recent(c.Time))
		}
	}
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		if order := a.Time.Compare(b.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Text, b.Text)
	})
	return v, nil
}

// hole tells of the time around a record in which the access log has no line at all, if its call would lie in there: then
// lines were lost, or the record has no call.
func hole(lines []time.Time, record time.Time) string {
	next, _ := slices.BinarySearchFunc(lines, record.Add(-longestCall-skew), time.Time.Compare)
	switch {
	case len(lines) == 0:
		return ", which has no line"
	case next == len(lines):
		return ", which has no line after " + lines[next-1].Format(time.RFC3339)
	case !lines[next].After(record.Add(skew)):
		return ""
	case next == 0:
		return ", which has no line before " + lines[next].Format(time.RFC3339)
	}
	return ", which has no line between " + lines[next-1].Format(time.RFC3339) + " and " + lines[next].Format(time.RFC3339)
}
