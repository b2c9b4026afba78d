package audit

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
)

// part is what the chunks of a stream have in one place: texts one after the other, lists by their index, of all else the last.
type part struct {
	raw   []byte // of a text or another scalar, as JSON
	list  bool
	order []string
	parts map[string]*part
}

// deepestPart is how deep chunks are taken apart.
const deepestPart = 50

// assemble makes of a stream's chunks the JSON that the same answer has when it comes whole. Whether a model's chunks are
// known does not matter: what they have under the same names belongs together.
func assemble(chunks value) []byte {
	whole := &part{}
	for c := range chunks.elements() {
		if !c.is('{') {
			return nil // no stream
		}
		if inner := c.get("chunk"); inner.is('{') {
			c = inner
		}
		if encoded, is := c.get("bytes").text(); is {
			if decoded, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				c = parseJSON(decoded)
			}
		}
		whole.addChunk(c)
	}
	return whole.write(nil)
}

// addChunk adds one of the Messages API's or ConverseStream's chunks to the block whose index it has, all else as it is.
func (p *part) addChunk(c value) {
	for name, one := range c.fields() {
		key, _ := name.text()
		switch key {
		case "contentBlockStart", "contentBlockDelta":
			block := p.at("content").element(one.get("contentBlockIndex"), 0)
			block.add("", one.get("start"), 0)
			block.add("", one.get("delta"), 0)
		case "content_block", "delta":
			if index := c.get("index"); !index.null() {
				p.at("content").element(index, 0).add("", one, 0)
				continue
			}
			p.add("", one, 0)
		case "message", "messageStart", "messageStop", "metadata":
			if one.is('{') {
				p.add("", one, 0)
				continue
			}
			p.at(key).add(key, one, 0)
		default:
			p.at(key).add(key, one, 0)
		}
	}
}

func (p *part) at(key string) *part {
	if p.parts == nil {
		p.parts = map[string]*part{}
	}
	if p.parts[key] == nil {
		p.parts[key] = &part{}
		p.order = append(p.order, key)
	}
	return p.parts[key]
}

func (p *part) element(index value, otherwise int) *part {
	p.list = true
	n, err := strconv.Atoi(string(index.raw()))
	if err != nil || n < 0 {
		n = otherwise
	}
	return p.at(strconv.Itoa(n))
}

// add adds what lies under a name.
func (p *part) add(name string, v value, depth int) {
	switch {
	case v.is('{') && depth < deepestPart:
		for key, one := range v.fields() {
			switch key, _ := key.text(); {
			case key == "delta" && one.is('{'):
				p.add("", one, depth+1)
			case key == "partial_json":
				p.at("input").add(key, one, depth+1)
			default:
				p.at(key).add(key, one, depth+1)
			}
		}
	case v.is('[') && depth < deepestPart:
		p.list = true
		i := 0
		for one := range v.elements() {
			p.element(one.get("index"), i).add("", one, depth+1)
			i++
		}
	case v.is('"'):
		text := v.raw()
		switch {
		case len(p.raw) == 0 || p.raw[0] != '"':
			p.raw = slices.Clone(text)
		case name != "type" && name != "role" && name != "name": // these do not go on
			p.raw = append(p.raw[:len(p.raw)-1], text[1:]...)
		}
	case len(p.raw) == 0 || p.raw[0] != '"':
		p.raw = v.raw()
	}
}

// write appends the JSON. Where chunks disagree, a text is worth more than an object without any.
func (p *part) write(b []byte) []byte {
	if len(p.raw) > 0 && (len(p.parts) == 0 || p.raw[0] == '"') {
		return append(b, p.raw...)
	}
	keys, ends := p.order, "{}"
	if p.list {
		keys, ends = slices.SortedFunc(maps.Keys(p.parts), func(a, b string) int {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return x - y
		}), "[]"
	}
	b = append(b, ends[0])
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if !p.list {
			name, _ := marshal(key)
			b = append(append(b, name...), ':')
		}
		b = p.parts[key].write(b)
	}
	return append(b, ends[1])
}
