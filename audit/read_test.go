package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const region = "bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/"

// roles are the roles of the function that made the records of line and of testdata.
var roles = []Role{{"arn:aws:sts::1:assumed-role/function/"}, {"arn:aws:sts::123456789012:assumed-role/bedrock-app-dev-function-role/"}}

// zip returns a gzipped object of lines.
func zip(lines ...string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(strings.Join(lines, "\n") + "\n"))
	w.Close()
	return b.String()
}

// line returns a record of Converse.
func line(at, id, apiID, caller, text string) string {
	said, _ := json.Marshal(text)
	return fmt.Sprintf(`{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":%q,"accountId":"1","identity":{"arn":"arn:aws:sts::1:assumed-role/function/f"},`+
		`"region":"ap-northeast-1","requestId":%q,"operation":"Converse","modelId":"a.model-v1:0","requestMetadata":{"apiExtendedRequestId":%q,"caller":%q},`+
		`"input":{"inputBodyJson":{"messages":[{"role":"user","content":[{"text":%s}]}]},"inputTokenCount":1},`+
		`"output":{"outputBodyJson":{"output":{"message":{"role":"assistant","content":[{"text":"answer"}]}}},"outputTokenCount":2}}`, at, id, apiID, caller, said)
}

// dir returns a folder with a copy of a bucket.
func dir(t testing.TB, objects map[string]string) Archive {
	t.Helper()
	folder := t.TempDir()
	for key, content := range objects {
		name := filepath.Join(folder, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Dir(folder, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// read returns the Bedrock request IDs of the records that match a query, and the problems.
func read(t testing.TB, a Archive, q Query) (entries []Entry, ids, problems []string) {
	t.Helper()
	r := Reader{Log: a, Body: a.Body, Roles: roles, Problem: func(err error) { problems = append(problems, err.Error()) }}
	for e, err := range r.Entries(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		entries, ids = append(entries, e), append(ids, e.RequestID)
	}
	return entries, ids, problems
}

func log() map[string]string {
	return map[string]string{
		"bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check":            "",
		"bedrock-large-data/AWSLogs/123456789012/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check": "",
		region + "2026/11/22/23/20261122T235000000Z_0000000000000001.json.gz": zip(
			line("2026-11-22T23:49:00Z", "r1", "api1", "arn:aws:iam::1:user/ann", "first")),
		region + "2026/11/23/00/20261123T000500000Z_0000000000000002.json.gz": zip(
			line("2026-11-23T00:04:00Z", "r4", "api4", "arn:aws:iam::1:user/bob", "Fourth"),
			"", line("2026-11-22T23:59:59Z", "r2", "api2", "", "a stream that ended in the next hour")),
		region + "2026/11/23/00/20261123T001000000Z_0000000000000003.json.gz": zip(
			line("2026-11-23T00:03:00Z", "r3", "api3", "arn:aws:iam::1:user/ann", "third"),
			"Permissions are correctly set for Amazon Bedrock logs."),
		region + "2026/11/23/00/data/r9_input.json.gz":                        zip(`{"prompt":"large"}`),
		region + "2026/11/23/05/20261123T050000000Z_0000000000000004.json.gz": zip(line("2026-11-23T04:59:00Z", "r5", "api5", "", "fifth")),
	}
}

// Queries return the matching records, in order of time.
func TestEntries(t *testing.T) {
	t.Parallel()
	a := dir(t, log())
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for name, c := range map[string]struct {
		query Query
		want  string
	}{
		"all, in the order of their time":       {Query{}, "r1 r2 r3 r4 r5"},
		"delivered in the hour after":           {Query{Since: at("2026-11-22T23:55:00Z"), Until: at("2026-11-23T00:00:00Z")}, "r2"},
		"since is in, until is out":             {Query{Since: at("2026-11-23T00:03:00Z"), Until: at("2026-11-23T00:04:00Z")}, "r3"},
		"times of other zones":                  {Query{Since: at("2026-11-23T09:04:00+09:00")}, "r4 r5"},
		"by caller":                             {Query{Caller: "user/ANN"}, "r1 r3"},
		"by the ARN that called Bedrock":        {Query{Caller: "assumed-role/function"}, "r1 r2 r3 r4 r5"},
		"by model":                              {Query{Model: "b.model"}, ""},
		"by text, of whichever letters":         {Query{Text: "fourTH"}, "r4"},
		"by an answer's text":                   {Query{Text: "answer", Until: at("2026-11-22T23:50:00Z")}, "r1"},
		"by the API's request id":               {Query{RequestID: "api3"}, "r3"},
		"by Bedrock's request id, not its part": {Query{RequestID: "r"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, ids, problems := read(t, a, c.query)
			if got := strings.Join(ids, " "); got != c.want || problems != nil {
				t.Errorf("got %s, want %s; problems %v", got, c.want, problems)
			}
		})
	}
}

// opened counts the objects that are read.
type opened struct {
	store
	read chan string
}

func (o opened) open(ctx context.Context, key string) (io.ReadCloser, error) {
	o.read <- key
	return o.store.open(ctx, key)
}

// A query for one hour reads only the objects of that hour.
func TestOnlyQueriedHoursAreRead(t *testing.T) {
	t.Parallel()
	a := dir(t, log())
	o := opened{a.store, make(chan string, 10)}
	a.store = o
	since := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	read(t, a, Query{Since: since, Until: since.Add(time.Hour)})
	close(o.read)
	for key := range o.read {
		if !strings.Contains(key, "/2026/11/23/00/2026") {
			t.Errorf("read %s", key)
		}
	}
}

// An object of more than 1 MiB is read completely.
func TestLargeObject(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, ahead)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	object := zip(line("2026-11-23T00:00:00Z", "first", "", "", hex.EncodeToString(noise)), line("2026-11-23T00:00:01Z", "last", "", "", "x"))
	if len(object) <= ahead {
		t.Fatalf("an object of %d bytes", len(object))
	}
	if _, ids, problems := read(t, dir(t, map[string]string{region + "2026/11/23/00/20261123T000100000Z_1.json.gz": object}), Query{}); strings.Join(ids, " ") != "first last" || problems != nil {
		t.Errorf("got %v, problems %v", ids, problems)
	}
}

// held counts the objects that are open, and their maximum.
type held struct {
	store
	open_, most, opened atomic.Int64
}

func (h *held) open(ctx context.Context, key string) (io.ReadCloser, error) {
	content, err := h.store.open(ctx, key)
	h.opened.Add(1)
	if n := h.open_.Add(1); n > h.most.Load() {
		h.most.Store(n)
	}
	return closing{content, func() { h.open_.Add(-1) }}, err
}

type closing struct {
	io.ReadCloser
	closed func()
}

func (c closing) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}

// Memory is bounded for a log of any length: the reader holds the objects that it reads concurrently, and the records
// within the lateness.
func TestReaderMemoryIsBounded(t *testing.T) {
	t.Parallel()
	objects := map[string]string{}
	begin := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for i := range 300 {
		at := begin.Add(time.Duration(i) * time.Minute)
		objects[region+at.Format("2006/01/02/15/20060102T150405")+"000Z_1.json.gz"] = zip(line(at.Format(time.RFC3339), fmt.Sprint(i), "", "", strings.Repeat("long ", 20_000)))
	}
	a := dir(t, objects)
	h := &held{store: a.store}
	a.store = h
	const workers = 4
	seen := int64(0)
	for _, err := range (Reader{Log: a, Workers: workers}).Entries(t.Context(), Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		// This is the lateness, the minute between flushes, and the objects that are read ahead.
		if n, most := h.opened.Load()-seen, int64(lateness/time.Minute)+1+workers+1; n > most {
			t.Fatalf("at record %d, %d more were read, want at most %d", seen, n, most)
		}
	}
	if most := h.most.Load(); seen != 300 || most > workers+1 || h.open_.Load() != 0 {
		t.Errorf("%d records, at most %d objects open, %d still", seen, most, h.open_.Load())
	}
}

// Memory is bounded for long texts, because not all of them wait for late records.
func TestLongTextsDoNotWait(t *testing.T) {
	t.Parallel()
	const records, size, waiting = 50, 10_000, 8
	objects := map[string]string{}
	one := zip(line("2026-11-23T00:00:00Z", "r", "", "", strings.Repeat("a", size)))
	for i := range records {
		objects[fmt.Sprintf("%s2026/11/23/00/20261123T000100000Z_%02d.json.gz", region, i)] = one
	}
	a := dir(t, objects)
	h := &held{store: a.store}
	a.store = h
	seen := int64(0)
	for _, err := range (Reader{Log: a, Workers: 1, mostWaiting: waiting * size}).Entries(t.Context(), Query{Texts: true}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		// In addition to the waiting records: the one that exceeds the limit, and the objects that are read ahead.
		if n, most := h.opened.Load()-seen, int64(waiting+3); n > most {
			t.Fatalf("at record %d, %d more were read, want at most %d", seen, n, most)
		}
	}
	if seen != records {
		t.Errorf("%d records, want %d", seen, records)
	}
}

// A damaged object is reported, and the rest of the log is read.
func TestDamagedObjectsAreReported(t *testing.T) {
	t.Parallel()
	objects := log()
	hour := region + "2026/11/23/00/"
	whole := zip(line("2026-11-23T00:06:00Z", "kept", "", "", strings.Repeat("no two alike 1234567890", 10)), line("2026-11-23T00:06:01Z", "cut", "", "", "lost"))
	objects[hour+"20261123T000600000Z_a.json.gz"] = whole[:len(whole)-9]
	objects[hour+"20261123T000601000Z_b.json.gz"] = "not gzip, of some length"
	objects[hour+"20261123T000602000Z_c.json.gz"] = ""
	objects[hour+"20261123T000603000Z_d.json.gz"] = zip("not JSON", `{"schemaType":"Other"}`, line("2026-11-23T00:06:03Z", "r6", "", "", "between"), `{"schemaType":"ModelInvocationLog"}`, "[]", "7")
	objects[hour+"20261123T000604000Z_e.json.gz"] = zip(strings.Replace(line("2026-11-23T00:06:04Z", "mistyped", "", "", ""), `"caller":""`, `"caller":7`, 1))
	objects[hour+"notes.txt"] = "mine"
	objects[region+"readme"] = "mine"
	_, ids, problems := read(t, dir(t, objects), Query{})
	for _, id := range strings.Fields("r1 r2 r3 r4 r5 r6 kept mistyped") {
		if !slices.Contains(ids, id) {
			t.Errorf("record %s is lost; read %v", id, ids)
		}
	}
	all := strings.Join(problems, "\n")
	for _, want := range []string{"_a.json.gz: ", "_b.json.gz: gzip: invalid header", "_c.json.gz: gzip: empty", "_d.json.gz: line 1: not a record", "_d.json.gz: 5 problems in total", "_e.json.gz: line 1: ", "notes.txt: not an object of Bedrock's log", "readme: not an object of Bedrock's log"} {
		if !strings.Contains(all, want) {
			t.Errorf("no word of %q in\n%s", want, all)
		}
	}
	var last error
	for _, err := range (Reader{Log: dir(t, objects)}).Entries(t.Context(), Query{}) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "_a.json.gz: ") {
		t.Errorf("damage without a Problem function ends with %v", last)
	}
	if strings.Contains(all, "r1") || strings.Contains(all, "lost") {
		t.Errorf("problems tell what the log holds:\n%s", all)
	}
}

// Large bodies are fetched. A forged record can't make the auditor fetch another bucket's object.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	objects := log()
	record := sample(t, "large-bodies.json")
	objects[region+"2026/11/23/10/20261123T101531000Z_1.json.gz"] = zip(string(record))
	key := region + "2026/11/23/10/data/6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001_"
	objects[key+"input.json.gz"] = zip(`{"messages":[{"role":"user","content":[{"text":"a <long> question"}]}]}`)
	objects[key+"output.json.gz"] = zip(`{"output":{"message":{"role":"assistant","content":[{"text":"a long answer"}]}}}`)
	a := dir(t, objects)
	id := "QmOw7G1BIAMFYJQ="
	entries, _, problems := read(t, a, Query{RequestID: id, Texts: true, Bodies: true, Record: true})
	if len(entries) != 1 || problems != nil || entries[0].Prompt != "a <long> question" || entries[0].Answer != "a long answer" {
		t.Fatalf("got %v, problems %v", entries, problems)
	}
	if whole := string(entries[0].Record); !strings.Contains(whole, `"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"a <long> question"}]}]}`) || !strings.Contains(whole, `"inputBodyS3Path"`) || !strings.Contains(whole, `"inputTokenCount":52000`) {
		t.Errorf("the whole record is %s", whole)
	}
	if _, ids, _ := read(t, a, Query{Text: "LONG answer"}); len(ids) != 1 {
		t.Errorf("its text finds %v", ids)
	}
	for _, beside := range []string{`null`, `{}`, `{ }`, `{"a":"b"}`} {
		both := bytes.ReplaceAll(record, []byte(`"outputBodyS3Path"`), []byte(`"outputBodyJson":`+beside+`,"outputBodyS3Path"`))
		objects[region+"2026/11/23/10/20261123T101531000Z_1.json.gz"] = zip(string(both))
		if _, ids, _ := read(t, dir(t, objects), Query{Text: "LONG answer"}); len(ids) != 1 {
			t.Errorf("beside %s, its text finds %v", beside, ids)
		}
	}
	objects[key+"output.json.gz"] = zip("\ufeff"+`{"outputText":"a lo"}`, `{"outputText":"ng answer"}`)
	if _, ids, _ := read(t, dir(t, objects), Query{Text: "LONG answer"}); len(ids) != 1 {
		t.Errorf("the text of JSON Lines finds %v", ids)
	}

	a.bucket = "another-bucket"
	entries, _, problems = read(t, a, Query{RequestID: id, Texts: true, Bodies: true})
	if len(entries) != 1 || !strings.HasPrefix(entries[0].Prompt, "[s3://") || !strings.Contains(strings.Join(problems, ""), "is not in the log's bucket") {
		t.Errorf("from another bucket: %v, problems %v", entries, problems)
	}
}

// A wrong bucket or prefix is an error, not an empty log.
func TestMissingLogIsAnError(t *testing.T) {
	t.Parallel()
	for _, objects := range []map[string]string{{}, {"bedrock/AWSLogs/1/CloudTrail/x": "x"}} {
		for _, err := range (Reader{Log: dir(t, objects)}).Entries(t.Context(), Query{}) {
			if err == nil || !strings.Contains(err.Error(), "BedrockModelInvocationLogs") {
				t.Errorf("%v: error %v", objects, err)
			}
		}
	}
	// Logging was just enabled.
	if _, ids, problems := read(t, dir(t, map[string]string{"AWSLogs/1/BedrockModelInvocationLogs/" + permissionCheck: ""}), Query{}); ids != nil || problems != nil {
		t.Errorf("an empty log: %v %v", ids, problems)
	}
}

// Reading stops when the context ends or the consumer stops.
func TestReadingStops(t *testing.T) {
	t.Parallel()
	objects := log()
	for i := range 50 {
		objects[fmt.Sprintf("%s2026/11/24/%02d/20261124T%02d0000000Z_%d.json.gz", region, i%24, i%24, i)] = zip(line(fmt.Sprintf("2026-11-24T%02d:00:00Z", i%24), fmt.Sprint("s", i), "", "", "x"))
	}
	a := dir(t, objects)
	r := Reader{Log: a, Workers: 2, Problem: func(err error) { t.Error(err) }}
	for range r.Entries(t.Context(), Query{}) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range r.Entries(ctx, Query{}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error = %v", last)
	}
}

// Records of two Regions in one bucket are merged.
func TestRegionsAreMerged(t *testing.T) {
	t.Parallel()
	objects := log()
	objects["AWSLogs/2/BedrockModelInvocationLogs/us-east-1/2026/11/23/00/20261123T000700000Z_x.json.gz"] = zip(line("2026-11-23T00:03:30Z", "us", "", "", "x"))
	if _, ids, _ := read(t, dir(t, objects), Query{}); strings.Join(ids, " ") != "r1 r2 r3 us r4 r5" {
		t.Errorf("got %v", ids)
	}
}

func BenchmarkEntries(b *testing.B) {
	objects := map[string]string{}
	for i := range 100 {
		var lines []string
		for j := range 100 {
			lines = append(lines, line("2026-11-23T00:00:00Z", fmt.Sprintf("%d-%d", i, j), "", "", strings.Repeat("a question of some length ", 100)))
		}
		objects[fmt.Sprintf("%s2026/11/23/00/20261123T0000%02d000Z_%d.json.gz", region, i%60, i)] = zip(lines...)
	}
	a := dir(b, objects)
	for _, q := range []struct {
		name  string
		query Query
	}{{"texts", Query{Texts: true, Limit: 100}}, {"none admitted", Query{Model: "none", Texts: true}}, {"by id", Query{RequestID: "50-50"}}} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range (Reader{Log: a, Problem: func(err error) { b.Error(err) }}).Entries(b.Context(), q.query) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "records/s")
		})
	}
}
