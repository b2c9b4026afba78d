package main

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func encoded(body string) request {
	r := post(base64.StdEncoding.EncodeToString([]byte(body)))
	r.IsBase64Encoded = true
	return r
}

func typed(contentType string) request {
	r := post(`{"prompt":"` + canary + `"}`)
	r.Headers["content-type"] = contentType
	return r
}

// Invalid requests are refused with a hint, aren't sent to Bedrock, and aren't quoted in responses or logs.
func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	notBase64 := post("!" + canary)
	notBase64.IsBase64Encoded = true
	noType := post(`{"prompt":"` + canary + `"}`)
	noType.Headers = nil
	with := func(field string) request { return post(`{"prompt":"` + canary + `",` + field + `}`) }
	half := strings.Repeat("x", 1<<19)

	for name, tt := range map[string]struct {
		request request
		status  int
		code    string
		hint    string // a part of the message
	}{
		"empty":                   {post(""), 400, "EmptyBody", "send JSON such as"},
		"white space":             {post(" \r\n\t"), 400, "EmptyBody", "send JSON such as"},
		"empty base64":            {encoded(""), 400, "EmptyBody", "send JSON such as"},
		"not JSON":                {post("prompt=" + canary), 400, "InvalidBody", "at byte 1: send one JSON object"},
		"cut off":                 {post(`{"prompt":"` + canary), 400, "InvalidBody", "send one JSON object"},
		"null":                    {post("null"), 400, "NoPrompt", `send {"prompt":"Hello"}`},
		"array":                   {post(`["` + canary + `"]`), 400, "InvalidBody", "is a JSON array: send one JSON object"},
		"number":                  {post("12"), 400, "InvalidBody", "is a JSON number: send one JSON object"},
		"string":                  {post(`"` + canary + `"`), 400, "InvalidBody", "is a JSON string: send one JSON object"},
		"trailing data":           {post(`{"prompt":"x"} {"prompt":"` + canary + `"}`), 400, "InvalidBody", "send one object"},
		"trailing brace":          {post(`{"prompt":"` + canary + `"}}`), 400, "InvalidBody", "send one object"},
		"isn't UTF-8":             {post(`{"prompt":"` + canary + "\xff\"}"), 400, "InvalidBody", "isn't UTF-8"},
		"not UTF-8, base64":       {encoded(`{"prompt":"` + canary + "\xff\"}"), 400, "InvalidBody", "isn't UTF-8"},
		"was not UTF-8":           {post(`{"prompt":"` + canary + "\ufffd\"}"), 400, "InvalidBody", "isn't UTF-8"},
		"half a pair":             {with(`"system":"\ud800"`), 400, "InvalidText", "half of a surrogate pair"},
		"not base64":              {notBase64, 400, "InvalidBody", "not base64"},
		"body over 4 MiB":         {post(`{"prompt":"x"}` + strings.Repeat(" ", 4<<20-13)), 413, "RequestTooLarge", "at most 4 MiB"},
		"body over 4 MiB, base64": {encoded(`{"prompt":"x"}` + strings.Repeat(" ", 4<<20-13)), 413, "RequestTooLarge", "at most 4 MiB"},
		"prompt over 1 MiB":       {post(`{"prompt":"` + half + half + `x"}`), 413, "RequestTooLarge", "1 MiB of text"},
		"system and prompt over":  {post(`{"system":"` + half + `x","prompt":"` + half + `"}`), 413, "RequestTooLarge", "1 MiB of text"},
		"stop and messages over":  {post(`{"stop":["` + half + `x"],"messages":[{"role":"user","content":"` + half + `"}]}`), 413, "RequestTooLarge", "1 MiB of text"},
		"no content type":         {noType, 415, "UnsupportedMediaType", "Content-Type: application/json"},
		"a form's content type":   {typed("text/plain"), 415, "UnsupportedMediaType", "Content-Type: application/json"},
		"another JSON type":       {typed("application/json-" + canary), 415, "UnsupportedMediaType", "Content-Type: application/json"},

		"unknown field":          {with(`"max_tokens":1`), 400, "InvalidBody", "the fields are prompt, messages, system"},
		"forged metadata":        {with(`"requestMetadata":{"caller":"` + canary + `"}`), 400, "InvalidBody", "the fields are prompt"},
		"unknown field, long":    {post(`{"` + strings.Repeat("x", 64) + canary + `":1}`), 400, "InvalidBody", "xxx…: unknown field; the fields are prompt"},
		"unknown in a message":   {post(`{"messages":[{"role":"user","content":"` + canary + `","name":"x"}]}`), 400, "InvalidBody", `"name": unknown`},
		"type of prompt":         {post(`{"prompt":["` + canary + `"]}`), 400, "InvalidBody", "prompt: got a JSON array, must be a string"},
		"type of messages":       {post(`{"messages":"` + canary + `"}`), 400, "InvalidBody", "messages: got a JSON string, must be "},
		"type of message":        {post(`{"messages":["` + canary + `"]}`), 400, "InvalidBody", "messages: got a JSON string, must be "},
		"unknown, cut in a rune": {post(`{"x` + strings.Repeat("富", 40) + `":1}`), 400, "InvalidBody", "富…: unknown"},
		"blank system":           {post(`{"prompt":"x","system":" "}`), 400, "InvalidSystem", "must not be only white space"},
		"want messages":          {post(`{"messages":"x"}`), 400, "InvalidBody", "must be an array"},
		"want object":            {post(`{"messages":["x"]}`), 400, "InvalidBody", "must be an object"},
		"want whole":             {post(`{"maxTokens":1.5}`), 400, "InvalidBody", "must be a whole number"},
		"want num":               {post(`{"topP":1e40}`), 400, "InvalidBody", "must be a number from 0 to 1"},
		"type of content":        {post(`{"messages":[{"role":"user","content":{"text":"` + canary + `"}}]}`), 400, "InvalidBody", "messages.content: got a JSON object, must be a string"},
		"type of system":         {with(`"system":5`), 400, "InvalidBody", "system: got a JSON number, must be a string"},
		"type of model":          {with(`"model":true`), 400, "InvalidBody", "model: got a JSON bool, must be a string"},
		"type of maxTokens":      {with(`"maxTokens":"` + canary + `"`), 400, "InvalidBody", "maxTokens: got a JSON string, must be "},
		"maxTokens 1.5":          {with(`"maxTokens":1.5`), 400, "InvalidBody", "maxTokens: got a JSON number, must be "},
		"maxTokens huge":         {with(`"maxTokens":2147483648`), 400, "InvalidBody", "maxTokens: got a JSON number, must be "},
		"maxTokens 0":            {with(`"maxTokens":0`), 400, "InvalidMaxTokens", "maxTokens: got 0, must be 1 or more"},
		"maxTokens -1":           {with(`"maxTokens":-1`), 400, "InvalidMaxTokens", "maxTokens: got -1, must be 1 or more"},
		"type of temperature":    {with(`"temperature":"` + canary + `"`), 400, "InvalidBody", "temperature: got a JSON string, must be "},
		"temperature too low":    {with(`"temperature":-0.1`), 400, "InvalidTemperature", "temperature: got -0.1, must be from 0 to 1"},
		"temperature too high":   {with(`"temperature":1.1`), 400, "InvalidTemperature", "temperature: got 1.1, must be from 0 to 1"},
		"temperature huge":       {with(`"temperature":1e40`), 400, "InvalidBody", "temperature: got a JSON number, must be "},
		"topP too low":           {with(`"topP":-0.1`), 400, "InvalidTopP", "topP: got -0.1, must be from 0 to 1"},
		"topP too high":          {with(`"topP":1.1`), 400, "InvalidTopP", "topP: got 1.1, must be from 0 to 1"},
		"type of stop":           {with(`"stop":"` + canary + `"`), 400, "InvalidBody", "stop: got a JSON string, must be "},
		"empty stop":             {with(`"stop":["` + canary + `",""]`), 400, "InvalidStop", "stop: must not contain an empty text"},
		"neither":                {post(`{"system":"` + canary + `","prompt":null,"messages":[]}`), 400, "NoPrompt", `send {"prompt":"Hello"} or {"messages"`},
		"both":                   {with(`"messages":[{"role":"user","content":"x"}]`), 400, "InvalidPrompt", "send one of them"},
		"blank prompt":           {post(`{"prompt":" \n\u3000","system":"` + canary + `"}`), 400, "EmptyPrompt", "prompt: must not be empty"},
		"blank message":          {post(`{"messages":[{"role":"user","content":"` + canary + `"},{"role":"assistant","content":" "}]}`), 400, "InvalidMessages", "messages[1].content: must not be empty"},
		"bad role":               {post(`{"messages":[{"role":"` + canary + `","content":"x"}]}`), 400, "InvalidMessages", "messages[0].role: must be user or assistant"},
		"model off the list":     {with(`"model":"` + canary + `"`), 400, "ModelNotAdmitted", "GET /models"},
		"model by a part of it":  {with(`"model":"amazon.nova-lite-v1"`), 400, "ModelNotAdmitted", "GET /models"},

		"path: no prompt":      {path(""), 400, "EmptyPrompt", "must not be empty"},
		"path: blank":          {path("%20%0A%E3%80%80"), 400, "EmptyPrompt", "must not be empty"},
		"path: bad encoding":   {path(canary + "100%"), 400, "InvalidPrompt", "write a percent sign as %25"},
		"path: not UTF-8":      {path(canary + "%FF"), 400, "InvalidText", "isn't UTF-8"},
		"path: prompt too big": {path(half + half + "x"), 413, "RequestTooLarge", "1 MiB of text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, p := f.call(t, tt.request)
			if response.StatusCode != tt.status || p.Error.Code != tt.code || !strings.Contains(p.Error.Message, tt.hint) {
				t.Errorf("got %d %s, want %d %s with %q", response.StatusCode, response.Body, tt.status, tt.code, tt.hint)
			}
			if len(f.records) != 0 {
				t.Error("Bedrock was called")
			}
		})
	}
}

// The error names an unknown field, and the log doesn't, because a name is the caller's text.
func TestUnknownFieldIsNamedToItsCallerOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, p := f.ask(t, post(`{"`+canary+`":1}`)); !strings.HasPrefix(p.Error.Message, `"`+canary+`": unknown`) || strings.Contains(f.logged.String(), canary) {
		t.Errorf("message %s, log %s", p.Error.Message, f.logged)
	}
}

// Requests up to the documented limits are accepted, in any spelling of headers and body.
func TestValidInputIsAccepted(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"body of 4 MiB":         post(`{"prompt":"x"}` + strings.Repeat(" ", 4<<20-14)),
		"body of 4 MiB, base64": encoded(`{"prompt":"x"}` + strings.Repeat(" ", 4<<20-14)),
		"text of 1 MiB":         post(`{"prompt":"` + strings.Repeat("x", 1<<20-3) + `","system":"富"}`),
		"the other ends":        post(`{"prompt":"x","maxTokens":1,"temperature":1,"topP":0}`),
		"bare content type":     typed("Application/JSON"),
		"any header case":       {HTTPMethod: "POST", Resource: "/generate", Body: `{"prompt":"x"}`, Headers: map[string]string{"A": "b", "CONTENT-TYPE": " application/json ;x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if response, _ := f.call(t, r); response.StatusCode != 200 {
				t.Errorf("%d %.200s", response.StatusCode, response.Body)
			}
			f.record(t)
		})
	}
}

// Every request has a response, and one log record if it reached the model.
func FuzzHandle(f *testing.F) {
	routes := []request{{HTTPMethod: "POST", Resource: "/generate"}, {HTTPMethod: "POST", Resource: "/generate/{prompt}"},
		{HTTPMethod: "GET", Resource: "/models"}, {HTTPMethod: "GET", Resource: "/health"}, {HTTPMethod: "GET", Resource: "/openapi.json"}, {}}
	f.Add(uint8(0), "", "application/json", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"maxTokens":1,"stop":["x"]}`, false)
	f.Add(uint8(0), "", "application/json", "eyJwcm9tcHQiOiJ4In0=", true)
	f.Add(uint8(0), "", "application/json", `{"prompt":"fault ThrottlingException","temperature":2e0,"topP":null}`, false)
	f.Add(uint8(1), "%E5%AF%8C+a%2Fb", "", "", false)
	f.Add(uint8(1), "%zz", "\xff", "\xff", true)
	f.Add(uint8(0), "", "application/json", `{"prompt":"break ThrottlingException","stream":true}`, false)
	f.Add(uint8(5), "GET", "/models", `{"`+strings.Repeat("富", 40)+`":1}`, false)
	fixture := newFixture(f)
	f.Fuzz(func(t *testing.T, route uint8, path, contentType, body string, isBase64 bool) {
		within(t, 10*time.Second)
		r := routes[int(route)%len(routes)]
		if r.Resource == "" {
			r.HTTPMethod, r.Resource = path, contentType
		}
		r.PathParameters, r.Headers = map[string]string{"prompt": path}, map[string]string{"Content-Type": contentType}
		r.Body, r.IsBase64Encoded = body, isBase64
		fixture.logged.Reset()
		response, _ := fixture.ask(t, r)
		want := 0
		if response.StatusCode == 200 && strings.HasPrefix(r.Resource, "/generate") {
			want = 1
		}
		if got := len(fixture.records); got != want {
			t.Errorf("status %d and %d records, want %d", response.StatusCode, got, want)
		}
		for range len(fixture.records) {
			<-fixture.records
		}
		if strings.Contains(fixture.logged.String(), `"msg":"panic"`) {
			t.Errorf("panic: %s", fixture.logged)
		}
	})
}

// A prompt reaches the model unchanged, through either route.
func FuzzPromptRoundTrip(f *testing.F) {
	for _, s := range []string{"Hello", "富士山 は/高い? 100% a+b", " \u3000", "\xff", "\ufffd", "\x00\\\"<\u2028", "%25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, prompt string) {
		within(t, 10*time.Second)
		good := utf8.ValidString(prompt) && !strings.ContainsRune(prompt, utf8.RuneError) && strings.TrimSpace(prompt) != "" && len(prompt) <= maxTextBytes
		body, err := json.Marshal(map[string]string{"prompt": prompt})
		if err != nil {
			t.Fatal(err)
		}
		fromPath, pathErr := parsePathPrompt(url.PathEscape(prompt))
		fromBody, bodyErr := parseBody(post(string(body)))
		fromBase64, base64Err := parseBody(encoded(string(body)))
		for i, g := range []generation{fromPath, fromBody, fromBase64} {
			err := []error{pathErr, bodyErr, base64Err}[i]
			if good && (err != nil || *g.Prompt != prompt) || !good && err == nil {
				t.Errorf("way %d: %q gave %v, %v", i, prompt, g.Prompt, err)
			}
		}
	})
}
