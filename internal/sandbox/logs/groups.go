// Package logs writes to log groups of CloudWatch Logs, and keeps their data protection policies, which moto lacks.
package logs

import (
	"context"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// PutLogEvent writes one event, making the stream first where it is missing.
func PutLogEvent(ctx context.Context, c wire.Client, group, stream, message string) error {
	event := map[string]any{"logGroupName": group, "logStreamName": stream, "logEvents": []map[string]any{
		{"timestamp": time.Now().UnixMilli(), "message": message},
	}}
	err := callLogs(ctx, c, "PutLogEvents", event)
	if err == nil || !strings.Contains(err.Error(), "stream") {
		return err
	}
	if err := callLogs(ctx, c, "CreateLogStream", map[string]string{"logGroupName": group, "logStreamName": stream}); err != nil &&
		!strings.Contains(err.Error(), "ResourceAlreadyExists") {
		return err
	}
	return callLogs(ctx, c, "PutLogEvents", event)
}

// logs calls CloudWatch Logs.
func callLogs(ctx context.Context, c wire.Client, action string, in any) error {
	return c.Target(ctx, "logs", "Logs_20140328."+action, in, nil)
}

// GroupKey is the KMS key that a log group encrypts with, if it has one.
func GroupKey(ctx context.Context, c wire.Client, group string) (string, error) {
	var out struct {
		LogGroups []struct{ LogGroupName, KmsKeyID string }
	}
	if err := c.Target(ctx, "logs", "Logs_20140328.DescribeLogGroups", map[string]string{"logGroupNamePrefix": group}, &out); err != nil {
		return "", err
	}
	for _, g := range out.LogGroups {
		if g.LogGroupName == group {
			return g.KmsKeyID, nil
		}
	}
	return "", nil
}

// Encryption are CloudWatch Logs' calls of KMS (CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using
// AWS Key Management Service"), by one principal.
func Encryption(by iampolicy.Principal, keys map[string][]string) (requests []iampolicy.Request) {
	for _, action := range []string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"} {
		requests = append(requests, iampolicy.Request{Principal: by, Action: action, Context: keys})
	}
	return requests
}
