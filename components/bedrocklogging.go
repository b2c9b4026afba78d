package components

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrockmodel"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// BedrockLogging turns on Bedrock's model invocation logging, to S3 for years and to CloudWatch Logs for days.
// The setting is one per account and region: where somebody else's is there already, the preview says so and fails.
type BedrockLogging struct {
	pulumi.ResourceState

	// BucketName of the bucket that keeps every record.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
	// LogGroupName of the log group that has them for LogRetentionDays.
	LogGroupName pulumi.StringOutput `pulumi:"logGroupName"`
	// AccessLogBucketName is that of the bucket in which S3 says who read, wrote or deleted a record.
	AccessLogBucketName pulumi.StringOutput `pulumi:"accessLogBucketName"`
	// KeyId of the customer managed key, whose deletion makes every record unreadable; empty without one.
	KeyId pulumi.StringOutput `pulumi:"keyId"`
	// KeyArn is the same key's, or empty.
	KeyArn pulumi.StringOutput `pulumi:"keyArn"`
	// InvocationLoggingConfiguration is the logging configuration that the component sets, as JSON in the shape of Bedrock's
	// LoggingConfig, without the kinds of data, which are all on. It is an argument of BedrockFunction.
	InvocationLoggingConfiguration pulumi.StringOutput `pulumi:"invocationLoggingConfiguration"`
	// Configuration is what to depend on where no call may go unrecorded. The whole component is there a minute later: the
	// AWS provider waits that long for a lifecycle, which is not needed for the first record.
	Configuration *bedrockmodel.InvocationLoggingConfiguration
}

// BedrockLoggingArgs are BedrockLogging's arguments; nil means all defaults.
type BedrockLoggingArgs struct {
	// LogRetentionDays of the CloudWatch log group and of the bucket's access log. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// NoCustomerManagedKey leaves the encryption to S3 and CloudWatch Logs. Default: false, one KMS key of the account's own,
	// at 1 USD a month: whoever reads a record needs kms:Decrypt with it.
	NoCustomerManagedKey bool `pulumi:"noCustomerManagedKey,optional"`
	// ArchiveAfterDays, records go to ArchiveStorageClass. Defaults: 90, DEEP_ARCHIVE; STANDARD archives nothing.
	ArchiveAfterDays    int    `pulumi:"archiveAfterDays,optional"`
	ArchiveStorageClass string `pulumi:"archiveStorageClass,optional"`
	// ExpireAfterDays, records are deleted; their versions, which is what a deleted one leaves, after as many days more.
	// Default: 0, never.
	ExpireAfterDays int `pulumi:"expireAfterDays,optional"`
	// ObjectLockMode, GOVERNANCE or COMPLIANCE, with ObjectLockDays, in which nobody can delete a record written from then on.
	// Irreversible. AWS does not say that Bedrock writes to a locked bucket. Default: none.
	ObjectLockMode string `pulumi:"objectLockMode,optional"`
	ObjectLockDays int    `pulumi:"objectLockDays,optional"`
	// MaskPersonalData has CloudWatch Logs show personal data and credentials in its log group to those only who may
	// logs:Unmask, names and e-mail addresses in callers' ARNs included. The bucket keeps all as it is. Default: false.
	MaskPersonalData bool `pulumi:"maskPersonalData,optional"`
	// AdoptInvocationLogging takes over a logging configuration that is there already, whosever it is: from then on their
	// records come here. Default: false, for which the environment has to have AWS credentials of the provider's account.
	AdoptInvocationLogging bool `pulumi:"adoptInvocationLogging,optional"`
	// DeleteOnDestroy switches logging off and deletes buckets, key and log group with all their records when the component
	// is destroyed, which then needs `pulumi destroy --run-program`; it fails where logging has become somebody else's.
	// Irreversible. Default: false; everything stays, and logging stays on.
	DeleteOnDestroy bool `pulumi:"deleteOnDestroy,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a BedrockLoggingArgs) withDefaults() BedrockLoggingArgs {
	if a.LogRetentionDays == 0 {
		a.LogRetentionDays = 90
	}
	if a.ArchiveAfterDays == 0 {
		a.ArchiveAfterDays = 90
	}
	if a.ArchiveStorageClass == "" {
		a.ArchiveStorageClass = "DEEP_ARCHIVE"
	}
	if a.ObjectLockMode == "" {
		a.ObjectLockMode = noObjectLock
	}
	return a
}

func (a BedrockLoggingArgs) validate() error {
	var errs []error
	if err := CheckRetention(a.LogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("LogRetentionDays: %w", err))
	}
	if err := CheckArchive(a.ArchiveAfterDays, a.ArchiveStorageClass, a.ExpireAfterDays); err != nil {
		errs = append(errs, fmt.Errorf("ArchiveAfterDays, ArchiveStorageClass, ExpireAfterDays: %w", err))
	}
	if err := CheckObjectLock(a.ObjectLockMode, a.ObjectLockDays, a.ExpireAfterDays, a.DeleteOnDestroy); err != nil {
		errs = append(errs, fmt.Errorf("ObjectLockMode, ObjectLockDays: %w", err))
	}
	return errors.Join(errs...)
}

// NewBedrockLogging makes a BedrockLogging.
func NewBedrockLogging(ctx *pulumi.Context, name string, args *BedrockLoggingArgs, opts ...pulumi.ResourceOption) (*BedrockLogging, error) {
	if args == nil {
		args = &BedrockLoggingArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("BedrockLogging %s: %w", name, err)
	}
	c := &BedrockLogging{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:BedrockLogging", name, c, opts...); err != nil {
		return nil, err
	}
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
	// Kept together or deleted together: a bucket without its policy or key, or a setting without its role, would lose records.
	child := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.RetainOnDelete(!a.DeleteOnDestroy)}

	bucket, err := s3.NewBucketV2(ctx, name, &s3.BucketV2Args{ForceDestroy: pulumi.Bool(a.DeleteOnDestroy), Tags: a.Tags}, child...)
	if err != nil {
		return nil, err
	}
	// Named after the bucket, whose name ends in characters of Pulumi's choice: what an earlier stack left behind is
	// not in the way of the next.
	logGroupName := pulumi.Sprintf("/aws/bedrock/%s", bucket.Bucket)
	keyArn := pulumi.String("").ToStringOutput()
	var key pulumi.StringPtrInput
	c.KeyId = keyArn
	if !a.NoCustomerManagedKey {
		made, err := newLogKey(ctx, name, to, bucket, logGroupName, a.Tags, child)
		if err != nil {
			return nil, err
		}
		keyArn, key, c.KeyId = made.Arn, made.Arn.ToStringPtrOutput(), made.ID().ToStringOutput()
	}
	ready, err := newLogBucket(ctx, name, a, to, bucket, key, child)
	if err != nil {
		return nil, err
	}
	accessLogBucket, accessLog, err := newAccessLog(ctx, name, a, to, bucket, child)
	if err != nil {
		return nil, err
	}
	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: logGroupName, KmsKeyId: key, RetentionInDays: pulumi.Int(a.LogRetentionDays), Tags: a.Tags,
	}, child...)
	if err != nil {
		return nil, err
	}
	trust, err := trustPolicy("bedrock.amazonaws.com", to.account, bedrockArns(to.partition, to.region, to.account))
	if err != nil {
		return nil, err
	}
	delivery := pulumi.All(logGroup.Arn, keyArn).ApplyT(func(arns []any) (string, error) {
		return logDeliveryPolicy(to, arns[0].(string), arns[1].(string))
	}).(pulumi.StringOutput)
	role, rolePolicy, err := newRole(ctx, name, trust, delivery, a.Tags, child...)
	if err != nil {
		return nil, err
	}
	if a.MaskPersonalData {
		mask, err := newLogMask(ctx, name, logGroup, child)
		if err != nil {
			return nil, err
		}
		ready = append(ready, mask)
	}
	ours, err := keepForeignLogging(ctx, name, a, to)
	if err != nil {
		return nil, err
	}
	// Bedrock tries both destinations when it is configured, and refuses what it cannot write to.
	c.Configuration, err = bedrockmodel.NewInvocationLoggingConfiguration(ctx, name, &bedrockmodel.InvocationLoggingConfigurationArgs{
		LoggingConfig: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigArgs{
			TextDataDeliveryEnabled: pulumi.Bool(true), ImageDataDeliveryEnabled: pulumi.Bool(true),
			EmbeddingDataDeliveryEnabled: pulumi.Bool(true), VideoDataDeliveryEnabled: pulumi.Bool(true),
			S3Config: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigS3ConfigArgs{
				BucketName: bucket.ID(), KeyPrefix: pulumi.String(contract.LogPrefix),
			},
			CloudwatchConfig: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigCloudwatchConfigArgs{
				LogGroupName: logGroup.Name, RoleArn: role.Arn,
				LargeDataDeliveryS3Config: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigCloudwatchConfigLargeDataDeliveryS3ConfigArgs{
					BucketName: bucket.ID(), KeyPrefix: pulumi.String(contract.LargeDataPrefix),
				},
			},
		},
	}, append(child, ours, pulumi.DependsOn(append(ready, accessLog, rolePolicy)))...)
	if err != nil {
		return nil, err
	}

	c.BucketName, c.LogGroupName, c.AccessLogBucketName, c.KeyArn = bucket.Bucket, logGroup.Name, accessLogBucket.Bucket, keyArn
	c.InvocationLoggingConfiguration = pulumi.All(bucket.ID(), logGroup.Name, role.Arn).ApplyT(func(v []any) (string, error) {
		return loggingConfiguration(string(v[0].(pulumi.ID)), v[1].(string), v[2].(string))
	}).(pulumi.StringOutput)
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"bucketName": c.BucketName, "logGroupName": c.LogGroupName, "accessLogBucketName": c.AccessLogBucketName, "keyId": c.KeyId, "keyArn": c.KeyArn,
		"invocationLoggingConfiguration": c.InvocationLoggingConfiguration,
	})
}

// loggingConfiguration is the function's copy of what NewBedrockLogging sets (Bedrock API Reference, LoggingConfig).
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

// newLogKey makes the one key of bucket and log group, before the group, whose ARN its policy names.
func newLogKey(ctx *pulumi.Context, name string, to target, bucket *s3.BucketV2, logGroupName pulumi.StringOutput, tags pulumi.StringMapInput, child []pulumi.ResourceOption) (*kms.Key, error) {
	key, err := kms.NewKey(ctx, name, &kms.KeyArgs{
		Description: pulumi.String("Bedrock's invocation log"), EnableKeyRotation: pulumi.Bool(true),
		DeletionWindowInDays: pulumi.Int(30), // KMS's longest: until then a deletion can be taken back
		Policy:               logGroupName.ApplyT(func(group string) (string, error) { return logKeyPolicy(to, group) }).(pulumi.StringOutput), Tags: tags,
	}, child...)
	if err != nil {
		return nil, err
	}
	_, err = kms.NewAlias(ctx, name, &kms.AliasArgs{Name: pulumi.Sprintf("alias/%s", bucket.Bucket), TargetKeyId: key.ID()}, child...)
	return key, err
}
