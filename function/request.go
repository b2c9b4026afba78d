package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Lambda accepts 6 MB for a request, including the event's escapes and headers (Lambda quotas).
const (
	maxBodyBytes = 4 << 20
	maxTextBytes = 1 << 20
)

// generation is the body of POST /generate.
type generation struct {
	Prompt      *string   `json:"prompt"`
	Messages    []message `json:"messages"`
	System      string    `json:"system"`
	Model       string    `json:"model"`
	MaxTokens   *int32    `json:"maxTokens"`
	Temperature *float32  `json:"temperature"`
	TopP        *float32  `json:"topP"`
	Stop        []string  `json:"stop"`
	Stream      bool      `json:"stream"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// parsePathPrompt reads the prompt of POST /generate/{prompt}. A REST API passes the path on percent-encoded, as the
// caller sent it. A plus sign stands for itself.
func parsePathPrompt(encoded string) (generation, error) {
	prompt, err := url.PathUnescape(encoded)
	if err != nil {
		return generation{}, badRequest("InvalidPrompt", "the path isn't percent-encoded: write a percent sign as %25")
	}
	maxTokens := int32(300) // POST /generate leaves the choice to its caller
	g := generation{Prompt: &prompt, MaxTokens: &maxTokens}
	return g, g.check()
}

// parseBody reads the body of POST /generate.
func parseBody(r request) (generation, error) {
	// A browser could send any other content type from a page of another site without a preflight request (CORS).
	if mediaType, _, _ := strings.Cut(header(r.Headers, "Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return generation{}, apiError{415, "UnsupportedMediaType", "send JSON with the header Content-Type: application/json"}
	}
	raw, err := r.body()
	switch {
	case err != nil:
		return generation{}, err
	case len(raw) > maxBodyBytes:
		return generation{}, errTooLarge
	case len(bytes.TrimSpace(raw)) == 0:
		return generation{}, badRequest("EmptyBody", `the body is empty: send JSON such as {"prompt":"Hello"}`)
	case !isText(string(raw)):
		return generation{}, badRequest("InvalidBody", "the body isn't UTF-8")
	}
	if err := new(scan).run(raw); err != nil {
		return generation{}, err
	}

	var g generation
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&g); err != nil {
		return generation{}, badRequest("InvalidBody", describe(err))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return generation{}, badRequest("InvalidBody", "the body continues after its JSON object: send one object")
	}
	return g, g.check()
}

// describe explains why a JSON body is invalid, by field and type only. It doesn't quote the body's content.
func describe(err error) string {
	const want = `: send one JSON object such as {"prompt":"Hello"}`
	switch e := err.(type) {
	case *json.UnmarshalTypeError:
		if e.Field == "" {
			return "the body is a JSON " + e.Value + want
		}
		return fmt.Sprintf("%s: got a JSON %s, must be %s", e.Field, jsonType(e.Value), wanted(e.Type.Kind()))
	case *json.SyntaxError:
		return fmt.Sprintf("the body isn't valid JSON at byte %d%s", e.Offset, want)
	}
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		if len(name) > 64 { // a name is also the caller's text; 64 bytes are enough to recognize it
			name = strings.ToValidUTF8(name[:64], "") + "…"
		}
		return name + ": unknown field; the fields are prompt, messages, system, model, maxTokens, temperature, topP, stop and stream"
	}
	return "the body isn't valid JSON" + want
}

// wanted names the JSON type of a field of this kind.
func wanted(kind reflect.Kind) string {
	switch kind {
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	case reflect.Int32:
		return "a whole number below 2147483648"
	case reflect.Float32:
		return "a number from 0 to 1"
	}
	return "a " + kind.String()
}

// jsonType returns the type: "number" for "number 1.5".
func jsonType(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	return kind
}

func (g generation) check() error {
	texts := append([]string{g.System}, g.Stop...)
	switch {
	case g.Prompt == nil && len(g.Messages) == 0:
		return badRequest("NoPrompt", `prompt or messages is missing: send {"prompt":"Hello"} or {"messages":[{"role":"user","content":"Hello"}]}`)
	case g.Prompt != nil && len(g.Messages) > 0:
		return badRequest("InvalidPrompt", "prompt and messages can't be combined: send one of them")
	case g.Prompt != nil:
		if strings.TrimSpace(*g.Prompt) == "" {
			return badRequest("EmptyPrompt", "prompt: must not be empty")
		}
		texts = append(texts, *g.Prompt)
	}
	for i, m := range g.Messages {
		if m.Role != "user" && m.Role != "assistant" {
			return badRequest("InvalidMessages", fmt.Sprintf("messages[%d].role: must be user or assistant", i))
		}
		if strings.TrimSpace(m.Content) == "" {
			return badRequest("InvalidMessages", fmt.Sprintf("messages[%d].content: must not be empty", i))
		}
		texts = append(texts, m.Content)
	}
	size := 0
	for _, t := range texts {
		if !isText(t) {
			return badRequest("InvalidText", "a text isn't UTF-8, or contains half of a surrogate pair or U+FFFD")
		}
		size += len(t)
	}
	switch {
	case size > maxTextBytes:
		return errTooLarge
	case g.MaxTokens != nil && *g.MaxTokens < 1:
		return badRequest("InvalidMaxTokens", fmt.Sprintf("maxTokens: got %d, must be 1 or more", *g.MaxTokens))
	case g.Temperature != nil && (*g.Temperature < 0 || *g.Temperature > 1):
		return badRequest("InvalidTemperature", fmt.Sprintf("temperature: got %v, must be from 0 to 1", *g.Temperature))
	case g.TopP != nil && (*g.TopP < 0 || *g.TopP > 1):
		return badRequest("InvalidTopP", fmt.Sprintf("topP: got %v, must be from 0 to 1", *g.TopP))
	case g.System != "" && strings.TrimSpace(g.System) == "":
		return badRequest("InvalidSystem", "system: must not be only white space; omit it, or send text")
	case slices.Contains(g.Stop, ""):
		return badRequest("InvalidStop", "stop: must not contain an empty text")
	}
	return nil
}

// isText reports whether a text is complete. U+FFFD marks a loss: API Gateway puts it in place of bytes that aren't
// UTF-8, and Go's decoder in place of half a surrogate pair.
func isText(s string) bool {
	return !strings.ContainsRune(s, utf8.RuneError)
}
