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

// contains tells whether a text has a part, whichever case its letters are in.
func contains(text, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// rejects tells of most lines that a query does not admit, without taking them apart: they are whole records, without an
// escape that could stand for a letter, and a part that the query asks for is nowhere in them.
func (q Query) rejects(line []byte) bool {
	lacks := func(parts ...string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return bytes.Contains(line, []byte(part)) })
	}
	whole := bytes.HasPrefix(line, []byte(`{"schemaType":"ModelInvocationLog",`)) && bytes.HasSuffix(line, []byte("}"))
	if q.RequestID+q.Model+q.Caller+q.Text == "" || !whole || !lacks(`\u`) {
		return false
	}
	// An object of its own has text that is not in the line.
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

// composed are characters that JSON may write in other ways, or that stand between the parts of a readable text.
const composed = "\"\\/\b\f\n\r\t[]:"

// literal is the longest piece of a part that a record has as it is, in lower case. A caller's name can be made of an address and an
// endpoint, with words between that no record has.
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

// has tells whether a body has a text: as it is written, in a string at any depth, in JSON within strings, in base64, and split
// over the elements of an array, such as the chunks of a stream. It knows no shape, so that no caller can choose one that it does
// not look into. It looks into keys as well, and may report a body in which the text spans what JSON keeps apart.
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
	// The readable text has marks between its parts that the body has not.
	return strings.ContainsAny(part, "[]:\n") && contains(readable(body), part)
}

// mostLayers is how often JSON may be in strings of JSON. Encoders double the backslashes of each layer, so that no body is
// large enough for more.
const mostLayers = 32

// largestPooled is how large a buffer may be that is used again: larger ones would stay.
const largestPooled = 1 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// holds tells whether a JSON text has a part, as it is written or after any number of its layers of escapes, and if not,
// whether its strings may have the part between them. A text with more layers than mostLayers was written to hide something:
// it holds everything. The time is linear in the text's length.
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
	// Without these an escape can only add letters if it has their number.
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

// maySplit tells whether a part, without escapes, may be split over strings of the text: one begins as the part ends, and
// another ends where that begins, or in half an escape, or in the middle of base64. It is quick to say no, which spares most
// bodies being put together.
func maySplit(text []byte, part string) bool {
	if len(part) > 64 {
		return true
	}
	// Bit i stands for a split before part[i]: of the letters that may be behind and before it, and of the strings that are.
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
		if end > 0 && text[end-1] == '\\' { // within JSON in a string
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

// lower appends the text to room in lower case, as strings.ToLower has it, where it matters for the part. ASCII is eight bytes at
// once, and room may be the text's own.
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
	// Of what is beyond ASCII, two become k and i; the rest matters if the part has some.
	cased := strings.ContainsFunc(part, func(r rune) bool { return r == utf8.RuneError || r > unicode.MaxASCII && unicode.SimpleFold(r) != r })
	if all&(0x80*each) != 0 && (cased || bytes.Contains(out, []byte("\u212a")) || bytes.Contains(out, []byte("\u0130"))) {
		out = bytes.ToLower(out)
		return append(room, out...)
	}
	return room[:len(room)+len(text)]
}

// unescape takes one layer of JSON's escapes off a text, in place. What is no escape stays.
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

// escape reads the one that the text begins with, or else its backslash.
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
	if utf16.IsSurrogate(r) { // with its other half, or it is nothing
		if other, is := unit(text[6:]); is {
			if r := utf16.DecodeRune(r, other); r != utf8.RuneError {
				return r, 12
			}
		}
		r = utf8.RuneError
	}
	return r, 6
}

// escaped is what a letter behind a backslash stands for.
var escaped = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unit reads \u and four hexadecimal digits.
func unit(text []byte) (r rune, is bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}
