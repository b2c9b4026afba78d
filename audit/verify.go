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

// Call is a line of the API's access log in the format of PrivateApi: components/testdata/access-log.json.
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

// asks reports whether a call is on a route that calls a model.
func (c *Call) asks() bool {
	return c.HTTPMethod == "POST" && (c.ResourcePath == "/generate" || strings.HasPrefix(c.ResourcePath, "/generate/") || strings.HasPrefix(c.ResourcePath, "/model/"))
}

// streams reports whether the status is sent before the end of the response. If it is, Bedrock can record a call of
// status 200 as failed.
func (c *Call) streams() bool {
	return c.ResourcePath == "/generate" || strings.HasSuffix(c.ResourcePath, "-stream")
}

func (c *Call) caller() string {
	if none(c.UserARN) {
		return c.SourceIP + " via " + c.VpcEndpointID
	}
	return c.UserARN
}

// none reports whether API Gateway had no value for a variable of the access log.
func none(seen string) bool { return seen == "" || seen == "-" }

// metadata returns the value that the function writes for a value that API Gateway logged.
func metadata(seen string) string {
	if none(seen) {
		return ""
	}
	return contract.MetadataValue(seen)
}

const (
	// longestCall is the longest time that the function can take (API Gateway Developer Guide, "Stream the integration
	// response for your proxy integrations"). AWS doesn't document whether Bedrock's timestamp is that of the request
	// or of the response.
	longestCall = 15 * time.Minute
	// skew is the maximum difference between the clocks of API Gateway and of Bedrock, which writes whole seconds.
	skew = time.Minute
)

// contradiction returns why a record can't belong to this call, or "".
func (c *Call) contradiction(e Entry) string {
	if !mayFollow(c.Status, e.ErrorCode != "") {
		return fmt.Sprintf("its API request %s has status %s, which the API returns only if no model responded", c.ExtendedRequestID, c.Status)
	}
	if late := e.Timestamp.Sub(c.Time); late < -skew || late > longestCall+skew {
		return fmt.Sprintf("its API request %s was made at %s, and no call takes longer than %v", c.ExtendedRequestID, c.Time.Format(time.RFC3339), longestCall)
	}
	for _, one := range []struct{ name, seen, said string }{
		{contract.MetadataCaller, c.UserARN, e.metadataCaller}, {contract.MetadataSourceIP, c.SourceIP, e.SourceIP},
		{contract.MetadataSourceVpce, c.VpcEndpointID, e.SourceVpce},
	} {
		if want := metadata(one.seen); one.said != want {
			return fmt.Sprintf("its requestMetadata has %s %q, but the access log has %q", one.name, one.said, one.seen)
		}
	}
	return ""
}

// mayFollow reports whether the API can return a status after Bedrock recorded a failure or a response. The function
// checks requests before it calls a model, and API Gateway before it calls the function. The requests that they refuse
// have no record. After a failure, the function returns Bedrock's status (Bedrock API Reference, Converse, "Errors").
func mayFollow(status string, failed bool) bool {
	switch status {
	case "200", // also after a failure: the function retries, and a stream can break
		"424", "500", "502", "504": // also after a response that broke off, was empty or came too late
		return true
	case "400", "403", "404", "408", "429", "503":
		return failed
	}
	return false // Bedrock doesn't return 413 and 415; an unknown status needs an investigation
}

func (c *Call) String() string {
	return fmt.Sprintf("call %s, %s, POST %s by %s", c.ExtendedRequestID, c.Time.Format(time.RFC3339), c.ResourcePath, c.caller())
}

func (e Entry) String() string {
	return fmt.Sprintf("record %s, %s, %s of %s by %s", e.RequestID, e.Timestamp.Format(time.RFC3339), e.Operation, e.ModelID, e.IdentityARN)
}

// Finding is a difference between the access log and the records.
type Finding struct {
	Time time.Time
	// Text names the call or the record. It contains no prompt or answer.
	Text string
}

// Verdict is the result of Verify. Findings are sorted by time.
type Verdict struct {
	Calls, Records int
	// Lines is the number of lines of the access log, for all routes. If 0, nothing was compared.
	Lines int
	// Older is the number of records of the function's role from before the access log's first line. Their calls can't
	// be known: CloudWatch Logs keeps lines for days, the bucket keeps records for years. If since is set, such records
	// are findings.
	Older    int
	Findings []Finding
}

// Agrees reports whether the logs were compared completely and match.
func (v Verdict) Agrees() bool { return len(v.Findings) == 0 && v.Older == 0 && v.Lines > 0 }

// Verify compares the API's access log with the invocation log, for the time from since until until. Every successful
// call of a model must have its record, and every record its call, once. A record belongs to the API only if a session
// of records.Roles called Bedrock, and only if its call's status, time and caller match. Access to one log doesn't give
// access to the other, so a gap in one shows in the other.
func Verify(ctx context.Context, records Reader, access Log, since, until, now time.Time) (Verdict, error) {
	if len(records.Roles) == 0 {
		return Verdict{}, errors.New("the function's role is unknown; without it, records of the API can't be distinguished from records of calls that bypassed it")
	}
	// At the edges of the time, the two lines of a call can be on different sides.
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
				find(c.Time, c, "the access log has two different lines for this call")
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
	seen := map[string]bool{}       // by Bedrock's request ID
	recorded := map[string]bool{}   // by the API's request ID
	answered := map[string]answer{} // the only record of a response, by the API's request ID
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
			problem = fmt.Sprintf("bypassed the API: not made by a session of the function's role; its requestMetadata names API request %s", api)
		case !e.byFunction:
			problem = "bypassed the API: not made by a session of the function's role"
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
		case again && (e.ErrorCode == "" || e.Timestamp.After(first.at)): // the function retries only after failures
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

// hole describes the time around a record in which the access log has no line, if the record's call should be in it. In
// that case, lines were lost, or the record has no call.
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
