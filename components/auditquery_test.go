package components

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/audit"
	"github.com/private-bedrock/private-bedrock/internal/athenatest"
	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

// samples are the records under audit/testdata, one a line and each with a request id of its own, by file.
func samples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../audit/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	lines := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var line bytes.Buffer
		if err := json.Compact(&line, content); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		lines[name] = regexp.MustCompile(`"requestId":"[^"]*"`).ReplaceAllString(line.String(), `"requestId":"`+name+`"`)
	}
	return lines
}

// query is the text of a saved query, for the records of a function's role.
func query(t *testing.T, name, role string) string {
	t.Helper()
	queries, err := savedQueries()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		if q.name == name {
			return callersOf(role, q.sql)
		}
	}
	t.Fatalf("there is no queries/%s.sql", name)
	return ""
}

// daysAgo is the partition of that day, in UTC as Athena's current_date.
func daysAgo(n int) string { return time.Now().UTC().AddDate(0, 0, -n).Format("2006/01/02") }

// LazySimpleSerDe splits a line at its delimiter (Athena User Guide, "Lazy Simple SerDe for CSV, TSV, and custom-delimited
// files"): were a record split, its end would be in no query. And a field that calls.sql does not name is in none either.
func TestTableDecodesEveryField(t *testing.T) {
	t.Parallel()
	if got := recordsFormat.parameters["serialization.format"]; got != "1" || recordsFormat.parameters["field.delim"] != "" {
		t.Fatalf("the delimiter is %v, want Ctrl-A", recordsFormat.parameters)
	}
	opaque := []string{"$.input.inputBodyJson", "$.output.outputBodyJson", "$.requestMetadata"} // whole, as JSON text
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`line, '(\$[^']+)'`).FindAllStringSubmatch(callsSQL, -1) {
		named[m[1]] = true
	}
	control, err := json.Marshal("\x00\x01\n\x7f")
	if err != nil {
		t.Fatal(err)
	}
	lines := samples(t)
	lines["control characters"] = strings.Replace(lines["converse"], `"今日の天気は？"`, string(control), 1)
	for name, line := range lines {
		if columns := strings.Split(line, "\x01"); len(columns) != 1 || strings.Contains(line, "\n") {
			t.Errorf("%s is more than one column or row: %q", name, line)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		var walk func(path string, value any)
		walk = func(path string, value any) {
			object, nested := value.(map[string]any)
			if nested && !slices.Contains(opaque, path) {
				for field, value := range object {
					walk(path+"."+field, value)
				}
			} else if !named[path] {
				t.Errorf("%s: %s is in no column of calls.sql", name, path)
			}
		}
		walk("$", fields)
	}
}

// Two readers of one log that differ on who called, what, or at what cost: one of them misleads its auditor.
func TestCallsAreThoseOfTheAuditReader(t *testing.T) {
	t.Parallel()
	for _, key := range contract.MetadataKeys {
		if !strings.Contains(callsSQL, "'$.requestMetadata."+key+"'") {
			t.Errorf("calls.sql has no requestMetadata of key %s, which the function writes", key)
		}
	}
	lines := samples(t)
	lines["forged"] = strings.NewReplacer("assumed-role/bedrock-app-dev-function-role/", "assumed-role/bedrock-app-dev-function-role2/", `"requestId":"converse"`, `"requestId":"forged"`).Replace(lines["converse"])
	file := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(file, []byte(strings.Join(slices.Collect(maps.Values(lines)), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	var table []athenatest.Line
	for _, line := range lines {
		table = append(table, athenatest.Line{Line: line, Day: daysAgo(0), Path: "s3://log/2026/11/23/10/x.json.gz"})
	}
	const roleARN = "arn:aws:iam::123456789012:role/bedrock-app-dev-function-role"
	role, err := audit.ParseRole(roleARN)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]map[string]any{}
	for _, row := range athenatest.Run(t, callersOf(roleARN, callsSQL+"SELECT * FROM calls"), table) {
		calls[row["requestid"].(string)] = row
	}
	read := 0
	for entry, err := range (audit.Reader{Log: audit.File(file), Roles: []audit.Role{role}}).Entries(t.Context(), audit.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		read++
		b, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		call := calls[entry.RequestID]
		for name, want := range fields {
			if name == "prompt" || name == "answer" { // texts, which SQL leaves in their JSON
				continue
			}
			if got := call[strings.ToLower(name)]; fmt.Sprint(got) != fmt.Sprint(want) && (got != nil || want != "") {
				t.Errorf("%s: %s is %v in SQL, %v to the audit reader", entry.RequestID, name, got, want)
			}
		}
		if got := call["errorcode"]; got != nil && entry.ErrorCode == "" {
			t.Errorf("%s: errorCode is %v in SQL, none to the audit reader", entry.RequestID, got)
		}
		for column, path := range map[string]string{"inputbodyjson": "inputBodyJson", "outputbodyjson": "outputBodyJson"} {
			if got := call[column]; (got != nil) != strings.Contains(lines[entry.RequestID], `"`+path+`"`) {
				t.Errorf("%s: %s = %v", entry.RequestID, path, got)
			}
		}
	}
	if read != len(lines) || len(calls) != len(lines) {
		t.Errorf("%d records, of which the audit reader has %d and SQL %d", len(lines), read, len(calls))
	}
}

// Two searches of one log that find different calls: one of them hides a call from its auditor.
func TestTextSearchIsThatOfTheAuditReader(t *testing.T) {
	t.Parallel()
	lines := samples(t)
	nested := `kestrel "quoted" 天気 a\b`
	for i := range 6 {
		record := strings.Replace(lines["llama"], `"llama"`, fmt.Sprintf(`"nested-%d"`, i), 1)
		text, err := json.Marshal(nested)
		if err != nil {
			t.Fatal(err)
		}
		lines[fmt.Sprintf("nested-%d", i)] = regexp.MustCompile(`"inputBodyJson":\{[^}]*\}`).ReplaceAllLiteralString(record, `"inputBodyJson":{"new":[`+string(text)+`]}`)
		nested = strings.ReplaceAll(string(text), "天気", `\u5929\u6C17`)
	}
	streams := []string{
		`[{"choices":[{"text":"kes"}]},{"choices":[{"text":"trel"}]}]`, `[{"message":"kes"},{"message":"trel"}]`,
		`[{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"wire","arguments":"{\"to\":\"kes"}}]}}]},{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"trel\"}"}}]}}]}]`,
		`[{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"kes"}}}},{"contentBlockDelta":{"delta":{"reasoningContent":{"text":"trel"}}}}]`,
		`"[{\"a\": \"kestrel\"}]"`, `"C:\\users\\\\server \\d \\"`, `{"a":"\ud83d"}`, `{"a":"\u0000\u001f"}`, "null", "7",
	}
	for i, stream := range streams {
		name := fmt.Sprintf("stream-%d", i)
		lines[name] = regexp.MustCompile(`"outputBodyJson":\{[^}]*\}`).ReplaceAllLiteralString(strings.Replace(lines["llama"], `"llama"`, `"`+name+`"`, 1), `"outputBodyJson":`+stream)
	}
	file := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(file, []byte(strings.Join(slices.Collect(maps.Values(lines)), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	var table []athenatest.Line
	for _, line := range lines {
		table = append(table, athenatest.Line{Line: line, Day: daysAgo(0), Path: "s3://log/2026/11/23/10/x.json.gz"})
	}
	deep := 0
	for _, text := range []string{
		"KESTREL", "kestrel \"quoted\"", "天気", `a\b`, "what is", "tokyo", "Sudan?", "the rate is", "a stage", "rates", "look. ", "image", `c:\users`, "verse", "nowhere", "[1,",
	} {
		var sql, ours []string
		for _, row := range athenatest.Run(t, query(t, "text-search", ""), table, text) {
			if name := row["requestid"].(string); name < "nested-3" || name > "nested-5" {
				sql = append(sql, name)
			} else if text == "nowhere" { // they are deeper than the query looks
				deep++
			}
		}
		reader := audit.Reader{Log: audit.File(file), Problem: func(error) {}} // large bodies lie elsewhere
		for entry, err := range reader.Entries(t.Context(), audit.Query{Text: text}) {
			if err != nil {
				t.Fatal(err)
			}
			if name := entry.RequestID; name < "nested-3" || name > "nested-5" {
				ours = append(ours, entry.RequestID)
			}
		}
		slices.Sort(sql)
		slices.Sort(ours)
		if !slices.Equal(sql, ours) {
			t.Errorf("%q: Athena finds %v, audit %v", text, sql, ours)
		}
	}
	if deep != 3 {
		t.Errorf("of 3 calls with JSON too deep in strings, %d are in every result", deep)
	}
}

// Lost: the answer of every query, by one record that has a text where a number should be.
func TestOddValuesStopNoQuery(t *testing.T) {
	t.Parallel()
	odd := regexp.MustCompile(`("\w+TokenCount"):\d+`).ReplaceAllString(samples(t)["converse"], `$1:"a lot"`)
	odd = strings.Replace(odd, `"output":{`, `"output":{"outputImageWidth":"wide","outputImageHeight":1.5,`, 1)
	table := []athenatest.Line{{Line: odd, Day: daysAgo(0), Path: "s3://log/x"}, {Line: strings.Repeat("[", 20_000), Day: daysAgo(0), Path: "s3://log/x"}}
	rows := athenatest.Run(t, callsSQL+"SELECT * FROM calls", table)
	if len(rows) != 1 || rows[0]["inputtokencount"] != int64(0) || rows[0]["outputimagewidth"] != nil || rows[0]["outputimageheight"] != nil {
		t.Errorf("got %v", rows)
	}
	if found := regexp.MustCompile(`[^Y_]CAST\(|[^(]json_format\(`).FindString(callsSQL); found != "" {
		t.Errorf("calls.sql converts by %s, which fails a query", found)
	}
}

// A query that shows too little hides a call; one that shows too much is not believed.
func TestSavedQueries(t *testing.T) {
	t.Parallel()
	record := func(id, caller, model, more, input, output string) string {
		return fmt.Sprintf(`{"schemaType":"ModelInvocationLog","timestamp":"2026-11-%sT10:00:00Z","region":"ap-northeast-1","requestId":%[1]q,"operation":"Converse","modelId":%q,"identity":{"arn":"arn:aws:sts::123456789012:assumed-role/function/x"},"requestMetadata":{"caller":%q,"sourceIp":"10.0.0.7","sourceVpce":"vpce-1"}%s,"input":{"inputTokenCount":10,%s},"output":{"outputTokenCount":3,%s}}`,
			id, model, caller, more, input, output)
	}
	const said = `"outputBodyJson":{"stopReason":"end_turn"}`
	at := func(line string, day int, path string) athenatest.Line {
		return athenatest.Line{Line: line, Day: daysAgo(day), Path: "s3://log/" + path}
	}
	table := []athenatest.Line{
		at(record("20", "role/Clerk/Jane", "haiku", `,"inferenceRegion":"ap-northeast-3"`, `"cacheReadInputTokenCount":5,"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"Projekt FALKE, 天気 <b>"}]}]}`, said), 1, "a"),
		at(record("21", "role/Clerk/Jane", "haiku", `,"errorCode":"ThrottlingException","status":"429"`, `"inputBodyJson":{}`, `"outputBodyJson":null`), 1, "b"),
		at(record("22", "", "nova", `,"status":200`, `"inputBodyJson":{"a":1,"A":2}`, `"outputBodyJson":{"stopReason":"guardrail_intervened"}`), 29, "c"),
		at(record("23", "", "nova", "", `"inputBodyS3Path":"s3://log/data/23_input.json.gz"`, `"outputBodyJson":[{"x":1},{"amazon-bedrock-guardrailAction":"INTERVENED"}]`), 2, "d"),
		at(record("24", "role/Clerk/Tom", "haiku", "", `"inputBodyJson":{"prompt":"say \"stopReason\":\"guardrail_intervened\" and \"amazon-bedrock-guardrailAction\":\"INTERVENED\""}`, said), 3, "e"),
		at(record("01", "role/Clerk/Jane", "old", "", `"inputBodyJson":{"prompt":"falke"}`, said), 40, "f"),
		at(record("02", "role/Clerk/Jane", "oldest", "", `"inputBodyJson":{"prompt":"falke"}`, said), 400, "g"),
		// Below data/ are large bodies: whatever a prompt says, it is no record and nothing that is damaged.
		at(record("25", "role/Forger", "haiku", "", `"inputBodyJson":{"prompt":"falke"}`, said), 1, "data/25_input.json.gz"),
		at("\x89PNG", 1, "data/26_output.json.gz"), at(`["an array"]`, 1, "data/27_output.json.gz"),
		at(`{"schemaType":"ModelInvocationLog","request`, 1, "h"), at(`{"schemaType":"Other"}`, 1, "h"), at("", 1, "h"),
	}
	const unsigned = "10.0.0.7 via vpce-1"
	for name, c := range map[string]struct {
		columns   string
		parameter []any
		want      []string
	}{
		"calls-by-caller": {"caller callcount failures models inputtokens outputtokens firstcall", nil, []string{
			unsigned + " 2 0 1 20 6 2026-11-22T10:00:00Z", "role/Clerk/Jane 2 1 1 20 6 2026-11-20T10:00:00Z", "role/Clerk/Tom 1 0 1 10 3 2026-11-24T10:00:00Z",
		}},
		"calls-by-model": {"modelid operation ranin callcount failures callers inputtokens cachereadtokens", nil, []string{
			"haiku Converse ap-northeast-1 2 1 2 20 0", "nova Converse ap-northeast-1 2 0 1 20 0", "haiku Converse ap-northeast-3 1 0 1 10 5",
		}},
		"calls-by-day": {"callday callcount callers failures", nil, []string{
			"2026-11-20 1 1 0", "2026-11-21 1 1 1", "2026-11-22 1 1 0", "2026-11-23 1 1 0", "2026-11-24 1 1 0",
		}},
		"one-callers-history": {"requestid errorcode", []any{"clerk/JANE"}, []string{"20 <nil>", "21 ThrottlingException"}},
		"text-search":         {"requestid caller", []any{"falke, 天気 <B>"}, []string{"20 role/Clerk/Jane"}},
		"guardrail-interventions": {"requestid prompt", nil, []string{
			`22 {"A":2,"a":1}`, "23 s3://log/data/23_input.json.gz",
		}},
		"tokens-by-caller-and-month": {"callmonth caller modelid callcount inputtokens outputtokens", nil, []string{
			"2026-11 " + unsigned + " nova 2 20 6", "2026-11 role/Clerk/Jane haiku 2 20 6", "2026-11 role/Clerk/Jane old 1 10 3", "2026-11 role/Clerk/Tom haiku 1 10 3",
		}},
		"large-bodies": {"requestid inputbodys3path outputbodys3path", nil, []string{"23 s3://log/data/23_input.json.gz <nil>"}},
		"not-records":  {"file linecount", nil, []string{"s3://log/h 2"}},
	} {
		var got []string
		for _, row := range athenatest.Run(t, query(t, name, "arn:aws:iam::123456789012:role/app/function"), table, c.parameter...) {
			var values []string
			for column := range strings.FieldsSeq(c.columns) {
				values = append(values, fmt.Sprint(row[column]))
			}
			got = append(got, strings.Join(values, " "))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	queries, err := savedQueries()
	if err != nil {
		t.Fatal(err)
	}
	if len(queries) != 9 {
		t.Errorf("%d saved queries, and 9 are tested here", len(queries))
	}
}

// Lost: the name of the caller, to metadata that a principal writes who calls Bedrock past the API; and the difference between two
// people of one name.
func TestQueriesBelieveTheFunctionOnly(t *testing.T) {
	t.Parallel()
	const jane, other = "arn:aws:sts::111111111111:assumed-role/R/jane", "arn:aws:sts::222222222222:assumed-role/R/jane"
	record := func(identity, caller string) athenatest.Line {
		return athenatest.Line{Line: fmt.Sprintf(`{"schemaType":"ModelInvocationLog","timestamp":"2026-11-20T10:00:00Z","modelId":"m","identity":{"arn":%q},"requestMetadata":{"caller":%q,"sourceIp":"10.0.0.7"}}`, identity, caller), Day: daysAgo(1), Path: "s3://log/a"}
	}
	const function = "arn:aws:sts::123456789012:assumed-role/function/"
	table := []athenatest.Line{record(function+"f", jane), record(function+"f", other), record(function+"f", "")}
	forgers := []string{"arn:aws:sts::123456789012:assumed-role/function2/f", "arn:aws:sts::12345678901:assumed-role/function/f", "arn:aws:sts::123456789012:assumed-role/my-function/f", "arn:aws:iam::123456789012:user/" + function + "f"}
	for _, identity := range forgers {
		table = append(table, record(identity, jane))
	}
	for role, want := range map[string][]string{
		"arn:aws:iam::123456789012:role/app/function": append([]string{jane, other, "10.0.0.7 via no endpoint"}, forgers...),
		"": append([]string{function + "f"}, forgers...), "not a role": append([]string{function + "f"}, forgers...),
	} {
		for _, name := range []string{"calls-by-caller", "tokens-by-caller-and-month"} {
			var got []string
			for _, row := range athenatest.Run(t, query(t, name, role), table) {
				got = append(got, fmt.Sprint(row["caller"]))
			}
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("%s of role %q: callers\n%s\nwant\n%s", name, role, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// A query without a bound on days reads, and is paid for, all years; a question mark in a comment may be taken for a parameter.
func TestSavedQueriesAreBounded(t *testing.T) {
	t.Parallel()
	queries, err := savedQueries()
	if err != nil {
		t.Fatal(err)
	}
	bound := regexp.MustCompile(`(?m)^WHERE day >= date_format\(date_add\('day', -(30|365), current_date\), '%Y/%m/%d'\)$`)
	for _, q := range queries {
		_, own, _ := strings.Cut(q.sql, callsSQL)
		days := bound.FindStringSubmatch(own)
		if days == nil || strings.Count(own, "WHERE ") != 1 || strings.Contains(own, "\n  OR ") {
			t.Errorf("%s has no bound on days, or one that something gets around:\n%s", q.name, own)
		} else if said := "last " + days[1] + " days"; !strings.Contains(q.description, said) {
			t.Errorf("%s: %q does not say %q", q.name, q.description, said)
		}
		if parameters := strings.Count(own, "?"); strings.Contains(q.description+callsSQL, "?") || (parameters == 1) != strings.Contains(q.description, "Parameter: ") || parameters > 1 {
			t.Errorf("%s has %d parameters, and says %q", q.name, parameters, q.description)
		}
	}
}

// A layout other than Bedrock's finds nothing, and nothing says so.
func TestRecordsProperties(t *testing.T) {
	t.Parallel()
	to := iamdoc.Target{Account: "123456789012", Region: "ap-northeast-1", Partition: "aws"}
	properties := recordsProperties(to, "log")
	const key = "s3://log/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/2026/11/23/10/20261123T101530123Z_9b86bf4994c4ab1c.json.gz"
	day := strings.NewReplacer("yyyy", "2026", "MM", "11", "dd", "23").Replace(properties["projection.day.format"])
	if folder := strings.Replace(properties["storage.location.template"], "${day}", day, 1); !strings.HasPrefix(key, folder) || !strings.HasSuffix(folder, "/23/") {
		t.Errorf("the folder of %s is %s", key, folder)
	}
	first, last, _ := strings.Cut(properties["projection.day.range"], ",")
	if from, err := time.Parse("2006/01/02", first); err != nil || from.After(time.Date(2023, 9, 28, 0, 0, 0, 0, time.UTC)) || last != "NOW" {
		t.Errorf("range %s, %v: want all of Bedrock's days", properties["projection.day.range"], err)
	}
	for name, want := range map[string]string{"projection.enabled": "true", "projection.day.type": "date", "read_restored_glacier_objects": "true"} {
		if properties[name] != want {
			t.Errorf("%s = %q, want %q", name, properties[name], want)
		}
	}
	if got := databaseName("bedrock-audit-1a2b.3c"); got != "bedrock_audit_1a2b_3c" {
		t.Errorf("database %s", got)
	}
}
