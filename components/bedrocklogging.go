package components

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrockmodel"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The prefixes of the seed: every record, and the bodies over 100 KB of CloudWatch Logs' records.
const (
	logPrefix       = "bedrock"
	largeDataPrefix = "bedrock-large-data"
)

// BedrockLogging turns on Bedrock's model invocation logging, to S3 for years and to CloudWatch Logs for days.
// The setting is one per account and region: a second BedrockLogging there overwrites the first, silently.
type BedrockLogging struct {
	pulumi.ResourceState

	BucketName   pulumi.StringOutput
	LogGroupName pulumi.StringOutput
}

// BedrockLoggingArgs are BedrockLogging's arguments; nil means all defaults.
type BedrockLoggingArgs struct {
	// LogRetentionDays of the CloudWatch log group; the bucket keeps everything. Default: 90.
	LogRetentionDays int
	// DeleteOnDestroy switches logging off and deletes bucket and log group with all their records when the component
	// is destroyed. Irreversible. Default: false; everything stays, and logging stays on.
	DeleteOnDestroy bool
	Tags            pulumi.StringMapInput
}

func (a BedrockLoggingArgs) withDefaults() BedrockLoggingArgs {
	if a.LogRetentionDays == 0 {
		a.LogRetentionDays = 90
	}
	return a
}

func (a BedrockLoggingArgs) validate() error {
	if err := CheckRetention(a.LogRetentionDays); err != nil {
		return fmt.Errorf("LogRetentionDays: %w", err)
	}
	return nil
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
	// Kept together or deleted together: a bucket without its policy, or a setting without its role, would lose records.
	child := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.RetainOnDelete(!a.DeleteOnDestroy)}

	bucket, bucketReady, err := newLogBucket(ctx, name, a, to, child)
	if err != nil {
		return nil, err
	}
	// Named after the bucket, whose name ends in characters of Pulumi's choice: what an earlier stack left behind is
	// not in the way of the next.
	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.Sprintf("/aws/bedrock/%s", bucket.Bucket), RetentionInDays: pulumi.Int(a.LogRetentionDays), Tags: a.Tags,
	}, child...)
	if err != nil {
		return nil, err
	}
	trust, err := trustPolicy("bedrock.amazonaws.com", to.account, bedrockArns(to.partition, to.region, to.account))
	if err != nil {
		return nil, err
	}
	role, rolePolicy, err := newRole(ctx, name, trust, logGroup.Arn.ApplyT(logDeliveryPolicy).(pulumi.StringOutput), a.Tags, child...)
	if err != nil {
		return nil, err
	}
	// Bedrock tries both destinations when it is configured, and refuses what it cannot write to.
	if _, err := bedrockmodel.NewInvocationLoggingConfiguration(ctx, name, &bedrockmodel.InvocationLoggingConfigurationArgs{
		LoggingConfig: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigArgs{
			TextDataDeliveryEnabled: pulumi.Bool(true), ImageDataDeliveryEnabled: pulumi.Bool(true),
			EmbeddingDataDeliveryEnabled: pulumi.Bool(true), VideoDataDeliveryEnabled: pulumi.Bool(true),
			S3Config: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigS3ConfigArgs{
				BucketName: bucket.ID(), KeyPrefix: pulumi.String(logPrefix),
			},
			CloudwatchConfig: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigCloudwatchConfigArgs{
				LogGroupName: logGroup.Name, RoleArn: role.Arn,
				LargeDataDeliveryS3Config: &bedrockmodel.InvocationLoggingConfigurationLoggingConfigCloudwatchConfigLargeDataDeliveryS3ConfigArgs{
					BucketName: bucket.ID(), KeyPrefix: pulumi.String(largeDataPrefix),
				},
			},
		},
	}, append(child, pulumi.DependsOn(append(bucketReady, rolePolicy)))...); err != nil {
		return nil, err
	}

	c.BucketName = bucket.Bucket
	c.LogGroupName = logGroup.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"bucketName": c.BucketName, "logGroupName": c.LogGroupName})
}

// newLogBucket makes the bucket and all that must be in place before Bedrock writes to it.
func newLogBucket(ctx *pulumi.Context, name string, a BedrockLoggingArgs, to target, child []pulumi.ResourceOption) (*s3.BucketV2, []pulumi.Resource, error) {
	bucket, err := s3.NewBucketV2(ctx, name, &s3.BucketV2Args{ForceDestroy: pulumi.Bool(a.DeleteOnDestroy), Tags: a.Tags}, child...)
	if err != nil {
		return nil, nil, err
	}
	block, err := s3.NewBucketPublicAccessBlock(ctx, name, &s3.BucketPublicAccessBlockArgs{
		Bucket: bucket.ID(), BlockPublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(true),
		IgnorePublicAcls: pulumi.Bool(true), RestrictPublicBuckets: pulumi.Bool(true),
	}, child...)
	if err != nil {
		return nil, nil, err
	}
	// Bedrock delivers to buckets without ACLs only (Bedrock User Guide, "Model invocation logging").
	ownership, err := s3.NewBucketOwnershipControls(ctx, name, &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.ID(), Rule: &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, child...)
	if err != nil {
		return nil, nil, err
	}
	// Whoever overwrites or deletes a record leaves the record behind as an older version.
	versioning, err := s3.NewBucketVersioningV2(ctx, name, &s3.BucketVersioningV2Args{
		Bucket: bucket.ID(), VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, child...)
	if err != nil {
		return nil, nil, err
	}
	encryption, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, name, &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: bucket.ID(), Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{SseAlgorithm: pulumi.String("AES256")},
		}},
	}, child...)
	if err != nil {
		return nil, nil, err
	}
	policy, err := s3.NewBucketPolicy(ctx, name, &s3.BucketPolicyArgs{
		Bucket: bucket.ID(), Policy: bucket.Arn.ApplyT(func(arn string) (string, error) {
			return logBucketPolicy(arn, to.account, to.region, to.partition, []string{logPrefix, largeDataPrefix})
		}).(pulumi.StringOutput),
		// After the block and not beside it: S3 refuses two changes of a bucket's access at once.
	}, append(child, pulumi.DependsOn([]pulumi.Resource{block, ownership}))...)
	return bucket, []pulumi.Resource{block, ownership, versioning, encryption, policy}, err
}
