package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/private-bedrock/private-bedrock/audit"
)

// shown is how many characters of prompt and answer list shows.
const shown = 100

func list(ctx context.Context, reader audit.Reader, q audit.Query, asJSON bool, out io.Writer) error {
	if asJSON {
		q.Texts = true
		return jsonLines(ctx, reader, q, out)
	}
	q.Texts, q.Limit = true, shown
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		answer := e.Answer
		if e.ErrorCode != "" {
			answer = strings.TrimSpace("[" + e.ErrorCode + "] " + answer)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", e.Timestamp.Format(time.RFC3339), oneLine(callerOf(e.Caller)),
			oneLine(modelOf(e.ModelID)), oneLine(e.Operation), e.InputTokenCount, e.OutputTokenCount, oneLine(e.Prompt), oneLine(answer))
	}
	return nil
}

// callerOf leaves an ARN its account, without which sessions of the same name in two accounts would be one.
func callerOf(name string) string {
	if arn := strings.SplitN(name, ":", 5); len(arn) == 5 && arn[0] == "arn" {
		return arn[4]
	}
	return name
}

// modelOf is the id in the ARN of a model or an inference profile.
func modelOf(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name[strings.LastIndex(name, "/")+1:]
	}
	return name
}

// oneLine keeps a prompt from writing lines of its own, or to the terminal what the auditor did not type: whatever is not
// printed becomes a space, and many become one.
func oneLine(text string) string {
	if plain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	space := false
	for _, r := range text {
		switch {
		case r == ' ' || !unicode.IsPrint(r):
			space = b.Len() > 0
			continue
		case space:
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// plain tells of most texts that they are one line as they are: ASCII, with single spaces between words.
func plain(text string) bool {
	before := byte(' ')
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == ' ' && before == ' ' {
			return false
		}
		before = text[i]
	}
	return before != ' '
}

func jsonLines(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		b.Reset()
		if err := encoder.Encode(e); err != nil {
			return err
		}
		if _, err := io.WriteString(out, visible(b.String())); err != nil {
			return err
		}
	}
	return nil
}

func show(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
	q.Bodies, q.Record = true, true
	var all bytes.Buffer
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		if json.Indent(&all, e.Record, "", "  ") != nil { // such as one that is nested too deep
			all.Write(e.Record)
		}
		all.WriteByte('\n')
	}
	if all.Len() == 0 {
		return fmt.Errorf("no record of request %s; a call's record may come some minutes after it, and --since and --until narrow the search", q.RequestID)
	}
	_, err := io.WriteString(out, visible(all.String())) // at the end: until then a terminal shows the progress
	return err
}

// visible writes what is not printed as JSON does, except for line breaks and tabs: in JSON it can only be in texts. To a terminal
// a byte that is no UTF-8 may be a control, such as 0x9b, which begins a sequence (ECMA-48, CSI): it becomes U+FFFD.
func visible(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	shown := func(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !shown(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case shown(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func export(ctx context.Context, reader audit.Reader, q audit.Query, format string, out io.Writer) error {
	q.Texts, q.Bodies = true, true
	if format == "jsonl" {
		return jsonLines(ctx, reader, q, out)
	}
	table := csv.NewWriter(out)
	table.Write([]string{
		"timestamp", "requestId", "apiExtendedRequestId", "caller", "identityArn", "sourceVpce", "sourceIp", "modelId", "operation", "region",
		"inferenceRegion", "inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount", "errorCode", "prompt", "answer",
	})
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		row := []string{
			e.Timestamp.Format(time.RFC3339), e.RequestID, e.APIExtendedRequestID, e.Caller, e.IdentityARN, e.SourceVpce, e.SourceIP, e.ModelID,
			e.Operation, e.Region, e.InferenceRegion, count(e.InputTokenCount), count(e.OutputTokenCount), count(e.CacheReadInputTokenCount),
			count(e.CacheWriteInputTokenCount), e.ErrorCode, e.Prompt, e.Answer,
		}
		for i := range row {
			row[i] = visible(noFormula(row[i]))
		}
		table.Write(row)
	}
	table.Flush()
	return table.Error()
}

// noFormula keeps what a caller wrote from being run by the spreadsheet that opens the file (OWASP, "CSV Injection"): some take
// full-width signs for the ASCII ones, and look behind spaces. Where the locale's separator is a semicolon or a tab, the commas and
// their quotes mean nothing: such a separator or a line break within a text begins a cell, too.
func noFormula(cell string) string {
	cell = signs.ReplaceAllString(cell, "${1}'${2}")
	begin := strings.TrimLeftFunc(cell, unicode.IsSpace)
	if begin != "" && strings.ContainsAny(begin[:1], "=+-@") || strings.IndexAny(begin, "＝＋－＠") == 0 || strings.IndexAny(cell, "\t\r\n") == 0 {
		return "'" + cell
	}
	return cell
}

var signs = regexp.MustCompile(`([;\t\r\n][\s\pZ"]*)([=+\-@＝＋－＠])`)

func verify(ctx context.Context, reader audit.Reader, access audit.Log, q audit.Query, out io.Writer) (agreed bool, err error) {
	v, err := audit.Verify(ctx, reader, access, q.Since, q.Until, time.Now())
	if err != nil {
		return false, err
	}
	for _, f := range v.Findings {
		fmt.Fprintln(out, oneLine(f.Text))
	}
	outcome := "nothing is missing"
	switch n := len(v.Findings); {
	case n > 0:
		outcome = fmt.Sprintf("%d to look into", n)
	case !v.Agrees():
		outcome = "not everything could be compared"
	}
	fmt.Fprintf(out, "%d successful calls of a model, %d records: %s\n", v.Calls, v.Records, outcome)
	if v.Older > 0 {
		fmt.Fprintf(out, "%d records are older than the access log's first line, and their calls cannot be known any more: --since leaves them out\n", v.Older)
	}
	if v.Lines == 0 {
		fmt.Fprintf(out, "%v has no line of this time: calls that were made cannot be known\n", access)
	}
	return v.Agrees(), nil
}
