package sandbox

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// keyPolicy reads a KMS key's policy, by its ARN or id.
func (c client) keyPolicy(ctx context.Context, key string) (string, error) {
	var out struct{ Policy string }
	err := c.target(ctx, "kms", "TrentService.GetKeyPolicy", map[string]string{"KeyId": key, "PolicyName": "default"}, &out)
	return out.Policy, err
}

// keyAllows asks whether a key is enabled, and its policy about requests of a service's, or, with its role's own policies, of a role's.
func (c client) keyAllows(ctx context.Context, key string, identity []iampolicy.Document, requests ...iampolicy.Request) error {
	document, err := c.keyPolicy(ctx, key)
	if err != nil {
		return err
	}
	policy, err := iampolicy.ParseResource(document)
	if err != nil {
		return fmt.Errorf("policy of key %s: %w", key, err)
	}
	var out struct{ KeyMetadata struct{ Enabled bool } }
	if err := c.target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": key}, &out); err != nil {
		return err
	}
	if !out.KeyMetadata.Enabled {
		return fmt.Errorf("key %s is disabled", key)
	}
	for _, r := range requests {
		r.Resource = key
		who, decision := r.Principal.Service, policy.Decide(r)
		if who == "" {
			who, decision = r.Principal.ARN, iampolicy.SameAccountKeyOrRole(identity, []iampolicy.Document{policy}, r)
		}
		if decision != iampolicy.Allow {
			return fmt.Errorf("key %s does not let %s %s: %v", key, who, r.Action, decision)
		}
	}
	return nil
}

// bucketKey is the KMS key that a bucket encrypts with, if it has one of the customer's.
func (c client) bucketKey(ctx context.Context, bucket string) (string, error) {
	answer, err := c.do(ctx, "s3", http.MethodGet, "/"+bucket+"?encryption", nil, nil)
	if err != nil {
		if notFound(err) || strings.Contains(err.Error(), "ServerSideEncryptionConfigurationNotFoundError") {
			return "", nil
		}
		return "", err
	}
	var out struct {
		Key string `xml:"Rule>ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
	}
	err = xml.Unmarshal(answer, &out)
	return out.Key, err
}

// groupKey is the KMS key that a log group encrypts with, if it has one.
func (c client) groupKey(ctx context.Context, group string) (string, error) {
	var out struct {
		LogGroups []struct{ LogGroupName, KmsKeyID string }
	}
	if err := c.target(ctx, "logs", "Logs_20140328.DescribeLogGroups", map[string]string{"logGroupNamePrefix": group}, &out); err != nil {
		return "", err
	}
	for _, g := range out.LogGroups {
		if g.LogGroupName == group {
			return g.KmsKeyID, nil
		}
	}
	return "", nil
}

// groupEncryption are CloudWatch Logs' calls of KMS (CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using
// AWS Key Management Service"), by one principal.
func groupEncryption(by iampolicy.Principal, keys map[string][]string) (requests []iampolicy.Request) {
	for _, action := range []string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"} {
		requests = append(requests, iampolicy.Request{Principal: by, Action: action, Context: keys})
	}
	return requests
}

// target calls a service over AWS's JSON protocol.
func (c client) target(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, service, http.MethodPost, "/", map[string]string{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}
