package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/private-bedrock/private-bedrock/audit"
	"github.com/spf13/cobra"
)

// shown is how many characters of prompt and response list prints.
const shown = 100

func (o *options) listCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "list",
		Short: "Print a line for each record",
		Long: `Prints a line for each record: time, caller, model, operation, tokens in and out, prompt, response. Prints
aligned columns to a terminal, and values separated by tabs to a pipe or file.

Shows only the last turn of a conversation and omits bodies over 100 KB. Use show for the full record.`,
		Example: `  go run ./cmd/audit list --stack dev --since 2026-11-23 --caller Clerk/jane
  go run ./cmd/audit list --dir copy-of-the-bucket --text "project falcon" --json`,
	}
	o.command(c, func(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
		q.Texts = true
		if asJSON {
			return jsonLines(ctx, reader, q, out)
		}
		return list(ctx, reader, q, isTerminal(c.OutOrStdout()), out)
	})
	o.callerFlags(c)
	o.textFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON Lines: complete texts, and S3 paths of bodies over 100 KB")
	return c
}

// list prints columns, or values separated by tabs. It aligns each 100 lines, so that the first ones don't wait for the
// last.
func list(ctx context.Context, reader audit.Reader, q audit.Query, columns bool, out io.Writer) error {
	q.Limit = shown
	gap, flush := "\t", func() error { return nil }
	if columns {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TIME\tCALLER\tMODEL\tOPERATION\tTOKENS\tPROMPT  RESPONSE")
		// Prompts are too long for a column. No value has two spaces, so these still separate the response.
		out, gap, flush = table, "  ", table.Flush
	}
	rows := 0
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return errors.Join(err, flush())
		}
		answer := e.Answer
		if e.ErrorCode != "" {
			answer = strings.TrimSpace("[" + e.ErrorCode + "] " + answer)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d/%d\t%s%s%s\n", e.Timestamp.Format(time.RFC3339),
			oneLine(callerOf(e.Caller)), oneLine(modelOf(e.ModelID)), oneLine(e.Operation),
			e.InputTokenCount, e.OutputTokenCount, oneLine(e.Prompt), gap, oneLine(answer))
		if rows++; rows%100 == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// callerOf shortens an ARN. It keeps the account: two accounts can have sessions of the same name.
func callerOf(name string) string {
	if arn := strings.SplitN(name, ":", 5); len(arn) == 5 && arn[0] == "arn" {
		return arn[4]
	}
	return name
}

// modelOf returns the ID in the ARN of a model or an inference profile.
func modelOf(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name[strings.LastIndex(name, "/")+1:]
	}
	return name
}

// oneLine keeps a prompt from printing lines of its own and from controlling the terminal: it replaces each sequence of
// spaces and unprintable characters with one space.
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

// plain reports whether oneLine changes nothing, as for most texts: ASCII, with single spaces between words.
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

func (o *options) showCommand() *cobra.Command {
	return o.command(&cobra.Command{
		Use:   "show REQUEST_ID",
		Short: "Print the records of a request as JSON, with bodies over 100 KB",
		Long: `Prints the complete records of a request as JSON, with bodies over 100 KB. REQUEST_ID is the requestId of the
API's response (API Gateway's extended request ID), or Bedrock's request ID.`,
		Example: `  go run ./cmd/audit show QmOw7G1BIAMFYJQ= --stack dev`,
	}, show)
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
		return fmt.Errorf("no record of request %s; a record can arrive some minutes after its call, and --since and "+
			"--until limit the search", q.RequestID)
	}
	_, err := io.WriteString(out, visible(all.String())) // at the end: until then a terminal shows the progress
	return err
}

// visible escapes unprintable characters as JSON does, except line breaks and tabs: JSON contains the others only in
// strings. A terminal may take a byte that isn't UTF-8 for a control, such as 0x9b, which begins a sequence (ECMA-48,
// CSI): it becomes U+FFFD.
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

func (o *options) exportCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "export",
		Short: "Print every record with complete texts, as JSON Lines or CSV",
		Long: `Prints every record with complete texts, as JSON Lines or CSV. In CSV, an apostrophe precedes each text that a
spreadsheet would run as a formula.`,
		Example: `  go run ./cmd/audit export --stack dev --format csv > records.csv`,
	}
	o.command(c, func(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
		return export(ctx, reader, q, format, out)
	})
	c.PreRunE = func(*cobra.Command, []string) error {
		if format != "jsonl" && format != "csv" {
			return fmt.Errorf("--format must be jsonl or csv, got %q", format)
		}
		return nil
	}
	o.callerFlags(c)
	o.textFlag(c)
	c.Flags().StringVar(&format, "format", "jsonl", "`FORMAT`: jsonl or csv")
	c.RegisterFlagCompletionFunc("format",
		cobra.FixedCompletions([]string{"jsonl", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func export(ctx context.Context, reader audit.Reader, q audit.Query, format string, out io.Writer) error {
	q.Texts, q.Bodies = true, true
	if format == "jsonl" {
		return jsonLines(ctx, reader, q, out)
	}
	table := csv.NewWriter(out)
	table.Write([]string{
		"timestamp", "requestId", "apiExtendedRequestId", "caller", "identityArn", "sourceVpce", "sourceIp", "modelId",
		"operation", "region", "inferenceRegion", "inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount",
		"cacheWriteInputTokenCount", "errorCode", "prompt", "answer",
	})
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		row := []string{
			e.Timestamp.Format(time.RFC3339), e.RequestID, e.APIExtendedRequestID, e.Caller, e.IdentityARN, e.SourceVpce,
			e.SourceIP, e.ModelID, e.Operation, e.Region, e.InferenceRegion, count(e.InputTokenCount),
			count(e.OutputTokenCount), count(e.CacheReadInputTokenCount), count(e.CacheWriteInputTokenCount), e.ErrorCode,
			e.Prompt, e.Answer,
		}
		for i := range row {
			row[i] = visible(noFormula(row[i]))
		}
		table.Write(row)
	}
	table.Flush()
	return table.Error()
}

// noFormula keeps a spreadsheet from running a caller's text as a formula (OWASP, "CSV Injection"). Some spreadsheets
// accept full-width signs, and signs after spaces. If the locale's separator is a semicolon or a tab, commas and quotes
// mean nothing: such a separator or a line break within a text also begins a cell.
func noFormula(cell string) string {
	cell = signs.ReplaceAllString(cell, "${1}'${2}")
	begin := strings.TrimLeftFunc(cell, unicode.IsSpace)
	if begin != "" && strings.ContainsAny(begin[:1], "=+-@") || strings.IndexAny(begin, "＝＋－＠") == 0 ||
		strings.IndexAny(cell, "\t\r\n") == 0 {
		return "'" + cell
	}
	return cell
}

var signs = regexp.MustCompile(`([;\t\r\n][\s\pZ"]*)([=+\-@＝＋－＠])`)

func (o *options) verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare the records with the API's access log",
		Long: `Compares the records with the API's access log. Lists each successful call of a model without a record, each
record that the API's function did not make or that doesn't match a call, and each record that is in the log twice.

Exits with status 2 if it lists something or could not compare everything. It can't compare if the access log has no
line of the time, or if records are older than the access log's first line. To omit such records, set --since.`,
		Example: `  go run ./cmd/audit verify --stack dev --since 2026-11-23`,
	}
	o.command(c, func(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
		agreed, err := verify(ctx, reader, o.access, q, out)
		if !o.complete && err == nil {
			fmt.Fprintln(out, "part of the logs could not be read: what is missing may be there")
		}
		o.complete = o.complete && agreed
		return err
	})
	o.roleFlag(c)
	c.Flags().StringVar(&o.accessLogGroup, "access-log-group", "",
		"log `GROUP` of the API's access log (default: the stack's accessLogGroupName)")
	c.Flags().StringVar(&o.accessLog, "access-log", "", "`FILE` with the access log's lines to read instead of its group")
	c.MarkFlagFilename("access-log")
	return c
}

func verify(
	ctx context.Context, reader audit.Reader, access audit.Log, q audit.Query, out io.Writer,
) (agreed bool, err error) {
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
		fmt.Fprintf(out, "%d records are older than the access log's first line, so that their calls are unknown: "+
			"to omit them, set --since\n", v.Older)
	}
	if v.Lines == 0 {
		fmt.Fprintf(out, "%v has no line of this time: the calls are unknown\n", access)
	}
	return v.Agrees(), nil
}
