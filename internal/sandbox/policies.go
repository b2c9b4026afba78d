package sandbox

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// role is an IAM role as moto holds it: whom it trusts and what it may do.
type role struct {
	trust       iampolicy.Document
	permissions []iampolicy.Document
}

const iamVersion = "2010-05-08"

func (c client) role(ctx context.Context, name string) (role, error) {
	var (
		described struct {
			Trust string `xml:"GetRoleResult>Role>AssumeRolePolicyDocument"`
		}
		inline struct {
			Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
		}
		attached struct {
			Arns []string `xml:"ListAttachedRolePoliciesResult>AttachedPolicies>member>PolicyArn"`
		}
	)
	if err := c.iam(ctx, "GetRole", map[string]string{"RoleName": name}, &described); err != nil {
		return role{}, err
	}
	if err := c.iam(ctx, "ListRolePolicies", map[string]string{"RoleName": name}, &inline); err != nil {
		return role{}, err
	}
	if err := c.iam(ctx, "ListAttachedRolePolicies", map[string]string{"RoleName": name}, &attached); err != nil {
		return role{}, err
	}
	var documents []string
	for _, policyName := range inline.Names {
		var out struct {
			Document string `xml:"GetRolePolicyResult>PolicyDocument"`
		}
		if err := c.iam(ctx, "GetRolePolicy", map[string]string{"RoleName": name, "PolicyName": policyName}, &out); err != nil {
			return role{}, err
		}
		documents = append(documents, out.Document)
	}
	for _, arn := range attached.Arns {
		var described struct {
			Version string `xml:"GetPolicyResult>Policy>DefaultVersionId"`
		}
		if err := c.iam(ctx, "GetPolicy", map[string]string{"PolicyArn": arn}, &described); err != nil {
			return role{}, err
		}
		var out struct {
			Document string `xml:"GetPolicyVersionResult>PolicyVersion>Document"`
		}
		if err := c.iam(ctx, "GetPolicyVersion", map[string]string{"PolicyArn": arn, "VersionId": described.Version}, &out); err != nil {
			return role{}, err
		}
		documents = append(documents, out.Document)
	}

	trust, err := url.PathUnescape(described.Trust)
	if err != nil {
		return role{}, err
	}
	var r role
	if r.trust, err = iampolicy.ParseTrust(trust); err != nil {
		return role{}, fmt.Errorf("trust policy of role %s: %w", name, err)
	}
	for _, document := range documents {
		plain, err := url.PathUnescape(document) // IAM answers percent-encoded (IAM API Reference, GetRolePolicy)
		if err != nil {
			return role{}, err
		}
		permissions, err := iampolicy.ParseIdentity(plain)
		if err != nil {
			return role{}, fmt.Errorf("policy of role %s: %w", name, err)
		}
		r.permissions = append(r.permissions, permissions)
	}
	return r, nil
}

func (c client) iam(ctx context.Context, action string, parameters map[string]string, out any) error {
	return c.query(ctx, "iam", iamVersion, action, parameters, out)
}

// serviceRole reads a role in a service's name: as AWS, it refuses where the role does not trust the service.
func (c client) serviceRole(ctx context.Context, arn, service string, keys map[string][]string) (role, error) {
	name := arn[strings.LastIndex(arn, "/")+1:]
	r, err := c.role(ctx, name)
	if err != nil {
		return role{}, err
	}
	request := iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: "sts:AssumeRole", Resource: arn, Context: keys}
	if decision := r.trust.Decide(request); decision != iampolicy.Allow {
		return role{}, fmt.Errorf("role %s does not let %s assume it: %v", name, service, decision)
	}
	return r, nil
}

func (r role) allows(action, resource string, keys map[string][]string) bool {
	request := iampolicy.Request{Action: action, Resource: resource, Context: keys}
	return iampolicy.SameAccount(r.permissions, nil, request) == iampolicy.Allow
}
