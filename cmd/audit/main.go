// Command audit reads Bedrock's model invocation log, on AWS and in the sandbox: who asked which model what, what it
// answered, and whether anything is missing.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/private-bedrock/private-bedrock/audit"
)

const usage = `Reads Bedrock's model invocation log: who asked which model what, what it answered, and whether anything is missing.

usage: go run ./cmd/audit COMMAND [flags]

  list              a line for each record: time, caller, model, operation, tokens in/out, prompt, answer; between tabs.
                    Of a conversation the last turn; of bodies over 100 KB, which lie by themselves, none: show has all
  show REQUEST_ID   the records of a request whole, as JSON; the id is Bedrock's, or the API's extended one
  export            every record with its whole texts, as JSON Lines or CSV
  verify            compares the API's access log with the records. It names every successful call of a model without a
                    record, every record that the API's function did not make or that fits no call, and what is recorded twice
  report            one HTML page: calls and tokens by day, model and caller; without prompts and answers

The log is a stack's (--stack), or --bucket, --log-group or --dir. Credentials, region and AWS_ENDPOINT_URL are AWS's own.
The caller is what a record's metadata says if the function's role (--stack or --function-role) called Bedrock, and else the
identity that called Bedrock.
Exit status: 0; 1 if nothing could be done; 2 if something could not be read, or verify names something
or cannot compare all of it: records from before the access log's first line (--since leaves them out), or no access log.

`

func main() {
	debug.SetGCPercent(250) // reading leaves nothing but garbage: a twelfth of the time less, for 7 MiB more
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	complete, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "audit:", oneLine(err.Error())) // it may quote a record, or the name of an object
		os.Exit(1)
	case !complete:
		os.Exit(2)
	}
}

// options are the flags of every command.
type options struct {
	stack, bucket, prefix, logGroup, dir, accessLogGroup, accessLog, region, functionRole string
	since, until, caller, model, text, format                                             string
	json                                                                                  bool
}

// commands say which flags each takes beside those that name the log.
var commands = map[string]string{
	"list": "function-role caller model text json", "show": "", "export": "function-role caller model text format",
	"verify": "function-role access-log-group access-log", "report": "function-role caller model",
}

func (o *options) flags(command string) *flag.FlagSet {
	f := flag.NewFlagSet("audit "+command, flag.ContinueOnError)
	f.SetOutput(io.Discard) // main prints the error
	f.Usage = func() {}
	f.StringVar(&o.stack, "stack", "", "Pulumi stack whose outputs name bucket and access log")
	f.StringVar(&o.bucket, "bucket", "", "S3 bucket of the log; default: the stack's logBucketName")
	f.StringVar(&o.prefix, "prefix", "", "what stands before AWSLogs/ in the bucket's keys; default: it is searched for")
	f.StringVar(&o.logGroup, "log-group", "", "log group of CloudWatch Logs to read in place of the bucket; large bodies are still the bucket's")
	f.StringVar(&o.dir, "dir", "", "folder with a copy of the bucket's keys, to read in place of the bucket")
	f.StringVar(&o.region, "region", "", "region of the log; default: the stack's, or AWS's own configuration")
	f.StringVar(&o.since, "since", "", "first time, as 2026-11-23 (UTC) or 2026-11-23T10:00:00Z")
	f.StringVar(&o.until, "until", "", "time before which to end, or last day")
	for _, name := range strings.Fields(commands[command]) {
		switch name {
		case "function-role":
			f.StringVar(&o.functionRole, name, "", "ARN of the function's role, beside the stack's functionRoleArn; several, such as an older one, with commas between")
		case "caller":
			f.StringVar(&o.caller, name, "", "part of the caller's name, ARN, address or endpoint")
		case "model":
			f.StringVar(&o.model, name, "", "part of the model's id")
		case "text":
			f.StringVar(&o.text, name, "", "text anywhere in prompt or answer, also in JSON within their strings; fetches bodies over 100 KB")
		case "json":
			f.BoolVar(&o.json, name, false, "JSON Lines with whole texts; large bodies by their path")
		case "format":
			f.StringVar(&o.format, name, "jsonl", "jsonl or csv; in csv a text that a spreadsheet would take for a formula begins with '")
		case "access-log-group":
			f.StringVar(&o.accessLogGroup, name, "", "log group of the API's access log; default: the stack's accessLogGroupName")
		case "access-log":
			f.StringVar(&o.accessLog, name, "", "file with the access log's lines, in place of its log group")
		}
	}
	return f
}

func help(to io.Writer, command string, flags *flag.FlagSet) error {
	flags.SetOutput(to)
	_, err := fmt.Fprintf(to, "%sflags of %s:\n", usage, command)
	flags.PrintDefaults()
	return err
}

// run tells whether everything could be read and nothing is missing.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (complete bool, err error) {
	var o options
	if len(args) == 0 || strings.Trim(args[0], "-") == "help" || args[0] == "-h" {
		if len(args) == 0 {
			return false, errors.New("want a command: list, show, export, verify or report; see --help")
		}
		return true, help(stdout, "list", o.flags("list"))
	}
	command := args[0]
	if _, known := commands[command]; !known {
		return false, fmt.Errorf("there is no command %q, want list, show, export, verify or report; see --help", command)
	}
	flags := o.flags(command)
	id := ""
	rest := args[1:]
	if command == "show" && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		id, rest = rest[0], rest[1:]
	}
	switch err := flags.Parse(rest); {
	case errors.Is(err, flag.ErrHelp):
		return true, help(stdout, command, flags)
	case err != nil:
		return false, fmt.Errorf("%s: %w; see %s --help", command, err, command)
	}
	rest = flags.Args()
	if command == "show" && id == "" && len(rest) > 0 {
		id, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		return false, fmt.Errorf("got %q, want flags only; see --help", rest[0])
	}
	if command == "show" && id == "" {
		return false, errors.New("show: want the request's id, as list --json has it")
	}
	if o.format != "" && o.format != "jsonl" && o.format != "csv" {
		return false, fmt.Errorf("--format %q: want jsonl or csv", o.format)
	}
	q := audit.Query{Caller: o.caller, Model: o.model, Text: o.text, RequestID: id}
	if q.Since, err = parseTime("since", o.since, 0); err != nil {
		return false, err
	}
	if q.Until, err = parseTime("until", o.until, 24*time.Hour); err != nil {
		return false, err
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return false, fmt.Errorf("--since %s is not before --until %s", o.since, o.until)
	}
	reader, access, err := o.open(ctx, command == "verify")
	if err != nil {
		return false, err
	}
	complete = true
	// On a terminal that prints records already it would be written over them.
	last := command == "show" || command == "verify" || command == "report"
	bar := progress{to: stderr, on: isTerminal(stderr) && (last || !isTerminal(stdout)), begin: q.Since, end: q.Until}
	reader.Progress = bar.show
	reader.Problem = func(err error) {
		complete = false
		bar.wipe()
		fmt.Fprintln(stderr, "audit: skipped:", oneLine(err.Error()))
	}
	if len(reader.Roles) == 0 && command != "show" {
		fmt.Fprintln(stderr, "audit: the function's role is not known: each caller is the identity that called Bedrock; --stack or --function-role names the role")
	}
	out := bufio.NewWriter(stdout)
	switch command {
	case "list":
		err = list(ctx, reader, q, o.json, out)
	case "show":
		err = show(ctx, reader, q, out)
	case "export":
		err = export(ctx, reader, q, o.format, out)
	case "report":
		err = report(ctx, reader, q, out)
	case "verify":
		var agreed bool
		agreed, err = verify(ctx, reader, access, q, out)
		if !complete && err == nil {
			fmt.Fprintln(out, "part of the logs could not be read: what is missing may be there")
		}
		complete = complete && agreed
	}
	bar.wipe()
	return complete, errors.Join(err, out.Flush())
}

// parseTime reads a time, or a day, whose end is so much later.
func parseTime(name, value string, day time.Duration) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return t.Add(day), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, fmt.Errorf("--%s %q: want a day such as 2026-11-23, or a time such as 2026-11-23T10:00:00Z", name, value)
	}
	return t, nil
}

// open finds the logs that the flags name, or the stack.
func (o options) open(ctx context.Context, verify bool) (reader audit.Reader, access audit.Log, err error) {
	if o.dir != "" && (o.bucket != "" || o.logGroup != "") {
		return reader, nil, errors.New("--dir is read in place of --bucket and --log-group: give one of them")
	}
	if o.stack != "" {
		if err := o.fromStack(ctx); err != nil {
			return reader, nil, err
		}
	}
	switch {
	case o.dir == "" && o.bucket == "" && o.logGroup == "":
		return reader, nil, errors.New("no log is named: give --stack, --bucket, --log-group or --dir; a stack with manageInvocationLogging false has no log of its own")
	case verify && o.accessLog == "" && o.accessLogGroup == "":
		return reader, nil, errors.New("no access log is named: give --stack, --access-log-group or --access-log")
	case verify && o.functionRole == "":
		return reader, nil, errors.New("the function's role is not known, and without it no record can be told from one that was made past the API: give --function-role, or --stack of a stack with the output functionRoleArn")
	}
	for arn := range strings.SplitSeq(o.functionRole, ",") {
		if arn == "" {
			continue
		}
		role, err := audit.ParseRole(arn)
		if err != nil {
			return reader, nil, fmt.Errorf("--function-role: %w", err)
		}
		reader.Roles = append(reader.Roles, role)
	}
	var cfg aws.Config
	if o.dir == "" || verify && o.accessLog == "" {
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(o.region)); err != nil {
			return reader, nil, err
		}
		if cfg.Region == "" {
			return reader, nil, errors.New("no region: give --region, or set AWS_REGION")
		}
	}
	logGroup := func(name string) audit.LogGroup {
		return audit.LogGroup{Client: cloudwatchlogs.NewFromConfig(cfg), Name: name}
	}
	var bucket audit.Archive
	switch {
	case o.dir != "":
		if bucket, err = audit.Dir(o.dir, o.prefix); err != nil {
			return reader, nil, fmt.Errorf("--dir: %w", err)
		}
		reader.Workers = 2 * runtime.GOMAXPROCS(0) // a folder is near: more would only need more memory
	case o.bucket != "":
		client := s3.NewFromConfig(cfg, func(s *s3.Options) {
			// The name of a bucket as a host's is AWS's own.
			s.DisableLogOutputChecksumValidationSkipped = true // gzip has its own
			s.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
		})
		bucket = audit.Bucket(client, o.bucket, o.prefix)
	}
	if o.dir != "" || o.bucket != "" {
		reader.Log, reader.Body = bucket, bucket.Body
	}
	if o.logGroup != "" {
		reader.Log = logGroup(o.logGroup)
	}
	access = logGroup(o.accessLogGroup)
	if o.accessLog != "" {
		access = audit.File(o.accessLog)
	}
	return reader, access, nil
}

// API Gateway Developer Guide, "Invoke a private API".
var regionOfAPI = regexp.MustCompile(`\.execute-api\.([a-z0-9-]+)\.amazonaws\.`)

// fromStack fills in what flags do not say.
func (o *options) fromStack(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--stack", o.stack)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("--stack %s: pulumi stack output: %w; --bucket and --access-log-group name the logs without it", o.stack, err)
	}
	var outputs struct{ LogBucketName, AccessLogGroupName, FunctionRoleArn, InvokeURL string }
	if err := json.Unmarshal(b, &outputs); err != nil {
		return fmt.Errorf("--stack %s: pulumi stack output: %w", o.stack, err)
	}
	for _, one := range []struct {
		flag  *string
		value string
	}{{&o.bucket, outputs.LogBucketName}, {&o.accessLogGroup, outputs.AccessLogGroupName}} {
		if *one.flag == "" && (one.flag != &o.bucket || o.dir == "") {
			*one.flag = one.value
		}
	}
	o.functionRole = strings.Trim(o.functionRole+","+outputs.FunctionRoleArn, ",")
	if m := regionOfAPI.FindStringSubmatch(outputs.InvokeURL); m != nil && o.region == "" {
		o.region = m[1]
	}
	return nil
}

// progress is one line on a terminal, written over itself: how far reading has come from the first time to the last.
type progress struct {
	to         io.Writer
	on         bool
	begin, end time.Time // zero: when the first object was delivered, and now
	shown      time.Time
}

const barWidth = 30

func (p *progress) show(objects int, delivered time.Time) {
	if p.begin.IsZero() {
		p.begin = delivered
	}
	if !p.on || time.Since(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown = time.Now()
	end := p.end
	if end.IsZero() || end.After(p.shown) {
		end = p.shown
	}
	done := 0.0
	if all := end.Sub(p.begin); all > 0 {
		done = min(max(float64(delivered.Sub(p.begin))/float64(all), 0), 1)
	}
	filled := int(done * barWidth)
	fmt.Fprintf(p.to, "\r[%s%s] %3.0f%%, %s, %d objects read", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), done*100, delivered.Format("2006-01-02 15:04"), objects)
}

func (p *progress) wipe() {
	if p.on && !p.shown.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = time.Time{}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
