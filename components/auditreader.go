package components

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AuditReader is a role with exactly the rights that reading the invocation log takes, prompts and answers included, for
// whom the account's owner names.
type AuditReader struct {
	pulumi.ResourceState

	// RoleArn is what auditors assume.
	RoleArn pulumi.StringOutput `pulumi:"roleArn"`
}

// AuditReaderArgs are AuditReader's arguments; the first four are required.
type AuditReaderArgs struct {
	// AuditorArns of the roles and users who may assume the role, and nobody else: the account's own need no policy besides,
	// those of another account need one that allows sts:AssumeRole.
	AuditorArns []string `pulumi:"auditorArns"`
	// LogBucketName and LogGroupName are those of BedrockLogging, AccessLogGroupName that of PrivateApi.
	LogBucketName      pulumi.StringInput `pulumi:"logBucketName"`
	LogGroupName       pulumi.StringInput `pulumi:"logGroupName"`
	AccessLogGroupName pulumi.StringInput `pulumi:"accessLogGroupName"`
	// KeyArn of BedrockLogging. Default: none, for a log without one.
	KeyArn pulumi.StringPtrInput `pulumi:"keyArn,optional"`
	// DatabaseName, WorkgroupName and ResultsBucketName of an AuditQuery that the role may use, its results encrypted by
	// KeyArn. Default: none of the three, no right on Athena.
	DatabaseName      pulumi.StringInput `pulumi:"databaseName,optional"`
	WorkgroupName     pulumi.StringInput `pulumi:"workgroupName,optional"`
	ResultsBucketName pulumi.StringInput `pulumi:"resultsBucketName,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a AuditReaderArgs) validate() error {
	var errs []error
	if len(a.AuditorArns) == 0 {
		errs = append(errs, errors.New("AuditorArns: got none, want at least one; without auditors there is no need of a role"))
	}
	if err := CheckAuditors(a.AuditorArns); err != nil {
		errs = append(errs, fmt.Errorf("AuditorArns: %w", err))
	}
	if a.LogBucketName == nil || a.LogGroupName == nil || a.AccessLogGroupName == nil {
		errs = append(errs, errors.New("LogBucketName, LogGroupName, AccessLogGroupName: got none of one or more, want the names of all that is to be read"))
	}
	if (a.DatabaseName == nil) != (a.WorkgroupName == nil) || (a.DatabaseName == nil) != (a.ResultsBucketName == nil) {
		errs = append(errs, errors.New("DatabaseName, WorkgroupName, ResultsBucketName: got some of them, want all three, such as AuditQuery's, or none"))
	}
	return errors.Join(errs...)
}

var auditorARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$`)

// CheckAuditors refuses all but single roles and users: an account would be everybody in it.
func CheckAuditors(arns []string) error {
	var errs []error
	for i, arn := range arns {
		if !auditorARN.MatchString(arn) {
			errs = append(errs, fmt.Errorf("got %q, want the ARN of a role or a user, such as arn:aws:iam::123456789012:role/auditor", arn))
		}
		if slices.Contains(arns[:i], arn) {
			errs = append(errs, fmt.Errorf("got %q twice, want each auditor once", arn))
		}
	}
	return errors.Join(errs...)
}

// NewAuditReader makes an AuditReader.
func NewAuditReader(ctx *pulumi.Context, name string, args *AuditReaderArgs, opts ...pulumi.ResourceOption) (*AuditReader, error) {
	if args == nil {
		args = &AuditReaderArgs{}
	}
	a := *args
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("AuditReader %s: %w", name, err)
	}
	c := &AuditReader{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:AuditReader", name, c, opts...); err != nil {
		return nil, err
	}
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
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
		return auditReaderPolicy(to, log)
	}).(pulumi.StringOutput)
	role, _, err := newRole(ctx, name, auditReaderTrust(a.AuditorArns), permissions, a.Tags, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}
	c.RoleArn = role.Arn
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"roleArn": c.RoleArn})
}
