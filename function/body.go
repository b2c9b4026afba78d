package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What a caller's body may have, so that each step over it takes a time in proportion to its length, which Lambda limits.
const (
	maxDepth   = 200     // objects and arrays in each other
	maxMembers = 100_000 // members of objects and items of arrays, together
	maxName    = 64      // bytes; no rule is about a longer name, which each item of its array would be compared by
)

// bodyRules are what a body on one of Bedrock's own routes may not have.
type bodyRules struct {
	converse bool // the body has the shape of Converse, and not of a model
	audio    bool // Bedrock delivers audio into the invocation log
	tiers    []string
}

// checkBody refuses a body that is not one JSON object, is too deep or has too many members; that has data which the invocation
// log does not keep; or that names a service tier that is not admitted. Names count in any case and in any spelling of JSON,
// and each of equal names counts.
func checkBody(body []byte, rules bodyRules) error {
	if err := (&scan{visit: rules.check}).run(body); err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) || !json.Valid(body) {
		return badRequest("InvalidBody", "the body is no JSON object")
	}
	return nil
}

// Bedrock API Reference, ContentBlock, SystemContentBlock and ToolResultContentBlock. A kind that is not here may have data
// whose delivery into the invocation log has a flag that this version does not know.
var (
	textKinds = []string{
		"text", "json", "guardContent", "cachePoint", "reasoningContent", "citationsContent", "searchResult",
		"toolUse", "toolResult", "toolAddition", "toolRemoval",
	}
	dataKinds = []string{"image", "document", "video"} // audio has its own rule
)

// check is called for each value of a body, and looks at its name, its place and, where it is a string, its text.
func (r bodyRules) check(s *scan, value []byte) error {
	if len(s.in) == 0 {
		return nil
	}
	top := s.top()
	name := top.name
	if top.object {
		name = top.key
	}
	if len(name) > maxName {
		name = ""
	}
	name = strings.ToLower(name)
	member := top.object && value[0] != 'n' // not null
	isText := value[0] == '"'
	switch {
	case s.inTier() && value[0] != '{' && value[0] != 'n' && !(isText && slices.Contains(r.tiers, unquote(value))):
		got := "no text"
		if isText {
			got = fmt.Sprintf("%q", short(unquote(value)))
		}
		return errTier(s.path(), got, r.tiers)
	case top.free:
		return nil
	case isText && name == "source" && (top.name == "searchResult" || top.item && (top.name == "content" || top.name == "citations")):
		return nil // a label, which nothing is read from
	case member && slices.Contains([]string{"s3location", "s3_location", "s3uri", "s3_uri"}, name),
		isText && isAddress(name) && hasPrefixFold(start(value), "s3://"):
		return errAddress(s)
	case !r.audio && (member && strings.Contains(name, "audio") ||
		isText && (strings.Contains(name, "type") || strings.Contains(name, "modalit")) && strings.Contains(strings.ToLower(start(value)), "audio") ||
		isText && (hasPrefixFold(start(value), "data:audio/") || isAudio(start(value)))):
		return errAudio(s)
	case r.converse && member && top.item && (strings.EqualFold(top.name, "content") || strings.EqualFold(top.name, "system")) &&
		!slices.Contains(textKinds, top.key) && !slices.Contains(dataKinds, top.key) && !(r.audio && top.key == "audio"):
		return errKind(s)
	case member && name == "bytes" && strings.EqualFold(top.name, "source") && !r.knows(s.in[len(s.in)-2].name):
		return errKind(s)
	case isText && (name == "media_type" || name == "mediatype" || name == "mime_type" || name == "mimetype") && !r.takes(start(value)):
		return errKind(s)
	case isText && hasPrefixFold(start(value), "data:"):
		if kind := start(value)[len("data:"):]; strings.Contains(kind, ";base64,") && !r.takes(kind) {
			return errKind(s)
		}
	}
	return nil
}

// knows is whether a block of this name may have bytes.
func (r bodyRules) knows(kind string) bool {
	return slices.ContainsFunc(dataKinds, func(k string) bool { return strings.EqualFold(k, kind) }) || r.audio && strings.EqualFold(kind, "audio")
}

// takes is whether the log keeps data of a media type: images, video, and documents, which are texts and applications' files.
func (r bodyRules) takes(mediaType string) bool {
	top, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(mediaType)), "/")
	return slices.Contains([]string{"image", "video", "application", "text"}, top) || r.audio && top == "audio"
}

// isAddress is whether models' own bodies have the address of a source in a member of this name.
func isAddress(name string) bool {
	return strings.HasSuffix(name, "uri") || strings.HasSuffix(name, "url") || strings.HasSuffix(name, "ref") || name == "source"
}

// isAudio is whether a text is the beginning of a WAV, MP3, Ogg or FLAC file in base64.
func isAudio(text string) bool {
	if len(text) < 16 {
		return false
	}
	head, _ := base64.StdEncoding.DecodeString(text[:16])
	return bytes.HasPrefix(head, []byte("RIFF")) && bytes.HasSuffix(head, []byte("WAVE")) ||
		bytes.HasPrefix(head, []byte("ID3")) || bytes.HasPrefix(head, []byte("OggS")) || bytes.HasPrefix(head, []byte("fLaC"))
}

func errAddress(s *scan) error {
	return badRequest("S3Location", s.path()+": this API takes no address of S3, because its owner could change what is there after the log has the address; send the content itself")
}

func errAudio(s *scan) error {
	return badRequest("AudioNotLogged", s.path()+": this API takes no audio, because Bedrock's invocation logging does not have audioDataDeliveryEnabled true; send another kind of content")
}

func errKind(s *scan) error {
	return badRequest("UnknownKind", s.path()+": this API takes text, images, documents and video, and knows of no other kind that the invocation log keeps it; send one of these")
}

func errTier(where, got string, admitted []string) error {
	return badRequest("ServiceTierNotAdmitted", fmt.Sprintf("%s: got %s, want %s or no service tier, which this API's setting serviceTiers admits", where, got, strings.Join(admitted, ", ")))
}

// scan reads JSON from its start to its end, and calls visit with each value where it begins. It also ends on what is no JSON.
type scan struct {
	visit   func(*scan, []byte) error // nil is none
	in      []container               // the objects and arrays that the value is in
	members int
}

// container is an object or an array that is being read.
type container struct {
	name   string // of the member that it is the value of, or that has the array that it is in
	key    string // of an object: the member that is being read
	index  int    // of an array: the item that is being read
	object bool
	item   bool // of an array
	free   bool // JSON with names of the caller's own, in which Bedrock and its models see no content but text
}

func (s *scan) top() *container { return &s.in[len(s.in)-1] }

func (s *scan) run(body []byte) error {
	isKey := false
	for i, end := 0, 0; i < len(body); i = end {
		end = i + 1
		switch body[i] {
		case ' ', '\t', '\r', '\n', ':':
			continue
		case '}', ']':
			s.in, isKey = s.in[:max(0, len(s.in)-1)], false
			continue
		case ',':
			s.members++
			if len(s.in) > 0 {
				s.top().index++
				isKey = s.top().object
			}
		case '"':
			end = stringEnd(body, i)
			if isKey {
				s.top().key, isKey = unquote(body[i:end]), false
				continue
			}
			if err := s.value(body[i:end]); err != nil {
				return err
			}
		case '{', '[':
			s.members++
			if err := s.value(body[i:end]); err != nil {
				return err
			}
			if len(s.in) == maxDepth {
				return badRequest("TooDeep", fmt.Sprintf("the body has objects and arrays in each other to a depth of more than %d: send less", maxDepth))
			}
			isKey = body[i] == '{'
			s.push(isKey)
		default:
			for end < len(body) && strings.IndexByte(" \t\r\n,:]}{[\"", body[end]) < 0 {
				end++
			}
			if err := s.value(body[i:end]); err != nil {
				return err
			}
		}
		if s.members > maxMembers {
			return badRequest("TooManyMembers", fmt.Sprintf("the body has more than %d members and items: send less", maxMembers))
		}
	}
	return nil
}

func (s *scan) value(raw []byte) error {
	if s.visit == nil {
		return nil
	}
	return s.visit(s, raw)
}

func (s *scan) push(object bool) {
	f := container{object: object}
	if len(s.in) > 0 {
		outer := s.top()
		if f.name, f.item, f.free = outer.name, !outer.object, outer.free; outer.object {
			f.name, f.free = outer.key, outer.free || outer.namesFreely(object)
		}
	}
	s.in = append(s.in, f)
}

// namesFreely is whether the value of the member that is being read is a schema, a tool's own input or result, or a caller's
// metadata, as Converse and the models that are called by InvokeModel spell it.
func (f *container) namesFreely(object bool) bool {
	inContent := f.item && f.name == "content"
	switch f.key {
	case "inputSchema", "input_schema", "parameter_definitions":
		return true
	case "parameters":
		return f.name == "function" || f.item && (f.name == "tools" || f.name == "functions" || f.name == "tool_calls")
	case "schema":
		return f.name == "json_schema" || f.name == "format" || f.name == "output_format"
	case "input":
		return object && (f.name == "toolUse" || inContent) // in a list it is a model's own content
	case "json":
		return inContent
	case "requestMetadata", "promptVariables":
		return f.name == ""
	}
	return false
}

// inTier is whether the value is a service tier, or in one: a member of the body, or of the fields that Converse hands on to
// the model.
func (s *scan) inTier() bool {
	in := s.in
	if strings.EqualFold(in[0].key, "additionalModelRequestFields") {
		in = in[1:]
	}
	return len(in) > 0 && (strings.EqualFold(in[0].key, "serviceTier") || strings.EqualFold(in[0].key, "service_tier"))
}

// path names the value, such as messages[0].content[1].audio.
func (s *scan) path() string {
	var b strings.Builder
	for i, f := range s.in {
		switch {
		case !f.object:
			fmt.Fprintf(&b, "[%d]", f.index)
		case i == 0:
			b.WriteString(short(f.key))
		default:
			b.WriteString("." + short(f.key))
		}
	}
	return b.String()
}

// short cuts a caller's text: enough to recognise it.
func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// stringEnd is where the string ends that begins at i.
func stringEnd(body []byte, i int) int {
	for i++; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(body)
}

// unquote is the text of a JSON string. If the string is broken, checkBody refuses the body anyway.
func unquote(raw []byte) (s string) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return strings.Trim(string(raw), `"`)
	}
	json.Unmarshal(raw, &s)
	return s
}

// start is the first part of a JSON string's text, behind white space, without a copy of what may be megabytes.
func start(raw []byte) string {
	text := bytes.TrimLeft(raw[1:], " \t\r\n")
	if head := text[:min(len(text), 128)]; bytes.IndexByte(head, '\\') < 0 {
		return strings.Trim(string(head), `"`)
	}
	s := strings.TrimSpace(unquote(raw))
	return s[:min(len(s), 128)]
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
