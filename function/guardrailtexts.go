package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxEvaluated is the number of bytes of a body that are evaluated, in up to 42 calls of ApplyGuardrail. A body
// with more is refused.
const maxEvaluated = maxTextBytes

// part contains the texts of one member of a body.
type part struct {
	member string
	text   strings.Builder
}

// unevaluated returns an error that names the member that no guardrail evaluates.
func unevaluated(member, what, instead string) error {
	return badRequest("NotEvaluated", member+": this API's guardrail can't evaluate "+what+": "+instead)
}

// collect returns the texts of a body that Bedrock itself doesn't evaluate, and whether it evaluates any. It takes time
// linear in the size of the body.
func collect(body []byte, r rules, unevaluatedTools bool) (parts []*part, evaluated bool, err error) {
	w := walk{d: json.NewDecoder(bytes.NewReader(body)), rules: r, unevaluatedTools: unevaluatedTools}
	w.d.UseNumber() // 1e400 doesn't fit a float64
	if err := w.value(place{}, 0); err != nil {
		return nil, false, err
	}
	if _, err := w.d.Token(); err != io.EOF {
		return nil, false, errNoObject
	}
	return w.parts, w.evaluated, nil
}

var errNoObject = badRequest("InvalidBody", "the body isn't a JSON object")

type walk struct {
	d                *json.Decoder
	rules            rules
	unevaluatedTools bool
	parts            []*part
	size             int
	evaluated        bool
	image            bool           // the current source has an image
	declared         map[string]int // members of the current source that declare an image, and "other" ones
}

// place is the place of a value in a body.
type place struct {
	path    string // without indices; unknownPath if no rule can name it
	member  string // the name of its part
	key     string
	skipped bool
	media   bool
	free    bool
}

const unknownPath = "?"

// plain reports whether a key can be a part of a path. For example, "a.b" can't.
func plain(key string) bool {
	return key != "" && len(key) <= 40 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

func (p place) element(i int) place {
	if opened[p.path] {
		p.member += "[" + strconv.Itoa(i) + "]"
	}
	return p.below("[]")
}

func (p place) named(key string) place {
	known := plain(key)
	if opened[p.path] {
		name := key
		if !known { // text of the caller
			name = strconv.Quote(strings.ToValidUTF8(key[:min(len(key), 40)], ""))
		}
		p.member = strings.TrimPrefix(p.member+"."+name, ".")
	}
	p.key = key
	if !known {
		p.path = unknownPath
		return p
	}
	if p.path == "" {
		return p.below(key)
	}
	return p.below("." + key)
}

// below appends a step to the path. It limits the path's length, so that a deep body costs no more than a flat one.
func (p place) below(step string) place {
	if p.path != unknownPath && len(p.path) < 120 {
		p.path += step
	} else {
		p.path = unknownPath
	}
	return p
}

func (w *walk) value(at place, depth int) error {
	at.skipped = at.skipped || w.rules.skipped[at.path] || w.unevaluatedTools && tools[at.path]
	at.free = at.free || free[at.path] || w.rules.answer && inputs[at.key]
	at.media = at.media || w.rules.media || at.path == "additionalModelRequestFields"
	token, err := w.d.Token()
	if err != nil || depth > maxDepth {
		return badRequest("InvalidBody", fmt.Sprintf("%s: must be JSON of at most %d levels", at.member, maxDepth))
	}
	switch t := token.(type) {
	case string:
		return w.string(at, t)
	case json.Delim:
		if at.path == sourcePath {
			w.image, w.declared = false, map[string]int{}
		}
		for i := 0; w.d.More(); i++ {
			below := at.element(i)
			if t == '{' {
				key, err := w.d.Token()
				if err != nil {
					return errNoObject
				}
				below = at.named(key.(string))
				if err := w.key(below); err != nil {
					return err
				}
			}
			if err := w.value(below, depth+1); err != nil {
				return err
			}
		}
		if _, err := w.d.Token(); err != nil {
			return errNoObject
		}
		if at.path == sourcePath && w.image && (w.declared["type"] == 0 || w.declared["media_type"] == 0 || w.declared["other"] > 0) {
			return unevaluated(at.member, "an image that isn't declared as one", "send it with the type base64 and the media_type image/png or image/jpeg")
		}
	}
	return nil
}

func (w *walk) key(at place) error {
	if strings.EqualFold(at.key, "guardContent") && !w.rules.media && !w.rules.answer && !at.free {
		// If a message has guardContent, a guardrail evaluates nothing else of the messages; with a qualifier, it
		// evaluates only some of the guardContent (Bedrock User Guide, "Include a guardrail with the Converse API",
		// "Use contextual grounding check to filter hallucinations in responses").
		return badRequest("GuardContent", at.member+": this API's guardrail evaluates all texts: send text instead of guardContent")
	}
	if at.skipped || w.rules.answer && !at.free || vocabulary[at.key] {
		return nil
	}
	return w.add(at, at.key)
}

func (w *walk) string(at place, s string) error {
	if wanted, found := imageSource[at.path]; found && wanted[s] {
		w.declared[at.key]++
	} else if found {
		w.declared["other"]++
	}
	also := "" // the text that a reader decodes from s
	switch {
	case at.skipped:
		return nil
	case w.rules.evaluated[at.path]:
		w.evaluated = true
		return nil
	case w.rules.opaque[at.path] && sealed(s):
		return nil
	case documentFormats[at.path] && !plainFormats[s]:
		return unevaluated(at.member, "this format", "send text, or a document of the format txt, md or csv")
	case vocabulary[s]:
		return nil
	case w.rules.images[at.path] && isImage(s):
		w.image = w.image || strings.HasPrefix(at.path, sourcePath)
		return nil
	case !at.free && strings.EqualFold(at.key, "bytes"):
		raw, err := strictBase64.DecodeString(s)
		if err != nil || !strings.HasPrefix(http.DetectContentType(raw), "text/") || !utf8.Valid(raw) {
			return unevaluated(at.member, "these bytes", "send text in UTF-8, or a png or jpeg image in a message")
		}
		s = string(raw)
	case at.media && !at.free && !texts[at.key]:
		kind := mediaType(s)
		if isMedia(kind) || len(s) >= 1024 && kind == "application/octet-stream" {
			return unevaluated(at.member, "this base64 content", "send text, or a png or jpeg image in a message")
		}
		if raw, ok := decodeBase64(s); kind != "" && ok && utf8.Valid(raw) {
			also = string(raw)
		}
	}
	if err := w.add(at, s); err != nil { // checks the limit before the costlier steps
		return err
	}
	// A string can be JSON, such as a tool's input.
	if json := strings.TrimSpace(s); !w.rules.fragments && json != "" && strings.Contains(`{["`, json[:1]) && strings.Contains(json, `\`) {
		if err := w.add(at, unescape(s)); err != nil {
			return err
		}
	}
	return w.add(at, also)
}

// add adds a text to the part of its member.
func (w *walk) add(at place, text string) error {
	if text == "" {
		return nil
	}
	if w.size += len(text); w.size > maxEvaluated {
		return badRequest("TooMuchToEvaluate", at.member+": this API's guardrail evaluates at most 1 MiB of text in addition to the text of messages: send less")
	}
	if n := len(w.parts); n == 0 || w.parts[n-1].member != at.member {
		w.parts = append(w.parts, &part{member: at.member})
	}
	last := w.parts[len(w.parts)-1]
	if last.text.Len() > 0 {
		last.text.WriteByte('\n')
	}
	last.text.WriteString(text)
	return nil
}
