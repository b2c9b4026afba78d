package audit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// variable matches a variable of the access log's format.
var variable = regexp.MustCompile(`\$context\.[a-zA-Z.]+`)

// call returns a line of the access log, in the format that the stack deploys.
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
		return "-" // API Gateway's text for a missing value
	})
}

// made returns a record of the function's role for a call of the access log.
func made(at time.Time, id, api, caller string) string {
	return strings.Replace(line(at.Format(time.RFC3339), id, api, caller, "CANARY"), `"requestMetadata":{`, `"requestMetadata":{"sourceIp":"10.0.0.1","sourceVpce":"vpce-1",`, 1)
}

// Every call has a record, and every record has a call of the API.
func TestVerify(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	record := func(at time.Time, id, api string) string { return made(at, id, api, "") }
	failed := strings.Replace(record(at, "b-throttled", "retried"), `"input":`, `"errorCode":"ThrottlingException","input":`, 1)
	archive := dir(t, map[string]string{region + "2025/11/23/10/20251123T100500000Z_1.json.gz": zip(
		record(at.AddDate(-1, 0, 0), "b-last-year", "expired"), record(at.AddDate(-1, 0, 0), "b-past-last-year", "")), region + "2026/11/23/10/20261123T100500000Z_1.json.gz": zip(
		record(at, "b-good", "good="), record(at, "b-native", "native/+="), failed, record(at, "b-retried", "retried"),
		record(at, "b-past", ""), record(at.Add(time.Second), "b-forged", "never"),
		record(at, "b-copied-1", "copied"), record(at, "b-copied-2", "copied"), record(at, "b-delivered", "delivered"), record(at, "b-delivered", "delivered"),
		record(at.Add(-time.Second), "b-early", "early"), record(at.Add(time.Minute), "b-late", "late"), record(at, "b-refused", "refused"),
		made(at.Add(2*time.Second), "b-liar", "lied", "arn:aws:iam::1:user/other"),
	)})
	edges := []string{ // calls on one side of the hour, with their records on the other
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
		v, err := Verify(t.Context(), Reader{Log: archive, Roles: roles, Problem: func(err error) { problems = append(problems, err.Error()) }}, File(file), since, until, at.Add(5*time.Minute))
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
	const recent = "; it is recent, and the logs are delivered in batches: verify again later"
	missing2 := "call missing-2, 2026-11-23T10:00:00Z, POST /model/{modelId}/invoke by 10.0.0.1 via vpce-1: no record in " + archive.String() + recent
	twice := "record b-copied-2, 2026-11-23T10:00:00Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: its API request copied already has record b-copied-1"
	again := "record b-delivered, 2026-11-23T10:00:00Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: it is in the log twice"
	forged := "record b-forged, 2026-11-23T10:00:01Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: its API request never is no call of a model in the access log" + recent
	lied := "record b-liar, 2026-11-23T10:00:02Z, Converse of a.model-v1:0 by arn:aws:sts::1:assumed-role/function/f: its requestMetadata has caller \"arn:aws:iam::1:user/other\", but the access log has \"-\""
	unrecorded := strings.NewReplacer("missing-2", "lied", "10:00:00", "10:00:02", "/model/{modelId}/invoke", "/generate").Replace(missing2)
	forged += "\n" + unrecorded + "\n" + lied
	now := strings.Join([]string{missing2, twice, again, past}, "\n")

	v, got := verify(time.Time{}, time.Time{})
	past1 := strings.NewReplacer("b-past", "b-past-last-year", "2026", "2025").Replace(past) + "\n"
	if want := past1 + "call missing-1, 2026-11-23T09:00:00Z, POST /generate/{prompt} by 10.0.0.1 via vpce-1: no record in " + archive.String() + "\n" + now + "\n" + forged; got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
	if v.Calls != 10 || v.Records != 16 || v.Older != 1 || v.Lines != 14 {
		t.Errorf("%d calls, %d records, %d of them older, %d lines", v.Calls, v.Records, v.Older, v.Lines)
	}
	// Lines beyond the edges are neither missing nor judged.
	v, got = verify(at, at.Add(time.Minute))
	if want := now + "\n" + forged; got != want || v.Calls != 7 || v.Records != 12 {
		t.Errorf("of a minute, %d calls, %d records, found\n%s\nwant\n%s", v.Calls, v.Records, got, want)
	}
	if _, got = verify(at.AddDate(-2, 0, 0), at.AddDate(-1, 0, 1)); !strings.Contains(got+"\n", "expired is no call of a model in the access log, which has no line before 2026-11-23T09:00:00Z\n") {
		t.Errorf("of a year ago, as asked for, found\n%s", got)
	}
	if strings.Contains(got, "CANARY") {
		t.Error("a finding tells a prompt")
	}
}

// Forged and deleted records are found.
func TestVerifyCannotBeFooled(t *testing.T) {
	t.Parallel()
	const jane, function, mallory = "arn:aws:iam::1:user/jane", "arn:aws:sts::1:assumed-role/function/f", "arn:aws:sts::1:assumed-role/mallory/m"
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	signed := func(line string) string { return strings.Replace(line, `"userArn":"-"`, `"userArn":"`+jane+`"`, 1) }
	calls := map[string]string{
		"unsigned": call(t, at, "unsigned", "POST", "/generate", "200"), "signed": signed(call(t, at, "signed", "POST", "/generate", "200")),
		"whole": call(t, at, "whole", "POST", "/model/{modelId}/converse", "200"), "nameless": strings.Replace(call(t, at, "nameless", "POST", "/generate", "400"), `"userArn":"-",`, "", 1),
		"signed-400": signed(call(t, at, "signed-400", "POST", "/generate", "400")), "models": call(t, at, "models", "GET", "/models", "200"),
	}
	for _, status := range []string{"400", "403", "404", "413", "415", "429", "503"} {
		calls[status] = call(t, at, status, "POST", "/generate", status)
	}
	records := map[string]string{
		"unsigned": made(at, "b-unsigned", "unsigned", ""), "signed": made(at, "b-signed", "signed", jane), "whole": made(at, "b-whole", "whole", ""),
	}
	as := func(identity, record string) string { return strings.Replace(record, function, identity, 1) }
	fails := func(record string) string {
		return strings.Replace(record, `"input":`, `"errorCode":"ThrottlingException","input":`, 1)
	}
	other := func(old, with string) func(r, c map[string]string) {
		return func(r, _ map[string]string) { r["signed"] = strings.Replace(r["signed"], old, with, 1) }
	}
	forged := func(record string) func(r, c map[string]string) {
		return func(r, _ map[string]string) { r["forged"] = record }
	}
	const past, missing = "bypassed the API: not made by a session of the function's role", ": no record in "
	type attack struct {
		// do changes the records and the lines of the access log.
		do   func(records, calls map[string]string)
		want []string // parts of the findings
	}
	attacks := map[string]attack{
		"a refused call's id":                            {forged(as(mallory, made(at, "x", "400", ""))), []string{past}},
		"a refused call's id, in a victim's name":        {forged(as(mallory, made(at, "x", "nameless", jane))), []string{past}},
		"a victim's refused call's id, all as it was":    {forged(as(mallory, made(at, "x", "signed-400", jane))), []string{past}},
		"in place of a record that is lost":              {func(r, _ map[string]string) { r["whole"] = as(mallory, r["whole"]) }, []string{past, missing}},
		"no identity":                                    {other(function, ""), []string{past, missing}},
		"an identity that is no object":                  {other(`{"arn":"`+function+`"}`, `"`+function+`"`), []string{past, missing}},
		"the function's credentials, before the call":    {other("10:00:00Z", "09:58:00Z"), []string{"was made at 2026-11-23T10:00:00Z, and no call takes", missing}},
		"the function's credentials, after the call":     {other("10:00:00Z", "10:17:00Z"), []string{"was made at 2026-11-23T10:00:00Z, and no call takes", missing}},
		"no name, where API Gateway saw one":             {other(`"caller":"`+jane+`"`, `"a":""`), []string{`has caller "", but the access log has "` + jane, missing}},
		"another name":                                   {other(jane, jane+"t"), []string{`has caller "` + jane + `t", but`, missing}},
		"a name in another spelling of its key":          {other(`"caller"`, `"Caller"`), []string{`has caller "", but`, missing}},
		"two names":                                      {other(`"caller":`, `"caller":"`+jane+`","caller":"a","b":`), []string{`has caller "a", but`, missing}},
		"no address":                                     {other(`"sourceIp"`, `"a"`), []string{`has sourceIp "", but`, missing}},
		"another address":                                {other("10.0.0.1", "10.0.0.10"), []string{`has sourceIp "10.0.0.10", but`, missing}},
		"no endpoint":                                    {other(`"vpce-1"`, "null"), []string{`has sourceVpce "", but the access log has "vpce-1"`, missing}},
		"another endpoint":                               {other("vpce-1", "vpce-2"), []string{`has sourceVpce "vpce-2"`, missing}},
		"a name, where API Gateway saw none":             {forged(made(at, "x", "nameless", jane)), []string{"has status 400"}},
		"an id in another spelling of its key":           {other("apiExtendedRequestId", "apiextendedrequestid"), []string{"has no apiExtendedRequestId", missing}},
		"two ids":                                        {other(`"apiExtendedRequestId":"signed"`, `"apiExtendedRequestId":"signed","apiExtendedRequestId":"429"`), []string{"has status 429", missing}},
		"an id with a space":                             {other(`"signed"`, `"signed "`), []string{"request signed  is no call of a model in the access log", missing}},
		"an id of other letters":                         {other(`"signed"`, `"Signed"`), []string{"request Signed is no call of a model in the access log", missing}},
		"an id of a call that asks no model":             {forged(made(at, "x", "models", "")), []string{"request models is no call of a model in the access log"}},
		"an id that is used again":                       {forged(made(at.Add(time.Second), "x", "unsigned", "")), []string{"already has record b-unsigned"}},
		"an id that is used again, by a call that broke": {forged(fails(made(at.Add(time.Second), "x", "unsigned", ""))), []string{"already has record b-unsigned"}},
		"an answer beside the failure of a refused call": {func(r, _ map[string]string) {
			r["failed"], r["forged"] = fails(made(at, "b-failed", "429", "")), made(at.Add(time.Second), "x", "429", "")
		}, []string{"has status 429"}},
		"a failure in place of an answer": {func(r, _ map[string]string) { r["whole"] = fails(r["whole"]) }, []string{missing}},
		"a second line of a refused call, as answered": {func(r, c map[string]string) {
			r["forged"], c["429, answered"] = made(at, "x", "429", jane), signed(call(t, at, "429", "POST", "/generate", "200"))
		}, []string{"two different lines for this call", "has status 429"}},
		"a line that is gone": {func(_, c map[string]string) { delete(c, "signed") }, []string{"request signed is no call of a model in the access log"}},
		"lines that are gone": {func(_, c map[string]string) {
			clear(c)
			c["later"] = call(t, at.Add(time.Hour), "400", "POST", "/generate", "400")
		}, nil}, // the records are older
		"an access log of before": {func(_, c map[string]string) {
			clear(c)
			c["earlier"] = call(t, at.Add(-time.Hour), "400", "POST", "/generate", "400")
		}, []string{
			"request signed is no call of a model in the access log, which has no line after 2026-11-23T09:00:00Z", "request unsigned is", "request whole is",
		}},
		"a hole in the access log": {func(_, c map[string]string) {
			clear(c)
			c["earlier"], c["later"] = call(t, at.Add(-time.Hour), "a", "GET", "/health", "200"), call(t, at.Add(time.Hour), "b", "GET", "/health", "200")
		}, []string{
			"request signed is no call of a model in the access log, which has no line between 2026-11-23T09:00:00Z and 2026-11-23T11:00:00Z", "request unsigned is", "request whole is",
		}},
		"no access log":               {func(_, c map[string]string) { clear(c) }, []string{"request signed is no call of a model in the access log, which has no line", "request unsigned is", "request whole is"}},
		"no access log and no record": {func(r, c map[string]string) { clear(r); clear(c) }, nil},
	}
	for _, identity := range []string{
		"arn:aws:sts::1:assumed-role/function2/f", "arn:aws:sts::1:assumed-role/my-function/f", "arn:aws:sts::1:assumed-role/functio/f", "arn:aws:sts::1:assumed-role/Function/f",
		"arn:aws:sts::2:assumed-role/function/f", "arn:aws:sts::11:assumed-role/function/f", "arn:aws-cn:sts::1:assumed-role/function/f", "arn:aws:iam::1:user/assumed-role/function/f",
		"arn:aws:sts::1:assumed-role/path/function/f", "arn:aws:sts::1:assumed-role/function/f/g", "arn:aws:sts::1:assumed-role/function/", "arn:aws:sts::1:assumed-role/function",
		"arn:aws:iam::1:role/function", "arn:aws:sts::1:federated-user/function", " " + function, mallory + " " + function,
	} {
		attacks["as "+identity] = attack{other(function, identity), []string{past, missing}}
	}
	for _, status := range []string{"400", "403", "404", "413", "415", "429", "503"} {
		attacks["the function's credentials, by the id of a call that ended with "+status] = attack{forged(made(at, "x", status, "")), []string{"has status " + status}}
	}
	verify := func(t *testing.T, a attack) Verdict {
		t.Helper()
		r, c := maps.Clone(records), maps.Clone(calls)
		if a.do != nil {
			a.do(r, c)
		}
		archive := dir(t, map[string]string{region + "2026/11/23/10/20261123T100500000Z_1.json.gz": zip(slices.Sorted(maps.Values(r))...)})
		file := filepath.Join(t.TempDir(), "access.log")
		if err := os.WriteFile(file, []byte(strings.Join(slices.Sorted(maps.Values(c)), "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), Reader{Log: archive, Roles: roles, Problem: func(error) {}}, File(file), time.Time{}, time.Time{}, at.AddDate(0, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(t, attack{}); !v.Agrees() || v.Calls != 3 || v.Records != 3 {
		t.Errorf("without an attack: %+v", v)
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verify(t, a)
			if v.Agrees() || len(v.Findings) != len(a.want) {
				t.Errorf("%d findings, want %d; %+v", len(v.Findings), len(a.want), v)
			}
			for _, want := range a.want {
				if !slices.ContainsFunc(v.Findings, func(f Finding) bool { return strings.Contains(f.Text, want) }) {
					t.Errorf("no finding says %q: %v", want, v.Findings)
				}
			}
			if strings.Contains(fmt.Sprint(v), "CANARY") {
				t.Error("a finding tells a prompt")
			}
		})
	}
}

// mayFollow accepts exactly the statuses that can follow a response or a failure.
func TestMayFollow(t *testing.T) {
	t.Parallel()
	for status, want := range map[string][2]bool{ // after a response, after a failure
		"200": {true, true}, "424": {true, true}, "500": {true, true}, "502": {true, true}, "504": {true, true},
		"400": {false, true}, "403": {false, true}, "404": {false, true}, "408": {false, true}, "429": {false, true}, "503": {false, true},
		"413": {}, "415": {}, "401": {}, "405": {}, "-": {}, "": {}, "2000": {}, "204": {},
	} {
		if got := [2]bool{mayFollow(status, false), mayFollow(status, true)}; got != want {
			t.Errorf("status %q: %v, want %v", status, got, want)
		}
	}
}

// Partly damaged records still count as evidence, and Verify fails without a role.
func TestVerifyReadsDamagedRecords(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	damaged := strings.NewReplacer(`"modelId":"a.model-v1:0"`, `"modelId":7`, `"inputTokenCount":1`, `"inputTokenCount":"one"`, `"operation":"Converse"`, `"operation":[]`).Replace(made(at, "b", "id", ""))
	archive := dir(t, map[string]string{region + "2026/11/23/10/20261123T100500000Z_1.json.gz": zip(damaged)})
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte(call(t, at, "id", "POST", "/generate", "200")), 0o600); err != nil {
		t.Fatal(err)
	}
	problems := 0
	r := Reader{Log: archive, Roles: roles, Problem: func(error) { problems++ }}
	v, err := Verify(t.Context(), r, File(file), time.Time{}, time.Time{}, at)
	if err != nil || !v.Agrees() || v.Records != 1 || v.Calls != 1 || problems != 1 {
		t.Errorf("%+v, %d problems, %v", v, problems, err)
	}
	r.Roles = nil
	if v, err := Verify(t.Context(), r, File(file), time.Time{}, time.Time{}, at); err == nil || !strings.Contains(err.Error(), "role is unknown") {
		t.Errorf("without a role: %+v, %v", v, err)
	}
}

// Only metadata of the function's role names a caller. Others can write any metadata.
func TestOnlyFunctionRecordsNameACaller(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	const jane, mallory = "arn:aws:sts::111111111111:assumed-role/R/jane", "arn:aws:sts::1:assumed-role/mallory/m"
	archive := dir(t, map[string]string{region + "2026/11/23/10/20261123T100500000Z_1.json.gz": zip(
		made(at, "true", "a", jane), strings.Replace(made(at, "forged", "b", jane), "assumed-role/function/f", "assumed-role/mallory/m", 1), made(at, "unsigned", "c", ""),
	)})
	for query, want := range map[string]string{"": "true forged unsigned", "r/JANE": "true", "mallory": "forged", "10.0.0.1": "true unsigned", "vpce-1": "true unsigned"} {
		entries, ids, _ := read(t, archive, Query{Caller: query})
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("callers with %q: %s, want %s", query, got, want)
		}
		for _, e := range entries {
			if caller := map[string]string{"true": jane, "forged": mallory, "unsigned": "10.0.0.1 via vpce-1"}[e.RequestID]; e.Caller != caller {
				t.Errorf("record %s: caller %s, want %s", e.RequestID, e.Caller, caller)
			}
		}
	}
	for _, roles := range [][]Role{nil, {{}}, {{"arn:aws:sts::1:assumed-role/old/"}}} {
		for e, err := range (Reader{Log: archive, Roles: roles}).Entries(t.Context(), Query{}) {
			if err != nil || e.Caller != e.IdentityARN {
				t.Errorf("without the function's role, record %s: caller %s, %v", e.RequestID, e.Caller, err)
			}
		}
	}
	if _, err := ParseRole("arn:aws:iam::1:user/jane"); err == nil || !strings.Contains(err.Error(), "want the ARN of a role") {
		t.Errorf("a user as a role: %v", err)
	}
}

// An invalid line of the access log doesn't hide the lines after it.
func FuzzParseCall(f *testing.F) {
	f.Add([]byte(`{"extendedRequestId":"a=","httpMethod":"POST","requestTimeEpoch":"1795428930000","resourcePath":"/generate","status":"200","userArn":"-"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := parseCall(line)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if c != nil {
			_, _, _ = c.String(), c.asks(), c.contradiction(Entry{metadataCaller: "a"})
		}
	})
}
