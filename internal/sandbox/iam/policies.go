// Package iam decides on requests by the users, roles and policies that moto holds: who signed a call, who may assume a role,
// and what the policies of a role or a resource allow.
package iam

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// Role is an IAM role as moto holds it: its trust policy, and what it may do.
type Role struct {
	trust       iampolicy.Document
	Permissions []iampolicy.Document
}

// Version is that of the API.
const Version = "2010-05-08"

// Query calls IAM in moto's own account.
func Query(ctx context.Context, c wire.Client, action string, parameters map[string]string, out any) error {
	return c.Query(ctx, "iam", Version, action, parameters, out)
}

// iamCall calls IAM in one account.
type iamCall func(ctx context.Context, action string, parameters map[string]string, out any) error

// Of calls IAM in any account: moto plays them all and goes by a header (moto's documentation, "Multi-Account
// support").
func Of(c wire.Client, account string) iamCall {
	return func(ctx context.Context, action string, parameters map[string]string, out any) error {
		form := url.Values{"Action": {action}, "Version": {Version}}
		for k, v := range parameters {
			form.Set(k, v)
		}
		answer, err := c.Do(ctx, "iam", http.MethodPost, "/", map[string]string{
			"Content-Type": "application/x-www-form-urlencoded", "X-Moto-Account-Id": account,
		}, []byte(form.Encode()))
		if err != nil {
			return err
		}
		return xml.Unmarshal(answer, out)
	}
}

// iamResult is what the answers of IAM are read for here, each action's part of it.
type iamResult struct {
	User, Role     principal
	AccessKeys     []struct{ AccessKeyId, Status string } `xml:"AccessKeyMetadata>member"`
	GroupNames     []string                               `xml:"Groups>member>GroupName"`
	PolicyNames    []string                               `xml:"PolicyNames>member"`
	PolicyDocument string
	PolicyArns     []string `xml:"AttachedPolicies>member>PolicyArn"`
	DefaultVersion string   `xml:"Policy>DefaultVersionId"`
	ManagedPolicy  string   `xml:"PolicyVersion>Document"`
}

// principal is a user or role as IAM describes it.
type principal struct {
	Arn, UserId, RoleId      string
	AssumeRolePolicyDocument string
	Boundary                 string                        `xml:"PermissionsBoundary>PermissionsBoundaryArn"`
	Tags                     []struct{ Key, Value string } `xml:"Tags>member"`
}

func (call iamCall) read(ctx context.Context, action string, parameters map[string]string) (iamResult, error) {
	var answer struct {
		Metadata struct{}  `xml:"ResponseMetadata"`
		Result   iamResult `xml:",any"` // named after the action
	}
	err := call(ctx, action, parameters, &answer)
	return answer.Result, err
}

// describe reads a "User" or "Role".
func (call iamCall) describe(ctx context.Context, kind, name string) (principal, error) {
	result, err := call.read(ctx, "Get"+kind, map[string]string{kind + "Name": name})
	if err != nil {
		return principal{}, err
	}
	p := result.User
	if kind == "Role" {
		p = result.Role
	}
	if p.Boundary != "" {
		return principal{}, fmt.Errorf("%s has a permissions boundary, which is not understood", p.Arn)
	}
	return p, nil
}

func (p principal) trust() (iampolicy.Document, error) {
	plain, err := url.PathUnescape(p.AssumeRolePolicyDocument)
	if err != nil {
		return iampolicy.Document{}, err
	}
	trust, err := iampolicy.ParseTrust(plain)
	if err != nil {
		return iampolicy.Document{}, fmt.Errorf("trust policy of %s: %w", p.Arn, err)
	}
	return trust, nil
}

// policies reads the policies of a "User", "Group" or "Role", inline and attached.
func (call iamCall) policies(ctx context.Context, kind, name string) ([]iampolicy.Document, error) {
	of := map[string]string{kind + "Name": name}
	inline, err := call.read(ctx, "List"+kind+"Policies", of)
	if err != nil {
		return nil, err
	}
	attached, err := call.read(ctx, "ListAttached"+kind+"Policies", of)
	if err != nil {
		return nil, err
	}
	var documents []string
	for _, policyName := range inline.PolicyNames {
		policy, err := call.read(ctx, "Get"+kind+"Policy", map[string]string{kind + "Name": name, "PolicyName": policyName})
		if err != nil {
			return nil, err
		}
		documents = append(documents, policy.PolicyDocument)
	}
	for _, arn := range attached.PolicyArns {
		described, err := call.read(ctx, "GetPolicy", map[string]string{"PolicyArn": arn})
		if err != nil {
			return nil, err
		}
		policy, err := call.read(ctx, "GetPolicyVersion", map[string]string{"PolicyArn": arn, "VersionId": described.DefaultVersion})
		if err != nil {
			return nil, err
		}
		documents = append(documents, policy.ManagedPolicy)
	}
	var policies []iampolicy.Document
	for _, document := range documents {
		plain, err := url.PathUnescape(document) // IAM answers percent-encoded (IAM API Reference, GetRolePolicy)
		if err != nil {
			return nil, err
		}
		policy, err := iampolicy.ParseIdentity(plain)
		if err != nil {
			return nil, fmt.Errorf("policy of %s %s: %w", strings.ToLower(kind), name, err)
		}
		policies = append(policies, policy)
	}
	return policies, nil
}

func readRole(ctx context.Context, c wire.Client, name string) (Role, error) {
	call := iamCall(func(ctx context.Context, action string, parameters map[string]string, out any) error {
		return Query(ctx, c, action, parameters, out)
	})
	described, err := call.describe(ctx, "Role", name)
	if err != nil {
		return Role{}, err
	}
	trust, err := described.trust()
	if err != nil {
		return Role{}, err
	}
	permissions, err := call.policies(ctx, "Role", name)
	if err != nil {
		return Role{}, err
	}
	return Role{trust, permissions}, nil
}

// ServiceRole reads a role in a service's name: as AWS, it refuses where the role does not trust the service.
func ServiceRole(ctx context.Context, c wire.Client, arn, service string, keys map[string][]string) (Role, error) {
	name := arn[strings.LastIndex(arn, "/")+1:]
	r, err := readRole(ctx, c, name)
	if err != nil {
		return Role{}, err
	}
	request := iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: "sts:AssumeRole", Resource: arn, Context: keys}
	if decision := r.trust.Decide(request); decision != iampolicy.Allow {
		return Role{}, fmt.Errorf("role %s does not let %s assume it: %v", name, service, decision)
	}
	return r, nil
}

// Allows reports whether the role's own policies allow an action.
func (r Role) Allows(action, resource string, keys map[string][]string) bool {
	request := iampolicy.Request{Action: action, Resource: resource, Context: keys}
	return iampolicy.SameAccount(r.Permissions, nil, request) == iampolicy.Allow
}
