package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Matches tells whether an event, as JSON decodes it, matches a pattern of EventBridge's (EventBridge User Guide,
// "Comparison operators for use in event patterns"). An operator that is not understood is an error: moto has an API for
// this, and it answers nothing.
func Matches(pattern map[string]any, event map[string]any) (bool, error) {
	for field, want := range pattern {
		var ok bool
		var err error
		switch want := want.(type) {
		case map[string]any:
			below, _ := event[field].(map[string]any)
			ok, err = Matches(want, below)
		case []any:
			if field == "$or" {
				ok, err = matchesAny(want, event)
				break
			}
			value, there := event[field]
			ok, err = matchesValue(want, value, there)
		default:
			err = fmt.Errorf("%s is %v, want an object or a list", field, want)
		}
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func matchesAny(patterns []any, event map[string]any) (bool, error) {
	for _, one := range patterns {
		pattern, _ := one.(map[string]any)
		if ok, err := Matches(pattern, event); ok && pattern != nil || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// matchesValue: one of the matchers has to fit, in a list of values one of these.
func matchesValue(matchers []any, value any, there bool) (bool, error) {
	values, many := value.([]any)
	if !many {
		values = []any{value}
	}
	for _, m := range matchers {
		fits, err := matcherOf(m)
		if err != nil {
			return false, err
		}
		if there && slices.ContainsFunc(values, fits) {
			return true, nil
		}
	}
	return false, nil
}

func matcherOf(m any) (fits func(value any) bool, err error) {
	operator, ok := m.(map[string]any)
	if !ok {
		return func(value any) bool { return value == m }, nil
	}
	text := func(is func(value, operand string) bool, operand any) func(any) bool {
		return func(value any) bool {
			s, isText := value.(string)
			o, _ := operand.(string)
			return isText && is(s, o)
		}
	}
	for name, operand := range operator {
		switch _, isText := operand.(string); {
		case name == "prefix" && isText:
			return text(strings.HasPrefix, operand), nil
		case name == "suffix" && isText:
			return text(strings.HasSuffix, operand), nil
		case name == "anything-but":
			if list, ok := operand.([]any); ok {
				return func(value any) bool { return !slices.Contains(list, value) }, nil
			}
			but, err := matcherOf(operand)
			return func(value any) bool { return !but(value) }, err
		}
	}
	return nil, fmt.Errorf("matcher %v is not understood", m)
}

// transformed is what an input transformer makes of an event: text in lines, each in quotes, of fields in angle brackets
// (EventBridge User Guide, "Amazon EventBridge input transformation"). A field that the event does not have is left out.
func transformed(paths map[string]string, template string, event map[string]any) (string, error) {
	var lines []string
	for _, quoted := range strings.Split(template, "\n") {
		var line string
		if err := json.Unmarshal([]byte(quoted), &line); err != nil {
			return "", fmt.Errorf("input template %s: want lines in quotes: %w", quoted, err)
		}
		for name, path := range paths {
			var value any = event
			for _, field := range strings.Split(strings.TrimPrefix(path, "$."), ".") {
				below, _ := value.(map[string]any)
				value = below[field]
			}
			text, _ := value.(string)
			line = strings.ReplaceAll(line, "<"+name+">", text)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), nil
}
