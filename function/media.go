package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	strictBase64 = base64.StdEncoding.Strict()
	lines        = strings.NewReplacer("\r", "", "\n", "")
	anyBase64    = strings.NewReplacer("-", "+", "_", "/", "=", "", "\r", "", "\n", "")
)

// decodeBase64 decodes base64 of any variant, and the data of a data URL.
func decodeBase64(s string) (raw []byte, ok bool) {
	if kind, data, found := strings.Cut(s, ","); found && strings.HasPrefix(kind, "data:") {
		s = data
	}
	raw, err := base64.RawStdEncoding.DecodeString(anyBase64.Replace(s))
	return raw, err == nil
}

// sealed reports whether a string is base64 of random bytes, as signatures and encrypted data are. A text without
// spaces can be valid base64, but has few capitals and digits.
func sealed(s string) bool {
	capitals, digits := 0, 0
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' {
			capitals++
		}
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if len(s) < 64 || capitals < len(s)/8 || digits < len(s)/16 || isMedia(mediaType(s)) {
		return false
	}
	raw, err := strictBase64.DecodeString(s)
	return err == nil && !utf8.Valid(raw)
}

// mediaType returns the type of a string's content in base64 or in a data URL. It returns an empty string for any other
// content. A word or an identifier can be taken for application/octet-stream.
func mediaType(s string) string {
	head := s[:min(len(s), 1024)]
	if declared, data, found := strings.Cut(head, ","); found && strings.HasPrefix(declared, "data:") {
		if !strings.HasPrefix(declared, "data:image/") && !strings.HasPrefix(declared, "data:text/plain") {
			return strings.TrimPrefix(declared, "data:")
		}
		head = data
	}
	if len(head) < 22 { // 16 bytes
		return ""
	}
	head = lines.Replace(head)
	if len(s) > 1024 {
		head = head[:len(head)&^3]
	}
	raw, ok := decodeBase64(head)
	if !ok || len(raw) < 16 {
		return ""
	}
	return http.DetectContentType(raw)
}

// isPicture reports whether Bedrock evaluates images of this type, if the guardrail has filters for images (Bedrock
// User Guide, "Block harmful images with content filters").
func isPicture(kind string) bool { return kind == "image/png" || kind == "image/jpeg" }

// isImage reports whether a complete string is such an image, in base64 or as a data URL.
func isImage(s string) bool {
	if kind, data, found := strings.Cut(s, ";base64,"); found && strings.HasPrefix(kind, "data:image/") {
		s = data
	}
	raw, err := strictBase64.DecodeString(s)
	return err == nil && isPicture(http.DetectContentType(raw))
}

func isMedia(kind string) bool {
	return kind != "" && kind != "application/octet-stream" && !strings.HasPrefix(kind, "text/plain")
}

var escapes = regexp.MustCompile(`(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]`)

// unescape replaces JSON escapes, as a client of the tool does. The text can be a fragment of JSON.
func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(escaped string) (plain string) {
		if json.Unmarshal([]byte(`"`+escaped+`"`), &plain) != nil {
			return escaped
		}
		return plain
	})
}
