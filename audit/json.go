package audit

import (
	"bytes"
	"encoding/json"
	"iter"
	"sync"
	"unicode/utf8"
)

// tree is JSON, parsed once: what reading a log costs is this, and encoding/json looks at every byte of a body three times,
// and copies it twice. All JSON that encoding/json takes is read as it reads it into an any. What only it refuses is how
// numbers, escapes and control characters are written.
type tree struct {
	text  []byte
	nodes []node // in the order of the text: a field's name, then its value
}

// node is a value, or a field's name.
type node struct {
	start, end int32 // in the text
	after      int32 // the node behind it and all within it
	escaped    bool  // a text with a backslash
}

const (
	deepest     = 10_000  // how far values may be in each other, as in encoding/json
	largestJSON = 1 << 30 // what fits a node
)

// trees are for lines, of which there are many.
var trees = sync.Pool{New: func() any { return new(tree) }}

// parseJSON takes one value, which is the zero value if the text is none.
func parseJSON(text []byte) value { return new(tree).parse(text) }

// parse makes it the tree of another text.
func (t *tree) parse(text []byte) value {
	t.text, t.nodes = text, t.nodes[:0]
	if len(text) > largestJSON {
		return value{}
	}
	if end := t.add(t.space(0), 0); end < 0 || t.space(end) < len(text) {
		return value{}
	}
	return value{t, 0}
}

// add parses the value that begins at i, and tells where it ends: -1 if it is none.
func (t *tree) add(i, depth int) int {
	if i >= len(t.text) || depth > deepest {
		return -1
	}
	n := len(t.nodes)
	t.nodes = append(t.nodes, node{start: int32(i)})
	switch t.text[i] {
	case '"':
		var escaped bool
		i, escaped = endOfText(t.text, i)
		t.nodes[n].escaped = escaped
	case '{', '[':
		i = t.addAll(i, depth)
	default:
		start := i
		for i < len(t.text) && !ends[t.text[i]] {
			i++
		}
		if i == start {
			return -1
		}
	}
	t.nodes[n].end, t.nodes[n].after = int32(i), int32(len(t.nodes))
	return i
}

// ends are what ends a number, true, false and null.
var ends = [256]bool{',': true, ':': true, '[': true, ']': true, '{': true, '}': true, '"': true, ' ': true, '\t': true, '\r': true, '\n': true}

// addAll parses what is within an object or array.
func (t *tree) addAll(i, depth int) int {
	object, end := t.text[i] == '{', t.text[i]+2
	if i = t.space(i + 1); i < len(t.text) && t.text[i] == end {
		return i + 1
	}
	for {
		if object {
			if i >= len(t.text) || t.text[i] != '"' {
				return -1
			}
			if i = t.add(i, depth+1); i < 0 {
				return -1
			}
			if i = t.space(i); i >= len(t.text) || t.text[i] != ':' {
				return -1
			}
			i = t.space(i + 1)
		}
		if i = t.add(i, depth+1); i < 0 {
			return -1
		}
		switch i = t.space(i); {
		case i >= len(t.text):
			return -1
		case t.text[i] == end:
			return i + 1
		case t.text[i] != ',':
			return -1
		}
		i = t.space(i + 1)
	}
}

func (t *tree) space(i int) int {
	for i < len(t.text) && (t.text[i] == ' ' || t.text[i] == '\n' || t.text[i] == '\t' || t.text[i] == '\r') {
		i++
	}
	return i
}

// endOfText is behind the quote that ends the text at i, or -1.
func endOfText(b []byte, i int) (end int, escaped bool) {
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1, false
		}
		escape := bytes.IndexByte(b[i:i+n], '\\')
		if escape < 0 {
			return i + n + 1, escaped
		}
		escaped = true
		i += escape + 2
		if i > len(b) {
			return -1, false
		}
	}
}

// value is one of a tree's; the zero value is none.
type value struct {
	tree *tree
	i    int32
}

func (v value) node() *node { return &v.tree.nodes[v.i] }

// raw is the value as it is written.
func (v value) raw() []byte {
	if v.tree == nil {
		return nil
	}
	n := v.node()
	return v.tree.text[n.start:n.end]
}

// is tells whether a value begins as objects do, or arrays, or texts.
func (v value) is(kind byte) bool { return v.tree != nil && v.tree.text[v.node().start] == kind }

// null tells whether there is nothing.
func (v value) null() bool { return v.tree == nil || string(v.raw()) == "null" }

// elements are an array's.
func (v value) elements() iter.Seq[value] {
	return func(yield func(value) bool) {
		if !v.is('[') {
			return
		}
		for one := (value{v.tree, v.i + 1}); one.i < v.node().after; one.i = one.node().after {
			if !yield(one) {
				return
			}
		}
	}
}

func (v value) first() value {
	for one := range v.elements() {
		return one
	}
	return value{}
}

func (v value) count() (n int) {
	for range v.elements() {
		n++
	}
	return n
}

// fields are an object's.
func (v value) fields() iter.Seq2[value, value] {
	return func(yield func(name, one value) bool) {
		if !v.is('{') {
			return
		}
		for name := (value{v.tree, v.i + 1}); name.i < v.node().after; {
			one := value{v.tree, name.i + 1}
			if !yield(name, one) {
				return
			}
			name.i = one.node().after
		}
	}
}

// get finds what an object has under a name: the last, where there are several, as most readers of JSON do, and a model may.
func (v value) get(name string) (found value) {
	for key, one := range v.fields() {
		if n := key.node(); (n.escaped || int(n.end-n.start) == len(name)+2) && key.says(name) {
			found = one
		}
	}
	return found
}

// at follows a path of names, through the first element of every array on the way.
func (v value) at(path ...string) value {
	for i, name := range path {
		if i > 0 && v.is('[') {
			v = v.first()
		}
		v = v.get(name)
	}
	return v
}

// firstText is the first text that one of the paths leads to.
func (v value) firstText(paths [][]string) (text string, found bool) {
	for _, path := range paths {
		if text, found = v.at(path...).text(); found {
			return text, true
		}
	}
	return "", false
}

// only is the name of an object's one field, or "".
func (v value) only() (name string) {
	for key := range v.fields() {
		if name != "" && !key.says(name) {
			return ""
		}
		name, _ = key.text()
	}
	return name
}

// says tells whether a text is this one, which is in proper UTF-8.
func (v value) says(text string) bool {
	raw := v.raw()
	if v.node().escaped {
		said, _ := v.text()
		return said == text
	}
	return string(raw[1:len(raw)-1]) == text
}

// text is what a text says.
func (v value) text() (text string, is bool) {
	if !v.is('"') {
		return "", false
	}
	raw := v.raw()
	raw = raw[1 : len(raw)-1]
	if !utf8.Valid(raw) {
		text, _ = v.any().(string)
		return text, true
	}
	if !v.node().escaped {
		return string(raw), true
	}
	return string(unescape(bytes.Clone(raw))), true
}

// any is what encoding/json makes of it, with numbers as they are written; nil if that does not take it.
func (v value) any() (all any) {
	d := json.NewDecoder(bytes.NewReader(v.raw()))
	d.UseNumber()
	if d.Decode(&all) != nil {
		return nil
	}
	return all
}
