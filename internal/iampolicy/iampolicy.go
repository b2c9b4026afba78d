// Package iampolicy evaluates AWS IAM policy documents as AWS does (IAM User Guide, "Policy evaluation logic"), for the
// forms that this project deploys. Parsing refuses every form that the package doesn't support, so that nothing is
// permitted by accident.
//
// The package doesn't cover permissions boundaries, session policies, service and resource control policies, KMS
// grants, and the full access of an account's root user without a policy. Callers must exclude these.
package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Document is a parsed policy document. Its fields are read-only: only a document that ParseIdentity, ParseResource or
// ParseTrust returned permits anything. The zero Document decides ImplicitDeny.
type Document struct {
	Version, Id string
	Statements  []Statement

	kind kind
}

// Statement is one statement. Principals is empty in an identity policy, and Resources in a trust policy. One of
// Actions and NotActions is empty. Every other list has at least one entry.
type Statement struct {
	Sid, Effect string // Effect is "Allow" or "Deny"
	Principals  Principals
	Actions     []string
	NotActions  []string // only in a Deny, which denies all other actions
	Resources   []string
	Conditions  []Condition
}

// Principals are the principals that a statement names, by type. "Principal": "*" is read as {"AWS": "*"}. Both mean
// every caller, including anonymous callers and AWS services.
type Principals struct{ AWS, Service []string }

// Condition is one line of a Condition block: an operator with its suffix, the condition key, and the values that it is
// compared with.
type Condition struct {
	Operator, Key string
	Values        []string
}

type kind string

const (
	identityKind kind = "identity policy"
	resourceKind kind = "resource policy"
	trustKind    kind = "trust policy"
)

// ParseIdentity parses a policy attached to a role or user. It has no Id and no Principal, and applies to every caller.
func ParseIdentity(document string) (Document, error) { return parse(identityKind, document) }

// ParseResource parses a policy attached to a resource (bucket, key, API, VPC
// endpoint): every statement names its Principal and Resource.
func ParseResource(document string) (Document, error) { return parse(resourceKind, document) }

// ParseTrust parses a role's trust policy. Every statement names its Principal, and no statement a Resource, because
// the role is the resource.
func ParseTrust(document string) (Document, error) { return parse(trustKind, document) }

// reader reads one JSON value into its destination.
type reader func(json.RawMessage) error

func parse(k kind, document string) (Document, error) {
	d := Document{kind: k}
	elements := map[string]reader{
		"Version": one(&d.Version, versionForm),
		"Id":      one(&d.Id, anyForm),
		"Statement": each(func(raw json.RawMessage) error {
			d.Statements = append(d.Statements, Statement{})
			if err := d.Statements[len(d.Statements)-1].read(k, raw); err != nil {
				return fmt.Errorf("number %d: %w", len(d.Statements), err)
			}
			return nil
		}),
	}
	if k == identityKind {
		delete(elements, "Id") // Grammar of the IAM JSON policy language: "must not be included"
	}
	var whole json.RawMessage
	err := json.Unmarshal([]byte(document), &whole)
	if err == nil {
		err = fields(whole, elements, "Id")
	}
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", k, err)
	}
	return d, nil
}

func (s *Statement) read(k kind, raw json.RawMessage) error {
	elements := map[string]reader{
		"Sid":       one(&s.Sid, anyForm),
		"Effect":    one(&s.Effect, effectForm),
		"Principal": s.Principals.read,
		"Action":    many(&s.Actions, actionForm),
		"NotAction": many(&s.NotActions, actionForm),
		"Resource":  many(&s.Resources, resourceForm),
		"Condition": s.readConditions,
	}
	switch k {
	case identityKind:
		delete(elements, "Principal")
	case trustKind:
		delete(elements, "Resource")
	}
	err := fields(raw, elements, "Sid", "Condition", "Action", "NotAction")
	switch {
	case err != nil:
	case (s.Actions == nil) == (s.NotActions == nil):
		return errors.New(`must have either "Action" or "NotAction"`)
	case s.NotActions != nil && s.Effect != "Deny": // would allow actions that AWS adds later
		return errors.New(`"NotAction": not supported in an Allow`)
	}
	return err
}

func (p *Principals) read(raw json.RawMessage) error {
	if string(raw) == `"*"` {
		p.AWS = []string{"*"}
		return nil
	}
	return fields(raw, map[string]reader{
		"AWS":     many(&p.AWS, awsForm),
		"Service": many(&p.Service, serviceForm),
	}, "AWS", "Service")
}

func (s *Statement) readConditions(raw json.RawMessage) error {
	return members(raw, func(operator string, raw json.RawMessage) error {
		op, ok := lookup(operator)
		if !ok {
			return errors.New("unknown condition operator")
		}
		return members(raw, func(key string, raw json.RawMessage) error {
			c := Condition{Operator: operator, Key: key}
			err := errors.Join(keyForm.check(key), many(&c.Values, op.form)(raw))
			s.Conditions = append(s.Conditions, c)
			return err
		})
	})
}

// fields passes each member of an object to the reader for its name. All members except the optional ones must be
// present.
func fields(raw json.RawMessage, elements map[string]reader, optional ...string) error {
	err := members(raw, func(name string, raw json.RawMessage) error {
		read, ok := elements[name]
		if !ok {
			return errors.New("not supported here")
		}
		delete(elements, name)
		return read(raw)
	})
	for _, name := range slices.Sorted(maps.Keys(elements)) {
		if err == nil && !slices.Contains(optional, name) {
			err = fmt.Errorf("%q: missing", name)
		}
	}
	return err
}

// members calls f for each member of a non-empty object. A duplicate name, of which json.Unmarshal would use the last,
// is an error (Grammar of the IAM JSON policy language: "must not contain multiple instances of the same key"). Names
// that differ only in case are duplicates too, because they are the same condition key.
func members(raw json.RawMessage, f func(name string, raw json.RawMessage) error) error {
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') || !d.More() {
		return fmt.Errorf("got %s, must be a non-empty object", raw)
	}
	for d.More() {
		var member json.RawMessage
		token, err := d.Token()
		if err == nil {
			err = d.Decode(&member)
		}
		if err != nil {
			return err
		}
		name := token.(string) // the whole document is valid JSON
		if fold := strings.ToLower(name); seen[fold] {
			err = errors.New("duplicate name")
		} else {
			seen[fold] = true
			err = f(name, member)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}

// each reads the items of a non-empty list, or a single value.
func each(read reader) reader {
	return func(raw json.RawMessage) error {
		items := []json.RawMessage{raw}
		if raw[0] == '[' {
			if err := json.Unmarshal(raw, &items); err != nil {
				return err
			}
		}
		if len(items) == 0 {
			return errors.New("empty list")
		}
		for _, item := range items {
			if err := read(item); err != nil {
				return err
			}
		}
		return nil
	}
}

func many(to *[]string, f form) reader {
	return each(func(raw json.RawMessage) error {
		*to = append(*to, "")
		return one(&(*to)[len(*to)-1], f)(raw)
	})
}

func one(to *string, f form) reader {
	return func(raw json.RawMessage) error {
		switch {
		case raw[0] == '"':
			if err := json.Unmarshal(raw, to); err != nil {
				return err
			}
		case f.bare && bareForm.pattern.Match(raw):
			*to = string(raw)
		default:
			return fmt.Errorf("got %s, must be %s", raw, f.want)
		}
		return f.check(*to)
	}
}

// form is the required format of a string in a policy.
type form struct {
	pattern *regexp.Regexp
	want    string
	// bare also accepts a number or boolean without quotation marks (Grammar of the IAM JSON policy language: "optional
	// for numeric and Boolean values").
	bare bool
}

const decimal = `-?\d{1,15}(\.\d{1,15})?`

var (
	anyForm     = form{pattern: regexp.MustCompile(`(?s)^.*$`), want: "a string"}
	versionForm = form{pattern: regexp.MustCompile(`^2012-10-17$`), want: "2012-10-17"}
	effectForm  = form{pattern: regexp.MustCompile(`^(Allow|Deny)$`), want: "Allow or Deny"}
	actionForm  = form{pattern: regexp.MustCompile(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`), want: `"*" or service:Action`}
	serviceForm = form{pattern: regexp.MustCompile(`^([a-z0-9-]+\.)+amazonaws\.com(\.cn)?$`), want: "a service such as s3.amazonaws.com"}

	// AWS JSON policy elements: Principal: "You cannot use a wildcard to match part of a principal name or ARN".
	awsForm = form{
		pattern: regexp.MustCompile(`^(\*|\d{12}|arn:aws[a-z-]*:iam::\d{12}:(root|(role|user)/[\w+=,.@/-]+)|arn:aws[a-z-]*:sts::\d{12}:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+)$`),
		want:    `"*", an account, or the ARN of an account, role, user or role session`,
	}

	// IAM JSON policy elements: Resource: the service segment accepts no wildcard, and a * that ends a segment "can
	// expand to match beyond the colon boundaries". The page doesn't state how far other wildcards in the partition,
	// Region or account reach, so those are refused. Incomplete ARNs are refused too: AWS completes them in identity
	// policies only.
	resourceForm = form{
		pattern: regexp.MustCompile(`^(\*|arn:[a-z-]*\*?:[a-z0-9-]+:[a-z0-9-]*\*?:[a-z0-9]*\*?:.+)$`),
		want:    `"*" or an ARN of six parts, without a wildcard in the service, and with at most a final * in partition, Region and account`,
	}

	keyForm    = form{pattern: regexp.MustCompile(`^[A-Za-z0-9-]+:.+$`), want: "service:Key"}
	valueForm  = form{pattern: anyForm.pattern, want: anyForm.want, bare: true}
	arnForm    = form{pattern: regexp.MustCompile(`^arn(:[^:]*){4}:.+$`), want: "an ARN of six parts"}
	boolForm   = form{pattern: regexp.MustCompile(`^(true|false)$`), want: "true or false", bare: true}
	numberForm = form{pattern: regexp.MustCompile(`^` + decimal + `$`), want: "a decimal number", bare: true}
	bareForm   = form{pattern: regexp.MustCompile(`^(true|false|` + decimal + `)$`)}
)

func (f form) check(s string) error {
	switch {
	case strings.Contains(s, "${"):
		return fmt.Errorf("got %q: policy variables aren't supported", s)
	case strings.ContainsRune(s, utf8.RuneError): // decoding replaces invalid UTF-8 by it
		return fmt.Errorf("got %q, must be UTF-8", s)
	case !f.pattern.MatchString(s):
		return fmt.Errorf("got %q, must be %s", s, f.want)
	}
	return nil
}
