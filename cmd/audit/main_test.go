package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/private-bedrock/private-bedrock/audit"
)

const (
	region = "bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/"
	hour   = region + "2026/11/23/10/"
)

func zip(content string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(content))
	w.Close()
	return b.Bytes()
}

func sample(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../audit/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, content); err != nil {
		t.Fatal(err)
	}
	return line.String() + "\n"
}

// objects are a log's, by their keys.
func objects(t *testing.T) map[string][]byte {
	t.Helper()
	hostile := strings.NewReplacer("What is the weather?", `=HYPERLINK(\"x\")\n\u001b[2J\u202e`, "5d0001", "5d0002", "10:15:30", "10:15:31", "QmOw7G1BIAMFYJQ=", "hostile=").Replace(sample(t, "messages-stream"))
	large := strings.NewReplacer("QmOw7G1BIAMFYJQ=", "large=", "10:15:30", "10:15:32", `"requestId":"6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001"`, `"requestId":"large"`).Replace(sample(t, "large-bodies"))
	failed := strings.NewReplacer("QmOw7G1BIAMFYJQ=", "failed=", "10:15:30", "10:15:33", "5d0001", "5d0003").Replace(sample(t, "error"))
	return map[string][]byte{
		"bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check": nil,
		hour + "20261123T101600000Z_0000000000000001.json.gz":                                          zip(sample(t, "converse") + hostile),
		hour + "20261123T101601000Z_0000000000000002.json.gz":                                          zip(large + failed),
		hour + "data/6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001_input.json.gz":                               zip(`{"messages":[{"role":"user","content":[{"text":"a long question"}]}]}`),
		hour + "data/6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001_output.json.gz":                              zip(`{"output":{"message":{"role":"assistant","content":[{"text":"a long answer"}]}}}`),
	}
}

func dir(t *testing.T, objects map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	for key, content := range objects {
		name := filepath.Join(folder, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// command runs audit, which must end with the status.
func command(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	complete, err := run(t.Context(), args, &out, &errs)
	got := map[bool]int{true: 0, false: 2}[complete]
	if err != nil {
		got = 1
		fmt.Fprintln(&errs, err)
	}
	if got != status {
		t.Fatalf("audit %v ended with %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

const (
	role     = "arn:aws:iam::123456789012:role/bedrock-app-dev-function-role"
	converse = "2026-11-23T10:15:30Z\t123456789012:assumed-role/Clerk/jane\tjp.anthropic.claude-haiku-4-5-20251001-v1:0\tConverse\t10/6\t[turn 2] 今日の天気は？\t[reasoning] I cannot know. 分かりません。\n"
	hostile  = "2026-11-23T10:15:31Z\t123456789012:assumed-role/Clerk/jane\tanthropic.claude-haiku-4-5-20251001-v1:0\tInvokeModelWithResponseStream\t10/6\t=HYPERLINK(\"x\") [2J\tLet me look. [tool weather] {\"city\":\"Tokyo\"}\n"
)

// Lost: the list that an auditor reads, a line for each record whatever a prompt holds, and the terminal to a prompt that
// moves its cursor.
func TestList(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	out, errs := command(t, 0, "list", "--dir", folder, "--function-role", role)
	lines := strings.SplitAfter(out, "\n")
	if len(lines) != 5 || lines[0]+lines[1] != converse+hostile || !strings.HasSuffix(lines[2], "\t[large body]\t[large body]\n") || !strings.HasSuffix(lines[3], "\t0/0\t\t[ThrottlingException]\n") || errs != "" {
		t.Errorf("list:\n%s%s", out, errs)
	}
	for args, want := range map[string]string{
		"--until 2026-11-23T10:15:31Z": converse, "--since 2026-11-23 --until 2026-11-23 --text tokyo": hostile,
		"--since 2026-11-24": "", "--until 2026-11-22": "", "--caller JANE --model profile/jp.": converse, "--model jp. --text tokyo": "",
	} {
		if out, _ := command(t, 0, append([]string{"list", "--dir", folder, "--function-role", role}, strings.Fields(args)...)...); out != want {
			t.Errorf("list %s:\n%swant\n%s", args, out, want)
		}
	}
	if out, _ := command(t, 0, "list", "--dir", folder, "--text", "long QUESTION"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "\ta long question\ta long answer\n") {
		t.Errorf("by the text of a large body:\n%s", out)
	}
	out, _ = command(t, 0, "list", "--dir", folder, "--json", "--model", "profile/jp.")
	var entry map[string]any
	if err := json.Unmarshal([]byte(out), &entry); err != nil || entry["prompt"] != "system: Answer in Japanese.\n\nuser: 今日の天気は？" || entry["cacheWriteInputTokenCount"] != 4.0 {
		t.Errorf("list --json: %s %v", out, err)
	}
}

// Lost: on a terminal, which caller or model a line belongs to, and where a prompt ends.
func TestListColumns(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	values, _ := command(t, 0, "list", "--dir", folder)
	archive, err := audit.Dir(folder, "")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := list(t.Context(), audit.Reader{Log: archive}, audit.Query{Texts: true}, true, &out); err != nil {
		t.Fatal(err)
	}
	titles, lines, _ := strings.Cut(out.String(), "\n")
	gap := regexp.MustCompile(" {2,}")
	want := strings.Split(values, "\n")
	for i, line := range strings.Split(lines, "\n") {
		cells := strings.Split(want[i], "\t")
		if got := gap.ReplaceAllString(line, "\t"); got != gap.ReplaceAllString(strings.Join(cells, "  "), "\t") {
			t.Errorf("got %q, want the values of %q", line, want[i])
		}
		for n, title := range strings.Fields(titles)[:min(6, len(cells))] {
			if at := strings.Index(titles, title); !strings.HasPrefix(line[at:], cells[n]) {
				t.Errorf("column %s of %q is %q, want %q", title, line, line[at:], cells[n])
			}
		}
	}
}

// Lost: one call's whole record, found by the id that the caller got or that Bedrock logged.
func TestShow(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	for _, args := range [][]string{{"show", "large=", "--dir", folder}, {"show", "--dir", folder, "large"}} {
		out, _ := command(t, 0, args...)
		var record struct {
			ModelID string `json:"modelId"`
			Input   struct {
				BodyJSON struct{ Messages []any } `json:"inputBodyJson"`
			}
			Output struct {
				BodyJSON struct{ Output any } `json:"outputBodyJson"`
			}
		}
		if err := json.Unmarshal([]byte(out), &record); err != nil || len(record.Input.BodyJSON.Messages) != 1 || record.Output.BodyJSON.Output == nil || record.ModelID == "" {
			t.Errorf("show: %v\n%s", err, out)
		}
	}
	out, _ := command(t, 0, "show", "hostile=", "--dir", folder)
	if strings.ContainsAny(out, "\x1b\u202e") || !strings.Contains(out, `\u202e`) || !json.Valid([]byte(out)) {
		t.Errorf("show writes to the terminal what a prompt holds:\n%q", out)
	}
	if _, errs := command(t, 1, "show", "none", "--dir", folder); !strings.Contains(errs, "no record of request none") {
		t.Errorf("show none: %s", errs)
	}
}

// Lost: the evidence in an auditor's own tools, and a spreadsheet that runs what a prompt holds.
func TestExport(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	out, _ := command(t, 0, "export", "--dir", folder)
	var hostile struct{ Prompt string }
	if err := json.Unmarshal([]byte(strings.Split(out, "\n")[1]), &hostile); err != nil || !strings.HasSuffix(hostile.Prompt, "\n\x1b[2J\u202e") || strings.ContainsRune(out, '\u202e') {
		t.Errorf("export of a hostile prompt: %q, %v\n%q", hostile.Prompt, err, out)
	}
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 || !strings.Contains(lines[2], `"prompt":"a long question"`) || !strings.Contains(lines[1], `"prompt":"=HYPERLINK(`) {
		t.Errorf("export:\n%s", out)
	}
	out, _ = command(t, 0, "export", "--dir", folder, "--format", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 5 || rows[0][16] != "prompt" || !strings.HasPrefix(rows[2][16], "'=HYPERLINK(") || rows[3][17] != "a long answer" {
		t.Errorf("export --format csv: %v\n%s", err, out)
	}
}

// Lost: the auditor's machine, to whatever a spreadsheet takes for a formula, in any column that a caller can write.
func TestExportRunsNothing(t *testing.T) {
	t.Parallel()
	for _, formula := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\n=1", "\u3000=1", "＝1", "＋1", "－1", " ＠1", "\u00a0-1"} {
		quoted, _ := json.Marshal(formula)
		record := strings.NewReplacer(`"今日の天気は？"`, string(quoted), `"arn:aws:sts::123456789012:assumed-role/Clerk/jane"`, string(quoted),
			`"modelId":"`, `"errorCode":`+string(quoted)+`,"modelId":"`).Replace(sample(t, "converse"))
		out, _ := command(t, 0, "export", "--dir", dir(t, map[string][]byte{hour + "20261123T101600000Z_1.json.gz": zip(record)}), "--format", "csv", "--function-role", role)
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		for _, column := range []int{3, 15} { // caller, errorCode
			if !strings.HasPrefix(rows[1][column], "'") {
				t.Errorf("%s is %q", rows[0][column], rows[1][column])
			}
		}
	}
	for text, want := range map[string]string{
		"x;=HYPERLINK('h')": "x;'=HYPERLINK('h')", "x\t=1+1": "x\t'=1+1", "x\n=cmd|x": "x\n'=cmd|x", "x; \u3000＝1": "x; \u3000'＝1",
		"x;\"=1\"": "x;\"'=1\"", "x;+1;-1\n\n@a": "x;'+1;'-1\n\n'@a", "\t=1": "'\t'=1", "-1;-1": "'-1;'-1",
	} {
		if got := noFormula(text); got != want {
			t.Errorf("%q is written as %q, want %q", text, got, want)
		}
	}
	for _, plain := range []string{"", "a=1", "1-1", "今日", "'=1", "x; a=1", "x\n1-1", "x;'=1"} {
		if got := noFormula(plain); got != plain {
			t.Errorf("%q is written as %q", plain, got)
		}
	}
}

// Lost: the auditor's terminal, to a name in the log: lines that audit did not write, or hidden ones.
func TestTerminalShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\u202e\nforged\u0085line\u2028\u200b"
	quoted, _ := json.Marshal(evil)
	name := string(quoted[1 : len(quoted)-1])
	record := strings.NewReplacer("Clerk/jane", name, "jp.anthropic", name, `"operation":"`, `"operation":"`+name, "今日の", name+"\x9b2J", `"modelId":"`, `"errorCode":{"a":"`+"\x9b2J"+`"},"modelId":"`, "6f1e0a52", name).Replace(sample(t, "converse"))
	folder := dir(t, map[string][]byte{
		hour + "20261123T101600000Z_1.json.gz":                   zip(record + strings.Replace(record, `"ModelInvocationLog"`, string(quoted), 1)),
		hour + "20261123T101601000Z_\x1b[2J\u202eforged.json.gz": []byte("no gzip"),
	})
	log := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(log, []byte(`{"extendedRequestId":`+string(quoted)+`,"httpMethod":"POST","requestTimeEpoch":"1795428930000","resourcePath":"/generate","status":"200","userArn":`+string(quoted)+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"export"}, {"export", "--format", "csv"}, {"verify", "--access-log", log}, {"show", "QmOw7G1BIAMFYJQ="}} {
		if args[0] != "show" { // it prints records as they are
			args = append(args, "--function-role", role)
		}
		out, errs := command(t, 2, append(args, "--dir", folder)...)
		if args[0] != "show" && args[0] != "export" && strings.Contains(out, "\nforged") || strings.Contains(errs, "\nforged") {
			t.Errorf("%v writes a line of a record's:\n%s%s", args, out, errs)
		}
		if !utf8.ValidString(out + errs) {
			t.Errorf("%v writes bytes that are no UTF-8:\n%q%q", args, out, errs)
		}
		for _, r := range out + errs {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Errorf("%v writes %U:\n%q%q", args, r, out, errs)
				break
			}
		}
	}
	if got := visible("\x9b2J"); got != "\ufffd2J" { // the only one of its text
		t.Errorf("a byte that is no UTF-8 is written as %q", got)
	}
}

// Lost: the costs of each caller; or the page shows a prompt, or runs a script that is a caller's name.
func TestReport(t *testing.T) {
	t.Parallel()
	all := objects(t)
	all[region+"2026/11/25/10/20261125T101602000Z_0000000000000003.json.gz"] = zip(strings.NewReplacer("2026-11-23T", "2026-11-25T", "Clerk/jane", "<script>x", `"inputTokenCount":10`, `"inputTokenCount":1234567`).Replace(sample(t, "nova")) +
		strings.NewReplacer("2026-11-23T", "2026-11-25T", "Clerk/jane", "Clerk/<script>").Replace(sample(t, "converse")))
	folder := dir(t, all)
	out, _ := command(t, 0, "report", "--dir", folder, "--function-role", role)
	for _, want := range []string{
		"<dt>calls</dt><dd>6</dd>", "<dt>failed</dt><dd>1</dd>", "<dt>tokens in</dt><dd>1,286,597</dd>", "<dt>tokens out</dt><dd>26,024</dd>",
		"<dt>cache read</dt><dd>0</dd>", "<dt>cache written</dt><dd>8</dd>", "2026-11-23 10:15 to 2026-11-25 10:15 UTC",
		"<title>2026-11-24: 0 calls, 0 failed;", `<th scope="row">2026-11-24</th><td>0</td>`, `<tr><th scope="row">amazon.nova-lite-v1:0<div class="share"`, "</th><td>1</td><td>0</td><td>1,234,567</td>",
		"assumed-role/Clerk/&lt;script&gt;", "<span>2026-11-23</span><span>2026-11-25</span>",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, leak := range []string{"天気", "whale", "HYPERLINK", "<script", "http://", "https://"} {
		if strings.Contains(out, leak) {
			t.Errorf("the page has %q", leak)
		}
	}
	if out, _ := command(t, 0, "report", "--dir", folder, "--since", "2027-01-01"); !strings.Contains(out, "No calls.") {
		t.Errorf("of no calls:\n%s", out)
	}
}

// Lost: the report, to a count that no call can have: it has the rest, and says what it has not.
func TestReportOfImpossibleCounts(t *testing.T) {
	t.Parallel()
	for _, count := range []string{"9000000000000000000", "9223372036854775808", "1000000001", "-1", "1e3", `"7"`} {
		record := strings.Replace(sample(t, "converse"), `"inputTokenCount":10`, `"inputTokenCount":`+count, 1)
		out, errs := command(t, 2, "report", "--dir", dir(t, map[string][]byte{hour + "20261123T101600000Z_1.json.gz": zip(record)}), "--function-role", role)
		if !strings.Contains(out, "<dt>tokens in</dt><dd>0</dd>") || !strings.Contains(out, "<dt>tokens out</dt><dd>6</dd>") || !strings.Contains(errs, "line 1: inputTokenCount is not a whole number from 0 to 1000000000") {
			t.Errorf("%s:\n%s", count, errs)
		}
	}
	for n, want := range map[int64]int64{1: 2, 20: 20, 21: 40, 201: 400, 4e18: 4e18, 4e18 + 1: 6e18} {
		if got := roundUp(n); got != want {
			t.Errorf("roundUp(%d) = %d, want %d", n, got, want)
		}
	}
}

// Lost: that a record is missing, to a job that looks at the exit status only.
func TestVerify(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	line := func(id string) string {
		return fmt.Sprintf(`{"extendedRequestId":%q,"httpMethod":"POST","requestTimeEpoch":"1795428930000","resourcePath":"/generate","status":"200","sourceIp":"10.0.131.7","userArn":"arn:aws:sts::123456789012:assumed-role/Clerk/jane","vpcEndpointId":"vpce-0123456789abcdef0"}`+"\n", id)
	}
	log := filepath.Join(t.TempDir(), "access.log")
	all := line("QmOw7G1BIAMFYJQ=") + line("hostile=") + line("large=") + line("failed=")
	for name, c := range map[string]struct {
		log    string
		status int
		want   string
	}{
		"all there":      {all, 0, "4 successful calls of a model, 4 records: nothing is missing\n"},
		"without record": {all + line("lost="), 2, "call lost=, 2026-11-23T10:15:30Z, POST /generate by arn:aws:sts::123456789012:assumed-role/Clerk/jane: no record in folder " + folder + "\n5 successful calls of a model, 4 records: 1 to look into\n"},
		"without call":   {strings.Replace(all, "failed=", "QmOw7G1BIAMFYJQ=", 1), 2, "record 6f1e0a52-1111-4c60-9d3b-0f4f2f5d0003, 2026-11-23T10:15:33Z, Converse of jp.anthropic.claude-haiku-4-5-20251001-v1:0 by arn:aws:sts::123456789012:assumed-role/bedrock-app-dev-function-role/bedrock-app-dev-function: its API request failed= is no call of a model in the access log\n3 successful calls of a model, 4 records: 1 to look into\n"},
	} {
		if err := os.WriteFile(log, []byte(c.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _ := command(t, c.status, "verify", "--dir", folder, "--access-log", log, "--function-role", role); out != c.want {
			t.Errorf("%s:\n%swant\n%s", name, out, c.want)
		}
	}
}

// Lost: records that can't be compared, to a job that looks at the exit status only: those from before the access log's first
// line, and all of them if the access log is empty.
func TestVerifyComparesAll(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	log := filepath.Join(t.TempDir(), "access.log")
	for name, c := range map[string]struct {
		log, args string
		status    int
		want      string
	}{
		"older": {`{"extendedRequestId":"later=","httpMethod":"GET","requestTimeEpoch":"1795515330000","resourcePath":"/health","status":"200"}` + "\n", "", 2,
			"0 successful calls of a model, 4 records: not everything could be compared\n4 records are older than the access log's first line, so that their calls are unknown: to omit them, set --since\n"},
		"older, left out": {`{"extendedRequestId":"later=","httpMethod":"GET","requestTimeEpoch":"1795515330000","resourcePath":"/health","status":"200"}` + "\n", "--since 2026-11-24", 0,
			"0 successful calls of a model, 0 records: nothing is missing\n"},
		"no access log": {"", "--since 2026-11-24", 2,
			"0 successful calls of a model, 0 records: not everything could be compared\nfile " + log + " has no line of this time: the calls are unknown\n"},
	} {
		if err := os.WriteFile(log, []byte(c.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _ := command(t, c.status, append([]string{"verify", "--dir", folder, "--access-log", log, "--function-role", role}, strings.Fields(c.args)...)...); out != c.want {
			t.Errorf("%s:\n%swant\n%s", name, out, c.want)
		}
	}
}

// Lost: the name of the caller, to metadata that a principal writes who calls Bedrock past the API; and to an auditor who names no
// role of the function's, the knowledge that the callers are not the API's.
func TestCallersAreTheFunctionsToName(t *testing.T) {
	t.Parallel()
	const mallory = "arn:aws:sts::123456789012:assumed-role/mallory/m"
	forged := strings.NewReplacer("assumed-role/bedrock-app-dev-function-role/bedrock-app-dev-function", "assumed-role/mallory/m", "5d0001", "5d0009").Replace(sample(t, "converse"))
	old := strings.NewReplacer("bedrock-app-dev-function-role/", "older-role/", "5d0001", "5d0008").Replace(sample(t, "converse"))
	folder := dir(t, map[string][]byte{hour + "20261123T101600000Z_1.json.gz": zip(sample(t, "converse") + forged + old)})
	const jane, older = "arn:aws:sts::123456789012:assumed-role/Clerk/jane", "arn:aws:sts::123456789012:assumed-role/older-role/bedrock-app-dev-function"
	for roles, want := range map[string][3]string{
		"": {"arn:aws:sts::123456789012:assumed-role/bedrock-app-dev-function-role/bedrock-app-dev-function", mallory, older}, role: {jane, mallory, older},
		role + ",arn:aws:iam::123456789012:role/app/older-role": {jane, mallory, jane},
	} {
		args := []string{"--dir", folder}
		note := "audit: the function's role is unknown, so each caller is the identity that called Bedrock; to name the role, set --stack or --function-role\n"
		if roles != "" {
			args, note = append(args, "--function-role", roles), ""
		}
		list, errs := command(t, 0, append([]string{"list"}, args...)...)
		table, exportErrs := command(t, 0, append([]string{"export", "--format", "csv"}, args...)...)
		page, reportErrs := command(t, 0, append([]string{"report"}, args...)...)
		if errs != note || exportErrs != note || reportErrs != note {
			t.Errorf("roles %q: stderr\n%s%s%swant each\n%s", roles, errs, exportErrs, reportErrs, note)
		}
		rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
		lines := strings.Split(list, "\n")
		if err != nil || len(rows) != 4 || len(lines) != 4 {
			t.Fatalf("%v\n%s%s", err, table, list)
		}
		for i, caller := range want {
			if rows[i+1][3] != caller || strings.Split(lines[i], "\t")[1] != strings.TrimPrefix(caller, "arn:aws:sts::") || !strings.Contains(page, `<th scope="row">`+caller) {
				t.Errorf("roles %q, record %d: want caller %s:\n%s\n%s", roles, i, caller, table, list)
			}
		}
		if (strings.Count(page, jane) > 0) != (roles != "") {
			t.Errorf("roles %q: the report names %s", roles, jane)
		}
	}
}

// Lost: who of two people it was, where two accounts, or two roles, have sessions of one name.
func TestCallersOfOneName(t *testing.T) {
	t.Parallel()
	callers := []string{"arn:aws:sts::111111111111:assumed-role/R/jane", "arn:aws:sts::222222222222:assumed-role/R/jane", "arn:aws:sts::111111111111:assumed-role/S/jane", "arn:aws:iam::111111111111:user/jane"}
	content := ""
	for i, caller := range callers {
		content += strings.NewReplacer("arn:aws:sts::123456789012:assumed-role/Clerk/jane", caller, "5d0001", fmt.Sprint("5d000", i)).Replace(sample(t, "converse"))
	}
	folder := dir(t, map[string][]byte{hour + "20261123T101600000Z_1.json.gz": zip(content)})
	list, _ := command(t, 0, "list", "--dir", folder, "--function-role", role)
	report, _ := command(t, 0, "report", "--dir", folder, "--function-role", role)
	for _, caller := range callers {
		if strings.Count(list, "\t"+strings.SplitN(caller, ":", 5)[4]+"\t") != 1 {
			t.Errorf("list does not tell %s apart:\n%s", caller, list)
		}
		if strings.Count(report, `<th scope="row">`+caller) != 1 {
			t.Errorf("report does not tell %s apart", caller)
		}
	}
}

// Lost: the knowledge that a list is not all there is.
func TestDamage(t *testing.T) {
	t.Parallel()
	all := objects(t)
	all[hour+"20261123T101602000Z_0000000000000003.json.gz"] = []byte("no gzip at all")
	out, errs := command(t, 2, "list", "--dir", dir(t, all), "--function-role", role, "--model", "jp.", "--since", "2026-11-23", "--until", "2026-11-23T10:15:31Z")
	if out != converse || errs != "audit: skipped: "+hour+"20261123T101602000Z_0000000000000003.json.gz: gzip: invalid header\n" {
		t.Errorf("%s%s", out, errs)
	}
}

// Lost: the records after one whose timestamp no JSON can have.
func TestTimestampsOfNoYear(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"9999-12-31T23:59:59-23:00", "0000-01-01T00:00:00+23:00", "2026-11-23", ""} {
		record := strings.Replace(sample(t, "converse"), "2026-11-23T10:15:30Z", at, 1)
		folder := dir(t, map[string][]byte{hour + "20261123T101600000Z_1.json.gz": zip(record + sample(t, "nova"))})
		for _, args := range []string{"list --json", "list", "export", "export --format csv", "report"} {
			out, errs := command(t, 2, append(strings.Fields(args), "--dir", folder, "--function-role", role)...)
			if !strings.Contains(out, "nova-lite") || strings.Contains(out, "haiku") || !strings.Contains(errs, "line 1: a record without a usable timestamp") {
				t.Errorf("%s of a record of %q:\n%s%s", args, at, out, errs)
			}
		}
	}
}

// Lost: what to do about a command that cannot work.
func TestUsage(t *testing.T) {
	t.Parallel()
	folder := dir(t, objects(t))
	for args, want := range map[string]string{
		"":                                     "set a command: list, show, export, verify or report",
		"lists":                                "unknown command \"lists\" for \"go run ./cmd/audit\"\n\nDid you mean this?\n\tlist\n",
		"export --formt csv":                   "export: unknown flag: --formt; did you mean --format?",
		"list -since=2026-11-23":               "did you mean --since?",
		"list --format csv":                    "list: unknown flag: --format; see --help",
		"list":                                 "set --stack, --bucket, --log-group or --dir",
		"list --dir /nowhere/at/all":           "--dir: ",
		"list --dir " + folder + " --bucket b": "remove either",
		"list --dir " + folder + " x":          `unexpected "x"`,
		"list --dir " + folder + " --since yesterday":                     "--since must be a day such as",
		"list --dir " + folder + " --since 2026-11-24 --until 2026-11-23": "must be before --until 2026-11-23",
		"list --dir " + folder + " --prefix none":                         "searching folder",
		"export --dir " + folder + " --format xml":                        "must be jsonl or csv",
		"show --dir " + folder:                                            "set REQUEST_ID",
		"show a b --dir " + folder:                                        `unexpected "b"`,
		"verify --dir " + folder + "":                                     "to name the access log, set --stack",
		"verify --dir " + folder + " --access-log x":                      "verify can't detect a record of a call that bypassed the API: set --function-role",
		"verify --dir " + folder + " --access-log x --function-role ,":    "verify can't detect a record of a call that bypassed the API: set --function-role",
		"verify --dir " + folder + " --access-log x --function-role f,":   `--function-role: got "f", want the ARN of a role, such as`,
		"list --dir " + folder + " --function-role " + role + ",f":        `--function-role: got "f"`,
	} {
		if _, errs := command(t, 1, strings.Fields(args)...); !strings.Contains(errs, want) {
			t.Errorf("audit %s: %s\nwant %q", args, errs, want)
		}
	}
	for args, want := range map[string]string{
		"--help": "\n  verify ", "help": "\n  2  something could not be read", "-h": "\n  list ", "list --help": " --text TEXT ",
		"help show": "audit show REQUEST_ID [flags]", "verify -h": " --access-log FILE ", "export --help": ` (default "jsonl")`,
		"report --help": " report --stack dev > use.html", "completion bash": "__start_audit",
		"__complete list --si": "--since\t", "__complete export --format ": "csv\n",
	} {
		out, errs := command(t, 0, strings.Split(args, " ")...)
		if !strings.Contains(out, want) || errs != "" && !strings.HasPrefix(args, "__") || strings.Contains(out, "--access-log ") != (args == "verify -h") {
			t.Errorf("audit %s: %s%s\nwant %q", args, out, errs, want)
		}
	}
}

// Lost: how long the log of a year takes; or the records, if a line overwrites them.
func TestProgress(t *testing.T) {
	t.Parallel()
	var to bytes.Buffer
	at := func(day int) time.Time { return time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC) }
	p := progress{to: &to, on: true, end: at(21)}
	p.show(1, at(1))
	p.show(2, at(2)) // too soon after it
	p.shown = time.Time{}
	p.show(50, at(11))
	p.wipe()
	p.wipe()
	want := "\r[" + strings.Repeat(" ", 30) + "]   0%, 2026-11-01 00:00, 1 objects read" +
		"\r[" + strings.Repeat("=", 15) + strings.Repeat(" ", 15) + "]  50%, 2026-11-11 00:00, 50 objects read\r\x1b[K"
	if to.String() != want {
		t.Errorf("got %q, want %q", to.String(), want)
	}
	to.Reset()
	off := progress{to: &to}
	off.show(1, at(1))
	off.wipe()
	if to.Len() > 0 {
		t.Errorf("where it is no terminal: %q", to.String())
	}
}

// Lost: the sandbox, and every AWS but AWS's own: a bucket's name is no host there; and a stack's own log without looking
// up its names and region.
func TestStack(t *testing.T) {
	all := objects(t)
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		switch q := r.URL.Query(); {
		case r.Header.Get("X-Amz-Target") != "":
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			io.WriteString(w, `{"events":[]}`)
		case q.Get("delimiter") != "":
			fmt.Fprintf(w, "<ListBucketResult><CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes></ListBucketResult>", region[:len(q.Get("prefix"))+strings.Index(region[len(q.Get("prefix")):], "/")+1])
		case q.Get("list-type") != "":
			fmt.Fprintf(w, "<ListBucketResult><Contents><Key>%s20261123T101600000Z_0000000000000001.json.gz</Key></Contents></ListBucketResult>", hour)
		default:
			w.Write(all[strings.TrimPrefix(r.URL.Path, "/stack-bucket/")])
		}
	}))
	t.Cleanup(server.Close)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "pulumi"), []byte(`#!/bin/sh
test "$*" = "stack output --json --stack dev" || exit 1
echo '{"logBucketName":"stack-bucket","accessLogGroupName":"/aws/apigateway/x","functionRoleArn":"`+role+`","invokeUrl":"https://x-vpce-1.execute-api.eu-north-1.amazonaws.com/api"}'
`), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PATH": bin + ":" + os.Getenv("PATH"), "AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	if out, errs := command(t, 0, "list", "--stack", "dev", "--model", "profile/jp."); out != converse || errs != "" {
		t.Errorf("%s%s", out, errs)
	}
	for _, one := range asked {
		if !strings.HasPrefix(one, "/stack-bucket") || !strings.Contains(one, "/eu-north-1/s3/") {
			t.Errorf("asked %s", one)
		}
	}
	if out, _ := command(t, 2, "verify", "--stack", "dev"); strings.Count(out, "is no call of a model in the access log, which has no line\n") != 2 || !strings.HasSuffix(out, "\nlog group /aws/apigateway/x has no line of this time: the calls are unknown\n") {
		t.Errorf("against an empty access log:\n%s", out)
	}
	if _, errs := command(t, 1, "list", "--stack", "other"); !strings.Contains(errs, "--stack other") || !strings.Contains(errs, "--bucket") {
		t.Errorf("of a stack that is not there: %s", errs)
	}
}

// Lost: JSON, where an escape is written that JSON has not.
func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\u202e\U000e0001\u3000\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := errors.Join(json.Unmarshal(quoted, &want), json.Unmarshal([]byte(visible(string(quoted))), &got)); err != nil || got != want {
			t.Errorf("got %q, want %q: %v", got, want, err)
		}
		if line := oneLine(text); strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("oneLine(%q) = %q", text, line)
		}
	})
}

// BenchmarkRun runs the command of AUDIT_ARGUMENTS. bench profiles it.
func BenchmarkRun(b *testing.B) {
	arguments := strings.Fields(os.Getenv("AUDIT_ARGUMENTS"))
	if len(arguments) == 0 {
		b.Skip("AUDIT_ARGUMENTS names no command")
	}
	for b.Loop() {
		if _, err := run(b.Context(), arguments, io.Discard, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
