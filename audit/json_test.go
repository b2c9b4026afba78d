package audit

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// asAny converts a value to what encoding/json decodes into an any.
func asAny(v value) any {
	switch raw := string(v.raw()); {
	case v.is('"'):
		text, _ := v.text()
		return text
	case v.is('['):
		all := []any{}
		for one := range v.elements() {
			all = append(all, asAny(one))
		}
		return all
	case v.is('{'):
		all := map[string]any{}
		for key, one := range v.fields() {
			name, _ := key.text()
			if utf8.ValidString(name) && !strings.ContainsRune(name, utf8.RuneError) {
				one = v.get(name)
			}
			all[name] = asAny(one)
		}
		return all
	case raw == "null":
		return nil
	case raw == "true" || raw == "false":
		return raw == "true"
	default:
		return json.Number(raw)
	}
}

// The parser reads JSON as encoding/json does, even hostile prompts.
func FuzzJSON(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range samples {
		f.Add(sample(f, filepath.Base(name)))
	}
	for _, text := range []string{
		`{"a":1,"b":{"a":2},"a":[3,{}],"":"","a\u0062":{"c":null}}`, ` [ "\"\\\/\b\f\n\r\t" , "\ud83d\ude00\ud83d\ud83dx\ude00\u00e9" , true,false , -1.5e3 ] `,
		`"a\\"`, `"\\\"]"`, "\"\xff\"", "{\"\xff\":1}", `{"a":"}"}`, `[[],[[]],{"a":{}}]`, `{}`, `""`, `[1`, `{"a"}`, `{"a":}`, `[1,]`, `{"a":1,}`, `"\u12"`, `"\`, `]`, ``, `1 2`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v := parseJSON(text)
		got := asAny(v)
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if !json.Valid(text) || d.Decode(&want) != nil {
			return // it must only not panic
		}
		if v.tree == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis %v\nwant %v", text, got, want)
		}
	})
}

// A truncated record isn't read as a complete one.
func TestTruncatedRecordIsRejected(t *testing.T) {
	t.Parallel()
	record := recordOf([]byte(`{"messages":[{"content":"a \"quoted\" \\"}]}`), []byte(`[1,{"a":true}]`))
	if _, err := parse(new(tree).parse(record, recordLevels)); err != nil {
		t.Fatal(err)
	}
	for i := range record {
		for _, rest := range []string{"", "x", `"`, "]"} {
			if _, err := parse(new(tree).parse([]byte(string(record[:i])+rest), recordLevels)); err == nil {
				t.Errorf("%s%s is taken for a record", record[:i], rest)
			}
		}
	}
	for _, text := range []string{`{"a":1]`, `[1}`, `[1,]`, `[1 2]`, `[,]`, ``, ` `, `[`, `"`, `"\"`, `"\`, `]`, `}`, `,`, `1 2`, `{} {}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1,}`, `{1:2}`, `{,}`} {
		if v := parseJSON([]byte(text)); v.tree != nil {
			t.Errorf("%s is taken for %s", text, v.raw())
		}
	}
}

// Caller, model and time are read from records with any nesting, without much time or stack.
func TestDeepNestingLosesNothing(t *testing.T) {
	t.Parallel()
	const deep = 1_000_000
	for _, body := range []string{
		strings.Repeat("[", deep) + `"kestrel"` + strings.Repeat("]", deep), strings.Repeat(`{"content":`, deep) + `"kestrel"` + strings.Repeat("}", deep),
		strings.Repeat(`{"content":[{"toolResult":`, deep/2) + `"kestrel"` + strings.Repeat("}]}", deep/2), `[` + strings.Repeat(`{"delta":`, deep) + `"kestrel"` + strings.Repeat("}", deep) + `]`,
	} {
		record := recordOf([]byte(body), []byte(`{"messages":`+body+`}`))
		for _, q := range []Query{{}, {Texts: true, Record: true}, {Text: "KESTREL", Texts: true}} {
			e, err := Reader{Roles: roles}.entry(t.Context(), q, record)
			if err != nil || e == nil || e.Caller != "Jane" || e.ModelID != "m" || e.RequestID != "r" || e.Timestamp.IsZero() {
				t.Fatalf("%.20s: %+v is read as %v, %v", body, q, e, err)
			}
			if q.Texts && (!strings.Contains(e.Prompt, "kestrel") || !strings.Contains(e.Answer, "kestrel")) {
				t.Errorf("%.20s: the texts have no kestrel", body)
			}
		}
	}
}
