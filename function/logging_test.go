package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// off is the log of an account where nothing is kept.
func off() *invocationLog {
	return &invocationLog{required: true, look: func(context.Context) (loggingConfig, error) { return loggingConfig{}, nil }}
}

// Lost: a prompt and its answer, asked while Bedrock kept nothing, or kept it elsewhere than the auditor looks.
func TestLoggingConfigs(t *testing.T) {
	t.Parallel()
	const here = `"s3Config":{"bucketName":"b","keyPrefix":"bedrock"},"cloudWatchConfig":{"logGroupName":"g","roleArn":"r"}`
	for config, want := range map[string]struct{ deployed, any string }{ // "" is kept
		`{}`:                               {"is off", "is off"},
		`{"loggingConfig":null}`:           {"is off", "is off"},
		`{"loggingConfig":{}}`:             {"is off", "is off"},
		`{"loggingConfig":{` + here + `}}`: {"", ""},
		`{"loggingConfig":{` + here + `,"textDataDeliveryEnabled":true,"videoDataDeliveryEnabled":true,"audioDataDeliveryEnabled":false}}`: {"", ""},
		`{"loggingConfig":{` + here + `,"textDataDeliveryEnabled":false}}`:                                                                 {"leaves out", "leaves out"},
		`{"loggingConfig":{` + here + `,"imageDataDeliveryEnabled":false}}`:                                                                {"leaves out", "leaves out"},
		`{"loggingConfig":{` + here + `,"embeddingDataDeliveryEnabled":false}}`:                                                            {"leaves out", "leaves out"},
		`{"loggingConfig":{` + here + `,"videoDataDeliveryEnabled":false}}`:                                                                {"leaves out", "leaves out"},
		`{"loggingConfig":{"s3Config":{"bucketName":"other"},"cloudWatchConfig":{"logGroupName":"g"}}}`:                                    {"goes elsewhere", ""},
		`{"loggingConfig":{"s3Config":{"bucketName":"b"},"cloudWatchConfig":{"logGroupName":"other"}}}`:                                    {"goes elsewhere", ""},
		`{"loggingConfig":{"s3Config":{"bucketName":"b"}}}`:                                                                                {"goes elsewhere", ""},
	} {
		var c loggingConfig
		if err := json.Unmarshal([]byte(config), &c); err != nil {
			t.Fatal(err)
		}
		for deployed, want := range map[destinations]string{{"b", "g"}: want.deployed, {}: want.any} {
			err := c.check(deployed)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s for %v: %v, want %q", config, deployed, err, want)
			}
		}
	}
}

// Lost: calls that nobody keeps, for longer than a minute; or all calls, because AWS was slow to say how things stand.
func TestLoggingIsLookedAt(t *testing.T) {
	t.Parallel()
	on := loggingConfig{}
	if err := json.Unmarshal([]byte(`{"loggingConfig":{"s3Config":{"bucketName":"b"}}}`), &on); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("throttled")
	start := time.Now()
	type step struct {
		after  time.Duration // since the start
		config loggingConfig
		err    error
		looks  int // by then
		kept   bool
	}
	for name, steps := range map[string][]step{
		"on":                       {{0, on, nil, 1, true}, {lookAgain - 1, loggingConfig{}, nil, 1, true}, {lookAgain, on, nil, 2, true}},
		"switched off and on":      {{0, on, nil, 1, true}, {lookAgain, loggingConfig{}, nil, 2, false}, {lookAgain + recoverAfter - 1, on, nil, 2, false}, {lookAgain + recoverAfter, on, nil, 3, true}},
		"off from the start":       {{0, loggingConfig{}, nil, 1, false}, {recoverAfter, on, nil, 2, true}},
		"unknown from the start":   {{0, on, failure, 1, false}, {recoverAfter, on, nil, 2, true}},
		"unknown for some minutes": {{0, on, nil, 1, true}, {lookAgain, on, failure, 2, true}, {bridged - 1, on, failure, 3, true}, {bridged + lookAgain, on, failure, 4, false}, {bridged + lookAgain + recoverAfter, on, nil, 5, true}},
		"off, then unknown":        {{0, loggingConfig{}, nil, 1, false}, {recoverAfter, on, failure, 2, false}},
	} {
		var now step
		looks, failed := 0, 0
		l := invocationLog{
			required: true, failed: func(context.Context, error) { failed++ },
			look: func(context.Context) (loggingConfig, error) { looks++; return now.config, now.err },
		}
		for i := range steps {
			now = steps[i]
			if err := l.check(t.Context(), start.Add(now.after)); (err == nil) != now.kept || looks != now.looks {
				t.Errorf("%s, after %v: %v and %d looks, want kept %v and %d", name, now.after, err, looks, now.kept, now.looks)
			}
		}
		if strings.HasPrefix(name, "unknown") && failed == 0 {
			t.Errorf("%s: nobody was told why", name)
		}
	}
}

// Lost: the promise that what is not kept is not asked, on any route; or the reason, for clients, load balancers and alarms.
func TestNothingIsAskedUnlogged(t *testing.T) {
	t.Parallel()
	for _, r := range []request{
		path("Hello"), post(`{"prompt":"Hello"}`), post(`{"prompt":"Hello","stream":true}`), native("converse", hello), native("converse-stream", hello),
		native("invoke", `{"prompt":"x"}`), native("invoke-with-response-stream", `{"prompt":"x"}`), {HTTPMethod: "GET", Resource: "/health"},
	} {
		f := newFixture(t)
		f.logging = off()
		response, _ := f.call(t, r)
		if response.StatusCode != 503 || !strings.Contains(response.Body, "invocation logging is off") || len(f.records) > 0 {
			t.Errorf("%s: %v, %d records", r.Resource, response, len(f.records))
		}
		if _, isNative := nativeOperation(r.Resource); isNative && response.Headers["X-Amzn-Errortype"] != "ServiceUnavailableException" {
			t.Errorf("%s: %v", r.Resource, response.Headers)
		}
		if counted := strings.Contains(f.logged.String(), `"UnloggedInvocationsRefused":1`); counted != (r.HTTPMethod == "POST") {
			t.Errorf("%s: log %s", r.Resource, f.logged)
		}
	}
}

// Lost: every call, if the function reads its settings, or Bedrock's answer, otherwise than they are; or the check, if a
// setting that is missing passes for one that is off.
func TestLoggingIsReadFromBedrock(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	b := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		io.WriteString(w, `{"loggingConfig":{"s3Config":{"bucketName":"b"},"cloudWatchConfig":{"logGroupName":"g"}}}`)
	}))
	variables := map[string]string{
		"MODEL_IDS": firstModel, "RESPONSE_STREAMING": "true", "LOG_BUCKET_NAME": "b", "LOG_GROUP_NAME": "g",
	}
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
		return h
	}
	if err := newOne().logging.check(t.Context(), time.Now()); err != nil || asked.URL.Path != "/logging/modelinvocations" || asked.Method != "GET" || !strings.Contains(asked.Header.Get("Authorization"), "/bedrock/aws4_request") {
		t.Errorf("%v, asked %v", err, asked)
	}
	variables["LOG_GROUP_NAME"] = "other"
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
