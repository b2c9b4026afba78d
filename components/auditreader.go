package components

import (
	"errors"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AuditReader is a role with exactly the permissions to read the invocation log, prompts and responses included. You
// name the auditors that can assume it.
type AuditReader struct {
	pulumi.ResourceState

	// RoleArn is the ARN of the role that auditors assume.
	RoleArn pulumi.StringOutput `pulumi:"roleArn"`
}

// AuditReaderArgs are AuditReader's arguments; the first four are required.
type AuditReaderArgs struct {
	// AuditorArns are the only roles and users that can assume the role. Those of the account need no other policy. Those
	// of another account need a policy that allows sts:AssumeRole. Required.
	AuditorArns []string `pulumi:"auditorArns"`
	// LogBucketName is the name of BedrockLogging's bucket. Required.
	LogBucketName pulumi.StringInput `pulumi:"logBucketName"`
	// LogGroupName is the name of BedrockLogging's log group. Required.
	LogGroupName pulumi.StringInput `pulumi:"logGroupName"`
	// AccessLogGroupName is the name of PrivateApi's log group. Required.
	AccessLogGroupName pulumi.StringInput `pulumi:"accessLogGroupName"`
	// KeyArn is the ARN of BedrockLogging's key. Default: none, for a log without a customer managed key.
	KeyArn pulumi.StringPtrInput `pulumi:"keyArn,optional"`
	// DatabaseName is the database of an AuditQuery that the role can use, with results that KeyArn encrypts. It requires
	// WorkgroupName and ResultsBucketName. Default: none, no permission on Athena.
	DatabaseName pulumi.StringInput `pulumi:"databaseName,optional"`
	// WorkgroupName is that AuditQuery's workgroup. Required with DatabaseName.
	WorkgroupName pulumi.StringInput `pulumi:"workgroupName,optional"`
	// ResultsBucketName is that AuditQuery's bucket of results. Required with DatabaseName.
	ResultsBucketName pulumi.StringInput `pulumi:"resultsBucketName,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a AuditReaderArgs) withDefaults() AuditReaderArgs { return a }

func (a AuditReaderArgs) validate(string) error {
	var f faults
	f.reject(len(a.AuditorArns) == 0,
		"AuditorArns: got none, want at least one; without auditors there is no need of a role")
	f.check("AuditorArns", CheckAuditors(a.AuditorArns))
	f.reject(a.LogBucketName == nil || a.LogGroupName == nil || a.AccessLogGroupName == nil,
		"LogBucketName, LogGroupName, AccessLogGroupName: got none of one or more, "+
			"want all three, such as BedrockLogging's and PrivateApi's")
	noQueries := a.DatabaseName == nil
	f.reject(noQueries != (a.WorkgroupName == nil) || noQueries != (a.ResultsBucketName == nil),
		"DatabaseName, WorkgroupName, ResultsBucketName: got some of them, want all three, such as AuditQuery's, or none")
	return errors.Join(f...)
}

var auditorARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$`)

// CheckAuditors accepts only single roles and users: an account would stand for every principal in it.
func CheckAuditors(arns []string) error {
	var f faults
	for i, arn := range arns {
		f.reject(!auditorARN.MatchString(arn),
			"got %q, want the ARN of a role or a user, such as arn:aws:iam::123456789012:role/auditor", arn)
		f.reject(slices.Contains(arns[:i], arn), "got %q twice, want each auditor once", arn)
	}
	return errors.Join(f...)
}

// NewAuditReader makes an AuditReader.
func NewAuditReader(
	ctx *pulumi.Context, name string, args *AuditReaderArgs, opts ...pulumi.ResourceOption,
) (*AuditReader, error) {
	return construct(ctx, name, &AuditReader{}, args, opts)
}

func (c *AuditReader) provision(s scope, a AuditReaderArgs) error {
	names := []any{a.LogBucketName, a.LogGroupName, a.AccessLogGroupName, pulumi.String("")}
	if a.KeyArn != nil {
		names[3] = a.KeyArn.ToStringPtrOutput().Elem()
	}
	if a.DatabaseName != nil {
		names = append(names, a.DatabaseName, a.WorkgroupName, a.ResultsBucketName)
	}
	permissions := pulumi.All(names...).ApplyT(func(all []any) (string, error) {
		name := func(i int) string { return all[i].(string) }
		log := auditedLog{bucket: name(0), logGroup: name(1), accessLogGroup: name(2), keyArn: name(3)}
		if a.DatabaseName != nil {
			log.queries = &auditedQueries{database: name(4), workgroup: name(5), results: name(6)}
		}
		return auditReaderPolicy(s.target, log)
	}).(pulumi.StringOutput)
	role, _, err := s.newRole(auditReaderTrust(a.AuditorArns), permissions)
	if err != nil {
		return err
	}
	c.RoleArn = role.Arn
	return nil
}
