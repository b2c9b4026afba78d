// Package invocationlog delivers the model invocation log of Amazon Bedrock to S3 and CloudWatch Logs, as their policies permit.
package invocationlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

const (
	configurationPath = "/logging/modelinvocations"
	largestInline     = 100 << 10
	Stream            = "aws/bedrock/modelinvocations"
	PermissionCheck   = "amazon-bedrock-logs-permission-check"
)

// Config is what PutModelInvocationLoggingConfiguration takes (Bedrock API Reference).
type Config struct {
	S3Config         *s3Config `json:"s3Config"`
	CloudWatchConfig *struct {
		LogGroupName              string    `json:"logGroupName"`
		RoleArn                   string    `json:"roleArn"`
		LargeDataDeliveryS3Config *s3Config `json:"largeDataDeliveryS3Config"`
	} `json:"cloudWatchConfig"`
	TextDataDeliveryEnabled *bool `json:"textDataDeliveryEnabled"`
}

type s3Config struct {
	BucketName string `json:"bucketName"`
	KeyPrefix  string `json:"keyPrefix"`
}

// Principal is the service that delivers the log.
var Principal = iampolicy.Principal{Service: "bedrock.amazonaws.com"}

// Log delivers records as Bedrock does, to the destinations that the account's logging configuration
// names and as their policies permit.
type Log struct {
	moto    wire.Client
	account string
	// checksums are sent with every object: see Options.
	checksums bool
	buckets   *s3.Buckets
	// permitted remembers when a key last let a destination in, by that destination.
	permitted *sync.Map
	// failed takes every delivery that did not happen, and the metric of Bedrock that counts it: "" if AWS has no such failure.
	failed func(metric string, err error)
}

// New delivers nothing until the account has a configuration.
func New(moto wire.Client, account string, checksums bool, buckets *s3.Buckets, failed func(metric string, err error)) Log {
	return Log{moto: moto, account: account, checksums: checksums, buckets: buckets, permitted: &sync.Map{}, failed: failed}
}

// keys are the condition keys of Bedrock's own calls for this account.
func (l Log) keys() map[string][]string {
	return map[string][]string{
		"aws:SourceAccount":   {l.account},
		"aws:SourceArn":       {"arn:aws:bedrock:" + l.moto.Region + ":" + l.account + ":model-invocation-logging"},
		"aws:SecureTransport": {"true"},
	}
}

// Handle refuses the configuration that Bedrock would refuse. Moto keeps the others.
func (l Log) Handle(_ http.ResponseWriter, r *http.Request) (handled bool, err error) {
	if r.Method != http.MethodPut || strings.TrimSuffix(r.URL.EscapedPath(), "/") != configurationPath {
		return false, nil
	}
	body, err := wire.Peek(r)
	if err != nil {
		return false, err
	}
	var in struct {
		LoggingConfig Config `json:"loggingConfig"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return false, err
	}
	return false, l.check(r.Context(), in.LoggingConfig)
}

// Amend has nothing to correct.
func (l Log) Amend(*http.Response) error { return nil }

func (l Log) folder(s s3Config) string {
	prefix := strings.Trim(s.KeyPrefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return prefix + "AWSLogs/" + l.account + "/BedrockModelInvocationLogs/"
}

// check is what Bedrock does before it accepts a configuration: it writes to every destination.
func (l Log) check(ctx context.Context, config Config) error {
	l.permitted.Clear()
	targets := []*s3Config{config.S3Config}
	if cw := config.CloudWatchConfig; cw != nil {
		if err := l.putLogEvent(ctx, cw.LogGroupName, cw.RoleArn, "Permissions are correctly set for Amazon Bedrock logs."); err != nil {
			return fmt.Errorf("Failed to validate permissions for log group: %s, with role: %s. Verify the IAM role permissions are correct. (%w)", cw.LogGroupName, cw.RoleArn, err)
		}
		targets = append(targets, cw.LargeDataDeliveryS3Config)
	}
	for _, target := range targets {
		if target == nil {
			continue
		}
		if err := l.putObject(ctx, *target, l.folder(*target)+PermissionCheck, nil); err != nil {
			return fmt.Errorf("Failed to validate permissions for S3 bucket: %s. (%w)", target.BucketName, err)
		}
	}
	return nil
}

// Deliver writes one record to every destination of the account's configuration. Without one nothing is logged, as
// on AWS. A destination that refuses loses the record, as on AWS; failed takes the error.
func (l Log) Deliver(ctx context.Context, record bedrock.Record, now time.Time) {
	var configured struct {
		LoggingConfig *Config `json:"loggingConfig"`
	}
	if err := l.moto.Get(ctx, "bedrock", configurationPath, &configured); err != nil {
		l.failed("", err)
		return
	}
	config := configured.LoggingConfig
	if config == nil || config.TextDataDeliveryEnabled != nil && !*config.TextDataDeliveryEnabled {
		return
	}
	if record.Dies == "before" {
		return
	}
	if config.S3Config != nil {
		if err := l.deliverS3(ctx, *config.S3Config, record, now); err != nil {
			l.failed(failure("ModelInvocationLogsS3DeliveryFailure", err), fmt.Errorf("record %s to S3: %w", record.RequestID, err))
		}
	}
	if record.Dies == "between" {
		return
	}
	if config.CloudWatchConfig != nil {
		if err := l.deliverCloudWatch(ctx, config, record, now); err != nil {
			l.failed(failure("ModelInvocationLogsCloudWatchDeliveryFailure", err), fmt.Errorf("record %s to CloudWatch Logs: %w", record.RequestID, err))
		}
	}
}

// largeDataError is that a body of more than 100 KB could not be written.
type largeDataError struct{ error }

func (e largeDataError) Unwrap() error { return e.error }

// failure is the metric that counts an error (Bedrock User Guide, "Monitor Amazon Bedrock Runtime metrics").
func failure(metric string, err error) string {
	if large := (largeDataError{}); errors.As(err, &large) {
		return "ModelInvocationLargeDataS3DeliveryFailure"
	}
	return metric
}

func (l Log) hour(s s3Config, now time.Time) string {
	return l.folder(s) + l.moto.Region + "/" + now.UTC().Format("2006/01/02/15/")
}

func (l Log) deliverS3(ctx context.Context, to s3Config, record bedrock.Record, now time.Time) error {
	record, err := l.moveLarge(ctx, to, record, now)
	if err != nil {
		return err
	}
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	suffix := make([]byte, 8)
	rand.Read(suffix)
	key := l.hour(to, now) + now.UTC().Format("20060102T150405") + fmt.Sprintf("%03dZ_", now.Nanosecond()/1e6) + hex.EncodeToString(suffix) + ".json.gz"
	return l.putObject(ctx, to, key, append(line, '\n'))
}

func (l Log) deliverCloudWatch(ctx context.Context, config *Config, record bedrock.Record, now time.Time) error {
	cw := config.CloudWatchConfig
	if cw.LargeDataDeliveryS3Config != nil {
		var err error
		if record, err = l.moveLarge(ctx, *cw.LargeDataDeliveryS3Config, record, now); err != nil {
			return err
		}
	} else if len(record.Input.BodyJSON) > largestInline || len(record.Output.BodyJSON) > largestInline {
		return errors.New("a body of more than 100 KB has no largeDataDeliveryS3Config to go to")
	}
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return l.putLogEvent(ctx, cw.LogGroupName, cw.RoleArn, string(line))
}

// moveLarge puts bodies of more than 100 KB into objects of their own under data/.
func (l Log) moveLarge(ctx context.Context, to s3Config, record bedrock.Record, now time.Time) (bedrock.Record, error) {
	for _, body := range []struct {
		json   *json.RawMessage
		path   *string
		suffix string
	}{{&record.Input.BodyJSON, &record.Input.BodyS3Path, "_input"}, {&record.Output.BodyJSON, &record.Output.BodyS3Path, "_output"}} {
		if len(*body.json) <= largestInline {
			continue
		}
		key := l.hour(to, now) + "data/" + record.RequestID + body.suffix + ".json.gz"
		if err := l.putObject(ctx, to, key, *body.json); err != nil {
			return record, largeDataError{err}
		}
		*body.path, *body.json = "s3://"+to.BucketName+"/"+key, nil
	}
	return record, nil
}

// putObject writes in Bedrock's name, gzipped unless empty, if the bucket's policy lets it, and its key's where it has one.
func (l Log) putObject(ctx context.Context, to s3Config, key string, content []byte) error {
	if err := l.buckets.Allows(to.BucketName, iampolicy.Request{
		Principal: Principal, Action: "s3:PutObject",
		Resource: "arn:aws:s3:::" + to.BucketName + "/" + key, Context: l.keys(),
	}); err != nil {
		return err
	}
	if err := l.once(to.BucketName, func() error {
		key, err := s3.BucketKey(ctx, l.moto, to.BucketName)
		if err != nil || key == "" {
			return err
		}
		return kms.KeyAllows(ctx, l.moto, key, nil, iampolicy.Request{Principal: Principal, Action: "kms:GenerateDataKey", Context: l.keys()})
	}); err != nil {
		return err
	}
	header := map[string]string{}
	if len(content) > 0 {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(content)
		w.Close()
		content, header["Content-Type"] = b.Bytes(), "application/x-gzip"
	}
	if l.checksums {
		sum := md5.Sum(content)
		header["Content-MD5"] = base64.StdEncoding.EncodeToString(sum[:])
	}
	_, err := l.moto.Do(ctx, "s3", http.MethodPut, "/"+to.BucketName+"/"+key, header, content)
	return err
}

// putLogEvent writes with the role that the configuration names, if the role lets Bedrock.
func (l Log) putLogEvent(ctx context.Context, group, roleArn, message string) error {
	r, err := iam.ServiceRole(ctx, l.moto, roleArn, "bedrock.amazonaws.com", l.keys())
	if err != nil {
		return err
	}
	stream := "arn:aws:logs:" + l.moto.Region + ":" + l.account + ":log-group:" + group + ":log-stream:" + Stream
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		if !r.Allows(action, stream, nil) {
			return fmt.Errorf("role %s may not %s on %s", roleArn, action, stream)
		}
	}
	if err := l.once(group+" "+roleArn, func() error {
		key, err := logs.GroupKey(ctx, l.moto, group)
		if err != nil || key == "" {
			return err
		}
		// Who is asked of the two, and for what, AWS's page leaves open: here both, for all of it.
		principal := "logs." + l.moto.Region + ".amazonaws.com"
		service := logs.Encryption(iampolicy.Principal{Service: principal}, map[string][]string{
			"kms:EncryptionContext:aws:logs:arn": {"arn:aws:logs:" + l.moto.Region + ":" + l.account + ":log-group:" + group},
		})
		writer := logs.Encryption(iampolicy.Principal{ARN: roleArn}, map[string][]string{"kms:ViaService": {principal}})
		return kms.KeyAllows(ctx, l.moto, key, r.Permissions, append(service, writer...)...)
	}); err != nil {
		return err
	}
	return logs.PutLogEvent(ctx, l.moto, group, Stream, message)
}

// once asks whether a key lets a destination in, and not again for a minute, as with S3's own keys for buckets: those are used
// for a while without KMS (S3 User Guide, "Reducing the cost of SSE-KMS with Amazon S3 Bucket Keys").
func (l Log) once(destination string, ask func() error) error {
	if last, ok := l.permitted.Load(destination); ok && time.Since(last.(time.Time)) < time.Minute {
		return nil
	}
	err := ask()
	if err == nil {
		l.permitted.Store(destination, time.Now())
	}
	return err
}
