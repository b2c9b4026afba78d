package components

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrockmodel"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// BedrockLogging turns on Bedrock's model invocation logging, to S3 for years and to CloudWatch Logs for days. An
// account has one logging configuration per Region. If another owner has set it already, the preview reports that and
// fails.
type BedrockLogging struct {
	pulumi.ResourceState

	// BucketName is the name of the bucket that stores every record.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
	// LogGroupName is the name of the log group that stores records for LogRetentionDays.
	LogGroupName pulumi.StringOutput `pulumi:"logGroupName"`
	// AccessLogBucketName is the name of the bucket in which S3 logs reads, writes and deletions of records.
	AccessLogBucketName pulumi.StringOutput `pulumi:"accessLogBucketName"`
	// KeyId is the ID of the customer managed key. If the key is deleted, every record is unreadable. It's empty without
	// one.
	KeyId pulumi.StringOutput `pulumi:"keyId"`
	// KeyArn is the ARN of the same key, or empty.
	KeyArn pulumi.StringOutput `pulumi:"keyArn"`
	// InvocationLoggingConfiguration is the logging configuration that the component sets, as JSON in the form of
	// Bedrock's LoggingConfig, without the kinds of data, which are all on. Pass it to BedrockFunction.
	InvocationLoggingConfiguration pulumi.StringOutput `pulumi:"invocationLoggingConfiguration"`
	// Configuration is the resource to depend on if no call may go unrecorded. The whole component takes a minute longer:
	// the AWS provider waits for a lifecycle configuration, which the first record doesn't need.
	Configuration *bedrockmodel.InvocationLoggingConfiguration
}

// BedrockLoggingArgs are BedrockLogging's arguments; nil means all defaults.
type BedrockLoggingArgs struct {
	// LogRetentionDays is how long the CloudWatch log group and the bucket's access log are kept. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// CustomerManagedKey encrypts records with a KMS key of the account's own, at 1 USD a month. Reading a record then
	// requires kms:Decrypt with that key. False leaves the encryption to S3 and CloudWatch Logs. Default: true.
	CustomerManagedKey *bool `pulumi:"customerManagedKey,optional"`
	// ArchiveAfterDays is the number of days after which records move to ArchiveStorageClass. Default: 90.
	ArchiveAfterDays int `pulumi:"archiveAfterDays,optional"`
	// ArchiveStorageClass is S3's storage class for older records. STANDARD archives nothing. Default: DEEP_ARCHIVE.
	ArchiveStorageClass string `pulumi:"archiveStorageClass,optional"`
	// ExpireAfterDays is the number of days after which records are deleted. Noncurrent versions are deleted the same
	// number of days later. Default: 0 (never).
	ExpireAfterDays int `pulumi:"expireAfterDays,optional"`
	// ObjectLockMode is GOVERNANCE or COMPLIANCE, and prevents the deletion of records for ObjectLockDays. It applies to
	// records that are written from then on, and is irreversible. AWS doesn't document whether Bedrock writes to a locked
	// bucket. Default: none.
	ObjectLockMode string `pulumi:"objectLockMode,optional"`
	// ObjectLockDays is the number of days for which ObjectLockMode locks a record. Required with it. Default: 0.
	ObjectLockDays int `pulumi:"objectLockDays,optional"`
	// MaskPersonalData masks personal data and credentials in the CloudWatch log group for principals without logs:Unmask.
	// Names and email addresses in callers' ARNs are masked too. The bucket isn't masked. Default: false.
	MaskPersonalData bool `pulumi:"maskPersonalData,optional"`
	// AdoptInvocationLogging replaces an existing logging configuration that this component didn't create; new records
	// then go to this component's bucket. Default: false, which requires AWS credentials for the provider's account in the
	// environment.
	AdoptInvocationLogging bool `pulumi:"adoptInvocationLogging,optional"`
	// RetainLogs keeps the buckets, the key and the log group with all their records, and leaves logging on, when the
	// component is destroyed. False switches logging off and deletes them all, irreversibly. It requires `pulumi destroy
	// --run-program`, which fails if another owner has set the logging configuration since. Default: true.
	RetainLogs *bool `pulumi:"retainLogs,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a BedrockLoggingArgs) withDefaults() BedrockLoggingArgs {
	a.LogRetentionDays = cmp.Or(a.LogRetentionDays, 90)
	a.ArchiveAfterDays = cmp.Or(a.ArchiveAfterDays, 90)
	a.ArchiveStorageClass = cmp.Or(a.ArchiveStorageClass, "DEEP_ARCHIVE")
	a.ObjectLockMode = cmp.Or(a.ObjectLockMode, noObjectLock)
	a.CustomerManagedKey, a.RetainLogs = defaultTrue(a.CustomerManagedKey), defaultTrue(a.RetainLogs)
	return a
}

func (a BedrockLoggingArgs) validate(string) error {
	var f faults
	f.check("LogRetentionDays", CheckRetention(a.LogRetentionDays))
	f.check("ArchiveAfterDays, ArchiveStorageClass, ExpireAfterDays",
		CheckArchive(a.ArchiveAfterDays, a.ArchiveStorageClass, a.ExpireAfterDays))
	f.check("ObjectLockMode, ObjectLockDays",
		CheckObjectLock(a.ObjectLockMode, a.ObjectLockDays, a.ExpireAfterDays, *a.RetainLogs))
	return errors.Join(f...)
}

// NewBedrockLogging makes a BedrockLogging.
func NewBedrockLogging(
	ctx *pulumi.Context, name string, args *BedrockLoggingArgs, opts ...pulumi.ResourceOption,
) (*BedrockLogging, error) {
	return construct(ctx, name, &BedrockLogging{}, args, opts)
}

func (c *BedrockLogging) provision(s scope, a BedrockLoggingArgs) error {
	// Everything is retained or deleted together: a bucket without its policy or key, or a configuration without its role,
	// would lose records.
	s.opts = s.options(pulumi.RetainOnDelete(*a.RetainLogs))
	bucket, err := s3.NewBucketV2(s.ctx, s.name, &s3.BucketV2Args{
		ForceDestroy: pulumi.Bool(!*a.RetainLogs), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return err
	}
	// Named after the bucket, whose name ends in random characters: what an earlier stack left behind isn't in the way.
	logGroupName := pulumi.Sprintf("/aws/bedrock/%s", bucket.Bucket)
	var key pulumi.StringPtrInput
	c.KeyId, c.KeyArn = pulumi.String("").ToStringOutput(), pulumi.String("").ToStringOutput()
	if *a.CustomerManagedKey {
		made, err := newLogKey(s, bucket, logGroupName)
		if err != nil {
			return err
		}
		key, c.KeyId, c.KeyArn = made.Arn.ToStringPtrOutput(), made.ID().ToStringOutput(), made.Arn
	}
	ready, err := newLogBucket(s, a, bucket, key)
	if err != nil {
		return err
	}
	accessLogBucket, accessLog, err := newAccessLog(s, a, bucket)
	if err != nil {
		return err
	}
	logGroup, err := cloudwatch.NewLogGroup(s.ctx, s.name, &cloudwatch.LogGroupArgs{
		Name: logGroupName, KmsKeyId: key, RetentionInDays: pulumi.Int(a.LogRetentionDays), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return err
	}
	trust := iamdoc.TrustForAccount("bedrock.amazonaws.com", s.target.Account, s.target.ARN("bedrock", "*"))
	role, rolePolicy, err := s.newRole(trust, pulumi.All(logGroup.Arn, c.KeyArn).ApplyT(func(arns []any) (string, error) {
		return logDeliveryPolicy(s.target, arns[0].(string), arns[1].(string))
	}).(pulumi.StringOutput))
	if err != nil {
		return err
	}
	ready = append(ready, accessLog, rolePolicy)
	if a.MaskPersonalData {
		mask, err := newLogMask(s, logGroup)
		if err != nil {
			return err
		}
		ready = append(ready, mask)
	}
	c.BucketName, c.LogGroupName, c.AccessLogBucketName = bucket.Bucket, logGroup.Name, accessLogBucket.Bucket
	return c.configure(s, a, bucket, logGroup, role, ready)
}

// configure sets the account's logging configuration when its destinations are ready: Bedrock tries both at once, and
// rejects the configuration if it can't write to them.
func (c *BedrockLogging) configure(
	s scope, a BedrockLoggingArgs, bucket *s3.BucketV2, logGroup *cloudwatch.LogGroup, role *iam.Role,
	ready []pulumi.Resource,
) error {
	ours, err := keepForeignLogging(s, a)
	if err != nil {
		return err
	}
	logging := &bedrockmodel.InvocationLoggingConfigurationLoggingConfigArgs{
		TextDataDeliveryEnabled: pulumi.Bool(true), ImageDataDeliveryEnabled: pulumi.Bool(true),
		EmbeddingDataDeliveryEnabled: pulumi.Bool(true), VideoDataDeliveryEnabled: pulumi.Bool(true),
		S3Config: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigS3ConfigArgs{
			BucketName: bucket.ID(), KeyPrefix: pulumi.String(contract.LogPrefix),
		},
		CloudwatchConfig: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigCloudwatchConfigArgs{
			LogGroupName: logGroup.Name, RoleArn: role.Arn,
			LargeDataDeliveryS3Config: bedrockmodel.
				InvocationLoggingConfigurationLoggingConfigCloudwatchConfigLargeDataDeliveryS3ConfigArgs{
				BucketName: bucket.ID(), KeyPrefix: pulumi.String(contract.LargeDataPrefix),
			},
		},
	}
	c.Configuration, err = bedrockmodel.NewInvocationLoggingConfiguration(s.ctx, s.name,
		&bedrockmodel.InvocationLoggingConfigurationArgs{LoggingConfig: logging}, s.options(ours, pulumi.DependsOn(ready))...)
	names := pulumi.All(bucket.ID(), logGroup.Name, role.Arn)
	c.InvocationLoggingConfiguration = names.ApplyT(func(v []any) (string, error) {
		return loggingConfiguration(string(v[0].(pulumi.ID)), v[1].(string), v[2].(string))
	}).(pulumi.StringOutput)
	return err
}

// loggingConfiguration is the function's copy of what configure sets (Bedrock API Reference, LoggingConfig).
func loggingConfiguration(bucketName, logGroupName, roleArn string) (string, error) {
	type s3Config struct {
		BucketName string `json:"bucketName"`
		KeyPrefix  string `json:"keyPrefix"`
	}
	var c struct {
		CloudWatchConfig struct {
			LogGroupName              string   `json:"logGroupName"`
			RoleArn                   string   `json:"roleArn"`
			LargeDataDeliveryS3Config s3Config `json:"largeDataDeliveryS3Config"`
		} `json:"cloudWatchConfig"`
		S3Config s3Config `json:"s3Config"`
	}
	c.CloudWatchConfig.LogGroupName, c.CloudWatchConfig.RoleArn = logGroupName, roleArn
	c.CloudWatchConfig.LargeDataDeliveryS3Config = s3Config{bucketName, contract.LargeDataPrefix}
	c.S3Config = s3Config{bucketName, contract.LogPrefix}
	b, err := json.Marshal(c)
	return string(b), err
}

// newLogKey makes the key of the bucket and the log group. It's made before the group, whose ARN its policy names.
func newLogKey(s scope, bucket *s3.BucketV2, logGroupName pulumi.StringOutput) (*kms.Key, error) {
	policy := logGroupName.ApplyT(func(group string) (string, error) {
		return logKeyPolicy(s.target, group)
	}).(pulumi.StringOutput)
	key, err := kms.NewKey(s.ctx, s.name, &kms.KeyArgs{
		Description: pulumi.String("Bedrock's invocation log"), EnableKeyRotation: pulumi.Bool(true),
		Policy: policy, Tags: s.tags,
		DeletionWindowInDays: pulumi.Int(30), // KMS's longest: until then, a deletion can be canceled
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	_, err = kms.NewAlias(s.ctx, s.name, &kms.AliasArgs{
		Name: pulumi.Sprintf("alias/%s", bucket.Bucket), TargetKeyId: key.ID(),
	}, s.options()...)
	return key, err
}
