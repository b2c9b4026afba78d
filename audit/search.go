package audit

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// contains reports whether a text contains a part, in any case.
func contains(text, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// rejects reports, without parsing, that a query doesn't match a line. It decides only for complete records without an
// escape that could stand for a letter, and only if a part that the query contains is nowhere in the line.
func (q Query) rejects(line []byte) bool {
	lacks := func(parts ...string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return bytes.Contains(line, []byte(part)) })
	}
	whole := bytes.HasPrefix(line, []byte(`{"schemaType":"ModelInvocationLog",`)) && bytes.HasSuffix(line, []byte("}"))
	if q.RequestID+q.Model+q.Caller+q.Text == "" || !whole || !lacks(`\u`) {
		return false
	}
	// A large body has text that isn't in the line.
	direct := q.Text != "" && !strings.ContainsAny(q.Text, composed) && lacks(`BodyS3Path"`)
	original := line
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	text := strings.ToLower(q.Text)
	*buffer = lower((*buffer)[:0], line, text)
	line = *buffer
	return lacks(literal(q.RequestID)) || lacks(literal(q.Model)) || lacks(literal(q.Caller)) ||
		direct && lacks(text) && !maySplit(line, text) && !encodes(original, text)
}

// composed are the characters that JSON can write in several ways, or that separate the parts of a readable text.
const composed = "\"\\/\b\f\n\r\t[]:"

// literal returns the longest piece of a part that a record contains unchanged, in lower case. A caller's name can be
// made of an address and an endpoint, with words between them that no record contains.
func literal(part string) (longest string) {
	if strings.Contains(part, " ") || strings.Contains("via no endpoint", strings.ToLower(part)) {
		return ""
	}
	for one := range strings.FieldsFuncSeq(strings.ToLower(part), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) {
		if len(one) > len(longest) {
			longest = one
		}
	}
	return longest
}

// has reports whether a body contains a text: as written, in a string at any depth, in JSON within strings, in base64,
// or split over the elements of an array, such as the chunks of a stream. It uses no list of formats, so no caller can
// choose a format that it skips. It searches names too, and can report a body in which the text spans values that JSON
// separates.
func has(body value, part string, readable func(value) string) bool {
	found, split := holds(body.raw(), part)
	if found || encodes(body.raw(), part) {
		return true
	}
	if split {
		if found, _ = holds(gather(body), part); found {
			return true
		}
	}
	// The readable text has separators that aren't in the body.
	return strings.ContainsAny(part, "[]:\n") && contains(readable(body), part)
}

// mostLayers is the maximum number of layers of JSON within strings of JSON. Encoders double the backslashes with each
// layer, so no body is large enough for more.
const mostLayers = 32

// largestPooled is the size of the largest buffer that is reused. A larger one would occupy memory.
const largestPooled = 1 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// holds reports whether a JSON text contains a part, as written or after any number of layers of escapes. If not, split
// reports whether the part can be split over several strings. It matches every part in a text with more layers than
// mostLayers, because such a text was written to hide something. It takes time linear in the text's length.
func holds(text []byte, part string) (found, split bool) {
	if len(text) == 0 {
		return part == "", false
	}
	part = strings.ToLower(part)
	buffer := buffers.Get().(*[]byte)
	if len(text) < largestPooled {
		defer buffers.Put(buffer)
	}
	*buffer = lower((*buffer)[:0], text, part)
	layer := *buffer
	// Without these characters, only numeric escapes can add a letter of the part.
	numbered := !strings.ContainsAny(part, "\"\\/\b\f\n\r\t")
	for range mostLayers {
		if bytes.Contains(layer, []byte(part)) {
			return true, false
		}
		if numbered && !bytes.Contains(layer, []byte(`\u`)) {
			return false, bytes.Contains(text, []byte(`\\"`)) || maySplit(layer, part)
		}
		before := len(layer)
		if layer = unescape(layer); len(layer) == before {
			return false, true
		}
		layer = lower(layer[:0], layer, part)
	}
	return true, false
}

// maySplit reports whether a part, without escapes, can be split over strings of the text: one string begins with the
// end of the part, and another ends with its beginning, with half an escape, or in the middle of base64. For most
// bodies it quickly returns false, which saves the work of joining their strings.
func maySplit(text []byte, part string) bool {
	if len(part) > 64 {
		return true
	}
	// Bit i represents a split before part[i]. The masks contain the letters that can follow and precede a split, and
	// begun and ended the splits that strings match.
	var behind, before [256]uint64
	for i := 1; i < len(part); i++ {
		behind[part[i]] |= 1 << i
		before[part[i-1]] |= 1 << i
	}
	var begun, ended uint64
	encoded, chunked := 0, false
	for quote := -1; ; {
		n := bytes.IndexByte(text[quote+1:], '"')
		if n < 0 {
			return false
		}
		quote += 1 + n
		end := quote
		if end > 0 && text[end-1] == '\\' { // the quote is in JSON within a string
			if end--; end > 0 && text[end-1] == '\\' {
				return true
			}
		}
		if end > 0 {
			for splits := before[text[end-1]] &^ ended; splits != 0; splits &= splits - 1 {
				split := bits.TrailingZeros64(splits)
				i, at := split, end
				for i > 0 && at > 0 && part[i-1] == text[at-1] {
					i, at = i-1, at-1
				}
				if i == 0 || at > 0 && text[at-1] == '"' {
					ended |= 1 << split
				}
			}
		}
		rest := text[quote+1:]
		if len(rest) == 0 {
			return false
		}
		for splits := behind[rest[0]] &^ begun; splits != 0; splits &= splits - 1 {
			if split := bits.TrailingZeros64(splits); bytes.HasPrefix(rest, []byte(part[split:])) {
				begun |= 1 << split
			}
		}
		switch {
		case rest[0] == 'b' && bytes.HasPrefix(rest, []byte("bytes")):
			encoded++
		case rest[0] == 'c' && bytes.HasPrefix(rest, []byte("chunk")):
			chunked = true
		}
		if begun&ended != 0 || encoded > 1 || encoded > 0 && chunked {
			return true
		}
	}
}

// lower appends the text to room in lower case, as strings.ToLower does, as far as it matters for the part. It converts
// eight bytes of ASCII at once. room can be the text's own memory.
func lower(room, text []byte, part string) []byte {
	const each = 0x0101010101010101
	room = slices.Grow(room, len(text))
	out := room[len(room) : len(room)+len(text)]
	i, all := 0, uint64(0)
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		low := word & (0x7f * each)
		capital := (low + (0x80-'A')*each) &^ (low + (0x7f-'Z')*each) &^ word & (0x80 * each)
		binary.LittleEndian.PutUint64(out[i:], word|capital>>2)
		all |= word
	}
	for ; i < len(text); i++ {
		c := text[i]
		all |= uint64(c)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	// Beyond ASCII, two characters become k and i. The others matter only if the part contains such characters.
	cased := strings.ContainsFunc(part, func(r rune) bool { return r == utf8.RuneError || r > unicode.MaxASCII && unicode.SimpleFold(r) != r })
	if all&(0x80*each) != 0 && (cased || bytes.Contains(out, []byte("\u212a")) || bytes.Contains(out, []byte("\u0130"))) {
		out = bytes.ToLower(out)
		return append(room, out...)
	}
	return room[:len(room)+len(text)]
}

// unescape removes one layer of JSON escapes from a text, in place. Invalid escapes stay.
func unescape(text []byte) []byte {
	out := text[:0]
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 {
			return append(out, text...)
		}
		r, size := escape(text[at:])
		out = utf8.AppendRune(append(out, text[:at]...), r)
		text = text[at+size:]
	}
}

// escape reads the escape that the text begins with, or its backslash if that isn't a valid escape.
func escape(text []byte) (r rune, size int) {
	if len(text) < 2 {
		return '\\', 1
	}
	if r := escaped[text[1]]; r != 0 {
		return r, 2
	}
	r, is := unit(text)
	if !is {
		return '\\', 1
	}
	if utf16.IsSurrogate(r) { // half of a pair is invalid
		if other, is := unit(text[6:]); is {
			if r := utf16.DecodeRune(r, other); r != utf8.RuneError {
				return r, 12
			}
		}
		r = utf8.RuneError
	}
	return r, 6
}

// escaped maps the letter after a backslash to its character.
var escaped = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unit reads \u and four hexadecimal digits.
func unit(text []byte) (r rune, is bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}
