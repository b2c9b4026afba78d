package audit

import (
	"bytes"
	"encoding/json"
	"iter"
	"sync"
	"unicode/utf8"
)

// tree is parsed JSON. Most of the time to read a log is spent here. encoding/json reads each byte of a body three
// times and copies it twice. A tree contains the same values as an any of encoding/json, but accepts more: it doesn't
// check numbers, escapes, control characters, and the content of values that it skips.
type tree struct {
	text  []byte
	nodes []node // in the order of the text: for a field, its name and then its value
	// levels is the depth to which values are parsed. Deeper values are skipped at any depth, so that no caller can
	// nest a prompt so deep that its record isn't read.
	levels int
	// escapes reports whether a name contains escapes, so that a comparison of bytes isn't enough.
	escapes bool
	// most is how many bytes of each text are needed, in JSON. If 0, all are.
	most int
}

// node is a value or a field's name.
type node struct {
	start, end int32 // in the text
	after      int32 // the node after it and its content
}

const (
	recordLevels = 2 // the bodies are parsed on demand
	bodyLevels   = 200
	largestJSON  = 1 << 30 // offsets fit a node
)

// trees are reused, because a log has many lines.
var trees = sync.Pool{New: func() any { return new(tree) }}

// parseJSON parses one value. It returns the zero value if the text isn't JSON.
func parseJSON(text []byte) value { return new(tree).parse(bytes.TrimSpace(text), bodyLevels) }

// parse replaces the tree by that of another text.
func (t *tree) parse(text []byte, levels int) value {
	*t = tree{text: text, nodes: t.nodes[:0], levels: levels}
	if len(text) > largestJSON {
		return value{}
	}
	if end := t.add(0, 0); end < 0 || end < len(text) {
		return value{}
	}
	return value{t, 0}
}

// closed reports whether a value was skipped.
func (v value) closed() bool {
	return (v.is('{') || v.is('[')) && v.node().after == v.i+1 && len(v.raw()) > len("{}")
}

// open parses a value that was skipped, unless it isn't JSON.
func (v value) open() value {
	if !v.closed() {
		return v
	}
	t, n := v.tree, int32(len(v.tree.nodes))
	t.levels = bodyLevels
	if t.add(int(v.node().start), 0) != int(v.node().end) {
		return v
	}
	return value{t, n}
}

// add parses the value that begins at i and returns where it ends, or -1 if there is no value.
func (t *tree) add(i, depth int) int {
	if i >= len(t.text) {
		return -1
	}
	n := len(t.nodes)
	t.nodes = append(t.nodes, node{start: int32(i)})
	switch c := t.text[i]; {
	case c == '"':
		i = endOfText(t.text, i)
	case (c == '{' || c == '[') && depth < t.levels:
		i = t.addAll(i, depth)
	case c == '{' || c == '[':
		i = skip(t.text, i)
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

// ends are the characters that end a number, true, false and null.
var ends = [256]bool{',': true, ':': true, '[': true, ']': true, '{': true, '}': true, '"': true, ' ': true, '\t': true, '\r': true, '\n': true}

// addAll parses the content of an object or array.
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
			name := i
			if i = endOfText(t.text, i); i < 0 {
				return -1
			}
			t.nodes = append(t.nodes, node{int32(name), int32(i), int32(len(t.nodes) + 1)})
			t.escapes = t.escapes || bytes.IndexByte(t.text[name:i], '\\') >= 0
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

// endOfText returns the position after the quote that ends the text at i, or -1.
func endOfText(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escape := i
		for b[escape-1] == '\\' { // stops at the opening quote at the latest
			escape--
		}
		if (i-escape)%2 == 0 {
			return i + 1
		}
	}
}

// skip returns the position after the object or array at i, or -1.
func skip(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			if i = endOfText(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// value is a value of a tree. The zero value means that there is no value.
type value struct {
	tree *tree
	i    int32
}

func (v value) node() *node { return &v.tree.nodes[v.i] }

// raw returns the value as it is written.
func (v value) raw() []byte {
	if v.tree == nil {
		return nil
	}
	n := v.node()
	return v.tree.text[n.start:n.end]
}

// is reports whether a value begins with this character: '{' for objects, '[' for arrays, '"' for texts.
func (v value) is(kind byte) bool { return v.tree != nil && v.tree.text[v.node().start] == kind }

// null reports whether a value is absent or null.
func (v value) null() bool { return v.tree == nil || string(v.raw()) == "null" }

// elements returns the elements of an array.
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

func (v value) count() (n int) {
	for range v.elements() {
		n++
	}
	return n
}

// fields returns the names and values of an object.
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

// get returns the value under a name. Of several, it returns the last, as most readers of JSON do, and as a model
// might.
func (v value) get(name string) (found value) {
	for key, one := range v.fields() {
		if key.equals(name) {
			found = one
		}
	}
	return found
}

// at follows a path of names. On the way, it follows the first element of each array.
func (v value) at(path ...string) value {
	for _, name := range path {
		for one := range v.elements() {
			v = one
			break
		}
		v = v.get(name)
	}
	return v
}

// equals reports whether a name is this one, which contains no escapes.
func (v value) equals(name string) bool {
	n := v.node()
	if int(n.end-n.start) == len(name)+2 {
		return string(v.tree.text[n.start+1:n.end-1]) == name
	}
	if !v.tree.escapes {
		return false
	}
	said, _ := v.text()
	return said == name
}

// text returns the content of a text.
func (v value) text() (text string, is bool) { return v.begin(0) }

// begin returns the first bytes of a text, as many as most says, counted as written in JSON. It returns all if most is
// 0 or the text is shorter. An escape that is cut stays as it is.
func (v value) begin(most int) (text string, is bool) {
	if !v.is('"') {
		return "", false
	}
	raw := v.raw()
	inner := raw[1 : len(raw)-1]
	if most > 0 && len(inner) > most {
		for !utf8.RuneStart(inner[most]) {
			most--
		}
		inner = inner[:most]
	}
	switch {
	case !utf8.Valid(inner):
		json.Unmarshal(raw, &text)
	case bytes.IndexByte(inner, '\\') < 0:
		text = string(inner)
	default:
		buffer := buffers.Get().(*[]byte)
		*buffer = append((*buffer)[:0], inner...)
		text = string(unescape(*buffer))
		if len(inner) < largestPooled {
			buffers.Put(buffer)
		}
	}
	return text, true
}
