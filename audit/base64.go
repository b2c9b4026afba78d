package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// encodes reports whether a string of a JSON text, except for names, is base64 of bytes that contain the part: in
// UTF-8, UTF-16 or Latin-1, in JSON, or in base64 again. The string needs no particular name, no padding and no other
// text. It takes time linear in the text's length.
func encodes(text []byte, part string) bool {
	var room []byte
	least := max(fewest, utf8.RuneCountInString(part)*4/3)
	for range mostLayers {
		var recent [4][]byte // the chunks of a stream repeat the strings that name their type
		n := 0
		for rest := text; ; {
			quote := bytes.IndexByte(rest, '"')
			if quote < 0 {
				break
			}
			one := rest[:quote]
			rest = rest[quote+1:]
			if quote < least || len(rest) > 0 && rest[0] == ':' ||
				slices.ContainsFunc(recent[:], func(old []byte) bool { return bytes.Equal(old, one) }) {
				continue
			}
			recent[n%len(recent)] = one
			n++
			decoded := decode(room[:0], one)
			if len(decoded) > 0 && bytesContain(decoded, part) {
				return true
			}
			if decoded != nil {
				room = decoded
			}
		}
		if !bytes.Contains(text, []byte(`\u`)) {
			return false
		}
		before := len(text)
		if text = unescape(bytes.Clone(text)); len(text) == before {
			return false
		}
	}
	return false
}

// bytesContain reports whether bytes contain a text in any encoding.
func bytesContain(b []byte, part string) bool {
	plain := !strings.ContainsFunc(part, func(r rune) bool { return r > unicode.MaxASCII })
	if !plain && contains(latin1(b), part) {
		return true
	}
	if !plain || bytes.IndexByte(b, 0) >= 0 { // UTF-16 of ASCII has zeros
		if contains(wide(b, binary.LittleEndian), part) || contains(wide(b, binary.BigEndian), part) {
			return true
		}
	}
	if bytes.IndexByte(b, '"') >= 0 && encodes(b, part) {
		return true
	}
	if bytes.IndexByte(b, '\\') >= 0 {
		found, _ := holds(b, part)
		return found
	}
	part = strings.ToLower(part)
	return bytes.Contains(lower(b[:0], b, part), []byte(part))
}

// fewest is the minimum number of characters of a string that is decoded as base64.
const fewest = 8

// decode decodes base64 as lenient readers do: of either alphabet, with or without padding, line breaks and the head of
// a data URL. It takes a string as it is within JSON, without its quotes, and returns nil if the string isn't base64.
// It appends to room.
func decode(room, text []byte) []byte {
	if bytes.HasPrefix(text, []byte("data:")) {
		_, text, _ = bytes.Cut(text, []byte(","))
	}
	if len(text) < fewest {
		return nil
	}
	for _, c := range text[:fewest] { // rejects most texts early
		if alphabet[c] == 0 && c != '\\' && c != '\r' && c != '\n' {
			return nil
		}
	}
	plain := room
	if cap(plain) < len(text) {
		plain = make([]byte, 0, len(text))
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i+1 < len(text) && (text[i+1] == 'n' || text[i+1] == 'r') {
				i++
			}
		case alphabet[c] != 0:
			plain = append(plain, alphabet[c])
		case c != '=' && c != '\r' && c != '\n' && c != ' ':
			return nil
		}
	}
	if len(plain) < fewest {
		return nil
	}
	if len(plain)%4 == 1 { // 6 bits aren't a byte
		plain = plain[:len(plain)-1]
	}
	n, err := base64.RawStdEncoding.Decode(plain, plain)
	if err != nil {
		return nil
	}
	return plain[:n]
}

// alphabet maps the characters of both alphabets to the standard one (RFC 4648).
var alphabet = func() (all [256]byte) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		all[c] = c
	}
	all['-'], all['_'] = '+', '/'
	return all
}()

// wide decodes UTF-16.
func wide(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

func latin1(b []byte) string {
	var text strings.Builder
	for _, c := range b {
		text.WriteRune(rune(c))
	}
	return text.String()
}

// legible returns bytes as a text, or "" if they aren't mostly text.
func legible(b []byte) string {
	text := strings.ToValidUTF8(string(b), "\ufffd")
	zeros := [2]int{}
	for i, c := range b {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")), zeros[1] > len(b)/4:
		text = strings.TrimPrefix(wide(b, binary.LittleEndian), "\ufeff")
	case bytes.HasPrefix(b, []byte("\xfe\xff")), zeros[0] > len(b)/4:
		text = strings.TrimPrefix(wide(b, binary.BigEndian), "\ufeff")
	case !utf8.Valid(b) && !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII && r != utf8.RuneError }):
		text = latin1(b)
	}
	odd := 0
	for _, r := range text {
		if r == utf8.RuneError || unicode.IsControl(r) && !unicode.IsSpace(r) {
			odd++
		}
	}
	if odd*10 > utf8.RuneCountInString(text) {
		return ""
	}
	return text
}
