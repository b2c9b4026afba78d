package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// bodies creates JSON of random shape, with a distinct word in each string.
type bodies struct {
	*rand.Rand
	words []string
}

func (b *bodies) word() string {
	word := fmt.Sprintf("Word%dx", len(b.words))
	switch b.IntN(5) {
	case 0:
		word += "天気É"
	case 1:
		word += `"quoted"\back/slash`
	case 2:
		word += "\n<next>\x01"
	case 3:
		word += "😀"
	}
	b.words = append(b.words, word)
	return word
}

// any returns a value: an object, an array, a word, a number, or JSON in a string.
func (b *bodies) any(depth int) any {
	switch n := b.IntN(10); {
	case depth > 0 && n < 3:
		object := map[string]any{}
		for range 1 + b.IntN(3) {
			names := []string{"messages", "content", "text", "type", "toolUse", "input", "document", "source", "choices", "delta", "strophe", "bytes"}
			if name := names[b.IntN(len(names))]; object[name] == nil { // a duplicate name would hide a word
				object[name] = b.any(depth - 1)
			}
		}
		return object
	case depth > 0 && n < 5:
		var array []any
		for range b.IntN(4) {
			array = append(array, b.any(depth-1))
		}
		return array
	case depth > 0 && n < 7:
		return string(b.encode(b.any(depth - 1)))
	case n < 9:
		return "before " + b.word() + " after"
	}
	return b.IntN(1000)
}

// encode encodes JSON like different encoders.
func (b *bodies) encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	if b.IntN(2) == 0 {
		return text
	}
	var ascii strings.Builder
	for _, r := range string(text) {
		switch {
		case r > 0xffff:
			fmt.Fprintf(&ascii, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&ascii, `\u%04x`, r)
		case r == '/':
			ascii.WriteString(`\/`)
		default:
			ascii.WriteRune(r)
		}
	}
	return []byte(ascii.String())
}

// stream returns chunks that contain the text, split at any place, under some name.
func (b *bodies) stream(text string) any {
	shape := []string{
		`{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%s}}`, `{"contentBlockDelta":{"delta":{"toolUse":{"input":%[2]s}},"contentBlockIndex":%[1]d}}`,
		`{"choices":[{"index":%d,"delta":{"reasoning_content":%s}}]}`, `{"outputText":%[2]s,"index":%[1]d}`, `{"some":{"name":[{"of":%[2]s,"index":%[1]d}]}}`,
	}[b.IntN(5)]
	var chunks []any
	for runes := []rune(text); len(runes) > 0; {
		n := 1 + b.IntN(min(4, len(runes)))
		chunk := fmt.Sprintf(shape, 3, b.encode(string(runes[:n])))
		if b.IntN(8) == 0 {
			chunk = fmt.Sprintf(`{"chunk":{"bytes":%q}}`, base64.StdEncoding.EncodeToString([]byte(chunk)))
		}
		var parsed any
		if err := json.Unmarshal([]byte(chunk), &parsed); err != nil {
			panic(err)
		}
		chunks, runes = append(chunks, parsed), runes[n:]
	}
	return chunks
}

// A search finds text in base64 of any alphabet, encoding, place and name.
func TestTextSearchOfBase64(t *testing.T) {
	t.Parallel()
	utf16le, utf16be := []byte{}, []byte{}
	for _, c := range []byte("the kestrel") {
		utf16le, utf16be = append(utf16le, c, 0), append(utf16be, 0, c)
	}
	for name, content := range map[string][]byte{
		"UTF-8": []byte("a kestrel"), "a bad byte": []byte("a kestrel\xff"), "Latin-1": []byte("d\xe9j\xe0 kestrel"),
		"UTF-16": append([]byte{0xff, 0xfe}, utf16le...), "UTF-16 without a BOM": utf16le, "UTF-16BE": utf16be,
		"JSON": []byte(`{"a":"\u006bestrel"}`), "base64 again": []byte(`{"a":"` + base64.StdEncoding.EncodeToString([]byte("a kestrel")) + `"}`),
		"binary": append(bytes.Repeat([]byte{0, 1, 0xfe}, 50), "kestrel"...), "many lines": bytes.Repeat([]byte("a kestrel, "), 20),
	} {
		padded := base64.StdEncoding.EncodeToString(content)
		var lined strings.Builder
		for i := 0; i < len(padded); i += 76 {
			lined.WriteString(padded[i:min(i+76, len(padded))] + `\n`)
		}
		for _, written := range []string{
			padded, strings.TrimRight(padded, "="), base64.URLEncoding.EncodeToString(content), "data:text/plain;base64," + padded,
			strings.ReplaceAll(padded, "/", `\/`), strings.ReplaceAll(padded, "=", `\u003d`), lined.String(),
		} {
			for _, shape := range []string{
				`{"messages":[{"content":[{"document":{"source":{"bytes":"%s"}}}]}]}`, `{"docum\u0065nt":{"source":{"bytes":"%s"}}}`, `{"new":["%s"]}`,
				`{"messages":[{"content":[{"type":"file","file":{"file_data":"%s"}}]}]}`, `"{\"a\":\"%s\"}"`,
			} {
				body := fmt.Sprintf(shape, written)
				record := recordOf([]byte(body), []byte("null"))
				if !json.Valid(record) {
					t.Fatalf("no JSON: %s", record)
				}
				if !finds(t, Reader{}, record, "KESTREL") {
					t.Errorf("%s: nothing in %s", name, body)
				}
				if finds(t, Reader{}, record, "falcon") {
					t.Errorf("%s: what is not there is found in %s", name, body)
				}
			}
		}
	}
	if !finds(t, Reader{}, recordOf([]byte(`{"a":"ZOlq4CB2dQ"}`), []byte("1")), "DÉJÀ") {
		t.Error("no é of Latin-1")
	}
}

// A search finds text that is split over chunks or elements, at any place.
func TestTextSearchOfPieces(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`[{"contentBlockDelta":{"delta":{"toolUse":{"input":"{\"x\":\"kes\\"}}}},{"contentBlockDelta":{"delta":{"toolUse":{"input":"u0074rel\"}"}}}}]`,
		`[{"contentBlockDelta":{"delta":{"toolUse":{"input":"{\"x\":\"kes\\u00"}}}},{"contentBlockDelta":{"delta":{"toolUse":{"input":"74rel\"}"}}}}]`,
		` [{"outputText":"kes"},{"outputText":"trel"}]`, `[null,{"outputText":"kes"},{"outputText":"trel"}]`, `[7,{"outputText":"kes"},"a",{"outputText":"trel"}]`,
		`"[{\"outputText\":\"kes\"},{\"outputText\":\"trel\"}]"`, `"\ufeff[{\"outputText\":\"kes\"},{\"outputText\":\"trel\"}]"`,
		`"{\"outputText\":\"kes\"}\n{\"outputText\":\"trel\"}\n"`, `"{\"outputText\":\"kes\"}{\"outputText\":\"trel\"} and no JSON"`,
		`{"chunks":[{"outputText":"kes"},{"outputText":"trel"}]}`, `[{"name":"kes"},{"name":"trel"}]`, `{"a":{"b":["kes","trel"]}}`,
		`{"body":"[{\"choices\":[{\"index\":1,\"a\":\"x\"},{\"index\":0,\"a\":\"kes\"}]},{\"choices\":[{\"index\":1,\"a\":\"y\"},{\"index\":0,\"a\":\"trel\"}]}]"}`,
	} {
		for _, side := range []string{`"input":{"inputBodyJson" : %s}`, `"input":{"inputBodyJson":%s}`, `"output":{"outputBodyJson": %s}`} {
			record := fmt.Appendf(nil, `{"schemaType":"ModelInvocationLog","timestamp":"2026-11-23T00:00:00Z",`+side+`}`, body)
			if !json.Valid(record) {
				t.Fatalf("no JSON: %s", record)
			}
			if !finds(t, Reader{}, record, "Kestrel") {
				t.Errorf("nothing in %s", record)
			}
			if finds(t, Reader{}, record, "falcon") {
				t.Errorf("what is not there is found in %s", record)
			}
		}
	}
}

func recordOf(input, output []byte) []byte {
	return fmt.Appendf(nil, `{"schemaType":"ModelInvocationLog","timestamp":"2026-11-23T00:00:00Z","identity":{"arn":"arn:aws:sts::1:assumed-role/function/f"},"requestId":"r","modelId":"m","requestMetadata":{"caller":"Jane"},"input":{"inputBodyJson":%s},"output":{"outputBodyJson":%s}}`, input, output)
}

// finds reports whether a search for the text returns the record.
func finds(t *testing.T, r Reader, record []byte, text string) bool {
	t.Helper()
	e, err := r.entry(t.Context(), Query{Text: text}, record)
	if err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
	return e != nil
}

// A search finds the text of every string, at any depth and in any encoding. It uses no list of formats.
func TestTextSearchFindsEveryString(t *testing.T) {
	t.Parallel()
	b := &bodies{Rand: rand.New(rand.NewPCG(13, 1))}
	all := 0
	for range 400 {
		b.words = nil
		answer := b.any
		if b.IntN(3) == 0 {
			answer = func(int) any { return b.stream("before " + b.word() + " after") }
		}
		record := recordOf(b.encode(b.any(6)), b.encode(answer(6)))
		for _, word := range b.words {
			all++
			if !finds(t, Reader{}, record, strings.ToUpper(word)) {
				t.Errorf("no %q in\n%s", word, record)
			}
		}
		if finds(t, Reader{}, record, "Word999x") {
			t.Errorf("what is not there is found in\n%s", record)
		}
	}
	if all < 1000 {
		t.Errorf("only %d words", all)
	}
}

// A search finds at least what a plain search of the raw line finds.
func TestTextSearchFindsNoLessThanPlainSearch(t *testing.T) {
	t.Parallel()
	b := &bodies{Rand: rand.New(rand.NewPCG(13, 2))}
	for range 400 {
		body := string(b.encode(b.any(6)))
		for range 5 {
			begin := b.IntN(len(body))
			part := strings.ToValidUTF8(body[begin:begin+1+b.IntN(min(12, len(body)-begin))], "")
			if part != "" && (!finds(t, Reader{}, recordOf([]byte(body), []byte("null")), part) || !finds(t, Reader{}, recordOf([]byte("null"), []byte(body)), part)) {
				t.Errorf("no %q in\n%s", part, body)
			}
		}
	}
}

// A body with more layers of escapes than an encoder writes matches every text, in little time.
func TestTextSearchOfHostileEscapes(t *testing.T) {
	t.Parallel()
	nested := `"kestrel \"quoted\""`
	for range 9 {
		text, _ := json.Marshal(nested)
		nested = string(text)
	}
	for text, part := range map[string]string{
		nested: `"Quoted"`,
		`"\` + strings.Repeat("u005c", 1<<18) + `u006bestrel"`: "kestrel",
		`"\u212aestrel"`: "kestrel", "\"\u212aestrel\"": "KESTREL", `"C:\\new\\u"`: `c:\new\u`, `"\ud83d\ude00"`: "😀", `"ÄRGER"`: "ärger", `"\u00c4RGER"`: "ärger",
	} {
		began := time.Now()
		if found, _ := holds([]byte(text), part); !found {
			t.Errorf("no %q in %.100s", part, text)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%.100s took %v", text, took)
		}
	}
	for text, part := range map[string]string{`"kestre\u006d"`: "kestrel", `"kest\rel"`: "kestrel", `"\\d\\x\\"`: "kestrel\n", `"\u12"`: "\n"} {
		if found, _ := holds([]byte(text), part); found {
			t.Errorf("%q is found in %s", part, text)
		}
	}
}

// holds finds a text through any layers of escapes.
func FuzzHolds(f *testing.F) {
	for _, c := range [][2]string{{"A Kestrel", "kestREL"}, {"\u212aestrel", "kes"}, {"\u0130ne", "in"}, {"ſtill", "still"}, {"ÄRGER", "är"}, {"aab", "ab"}, {"", "a"}, {"天気", "天"}, {"\xff", "\xfe"}, {"{}", "}"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, text, part string) {
		want := contains(text, part)
		if got := bytes.Contains(lower(nil, []byte(text), strings.ToLower(part)), []byte(strings.ToLower(part))); got != want {
			t.Errorf("of %q and %q: %v, want %v", text, part, got, want)
		}
		if found, _ := holds([]byte(text), part); want && !found {
			t.Errorf("no %q in %q", part, text)
		}
	})
}

// The quick check of a line rejects no record that the query matches.
func TestRejectsNoMatchingLine(t *testing.T) {
	t.Parallel()
	record := recordOf([]byte(`{"prompt":"Kestrel"}`), []byte("null"))
	unsigned := bytes.Replace(record, []byte(`"caller":"Jane"`), []byte(`"sourceIp":"10.0.0.7","sourceVpce":"vpce-1"`), 1)
	escaped := bytes.Replace(record, []byte("Jane"), []byte(`\u004aane`), 1)
	for _, c := range []struct {
		line  []byte
		query Query
	}{
		{record, Query{Caller: "JANE", Model: "M", RequestID: "r", Text: "KESTREL"}}, {record, Query{Caller: "rol"}}, {unsigned, Query{Caller: "via"}},
		{unsigned, Query{Caller: "7 VIA vpce"}}, {unsigned, Query{Caller: "0.0.7"}}, {unsigned, Query{Caller: "VPCE-1"}}, {escaped, Query{Caller: "jane"}},
		{record, Query{Text: `"prompt":"kes`}}, {recordOf([]byte(`{"messages":[{"role":"a","content":"b"},{"role":"c","content":"d"}]}`), []byte("1")), Query{Text: "a: b\n\nc: d"}},
		{bytes.Replace(record, []byte("Jane"), []byte("\u212aim"), 1), Query{Caller: "kim"}},
	} {
		if e, err := (Reader{Roles: roles}).entry(t.Context(), c.query, c.line); e == nil || err != nil {
			t.Errorf("%+v: %v, %v", c.query, e, err)
		}
	}
	for _, q := range []Query{{Caller: "John"}, {Model: "nova"}, {RequestID: "other"}, {Text: "falcon"}} {
		if !q.rejects(record) {
			t.Errorf("%+v takes the record apart", q)
		}
		if e, err := (Reader{}).entry(t.Context(), q, record[:len(record)-2]); e != nil || err == nil {
			t.Errorf("%+v: half a record is %v, without an error", q, e)
		}
	}
}
