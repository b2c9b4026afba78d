package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var update = flag.Bool("update", false, "rewrite schema.json")

// schema.json matches components/. With an outdated schema, programs in other languages can't set new arguments or read
// their documentation.
func TestSchema(t *testing.T) {
	t.Parallel()
	structs := componentStructs(t)
	resources := map[string]any{}
	for name, s := range structs {
		if !s.component {
			continue
		}
		args, found := structs[name+"Args"]
		if !found {
			t.Errorf("%s has no %sArgs", name, name)
		}
		if constructors["private-bedrock:index:"+name] == nil {
			t.Errorf("%s is not among main.go's constructors", name)
		}
		words := slices.Concat(s.fields, args.fields)
		properties, given := s.properties(t, name, words)
		inputs, required := args.properties(t, name+"Args", words)
		resources["private-bedrock:index:"+name] = map[string]any{
			"isComponent": true, "description": description(s.doc, words),
			"properties": properties, "required": given, "inputProperties": inputs, "requiredInputs": required,
		}
	}
	if len(resources) != len(constructors) {
		t.Errorf("components/ has %d components %v, main.go %d constructors", len(resources), slices.Sorted(maps.Keys(resources)), len(constructors))
	}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(map[string]any{
		"name": "private-bedrock", "version": version, "description": "Private, audited access to Amazon Bedrock", "license": "Apache-2.0",
		// The generated SDKs have the package's version, and Python's has a pyproject.toml.
		"language":  map[string]any{"nodejs": map[string]any{"respectSchemaVersion": true}, "python": map[string]any{"respectSchemaVersion": true, "pyproject": map[string]any{"enabled": true}}},
		"resources": resources,
	}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(schema, want.Bytes()) {
		t.Error("schema.json is not what components/ says; run `make schema` and read the difference")
	}
}

// propertyTypes maps Go's types to Pulumi's. A plain value must be known before the deployment: the language's compiler
// then refuses an output of another resource.
var propertyTypes = map[string]map[string]any{
	"string":                  {"type": "string", "plain": true},
	"bool":                    {"type": "boolean", "plain": true},
	"*bool":                   {"type": "boolean", "plain": true},
	"int":                     {"type": "integer", "plain": true},
	"float64":                 {"type": "number", "plain": true},
	"[]string":                {"type": "array", "items": map[string]any{"type": "string", "plain": true}, "plain": true},
	"map[string]string":       {"type": "object", "additionalProperties": map[string]any{"type": "string", "plain": true}, "plain": true},
	"[]pulumi.StringInput":    {"type": "array", "items": map[string]any{"type": "string"}, "plain": true},
	"pulumi.StringInput":      {"type": "string"},
	"pulumi.StringPtrInput":   {"type": "string"},
	"pulumi.StringArrayInput": {"type": "array", "items": map[string]any{"type": "string"}},
	"pulumi.StringMapInput":   {"type": "object", "additionalProperties": map[string]any{"type": "string"}},
	"pulumi.ArchiveInput":     {"$ref": "pulumi.json#/Archive"},

	"pulumi.StringOutput":      {"type": "string"},
	"pulumi.IDOutput":          {"type": "string"},
	"pulumi.StringArrayOutput": {"type": "array", "items": map[string]any{"type": "string"}},
	"pulumi.StringMapOutput":   {"type": "object", "additionalProperties": map[string]any{"type": "string"}},
}

// componentStruct is a component or its arguments, as its source defines it.
type componentStruct struct {
	doc       string
	component bool
	fields    []structField
}

type structField struct{ name, doc, goType, tag string }

// componentStructs reads the source of components/ for the doc comments, which reflection doesn't have.
func componentStructs(t *testing.T) map[string]componentStruct {
	t.Helper()
	files, err := filepath.Glob("../components/*.go")
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]componentStruct{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range parsed.Decls {
			declaration, ok := declared.(*ast.GenDecl)
			if !ok || declaration.Tok != token.TYPE {
				continue
			}
			spec := declaration.Specs[0].(*ast.TypeSpec)
			if of, ok := spec.Type.(*ast.StructType); ok && spec.Name.IsExported() {
				structs[spec.Name.Name] = newComponentStruct(declaration.Doc.Text(), of)
			}
		}
	}
	return structs
}

func newComponentStruct(doc string, of *ast.StructType) (s componentStruct) {
	s.doc = doc
	for _, f := range of.Fields.List {
		goType := types.ExprString(f.Type)
		if len(f.Names) == 0 && goType == "pulumi.ResourceState" {
			s.component = true
		}
		for _, name := range f.Names {
			field := structField{name: name.Name, doc: f.Doc.Text(), goType: goType}
			if f.Tag != nil {
				field.tag = strings.Trim(f.Tag.Value, "`")
			}
			// A comment can document several fields, which it names.
			if n := len(s.fields); field.doc == "" && n > 0 && regexp.MustCompile(`\b`+field.name+`\b`).MatchString(s.fields[n-1].doc) {
				field.doc = s.fields[n-1].doc
			}
			s.fields = append(s.fields, field)
		}
	}
	return s
}

// properties returns the fields as the package's properties, and the names of those that aren't optional.
func (s componentStruct) properties(t *testing.T, of string, words []structField) (properties map[string]any, required []string) {
	t.Helper()
	properties, required = map[string]any{}, []string{}
	for _, f := range s.fields {
		if strings.HasPrefix(f.goType, "*bedrockmodel.") { // a resource, for Go's DependsOn: in other languages, the whole component
			continue
		}
		name := lowerFirst(f.name)
		options, tagged := strings.CutPrefix(f.tag, `pulumi:"`+name)
		if !tagged || options != `"` && options != `,optional"` {
			t.Errorf("%s.%s: got tag %s, want pulumi:%q, or with ,optional: otherwise other languages can't set or get it", of, f.name, f.tag, name)
		}
		if options == `"` {
			required = append(required, name)
		}
		if f.doc == "" {
			t.Errorf("%s.%s has no comment, and its neighbor's doesn't name it: other languages have no other documentation", of, f.name)
		}
		property := maps.Clone(propertyTypes[f.goType])
		if property == nil {
			t.Errorf("%s.%s: got type %s, want one of propertyTypes", of, f.name, f.goType)
			continue
		}
		property["description"] = description(f.doc, words)
		properties[name] = property
	}
	slices.Sort(required)
	return properties, required
}

// description returns a comment with the names of fields as other languages write them.
func description(doc string, words []structField) string {
	for _, f := range words {
		doc = regexp.MustCompile(`\b`+f.name+`\b`).ReplaceAllString(doc, lowerFirst(f.name))
	}
	paragraphs := strings.Split(strings.TrimSpace(doc), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	return strings.Join(paragraphs, "\n\n")
}

func lowerFirst(s string) string { return string(unicode.ToLower(rune(s[0]))) + s[1:] }
