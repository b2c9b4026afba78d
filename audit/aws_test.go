package audit

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// fakeAWS responds like S3 and CloudWatch Logs, with two keys or events per page.
type fakeAWS struct {
	objects map[string]string
	events  []string
	refuse  string // requests that contain this string are refused

	mutex    sync.Mutex
	requests []string
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	request := r.URL.String() + " " + string(body)
	f.mutex.Lock()
	f.requests = append(f.requests, request)
	f.mutex.Unlock()
	q := r.URL.Query()
	_, key, _ := strings.Cut(r.URL.Path[1:], "/")
	switch {
	case f.refuse != "" && strings.Contains(request, f.refuse):
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
	case r.Header.Get("X-Amz-Target") == "Logs_20140328.FilterLogEvents":
		var in struct {
			NextToken          string
			StartTime, EndTime int64
		}
		json.Unmarshal(body, &in)
		from := len(in.NextToken)
		answer := map[string]any{}
		var events []map[string]any
		for i, event := range f.events[from:min(from+2, len(f.events))] {
			events = append(events, map[string]any{"timestamp": time.Date(2026, 11, 23, 0, from+i, 0, 0, time.UTC).UnixMilli(), "message": event})
		}
		if from+2 < len(f.events) {
			answer["nextToken"] = strings.Repeat("x", from+2)
		}
		answer["events"] = events
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(answer)
	case q.Get("list-type") == "2":
		var result struct {
			XMLName               xml.Name `xml:"ListBucketResult"`
			IsTruncated           bool
			NextContinuationToken string
			Contents              []struct{ Key string }
			CommonPrefixes        []struct{ Prefix string }
		}
		var names []string
		for key := range f.objects {
			rest, ok := strings.CutPrefix(key, q.Get("prefix"))
			if before, _, found := strings.Cut(rest, "/"); found && q.Get("delimiter") != "" {
				key = q.Get("prefix") + before + "/"
			}
			if ok && key > q.Get("start-after") && key > q.Get("continuation-token") && !slices.Contains(names, key) {
				names = append(names, key)
			}
		}
		slices.Sort(names)
		for i, name := range names {
			if i == 2 {
				result.IsTruncated, result.NextContinuationToken = true, names[1]
				break
			}
			if q.Get("delimiter") != "" && strings.HasSuffix(name, "/") {
				result.CommonPrefixes = append(result.CommonPrefixes, struct{ Prefix string }{name})
			} else {
				result.Contents = append(result.Contents, struct{ Key string }{name})
			}
		}
		xml.NewEncoder(w).Encode(result)
	case f.objects[key] == "archived":
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>InvalidObjectState</Code><Message>no</Message><StorageClass>DEEP_ARCHIVE</StorageClass></Error>")
	default:
		io.WriteString(w, f.objects[key])
	}
}

func (f *fakeAWS) bucket(t *testing.T) Archive {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return Bucket(s3.New(s3.Options{Region: "ap-northeast-1", BaseEndpoint: &server.URL, UsePathStyle: true, Retryer: aws.NopRetryer{}, Credentials: credentials}), "log-bucket", "")
}

func (f *fakeAWS) logGroup(t *testing.T) LogGroup {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return LogGroup{cloudwatchlogs.New(cloudwatchlogs.Options{Region: "ap-northeast-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{}, Credentials: credentials}), "/aws/bedrock/"}
}

var credentials = aws.AnonymousCredentials{}

// The reader lists all pages of a bucket, and of a query for one hour only that hour.
func TestBucket(t *testing.T) {
	t.Parallel()
	f := &fakeAWS{objects: log()}
	a := f.bucket(t)
	if _, ids, problems := read(t, a, Query{}); strings.Join(ids, " ") != "r1 r2 r3 r4 r5" || problems != nil {
		t.Errorf("got %v, problems %v", ids, problems)
	}
	f.requests = nil
	since := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	if _, ids, _ := read(t, a, Query{Since: since.Add(-time.Minute), Until: since.Add(time.Hour)}); strings.Join(ids, " ") != "r5" {
		t.Errorf("of an hour, got %v", ids)
	}
	all := strings.Join(f.requests, "\n")
	if !strings.Contains(all, "start-after=bedrock%2FAWSLogs%2F123456789012%2FBedrockModelInvocationLogs%2Fap-northeast-1%2F2026%2F11%2F23%2F04%2F") || strings.Contains(all, "continuation-token="+"bedrock%2F") {
		t.Errorf("of an hour, asked\n%s", all)
	}
}

// A listing that fails is an error, not a shorter log.
func TestBucketRefused(t *testing.T) {
	t.Parallel()
	for _, refuse := range []string{"delimiter=", "list-type=2&prefix=bedrock%2FAWSLogs%2F123456789012%2FBedrockModelInvocationLogs%2Fap-northeast-1%2F&start-after", "continuation-token"} {
		var last error
		f := &fakeAWS{objects: log(), refuse: refuse}
		for _, err := range (Reader{Log: f.bucket(t)}).Entries(t.Context(), Query{}) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "AccessDenied") || !strings.Contains(last.Error(), "bucket log-bucket") {
			t.Errorf("refused %s: error %v", refuse, last)
		}
	}
}

// The error for an archived object says to restore it.
func TestArchived(t *testing.T) {
	t.Parallel()
	objects := log()
	key := region + "2026/11/23/05/20261123T050000000Z_0000000000000004.json.gz"
	objects[key] = "archived"
	_, ids, problems := read(t, (&fakeAWS{objects: objects}).bucket(t), Query{})
	if len(ids) != 4 || len(problems) != 1 || !strings.HasPrefix(problems[0], key+": in storage class DEEP_ARCHIVE: restore it first") {
		t.Errorf("got %v, problems %v", ids, problems)
	}
}

// Log groups are read with all pages, for auditors who can read CloudWatch Logs only.
func TestLogGroup(t *testing.T) {
	t.Parallel()
	f := &fakeAWS{events: []string{"Permissions are correctly set for Amazon Bedrock logs."}}
	for i := range 6 {
		f.events = append(f.events, line(fmt.Sprintf("2026-11-23T00:00:%02dZ", 10-i), fmt.Sprint("c", i), "", "", "x"))
	}
	g := f.logGroup(t)
	r := Reader{Log: g, Problem: func(err error) { t.Error(err) }}
	var ids []string
	since := time.Date(2026, 11, 23, 0, 0, 6, 0, time.UTC)
	for e, err := range r.Entries(t.Context(), Query{Since: since, Until: since.Add(4 * time.Second)}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.RequestID)
	}
	if strings.Join(ids, " ") != "c4 c3 c2 c1" {
		t.Errorf("got %v", ids)
	}
	if want := fmt.Sprintf(`"startTime":%d`, since.UnixMilli()); !strings.Contains(f.requests[0], want) {
		t.Errorf("asked %s, want %s", f.requests[0], want)
	}
	f.refuse = `nextToken`
	var last error
	for _, err := range r.Entries(t.Context(), Query{}) {
		last = err
	}
	if last == nil {
		t.Error("a page that was refused passed for the last one")
	}
}
