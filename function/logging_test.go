package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// logs returns the invocationLog of an account with this logging configuration.
func logs(t testing.TB, config string) *invocationLog {
	var c loggingConfig
	decode(t, config, &c)
	l := newInvocationLog(true, destination{}, func(context.Context) (loggingConfig, error) { return c, nil }, nil)
	l.check(t.Context(), time.Now())
	return l
}

// inMode returns the watch of an account in this data retention mode.
func inMode(mode string) *watch {
	return newRetention(unshared, func(context.Context) (string, error) { return mode, nil }, nil)
}

// Calls are refused if Bedrock logs nothing, omits data, or logs to another place, role or prefix than the stack set.
func TestLoggingConfigs(t *testing.T) {
	t.Parallel()
	const (
		large    = `"largeDataDeliveryS3Config":{"bucketName":"b","keyPrefix":"large"}`
		group    = `"cloudWatchConfig":{"logGroupName":"g","roleArn":"r",` + large + `}`
		bucket   = `"s3Config":{"bucketName":"b","keyPrefix":"bedrock"}`
		deployed = bucket + `,` + group
	)
	stack, err := parseDestination(`{` + deployed + `}`)
	if err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]struct {
		deployed, any string // "" if calls are logged
		audio         bool
	}{
		`{}`:                                   {"is off", "is off", false},
		`{"loggingConfig":null}`:               {"is off", "is off", false},
		`{"loggingConfig":{}}`:                 {"is off", "is off", false},
		`{"loggingConfig":{` + deployed + `}}`: {"", "", false},
		`{"loggingConfig":{` + deployed + `,"textDataDeliveryEnabled":true,"videoDataDeliveryEnabled":true,"audioDataDeliveryEnabled":false}}`:                            {"", "", false},
		`{"loggingConfig":{` + deployed + `,"audioDataDeliveryEnabled":true}}`:                                                                                            {"", "", true},
		`{"loggingConfig":{` + deployed + `,"textDataDeliveryEnabled":false}}`:                                                                                            {"omits", "omits", false},
		`{"loggingConfig":{` + deployed + `,"imageDataDeliveryEnabled":false}}`:                                                                                           {"omits", "omits", false},
		`{"loggingConfig":{` + deployed + `,"embeddingDataDeliveryEnabled":false}}`:                                                                                       {"omits", "omits", false},
		`{"loggingConfig":{` + deployed + `,"videoDataDeliveryEnabled":false}}`:                                                                                           {"omits", "omits", false},
		`{"loggingConfig":{` + group + `,"s3Config":{"bucketName":"other","keyPrefix":"bedrock"}}}`:                                                                       {"differs", "", false},
		`{"loggingConfig":{` + group + `,"s3Config":{"bucketName":"b","keyPrefix":"other"}}}`:                                                                             {"differs", "", false},
		`{"loggingConfig":{` + bucket + `}}`:                                                                                                                              {"differs", "", false},
		`{"loggingConfig":{` + group + `}}`:                                                                                                                               {"differs", "", false},
		`{"loggingConfig":{` + bucket + `,"cloudWatchConfig":{"logGroupName":"other","roleArn":"r",` + large + `}}}`:                                                      {"differs", "", false},
		`{"loggingConfig":{` + bucket + `,"cloudWatchConfig":{"logGroupName":"g","roleArn":"other",` + large + `}}}`:                                                      {"differs", "", false},
		`{"loggingConfig":{` + bucket + `,"cloudWatchConfig":{"logGroupName":"g","roleArn":"r"}}}`:                                                                        {"differs", "", false},
		`{"loggingConfig":{` + bucket + `,"cloudWatchConfig":{"logGroupName":"g","roleArn":"r","largeDataDeliveryS3Config":{"bucketName":"b","keyPrefix":"other"}}}}`:     {"differs", "", false},
		`{"loggingConfig":{` + bucket + `,"cloudWatchConfig":{"logGroupName":"g","roleArn":"r","largeDataDeliveryS3Config":{"bucketName":"other","keyPrefix":"large"}}}}`: {"differs", "", false},
	} {
		if got := logs(t, config).keepsAudio(); got != want.audio {
			t.Errorf("%s: keeps audio %v, want %v", config, got, want.audio)
		}
		var c loggingConfig
		decode(t, config, &c)
		for deployed, want := range map[destination]string{stack: want.deployed, {}: want.any} {
			err := c.check(deployed)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s for %v: %v, want %q", config, deployed, err, want)
			}
		}
	}
	for _, broken := range []string{"{", "{}", "[]", `{"bucket":"b"}`, `{"s3Config":{"bucketName":1}}`} {
		if _, err := parseDestination(broken); err == nil || !strings.Contains(err.Error(), "LOGGING_CONFIGURATION") {
			t.Errorf("%s: %v", broken, err)
		}
	}
}

// Calls are refused in data retention modes that share prompts, and in unknown modes.
func TestDataRetentionModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]bool{
		"default": true, "none": true, "inherit": true, "provider_data_share": false, "aws_review": false, "": false, "Default": false, "newer": false,
	} {
		err := inMode(mode).check(t.Context(), time.Now())
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), `DataRetained: `) {
			t.Errorf("%q: %v", mode, err)
		}
	}
	chosen := newRetention([]string{"provider_data_share"}, func(context.Context) (string, error) { return "provider_data_share", nil }, nil)
	if err := chosen.check(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
}

// A wrong setting is noticed within a minute, and a failure to read the settings is bridged for five minutes.
func TestLoggingAndRetentionAreChecked(t *testing.T) {
	t.Parallel()
	right, wrong := error(nil), error(apiError{503, "Wrong", ""})
	failure := errors.New("throttled")
	answer := func(status int, code string) error { return &bedrockError{status: status, code: code} }
	start := time.Now()
	type step struct {
		after time.Duration // from the start
		says  error
		looks int // the number of reads until then
		kept  bool
	}
	for name, steps := range map[string][]step{
		"right":                    {{0, right, 1, true}, {checkInterval - 1, wrong, 1, true}, {checkInterval, right, 2, true}},
		"wrong and right again":    {{0, right, 1, true}, {checkInterval, wrong, 2, false}, {checkInterval + recheckInterval - 1, right, 2, false}, {checkInterval + recheckInterval, right, 3, true}},
		"wrong from the start":     {{0, wrong, 1, false}, {recheckInterval, right, 2, true}},
		"unknown from the start":   {{0, failure, 1, false}, {recheckInterval, right, 2, true}},
		"unknown for some minutes": {{0, right, 1, true}, {checkInterval, failure, 2, true}, {graceAfterFailure - 1, failure, 3, true}, {graceAfterFailure + checkInterval, failure, 4, false}, {graceAfterFailure + checkInterval + recheckInterval, right, 5, true}},
		"denied after right":       {{0, right, 1, true}, {checkInterval, answer(403, "AccessDeniedException"), 2, false}, {checkInterval + recheckInterval, right, 3, true}},
		"refused after right":      {{0, right, 1, true}, {checkInterval, answer(404, ""), 2, false}, {checkInterval + recheckInterval, failure, 3, false}},
		"not to be done":           {{0, right, 1, true}, {checkInterval, answer(400, "ValidationException"), 2, false}},
		"unknown by 429":           {{0, right, 1, true}, {checkInterval, answer(429, ""), 2, true}},
		"unknown by a throttle":    {{0, right, 1, true}, {checkInterval, answer(400, "ThrottlingException"), 2, true}},
		"unknown by 503":           {{0, right, 1, true}, {checkInterval, answer(503, ""), 2, true}},
		"unknown by a timeout":     {{0, right, 1, true}, {checkInterval, context.DeadlineExceeded, 2, true}},
		"wrong, then unknown":      {{0, wrong, 1, false}, {recheckInterval, failure, 2, false}},
	} {
		var now step
		looks, failed := 0, 0
		w := watch{
			unknown: unlogged("can't be read"), logFailure: func(context.Context, error) { failed++ },
			look: func(context.Context) error { looks++; return now.says },
		}
		for i := range steps {
			now = steps[i]
			if err := w.check(t.Context(), start.Add(now.after)); (err == nil) != now.kept || looks != now.looks {
				t.Errorf("%s, after %v: %v and %d looks, want kept %v and %d", name, now.after, err, looks, now.kept, now.looks)
			}
		}
		if strings.HasPrefix(name, "unknown") && failed == 0 {
			t.Errorf("%s: the reason was not logged", name)
		}
	}
}

// While calls are unlogged or could be shared, every route of a model refuses them, with a reason for clients and
// alarms.
func TestUnloggedOrSharedCallsAreRefused(t *testing.T) {
	t.Parallel()
	for _, r := range []request{
		path("Hello"), post(`{"prompt":"Hello"}`), post(`{"prompt":"Hello","stream":true}`), native("converse", hello), native("converse-stream", hello),
		native("invoke", `{"prompt":"x"}`), native("invoke-with-response-stream", `{"prompt":"x"}`), {HTTPMethod: "GET", Resource: "/health"},
	} {
		for reason, change := range map[string]func(*fixture){
			"invocation logging is off":                      func(f *fixture) { f.logging = logs(t, `{}`) },
			`data retention mode is \"provider_data_share\"`: func(f *fixture) { f.retention = inMode("provider_data_share") },
		} {
			f := newFixture(t)
			change(&f)
			response, _ := f.call(t, r)
			if response.StatusCode != 503 || !strings.Contains(strings.ReplaceAll(response.Body, `\"`, `"`), strings.ReplaceAll(reason, `\"`, `"`)) || len(f.records) > 0 {
				t.Errorf("%s: %v, %d records, want %s", r.Resource, response, len(f.records), reason)
			}
			if _, isNative := nativeOperation(r.Resource); isNative && response.Headers["X-Amzn-Errortype"] != "ServiceUnavailableException" {
				t.Errorf("%s: %v", r.Resource, response.Headers)
			}
			if counted := strings.Contains(f.logged.String(), `"UnloggedInvocationsRefused":1`); counted != (r.HTTPMethod == "POST") {
				t.Errorf("%s: log %s", r.Resource, f.logged)
			}
		}
	}
}

// The function reads its settings and Bedrock's responses correctly, and refuses calls if a response is denied or
// malformed.
func TestLoggingAndRetentionAreReadFromBedrock(t *testing.T) {
	t.Parallel()
	asked := map[string]*http.Request{}
	const configured = `{"s3Config":{"bucketName":"b"},"cloudWatchConfig":{"logGroupName":"g","roleArn":"r"}}`
	mode := `{"mode":"none","updatedAt":"2026-11-01T00:00:00Z"}`
	b := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path] = r
		switch {
		case r.URL.Path == "/logging/modelinvocations":
			io.WriteString(w, `{"loggingConfig":`+configured+`}`)
		case mode == "denied":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"__type":"AccessDeniedException"}`)
		default:
			io.WriteString(w, mode)
		}
	}))
	variables := map[string]string{"MODEL_IDS": firstModel, "RESPONSE_STREAMING": "true", "LOGGING_CONFIGURATION": configured}
	newOne := func() handler {
		h, err := newHandler(func(name string) string {
			if v, ok := variables[name]; ok {
				return v
			}
			return environment(b.endpoint)(name)
		})
		if err != nil {
			t.Fatal(err)
		}
		h.log = slog.New(slog.DiscardHandler)
		h.logging.logFailure, h.retention.logFailure = h.logFailure, h.logFailure
		return h
	}
	h := newOne()
	if err := errors.Join(h.logging.check(t.Context(), time.Now()), h.retention.check(t.Context(), time.Now())); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/logging/modelinvocations", "/data-retention"} {
		if r := asked[path]; r == nil || r.Method != "GET" || !strings.Contains(r.Header.Get("Authorization"), "/bedrock/aws4_request") {
			t.Errorf("%s: asked %v", path, r)
		}
	}
	if !slices.Equal(h.tiers, []string{"default"}) {
		t.Errorf("service tiers %v", h.tiers)
	}

	for _, mode = range []string{`{"mode":"aws_review"}`, `{"Mode":1}`, `{}`, `<html>`, "denied"} {
		if err := newOne().retention.check(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "DataRetained") {
			t.Errorf("%s: %v", mode, err)
		}
	}
	mode = `{"mode":"aws_review"}`
	variables["DATA_RETENTION_MODES"], variables["SERVICE_TIERS"] = "none,aws_review", "default, flex"
	if h := newOne(); h.retention.check(t.Context(), time.Now()) != nil || !slices.Equal(h.tiers, []string{"default", "flex"}) {
		t.Errorf("DATA_RETENTION_MODES and SERVICE_TIERS are not read: tiers %v", h.tiers)
	}

	variables["LOGGING_CONFIGURATION"] = strings.Replace(configured, `"g"`, `"other"`, 1)
	if err := newOne().logging.check(t.Context(), time.Now()); err == nil {
		t.Error("another group passes")
	}
	variables["REQUIRE_INVOCATION_LOGGING"] = "false"
	if err := newOne().logging.check(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	on, err := newBedrock(environment(""))
	if err != nil || on.control != "https://bedrock.eu-west-1.amazonaws.com" || on.endpoint != "https://bedrock-runtime.eu-west-1.amazonaws.com" {
		t.Errorf("on AWS: %s, %s, %v", on.control, on.endpoint, err)
	}
}
