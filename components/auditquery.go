package components

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/athena"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/glue"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// AuditQuery has Athena read Bedrock's invocation log in S3: a table over the bucket's layout, without a crawler, a workgroup
// and the queries of queries/. It costs what queries scan, 5 USD a TB. Records that are archived and not restored are
// not in any result, and Athena does not say so.
type AuditQuery struct {
	pulumi.ResourceState

	// DatabaseName of the Glue database with the table.
	DatabaseName pulumi.StringOutput `pulumi:"databaseName"`
	// WorkgroupName of the Athena workgroup with the saved queries.
	WorkgroupName pulumi.StringOutput `pulumi:"workgroupName"`
	// ResultsBucketName is that of the bucket which, for some days, has what queries answered: prompts and answers, too.
	ResultsBucketName pulumi.StringOutput `pulumi:"resultsBucketName"`
}

// AuditQueryArgs are AuditQuery's arguments.
type AuditQueryArgs struct {
	// LogBucketName is that of BedrockLogging.
	LogBucketName pulumi.StringInput `pulumi:"logBucketName"`
	// FunctionRoleArn is BedrockFunction's roleArn. The saved queries take the caller from the metadata of this role's records, and
	// from no other's: a principal that calls Bedrock past the API can write any metadata. Default: none, and every caller
	// is the identity that called Bedrock.
	FunctionRoleArn pulumi.StringPtrInput `pulumi:"functionRoleArn,optional"`
	// KeyArn of the KMS key that encrypts the results, such as the log's own. Default: none, a key of S3's.
	KeyArn pulumi.StringPtrInput `pulumi:"keyArn,optional"`
	// BytesScannedCutoffPerQuery stops a query that reads more, in bytes as they are stored; what it had read is paid.
	// Default: 100 GiB, about 0.50 USD. At least 10 MB.
	BytesScannedCutoffPerQuery int `pulumi:"bytesScannedCutoffPerQuery,optional"`
	// ResultRetentionDays, results are deleted; they are gone for good a day later. Default: 7.
	ResultRetentionDays int `pulumi:"resultRetentionDays,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a AuditQueryArgs) withDefaults() AuditQueryArgs {
	if a.BytesScannedCutoffPerQuery == 0 {
		a.BytesScannedCutoffPerQuery = 100 << 30
	}
	if a.ResultRetentionDays == 0 {
		a.ResultRetentionDays = 7
	}
	return a
}

func (a AuditQueryArgs) validate() error {
	var errs []error
	if a.LogBucketName == nil {
		errs = append(errs, errors.New("LogBucketName: got none, want the name of the log's bucket"))
	}
	if a.BytesScannedCutoffPerQuery < 10_000_000 { // Athena API Reference, "WorkGroupConfiguration"
		errs = append(errs, fmt.Errorf("BytesScannedCutoffPerQuery: got %d, want 10000000 or more, which is Athena's least", a.BytesScannedCutoffPerQuery))
	}
	if a.ResultRetentionDays < 1 {
		errs = append(errs, fmt.Errorf("ResultRetentionDays: got %d, want 1 or more", a.ResultRetentionDays))
	}
	return errors.Join(errs...)
}

// NewAuditQuery makes an AuditQuery.
func NewAuditQuery(ctx *pulumi.Context, name string, args *AuditQueryArgs, opts ...pulumi.ResourceOption) (*AuditQuery, error) {
	if args == nil {
		args = &AuditQueryArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("AuditQuery %s: %w", name, err)
	}
	queries, err := savedQueries()
	if err != nil {
		return nil, err
	}
	c := &AuditQuery{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:AuditQuery", name, c, opts...); err != nil {
		return nil, err
	}
	child := pulumi.Parent(c)
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
	// Goes with the stack: there is nothing in it that the log has not.
	results, err := s3.NewBucketV2(ctx, name, &s3.BucketV2Args{ForceDestroy: pulumi.Bool(true), Tags: a.Tags}, child)
	if err != nil {
		return nil, err
	}
	policy := results.Arn.ApplyT(func(arn string) (string, error) { return resultsBucketPolicy(arn) }).(pulumi.StringOutput)
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp(), expireResults(a.ResultRetentionDays)}
	ready, err := protectBucket(ctx, name, results, bucketEncryption(a.KeyArn), policy, rules, []pulumi.ResourceOption{child})
	if err != nil {
		return nil, err
	}

	// Named after the bucket, whose name ends in characters of Pulumi's choice: names of databases are one per account.
	database, err := glue.NewCatalogDatabase(ctx, name, &glue.CatalogDatabaseArgs{
		Name: results.Bucket.ApplyT(databaseName).(pulumi.StringOutput), Description: pulumi.String("Bedrock's invocation log"), Tags: a.Tags,
	}, child)
	if err != nil {
		return nil, err
	}
	logBucket := a.LogBucketName.ToStringOutput()
	_, err = glue.NewCatalogTable(ctx, name, &glue.CatalogTableArgs{
		Name: pulumi.String(recordsTable), DatabaseName: database.Name, TableType: pulumi.String("EXTERNAL_TABLE"),
		Description: pulumi.String("One line for each record; the saved queries take it apart"),
		Parameters:  logBucket.ApplyT(func(bucket string) map[string]string { return recordsProperties(to, bucket) }).(pulumi.StringMapOutput),
		// Of no use to a projected table, but without one the AWS provider 6.83 finds a change, and replaces the table, each time.
		PartitionIndices: glue.CatalogTablePartitionIndexArray{glue.CatalogTablePartitionIndexArgs{
			IndexName: pulumi.String("day"), Keys: pulumi.StringArray{pulumi.String("day")},
		}},
		PartitionKeys: glue.CatalogTablePartitionKeyArray{glue.CatalogTablePartitionKeyArgs{Name: pulumi.String("day"), Type: pulumi.String("string")}},
		StorageDescriptor: glue.CatalogTableStorageDescriptorArgs{
			Location:    logBucket.ApplyT(func(bucket string) string { return recordsLocation(to, bucket) }).(pulumi.StringOutput),
			Columns:     glue.CatalogTableStorageDescriptorColumnArray{glue.CatalogTableStorageDescriptorColumnArgs{Name: pulumi.String("line"), Type: pulumi.String("string")}},
			InputFormat: pulumi.String(recordsFormat.input), OutputFormat: pulumi.String(recordsFormat.output),
			SerDeInfo: glue.CatalogTableStorageDescriptorSerDeInfoArgs{
				SerializationLibrary: pulumi.String(recordsFormat.serde), Parameters: pulumi.ToStringMap(recordsFormat.parameters),
			},
		},
	}, child, pulumi.DeleteBeforeReplace(true)) // the name can be there only once
	if err != nil {
		return nil, err
	}

	encryption := athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs{EncryptionOption: pulumi.String("SSE_S3")}
	if a.KeyArn != nil {
		encryption = athena.WorkgroupConfigurationResultConfigurationEncryptionConfigurationArgs{EncryptionOption: pulumi.String("SSE_KMS"), KmsKeyArn: a.KeyArn}
	}
	workgroup, err := athena.NewWorkgroup(ctx, name, &athena.WorkgroupArgs{
		Description: pulumi.String("Queries of Bedrock's invocation log"), ForceDestroy: pulumi.Bool(true), Tags: a.Tags, // with its history
		Configuration: athena.WorkgroupConfigurationArgs{
			// Else whoever runs a query chooses where its results go, and whether they are encrypted.
			EnforceWorkgroupConfiguration: pulumi.Bool(true), PublishCloudwatchMetricsEnabled: pulumi.Bool(true),
			BytesScannedCutoffPerQuery: pulumi.Int(a.BytesScannedCutoffPerQuery),
			// The one that reads restored records (Athena User Guide, "Query restored Amazon S3 Glacier objects").
			EngineVersion: athena.WorkgroupConfigurationEngineVersionArgs{SelectedEngineVersion: pulumi.String("Athena engine version 3")},
			ResultConfiguration: athena.WorkgroupConfigurationResultConfigurationArgs{
				OutputLocation: pulumi.Sprintf("s3://%s/", results.Bucket), ExpectedBucketOwner: pulumi.String(to.Account), EncryptionConfiguration: encryption,
			},
		},
	}, child, pulumi.DependsOn(ready))
	if err != nil {
		return nil, err
	}
	if a.FunctionRoleArn == nil {
		a.FunctionRoleArn = pulumi.String("")
	}
	functionRoleArn := a.FunctionRoleArn.ToStringPtrOutput().Elem()
	for _, query := range queries {
		sql := functionRoleArn.ApplyT(func(arn string) string { return callersOf(arn, query.sql) }).(pulumi.StringOutput)
		_, err := athena.NewNamedQuery(ctx, name+"-"+query.name, &athena.NamedQueryArgs{
			Name: pulumi.String(query.name), Description: pulumi.String(query.description), Query: sql,
			Database: database.Name, Workgroup: workgroup.Name,
		}, child)
		if err != nil {
			return nil, err
		}
	}

	c.DatabaseName, c.WorkgroupName, c.ResultsBucketName = database.Name, workgroup.Name, results.Bucket
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"databaseName": c.DatabaseName, "workgroupName": c.WorkgroupName, "resultsBucketName": c.ResultsBucketName,
	})
}
