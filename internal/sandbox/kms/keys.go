// Package kms decides by the policies of KMS keys.
package kms

import (
	"context"
	"fmt"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// KeyPolicy reads a KMS key's policy, by its ARN or id.
func KeyPolicy(ctx context.Context, c wire.Client, key string) (string, error) {
	var out struct{ Policy string }
	err := c.Target(ctx, "kms", "TrentService.GetKeyPolicy", map[string]string{"KeyId": key, "PolicyName": "default"}, &out)
	return out.Policy, err
}

// KeyAllows asks whether a key is enabled, and its policy about requests of a service's, or, with its role's own policies, of a role's.
func KeyAllows(ctx context.Context, c wire.Client, key string, identity []iampolicy.Document, requests ...iampolicy.Request) error {
	document, err := KeyPolicy(ctx, c, key)
	if err != nil {
		return err
	}
	policy, err := iampolicy.ParseResource(document)
	if err != nil {
		return fmt.Errorf("policy of key %s: %w", key, err)
	}
	var out struct{ KeyMetadata struct{ Enabled bool } }
	if err := c.Target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": key}, &out); err != nil {
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
