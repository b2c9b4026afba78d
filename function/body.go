package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// These limits keep the time of each pass over a caller's body in proportion to its length, which Lambda limits.
const (
	maxDepth   = 200     // nested objects and arrays
	maxMembers = 100_000 // members of objects and items of arrays, in total
	maxName    = 64      // bytes of a name that rules are compared with; no rule has a longer name
)

// bodyRules describes what a body on one of Bedrock's own routes can contain.
type bodyRules struct {
	converse bool // the body has the format of Converse, not of a model
	audio    bool // Bedrock delivers audio to the invocation log
	tiers    []string
}

// checkBody refuses a body that isn't one JSON object, is too deep, or has too many members. It also refuses data that
// the invocation log doesn't contain, and a service tier that isn't allowed. Names match in any case and in any
// spelling of JSON, and each of several equal names is checked.
func checkBody(body []byte, rules bodyRules) error {
	if err := (&scan{visit: rules.check}).run(body); err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) || !json.Valid(body) {
		return badRequest("InvalidBody", "the body is no JSON object")
	}
	return nil
}

// These are the kinds of blocks (Bedrock API Reference, ContentBlock, SystemContentBlock and ToolResultContentBlock). A
// kind that isn't listed can have data whose delivery to the invocation log depends on a flag that this version doesn't
// know.
var (
	textKinds = []string{
		"text", "json", "guardContent", "cachePoint", "reasoningContent", "citationsContent", "searchResult",
		"toolUse", "toolResult", "toolAddition", "toolRemoval",
	}
	dataKinds = []string{"image", "document", "video"} // audio has a rule of its own
)

// check is called for each value of a body. It checks the value's name and place, and the text of a string.
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
		got := "a value that isn't a string"
		if isText {
			got = fmt.Sprintf("%q", short(unquote(value)))
		}
		return errTier(s.path(), got, r.tiers)
	case top.free:
		return nil
	case isText && name == "source" && (top.name == "searchResult" || top.item && (top.name == "content" || top.name == "citations")):
		return nil // a label: nothing is read from it
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

// knows reports whether a block of this name can have bytes.
func (r bodyRules) knows(kind string) bool {
	return slices.ContainsFunc(dataKinds, func(k string) bool { return strings.EqualFold(k, kind) }) || r.audio && strings.EqualFold(kind, "audio")
}

// takes reports whether the log contains data of a media type: images, video, and documents, which are texts and
// application files.
func (r bodyRules) takes(mediaType string) bool {
	top, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(mediaType)), "/")
	return slices.Contains([]string{"image", "video", "application", "text"}, top) || r.audio && top == "audio"
}

// isAddress reports whether a member of this name contains a source's address in a model's own body.
func isAddress(name string) bool {
	return strings.HasSuffix(name, "uri") || strings.HasSuffix(name, "url") || strings.HasSuffix(name, "ref") || name == "source"
}

// isAudio reports whether a text begins like a WAV, MP3, Ogg or FLAC file in base64.
func isAudio(text string) bool {
	if len(text) < 16 {
		return false
	}
	head, _ := base64.StdEncoding.DecodeString(text[:16])
	return bytes.HasPrefix(head, []byte("RIFF")) && bytes.HasSuffix(head, []byte("WAVE")) ||
		bytes.HasPrefix(head, []byte("ID3")) || bytes.HasPrefix(head, []byte("OggS")) || bytes.HasPrefix(head, []byte("fLaC"))
}

func errAddress(s *scan) error {
	return badRequest("S3Location", s.path()+": this API accepts no S3 address, because the log would contain only the address, and its owner could change the content; send the content itself")
}

func errAudio(s *scan) error {
	return badRequest("AudioNotLogged", s.path()+": this API accepts no audio, because Bedrock's invocation logging doesn't have audioDataDeliveryEnabled set to true; send another kind of content")
}

func errKind(s *scan) error {
	return badRequest("UnknownKind", s.path()+": this API accepts only text, images, documents and video, because the invocation log might omit other kinds; send one of these")
}

func errTier(where, got string, admitted []string) error {
	return badRequest("ServiceTierNotAdmitted", fmt.Sprintf("%s: got %s, must be %s or absent, according to this API's setting serviceTiers", where, got, strings.Join(admitted, ", ")))
}

// scan reads JSON from start to end, and calls visit at the beginning of each value. It also stops at the end of input
// that isn't JSON.
type scan struct {
	visit   func(*scan, []byte) error // optional
	in      []container               // the objects and arrays that contain the value
	members int
}

// container is an object or an array that is being read.
type container struct {
	name   string // of the member whose value it is, or whose value is the array that contains it
	key    string // of an object's member that is being read
	index  int    // of an array's item that is being read
	object bool
	item   bool // it is an item of an array
	free   bool // JSON whose names the caller chooses: Bedrock and its models read it as text only
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
				return badRequest("TooDeep", fmt.Sprintf("the body has more than %d levels of nested objects and arrays: reduce the nesting", maxDepth))
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
			return badRequest("TooManyMembers", fmt.Sprintf("the body has more than %d members and items: send fewer", maxMembers))
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

// namesFreely reports whether the value of the member that is being read is a schema, a tool's own input or result, or
// a caller's metadata. The names are those of Converse and of models that InvokeModel calls.
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
		return object && (f.name == "toolUse" || inContent) // a list is content in a model's own format
	case "json":
		return inContent
	case "requestMetadata", "promptVariables":
		return f.name == ""
	}
	return false
}

// inTier reports whether the value is a service tier or part of one. The tier is a member of the body, or of the fields
// that Converse passes on to the model.
func (s *scan) inTier() bool {
	in := s.in
	if strings.EqualFold(in[0].key, "additionalModelRequestFields") {
		in = in[1:]
	}
	return len(in) > 0 && (strings.EqualFold(in[0].key, "serviceTier") || strings.EqualFold(in[0].key, "service_tier"))
}

// path returns the value's path, such as messages[0].content[1].audio.
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

// short truncates a caller's text to a length that is enough to recognize it.
func short(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// stringEnd returns the end of the string that begins at i.
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

// unquote returns the text of a JSON string. If the string is invalid, checkBody refuses the body in any case.
func unquote(raw []byte) (s string) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return strings.Trim(string(raw), `"`)
	}
	json.Unmarshal(raw, &s)
	return s
}

// start returns the first part of a JSON string's text after white space. It doesn't copy the text, which can be
// megabytes.
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
