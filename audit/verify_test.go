package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// variable is one of the access log's format.
var variable = regexp.MustCompile(`\$context\.[a-zA-Z.]+`)

// call is a line of the access log, in the format that the stack deploys.
func call(t *testing.T, at time.Time, id, method, path, status string) string {
	t.Helper()
	format, err := os.ReadFile("../components/testdata/access-log.json")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"$context.extendedRequestId": id, "$context.httpMethod": method, "$context.resourcePath": path, "$context.status": status,
		"$context.requestTimeEpoch": fmt.Sprint(at.UnixMilli()), "$context.identity.sourceIp": "10.0.0.1", "$context.identity.vpceId": "vpce-1",
	}
	return variable.ReplaceAllStringFunc(strings.TrimSpace(string(format)), func(name string) string {
		if value, found := values[name]; found {
			return value
		}
		return "-" // as API Gateway writes what it does not know
	})
}

// Lost: the promise that every call is recorded, and every record's call was made through the API.
func TestVerify(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	record := func(at time.Time, id, api string) string { return line(at.Format(time.RFC3339), id, api, "", "CANARY") }
	failed := strings.Replace(record(at, "b-throttled", "retried"), `"input":`, `"errorCode":"ThrottlingException","input":`, 1)
	archive := dir(t, map[string]string{region + "2025/11/23/10/20251123T100500000Z_1.json.gz": zip(
		record(at.AddDate(-1, 0, 0), "b-last-year", "expired"), record(at.AddDate(-1, 0, 0), "b-past-last-year", "")), region + "2026/11/23/10/20261123T100500000Z_1.json.gz": zip(
		record(at, "b-good", "good="), record(at, "b-native", "native/+="), failed, record(at, "b-retried", "retried"),
		record(at, "b-past", ""), record(at.Add(time.Second), "b-forged", "never"),
		record(at, "b-copied-1", "copied"), record(at, "b-copied-2", "copied"), record(at, "b-delivered", "delivered"), record(at, "b-delivered", "delivered"),
		record(at.Add(-time.Second), "b-early", "early"), record(at.Add(time.Minute), "b-late", "late"), record(at, "b-refused", "refused"),
		line(at.Add(2*time.Second).Format(time.RFC3339), "b-liar", "lied", "arn:aws:iam::1:user/somebody-else", "CANARY"),
	)})
	edges := []string{ // calls on one side of an hour, their records on the other
		call(t, at.Add(time.Minute+time.Second), "late", "POST", "/generate", "200"), call(t, at.Add(-2*time.Second), "early", "POST", "/generate", "200"),
	}
	file := filepath.Join(t.TempDir(), "access.log")
	lines := append([]string{
		call(t, at, "good=", "POST", "/generate", "200"), call(t, at, "native/+=", "POST", "/model/{modelId}/converse-stream", "200"),
		call(t, at, "retried", "POST", "/generate/{prompt}", "200"), call(t, at, "copied", "POST", "/generate", "200"), call(t, at, "delivered", "POST", "/generate", "200"),
		call(t, at.Add(-time.Hour), "missing-1", "POST", "/generate/{prompt}", "200"), call(t, at, "missing-2", "POST", "/model/{modelId}/invoke", "200"),
		call(t, at.Add(2*time.Second), "lied", "POST", "/generate", "200"), call(t, at, "refused", "POST", "/generate", "424"), call(t, at, "throttled", "POST", "/generate", "429"),
		call(t, at, "models", "GET", "/models", "200"), call(t, at, "health", "GET", "/health", "200"), "not JSON",
	}, edges...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(since, until time.Time) (Verdict, string) {
		t.Helper()
		var problems []string
		v, err := Verify(t.Context(), Reader{Log: archive, Problem: func(err error) { problems = append(problems, err.Error()) }}, File(file), since, until, at.Add(5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) != 1 || !strings.Contains(problems[0], "access.log: line 13: not a line of the access log") {
			t.Errorf("problems %v", problems)
		}
		var all []string
		for _, f := range v.Findings {
			all = append(all, f.Text)
		}
		return v, strings.Join(all, "\n")
	}
	past := "record b-past, 2026-11-23T10:00:00Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: not made through the API: its requestMetadata has no apiExtendedRequestId"
	missing2 := "call missing-2, 2026-11-23T10:00:00Z, POST /model/{modelId}/invoke by 10.0.0.1 via vpce-1: no record in " + archive.String() + "; it is recent, and Bedrock delivers in batches: verify again later"
	twice := "record b-copied-2, 2026-11-23T10:00:00Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: its API request copied already has record b-copied-1"
	again := "record b-delivered, 2026-11-23T10:00:00Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: it is in the log twice"
	forged := "record b-forged, 2026-11-23T10:00:01Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: its API request never is not in the access log"
	lied := "record b-liar, 2026-11-23T10:00:02Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: it says that arn:aws:iam::1:user/somebody-else called, and the access log says 10.0.0.1 via vpce-1"
	forged += "\n" + lied
	now := strings.Join([]string{missing2, twice, again, past}, "\n")

	v, got := verify(time.Time{}, time.Time{})
	past1 := strings.NewReplacer("b-past", "b-past-last-year", "2026", "2025").Replace(past) + "\n"
	if want := past1 + "call missing-1, 2026-11-23T09:00:00Z, POST /generate/{prompt} by 10.0.0.1 via vpce-1: no record in " + archive.String() + "\n" + now + "\n" + forged; got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
	if v.Calls != 10 || v.Records != 16 || v.Older != 1 {
		t.Errorf("%d calls, %d records", v.Calls, v.Records)
	}
	// What lies beyond the edges is neither missing nor judged.
	v, got = verify(at, at.Add(time.Minute))
	if want := now + "\n" + forged; got != want || v.Calls != 7 || v.Records != 12 {
		t.Errorf("of a minute, %d calls, %d records, found\n%s\nwant\n%s", v.Calls, v.Records, got, want)
	}
	if _, got = verify(at.AddDate(-2, 0, 0), at.AddDate(-1, 0, 1)); !strings.Contains(got, "expired is not in the access log") {
		t.Errorf("of a year ago, as asked for, found\n%s", got)
	}
	if strings.Contains(got, "CANARY") {
		t.Error("a finding tells a prompt")
	}
}

// Lost: what is behind a line of the access log that is not as it should be.
func FuzzParseCall(f *testing.F) {
	f.Add([]byte(`{"extendedRequestId":"a=","httpMethod":"POST","requestTimeEpoch":"1795428930000","resourcePath":"/generate","status":"200","userArn":"-"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := parseCall(line)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if c != nil {
			_, _, _ = c.String(), c.asks(), c.agrees(Entry{metadataCaller: "a"})
		}
	})
}
