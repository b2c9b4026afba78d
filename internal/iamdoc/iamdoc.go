// Package iamdoc writes IAM policy documents: statements, the conditions and principals that several policies share,
// the sizes that AWS accepts, and ARNs of one account, Region and partition.
package iamdoc

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Document marshals to an IAM policy (IAM User Guide, "IAM JSON policy elements reference").
type Document struct {
	Version   string
	Statement []Statement
}

// Statement is one statement of a Document.
type Statement struct {
	Sid       string
	Effect    string
	Principal any        `json:",omitempty"` // "*", {"Service": …} or {"AWS": […]}; absent in an identity-based policy
	Action    []string   `json:",omitempty"`
	NotAction []string   `json:",omitempty"` // instead of Action: every other action
	Resource  []string   `json:",omitempty"` // absent in a trust policy
	Condition Conditions `json:",omitempty"`
}

// Conditions are values by condition operator and condition key.
type Conditions = map[string]map[string][]string

// JSON is the policy of these statements.
func JSON(statements ...Statement) (string, error) {
	b, err := json.MarshalIndent(Document{"2012-10-17", statements}, "", "  ")
	return string(b), err
}

// RolePolicy is JSON for a role's inline policy, within the size that IAM accepts. IAM doesn't count white space (IAM
// User Guide, "IAM and AWS STS quotas").
func RolePolicy(statements ...Statement) (string, error) {
	document, err := JSON(statements...)
	return document, fits(err, "role", "IAM", len(strings.Join(strings.Fields(document), "")), 10_240)
}

// EndpointPolicy is JSON for the policy of a VPC endpoint, within the size that AWS accepts. White space counts (AWS
// PrivateLink Guide, "Control access to VPC endpoints using endpoint policies").
func EndpointPolicy(statements ...Statement) (string, error) {
	document, err := JSON(statements...)
	return document, fits(err, "endpoint", "AWS", len(document), 20_480)
}

func fits(err error, of, by string, size, most int) error {
	if err == nil && size > most {
		return fmt.Errorf("the %s's policy has %d characters, and %s accepts at most %d", of, size, by, most)
	}
	return err
}

// Service is the principal of an AWS service, such as lambda.amazonaws.com.
func Service(name string) map[string]string { return map[string]string{"Service": name} }

// TrustForAccount lets an AWS service assume a role for this account and these ARNs only. No other customer of that
// service can make it use the role (IAM User Guide, "The confused deputy problem").
func TrustForAccount(service, account, sourceARN string) Statement {
	return Statement{
		Sid: "OnlyForThisAccount", Effect: "Allow", Principal: Service(service),
		Action: []string{"sts:AssumeRole"}, Condition: BoundTo(account, sourceARN),
	}
}

// Trust lets an AWS service assume a role. It's for services whose documented trust policy has no aws:SourceArn (Lambda
// Developer Guide, "Execution role"; API Gateway Developer Guide, "Set up CloudWatch logging"; EC2 User Guide, "IAM
// roles for Amazon EC2"): a condition on a key that they don't set would deny them the role. iam:PassRole, which never
// crosses accounts, restricts which principals can give them the role.
func Trust(service string) Statement {
	return Statement{
		Sid: "OnlyThisService", Effect: "Allow", Principal: Service(service), Action: []string{"sts:AssumeRole"},
	}
}

// BoundTo restricts an AWS service to requests that it makes for this account and these ARNs.
func BoundTo(account, sourceARN string) Conditions {
	return Conditions{
		"StringEquals": {"aws:SourceAccount": {account}},
		"ArnLike":      {"aws:SourceArn": {sourceARN}},
	}
}

// OnlyBy is the condition key that restricts a statement of an endpoint's policy to one role. The Principal stays "*":
// AWS would store an ARN there as the role's unique ID, and deny a role that's recreated under the same name (IAM User
// Guide, "AWS JSON policy elements: Principal").
func OnlyBy(roleARN string) map[string][]string {
	return map[string][]string{"aws:PrincipalArn": {roleARN}}
}

// OnlyOverTLS denies an action, such as "s3:*", on requests without TLS.
func OnlyOverTLS(action string, resources ...string) Statement {
	return Statement{
		Sid: "OnlyOverTLS", Effect: "Deny", Principal: "*", Action: []string{action}, Resource: resources,
		Condition: Conditions{"Bool": {"aws:SecureTransport": {"false"}}},
	}
}

// AccountDecidesByIAM is KMS's default: IAM policies have no effect on a key whose policy lacks it, and a key whose
// policy names only a role that's then deleted can never be changed again (KMS Developer Guide, "Default key policy").
func AccountDecidesByIAM(t Target) Statement {
	return Statement{
		Sid: "AccountDecidesByIam", Effect: "Allow", Principal: map[string]string{"AWS": t.Root()},
		Action: []string{"kms:*"}, Resource: []string{"*"},
	}
}

// Target is where resources are deployed.
type Target struct{ Account, Region, Partition string }

// ARN is the ARN of a resource of this account and Region.
func (t Target) ARN(service, resource string) string {
	return "arn:" + t.Partition + ":" + service + ":" + t.Region + ":" + t.Account + ":" + resource
}

// Bucket is the ARN of an S3 bucket.
func (t Target) Bucket(name string) string { return "arn:" + t.Partition + ":s3:::" + name }

// Root is the account as a principal: every principal in it whose own policies allow the action (IAM User Guide, "AWS
// JSON policy elements: Principal").
func (t Target) Root() string { return "arn:" + t.Partition + ":iam::" + t.Account + ":root" }

// Host is the name by which condition keys such as kms:ViaService know a service in this Region.
func (t Target) Host(service string) string { return service + "." + t.Region + ".amazonaws.com" }
