package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/private-bedrock/private-bedrock/audit"
)

// options are the values of the flags, and what a command finds out.
type options struct {
	stack, bucket, prefix, logGroup, dir, accessLogGroup, accessLog, region string
	since, until, caller, model, text                                       string
	functionRoles                                                           []string
	access                                                                  audit.Log // for verify
	// complete becomes false if something can't be read or verify has a finding.
	complete bool
}

func (o *options) query() (q audit.Query, err error) {
	q = audit.Query{Caller: o.caller, Model: o.model, Text: o.text}
	if q.Since, err = parseTime("since", o.since, 0); err != nil {
		return q, err
	}
	if q.Until, err = parseTime("until", o.until, 24*time.Hour); err != nil {
		return q, err
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, fmt.Errorf("--since %s must be before --until %s", o.since, o.until)
	}
	return q, nil
}

// parseTime parses a time, or a day, to which it adds a duration.
func parseTime(name, value string, day time.Duration) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return t.Add(day), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, fmt.Errorf("--%s must be a day such as 2026-11-23 or a time such as 2026-11-23T10:00:00Z, got %q",
			name, value)
	}
	return t, nil
}

// open opens the logs that the flags or the stack name.
func (o *options) open(ctx context.Context, verify bool) (reader audit.Reader, err error) {
	if o.dir != "" && (o.bucket != "" || o.logGroup != "") {
		return reader, errors.New("--dir replaces --bucket and --log-group: remove either --dir or these")
	}
	if o.stack != "" {
		if err := o.fromStack(ctx); err != nil {
			return reader, err
		}
	}
	switch {
	case o.dir == "" && o.bucket == "" && o.logGroup == "":
		return reader, errors.New("to name the log, set --stack, --bucket, --log-group or --dir; " +
			"a stack with manageInvocationLogging false has no log of its own")
	case verify && o.accessLog == "" && o.accessLogGroup == "":
		return reader, errors.New("to name the access log, set --stack, --access-log-group or --access-log")
	}
	if reader.Roles, err = o.roles(); err != nil {
		return reader, err
	}
	if verify && len(reader.Roles) == 0 {
		return reader, errors.New("without the function's role, verify can't detect a record of a call that bypassed the " +
			"API: set --function-role, or the --stack of a stack with the output functionRoleArn")
	}
	var cfg aws.Config
	if o.dir == "" || verify && o.accessLog == "" {
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithRegion(o.region)); err != nil {
			return reader, err
		}
		if cfg.Region == "" {
			return reader, errors.New("the Region is unknown: set --region or AWS_REGION")
		}
	}
	logGroup := func(name string) audit.LogGroup {
		return audit.LogGroup{Client: cloudwatchlogs.NewFromConfig(cfg), Name: name}
	}
	o.access = logGroup(o.accessLogGroup)
	if o.accessLog != "" {
		o.access = audit.File(o.accessLog)
	}
	var archive audit.Archive
	switch {
	case o.dir != "":
		if archive, err = audit.Dir(o.dir, o.prefix); err != nil {
			return reader, fmt.Errorf("--dir: %w", err)
		}
		reader.Workers = 2 * runtime.GOMAXPROCS(0) // a folder is near: more workers would only need more memory
	case o.bucket != "":
		archive = audit.Bucket(s3.NewFromConfig(cfg, bucketOptions), o.bucket, o.prefix)
	}
	if o.dir != "" || o.bucket != "" {
		reader.Log, reader.Body = archive, archive.Body
	}
	if o.logGroup != "" {
		reader.Log = logGroup(o.logGroup)
	}
	return reader, nil
}

func (o *options) roles() (roles []audit.Role, err error) {
	for _, arn := range o.functionRoles {
		if arn == "" { // such as of a stack without the output
			continue
		}
		role, err := audit.ParseRole(arn)
		if err != nil {
			return nil, fmt.Errorf("--function-role: %w", err)
		}
		roles = append(roles, role)
	}
	return roles, nil
}

func bucketOptions(s *s3.Options) {
	s.DisableLogOutputChecksumValidationSkipped = true // gzip has a checksum of its own
	// Only AWS has host names with the name of a bucket.
	s.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL") != "" || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
}

// API Gateway Developer Guide, "Invoke a private API".
var regionOfAPI = regexp.MustCompile(`\.execute-api\.([a-z0-9-]+)\.amazonaws\.`)

// fromStack sets what the flags do not from the stack's outputs.
func (o *options) fromStack(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--stack", o.stack)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("--stack %s: pulumi stack output: %w; without a stack, set --bucket and --access-log-group",
			o.stack, err)
	}
	var outputs struct{ LogBucketName, AccessLogGroupName, FunctionRoleArn, InvokeURL string }
	if err := json.Unmarshal(b, &outputs); err != nil {
		return fmt.Errorf("--stack %s: pulumi stack output: %w", o.stack, err)
	}
	if o.dir == "" {
		o.bucket = cmp.Or(o.bucket, outputs.LogBucketName)
	}
	o.accessLogGroup = cmp.Or(o.accessLogGroup, outputs.AccessLogGroupName)
	o.functionRoles = append(o.functionRoles, outputs.FunctionRoleArn)
	if m := regionOfAPI.FindStringSubmatch(outputs.InvokeURL); m != nil {
		o.region = cmp.Or(o.region, m[1])
	}
	return nil
}
