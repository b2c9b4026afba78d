package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// part is the content of the chunks of a stream at one place: texts are concatenated, lists are merged by index, and of
// other values the last counts.
type part struct {
	raw   []byte // a text or another scalar in JSON
	list  bool
	order []string
	parts map[string]*part // by name in JSON, or by index
	said  *int             // minimum number of characters that were appended, of all parts
}

// assemble converts a stream's chunks to the JSON of the same response without streaming. It returns nil if they aren't
// chunks. It doesn't need to know the model's format, because values under the same names belong together. With a
// limit, the result has more characters of text than the limit, if the response does.
func assemble(chunks value, limit int) []byte {
	whole := &part{said: new(int)}
	for c := range chunks.elements() {
		if c.null() {
			continue
		}
		if !c.is('{') {
			return nil
		}
		if whole.addChunk(c); limit > 0 && *whole.said > limit {
			break
		}
	}
	return whole.write(nil)
}

// addChunk adds a chunk. It adds the content of a Messages API or ConverseStream chunk to the block with its index.
func (p *part) addChunk(c value) {
	for name, one := range c.fields() {
		switch key := name.raw(); string(key) {
		case `"chunk"`:
			p.addChunk(one)
		case `"bytes"`:
			encoded, _ := one.text()
			p.addChunk(parseJSON(decode(nil, []byte(encoded))))
		case `"contentBlockStart"`, `"contentBlockDelta"`:
			block := p.at([]byte(`"content"`)).element(one.get("contentBlockIndex"), 0)
			block.add(nil, one.get("start"))
			block.add(nil, one.get("delta"))
		case `"content_block"`, `"delta"`:
			if index := c.get("index"); !index.null() {
				p.at([]byte(`"content"`)).element(index, 0).add(nil, one)
				continue
			}
			p.add(nil, one)
		case `"message"`, `"messageStart"`, `"messageStop"`, `"metadata"`:
			if one.is('{') {
				p.add(nil, one)
				continue
			}
			p.at(key).add(key, one)
		default:
			p.at(key).add(key, one)
		}
	}
}

func (p *part) at(key []byte) *part {
	if one := p.parts[string(key)]; one != nil {
		return one
	}
	if p.parts == nil {
		p.parts = map[string]*part{}
	}
	one := &part{said: p.said}
	p.parts[string(key)] = one
	p.order = append(p.order, string(key))
	return one
}

func (p *part) element(index value, otherwise int) *part {
	p.list = true
	if _, err := strconv.ParseUint(string(index.raw()), 10, 32); err == nil {
		return p.at(index.raw())
	}
	return p.at(strconv.AppendInt(nil, int64(otherwise), 10))
}

// add adds the value under a name.
func (p *part) add(name []byte, v value) {
	switch raw := v.raw(); {
	case v.is('{') && !v.closed():
		for key, one := range v.fields() {
			switch key := key.raw(); {
			case string(key) == `"delta"` && one.is('{'):
				p.add(nil, one)
			case string(key) == `"partial_json"`:
				p.at([]byte(`"input"`)).add(key, one)
			default:
				p.at(key).add(key, one)
			}
		}
	case v.is('[') && !v.closed():
		p.list = true
		i := 0
		for one := range v.elements() {
			p.element(one.get("index"), i).add(nil, one)
			i++
		}
	case v.is('"') && (len(p.raw) == 0 || p.raw[0] != '"'):
		p.raw = slices.Clone(raw)
	case v.is('"') && string(name) != `"type"` && string(name) != `"role"` && string(name) != `"name"`: // which aren't split
		p.raw = append(p.raw[:len(p.raw)-1], raw[1:]...)
		*p.said += utf8.RuneCount(raw) - len(`""`) - longestCharacter*bytes.Count(raw, []byte(`\`))
	case len(p.raw) == 0 || p.raw[0] != '"':
		p.raw = raw
	}
}

// write appends the JSON. If chunks disagree, a text takes precedence over a value with parts.
func (p *part) write(b []byte) []byte {
	if len(p.raw) > 0 && (len(p.parts) == 0 || p.raw[0] == '"') {
		return append(b, p.raw...)
	}
	keys, ends := p.order, "{}"
	if p.list {
		ends = "[]"
		slices.SortFunc(keys, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }) // by number
	}
	b = append(b, ends[0])
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if !p.list {
			b = append(append(b, key...), ':')
		}
		b = p.parts[key].write(b)
	}
	return append(b, ends[1])
}

// gather joins texts that are split over the elements of arrays, for a search: the texts at the same place of the
// elements, and the assembled chunks of each array. It takes time linear in the body's length.
func gather(body value) []byte {
	g := gathered{places: map[place]int{}}
	g.add(body.open(), g.place(0, ""), false, 0)
	return append(g.whole, bytes.Join(g.texts, []byte(`"`))...)
}

// place is a name in an object at another place, or "[" for each element of an array.
type place struct {
	in   int
	name string
}

type gathered struct {
	places map[place]int
	texts  [][]byte // of each place, in JSON without quotes
	whole  []byte
}

func (g *gathered) place(in int, name string) int {
	at, known := g.places[place{in, name}]
	if !known {
		at = len(g.texts)
		g.places[place{in, name}] = at
		g.texts = append(g.texts, nil)
	}
	return at
}

// add adds a value. It assembles chunks of outer arrays only, and parses texts that contain JSON.
func (g *gathered) add(v value, at int, within bool, layers int) {
	for name, one := range v.fields() {
		g.add(one, g.place(at, string(name.raw())), within, layers)
	}
	if v.is('[') && !within {
		g.whole = append(append(g.whole, assemble(v, 0)...), '"')
	}
	for one := range v.elements() {
		g.add(one, g.place(at, "["), true, layers)
	}
	if text, is := v.text(); is {
		raw := v.raw()
		g.texts[at] = append(g.texts[at], raw[1:len(raw)-1]...)
		if layers < mostLayers {
			g.add(lines(text), g.place(at, "["), false, layers+1)
		}
	}
}

// lines returns the values of a text with one or more JSON values, separated by white space or not.
func lines(text string) value {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") {
		return value{}
	}
	if one := parseJSON([]byte(text)); one.tree != nil {
		return one
	}
	all := []byte("[")
	for decoder := json.NewDecoder(strings.NewReader(text)); ; all = append(all, ',') {
		var one json.RawMessage
		if decoder.Decode(&one) != nil { // the rest isn't JSON
			return parseJSON(append(all, "null]"...))
		}
		all = append(all, one...)
	}
}
