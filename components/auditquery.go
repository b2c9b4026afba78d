package components

import (
	"cmp"
	"errors"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/athena"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/glue"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AuditQuery lets Athena read Bedrock's invocation log in S3: a table over the bucket's layout, without a crawler, a
// workgroup, and the saved queries of queries/. You pay for the data that queries scan, 5 USD a TB. Athena silently
// skips records that are archived and not restored.
type AuditQuery struct {
	pulumi.ResourceState

	// DatabaseName is the name of the Glue database with the table.
	DatabaseName pulumi.StringOutput `pulumi:"databaseName"`
	// WorkgroupName is the name of the Athena workgroup with the saved queries.
	WorkgroupName pulumi.StringOutput `pulumi:"workgroupName"`
	// ResultsBucketName is the name of the bucket that stores query results, prompts and responses included, for
	// ResultRetentionDays.
	ResultsBucketName pulumi.StringOutput `pulumi:"resultsBucketName"`
}

// AuditQueryArgs are AuditQuery's arguments.
type AuditQueryArgs struct {
	// LogBucketName is the name of BedrockLogging's bucket. Required.
	LogBucketName pulumi.StringInput `pulumi:"logBucketName"`
	// FunctionRoleArn is BedrockFunction's roleArn. The saved queries take the caller from the metadata of this role's
	// records only: a principal that calls Bedrock without the API can write any metadata. Default: none, and every caller
	// is the identity that called Bedrock.
	FunctionRoleArn pulumi.StringPtrInput `pulumi:"functionRoleArn,optional"`
	// KeyArn is the KMS key that encrypts the results, such as the log's own. Default: none, a key of S3's.
	KeyArn pulumi.StringPtrInput `pulumi:"keyArn,optional"`
	// BytesScannedCutoffPerQuery is the number of stored bytes after which Athena stops a query. You pay for what it read
	// until then. At least 10 MB. Default: 100 GiB, about 0.50 USD.
	BytesScannedCutoffPerQuery int `pulumi:"bytesScannedCutoffPerQuery,optional"`
	// ResultRetentionDays is the number of days after which results are deleted, permanently a day later. Default: 7.
	ResultRetentionDays int `pulumi:"resultRetentionDays,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a AuditQueryArgs) withDefaults() AuditQueryArgs {
	a.BytesScannedCutoffPerQuery = cmp.Or(a.BytesScannedCutoffPerQuery, 100<<30)
	a.ResultRetentionDays = cmp.Or(a.ResultRetentionDays, 7)
	if a.FunctionRoleArn == nil {
		a.FunctionRoleArn = pulumi.String("")
	}
	return a
}

func (a AuditQueryArgs) validate(string) error {
	var f faults
	f.reject(a.LogBucketName == nil, "LogBucketName: got none, want the name of the log's bucket")
	// Athena API Reference, "WorkGroupConfiguration"
	f.reject(a.BytesScannedCutoffPerQuery < 10_000_000,
		"BytesScannedCutoffPerQuery: got %d, want 10000000 or more, which is Athena's least", a.BytesScannedCutoffPerQuery)
	f.reject(a.ResultRetentionDays < 1, "ResultRetentionDays: got %d, want 1 or more", a.ResultRetentionDays)
	return errors.Join(f...)
}

// NewAuditQuery makes an AuditQuery.
func NewAuditQuery(
	ctx *pulumi.Context, name string, args *AuditQueryArgs, opts ...pulumi.ResourceOption,
) (*AuditQuery, error) {
	return construct(ctx, name, &AuditQuery{}, args, opts)
}

func (c *AuditQuery) provision(s scope, a AuditQueryArgs) error {
	// Deleted with the stack: it has nothing that the log doesn't have.
	results, err := s3.NewBucketV2(s.ctx, s.name, &s3.BucketV2Args{
		ForceDestroy: pulumi.Bool(true), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return err
	}
	policy := results.Arn.ApplyT(resultsBucketPolicy).(pulumi.StringOutput)
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp(), expireResults(a.ResultRetentionDays)}
	ready, err := protectBucket(s, results, bucketEncryption(a.KeyArn), policy, rules)
	if err != nil {
		return err
	}
	// Named after the bucket, whose name ends in random characters: names of databases are unique in an account.
	database, err := glue.NewCatalogDatabase(s.ctx, s.name, &glue.CatalogDatabaseArgs{
		Name:        results.Bucket.ApplyT(databaseName).(pulumi.StringOutput),
		Description: pulumi.String("Bedrock's invocation log"), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return err
	}
	if err := newRecordsTable(s, a.LogBucketName.ToStringOutput(), database); err != nil {
		return err
	}
	workgroup, err := newWorkgroup(s, a, results, ready)
	if err != nil {
		return err
	}
	c.DatabaseName, c.WorkgroupName, c.ResultsBucketName = database.Name, workgroup.Name, results.Bucket
	queries, err := savedQueries()
	if err != nil {
		return err
	}
	functionRoleArn := a.FunctionRoleArn.ToStringPtrOutput().Elem()
	for _, query := range queries {
		sql := functionRoleArn.ApplyT(func(arn string) string { return callersOf(arn, query.sql) }).(pulumi.StringOutput)
		if _, err := athena.NewNamedQuery(s.ctx, s.name+"-"+query.name, &athena.NamedQueryArgs{
			Name: pulumi.String(query.name), Description: pulumi.String(query.description), Query: sql,
			Database: database.Name, Workgroup: workgroup.Name,
		}, s.options()...); err != nil {
			return err
		}
	}
	return nil
}

// newRecordsTable makes the table of the log's records.
func newRecordsTable(s scope, logBucket pulumi.StringOutput, database *glue.CatalogDatabase) error {
	_, err := glue.NewCatalogTable(s.ctx, s.name, &glue.CatalogTableArgs{
		Name: pulumi.String(recordsTable), DatabaseName: database.Name, TableType: pulumi.String("EXTERNAL_TABLE"),
		Description: pulumi.String("One line for each record; the saved queries take it apart"),
		Parameters: logBucket.ApplyT(func(bucket string) map[string]string {
			return recordsProperties(s.target, bucket)
		}).(pulumi.StringMapOutput),
		// A projected table has no use for it. Without one, the AWS provider 6.83 finds a change, and replaces the table,
		// each time.
		PartitionIndices: glue.CatalogTablePartitionIndexArray{glue.CatalogTablePartitionIndexArgs{
			IndexName: pulumi.String("day"), Keys: pulumi.StringArray{pulumi.String("day")},
		}},
		PartitionKeys: glue.CatalogTablePartitionKeyArray{
			glue.CatalogTablePartitionKeyArgs{Name: pulumi.String("day"), Type: pulumi.String("string")},
		},
		StorageDescriptor: glue.CatalogTableStorageDescriptorArgs{
			Location: logBucket.ApplyT(func(bucket string) string {
				return recordsLocation(s.target, bucket)
			}).(pulumi.StringOutput),
			Columns: glue.CatalogTableStorageDescriptorColumnArray{
				glue.CatalogTableStorageDescriptorColumnArgs{Name: pulumi.String("line"), Type: pulumi.String("string")},
			},
			InputFormat: pulumi.String(recordsFormat.input), OutputFormat: pulumi.String(recordsFormat.output),
			SerDeInfo: glue.CatalogTableStorageDescriptorSerDeInfoArgs{
				SerializationLibrary: pulumi.String(recordsFormat.serde), Parameters: pulumi.ToStringMap(recordsFormat.parameters),
			},
		},
	}, s.options(pulumi.DeleteBeforeReplace(true))...) // two tables can't have the same name
	return err
}

// newWorkgroup makes the workgroup that sets where results go, and how they are encrypted.
func newWorkgroup(s scope, a AuditQueryArgs, results *s3.BucketV2, ready []pulumi.Resource) (*athena.Workgroup, error) {
	encryption := athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs{
		EncryptionOption: pulumi.String("SSE_S3"),
	}
	if a.KeyArn != nil {
		encryption.EncryptionOption, encryption.KmsKeyArn = pulumi.String("SSE_KMS"), a.KeyArn
	}
	return athena.NewWorkgroup(s.ctx, s.name, &athena.WorkgroupArgs{
		Description: pulumi.String("Queries of Bedrock's invocation log"), Tags: s.tags,
		ForceDestroy: pulumi.Bool(true), // with its history
		Configuration: athena.WorkgroupConfigurationArgs{
			// Otherwise the principal that runs a query chooses where its results go, and whether they are encrypted.
			EnforceWorkgroupConfiguration: pulumi.Bool(true), PublishCloudwatchMetricsEnabled: pulumi.Bool(true),
			BytesScannedCutoffPerQuery: pulumi.Int(a.BytesScannedCutoffPerQuery),
			// The version that reads restored records (Athena User Guide, "Query restored Amazon S3 Glacier objects").
			EngineVersion: athena.WorkgroupConfigurationEngineVersionArgs{
				SelectedEngineVersion: pulumi.String("Athena engine version 3"),
			},
			ResultConfiguration: athena.WorkgroupConfigurationResultConfigurationArgs{
				OutputLocation: pulumi.Sprintf("s3://%s/", results.Bucket), ExpectedBucketOwner: pulumi.String(s.target.Account),
				EncryptionConfiguration: encryption,
			},
		},
	}, s.options(pulumi.DependsOn(ready))...)
}
