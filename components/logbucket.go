package components

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

const (
	noObjectLock = "none"
	// notArchived is the storage class of what stays where Bedrock wrote it.
	notArchived = "STANDARD"
)

// storageClasses are those of S3's that keep a record in more than one zone.
var storageClasses = []string{"DEEP_ARCHIVE", "GLACIER", "GLACIER_IR", "INTELLIGENT_TIERING", "STANDARD_IA", notArchived}

// CheckArchive refuses a lifecycle that S3 refuses. expireAfterDays of 0 is never.
func CheckArchive(afterDays int, storageClass string, expireAfterDays int) error {
	switch {
	case !slices.Contains(storageClasses, storageClass):
		return fmt.Errorf("got %q, want one of %v; %s archives nothing", storageClass, storageClasses, notArchived)
	case expireAfterDays < 0:
		return fmt.Errorf("got expiry after %d days, want 1 or more, or 0 for never", expireAfterDays)
	case storageClass == notArchived:
		return nil
	case afterDays < 1:
		return fmt.Errorf("got archiving after %d days, want 1 or more, or the storage class %s", afterDays, notArchived)
	case storageClass == "STANDARD_IA" && afterDays < 30: // S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle"
		return fmt.Errorf("got STANDARD_IA after %d days, want 30 or more, which S3 asks of that class", afterDays)
	case expireAfterDays > 0 && expireAfterDays <= afterDays: // S3 API Reference, "PutBucketLifecycleConfiguration"
		return fmt.Errorf("got expiry after %d days and archiving after %d, want expiry later, or the storage class %s", expireAfterDays, afterDays, notArchived)
	}
	return nil
}

// CheckObjectLock refuses a lock that S3 refuses, and one that something else that was asked for contradicts.
func CheckObjectLock(mode string, days, expireAfterDays int, deleteOnDestroy bool) error {
	switch {
	case mode == noObjectLock && days == 0:
		return nil
	case mode == noObjectLock:
		return fmt.Errorf("got %d days without a mode, want GOVERNANCE or COMPLIANCE, or 0 days", days)
	case mode != "GOVERNANCE" && mode != "COMPLIANCE":
		return fmt.Errorf("got %q, want none, GOVERNANCE or COMPLIANCE", mode)
	case days < 1 || days > 36_500: // S3 User Guide, "Setting limits on retention periods with a bucket policy": 100 years
		return fmt.Errorf("got %s for %d days, want 1 to 36500 days", mode, days)
	case mode == "COMPLIANCE" && deleteOnDestroy:
		return errors.New("got COMPLIANCE for a log that is to be deleted with its stack, which not even the account's root user could: want GOVERNANCE, or a log that is retained")
	case expireAfterDays > 0 && expireAfterDays < days:
		return fmt.Errorf("got a lock for %d days and expiry after %d, want expiry no earlier than the lock's end", days, expireAfterDays)
	}
	return nil
}

// logLifecycle archives and expires records. Unlike a default of the whole configuration, the filter by size takes along
// records under 128 KB, most of all, into every class (S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle").
func logLifecycle(a BedrockLoggingArgs) s3.BucketLifecycleConfigurationV2RuleArray {
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp()}
	if a.ArchiveStorageClass != notArchived {
		rules = append(rules, s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("archive"), Status: pulumi.String("Enabled"),
			Filter: s3.BucketLifecycleConfigurationV2RuleFilterArgs{ObjectSizeGreaterThan: pulumi.Int(1)}, // bytes
			Transitions: s3.BucketLifecycleConfigurationV2RuleTransitionArray{s3.BucketLifecycleConfigurationV2RuleTransitionArgs{
				Days: pulumi.Int(a.ArchiveAfterDays), StorageClass: pulumi.String(a.ArchiveStorageClass),
			}},
		})
	}
	if a.ExpireAfterDays > 0 {
		rules = append(rules, expire(a.ExpireAfterDays))
	}
	return rules
}

// cleanUp deletes what is no record: parts of uploads that were given up, and deletion markers that hide nothing.
func cleanUp() s3.BucketLifecycleConfigurationV2RuleArgs {
	return s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("clean-up"), Status: pulumi.String("Enabled"), Filter: everyObject,
		AbortIncompleteMultipartUpload: s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{DaysAfterInitiation: pulumi.Int(7)},
		Expiration:                     s3.BucketLifecycleConfigurationV2RuleExpirationArgs{ExpiredObjectDeleteMarker: pulumi.Bool(true)},
	}
}

// expire deletes for good after twice the days: a shorter time for versions would let whoever may delete an object, but
// none of its versions, end its retention early.
func expire(days int) s3.BucketLifecycleConfigurationV2RuleArgs {
	return s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("expire"), Status: pulumi.String("Enabled"), Filter: everyObject,
		Expiration:                  s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: pulumi.Int(days)},
		NoncurrentVersionExpiration: s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: pulumi.Int(days)},
	}
}

// expireResults deletes copies of records: unlike expire, it leaves no version of them for long.
func expireResults(days int) s3.BucketLifecycleConfigurationV2RuleArgs {
	return s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("expire"), Status: pulumi.String("Enabled"), Filter: everyObject,
		Expiration:                  s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: pulumi.Int(days)},
		NoncurrentVersionExpiration: s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: pulumi.Int(1)},
	}
}

var everyObject = s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")}

// newLogBucket makes all that must be in place before Bedrock writes to the bucket. key is nil without one of the customer's.
func newLogBucket(ctx *pulumi.Context, name string, a BedrockLoggingArgs, to target, bucket *s3.BucketV2, key pulumi.StringPtrInput, child []pulumi.ResourceOption) ([]pulumi.Resource, error) {
	policy := bucket.Arn.ApplyT(func(arn string) (string, error) {
		return logBucketPolicy(arn, to.account, to.region, to.partition, []string{contract.LogPrefix, contract.LargeDataPrefix})
	}).(pulumi.StringOutput)
	ready, err := protectBucket(ctx, name, bucket, bucketEncryption(key), policy, logLifecycle(a), child)
	if err != nil || a.ObjectLockMode == noObjectLock {
		return ready, err
	}
	// Not on the bucket, where a lock that is wanted later would make a new one, without the records.
	lock, err := s3.NewBucketObjectLockConfigurationV2(ctx, name, &s3.BucketObjectLockConfigurationV2Args{
		Bucket: bucket.ID(), Rule: s3.BucketObjectLockConfigurationV2RuleArgs{
			DefaultRetention: s3.BucketObjectLockConfigurationV2RuleDefaultRetentionArgs{Mode: pulumi.String(a.ObjectLockMode), Days: pulumi.Int(a.ObjectLockDays)},
		},
	}, append(child, pulumi.DependsOn(ready))...)
	return append(ready, lock), err
}

// newAccessLog has S3 say who reads, writes and deletes in the log's bucket, in a bucket of its own: S3 delivers to none
// with an object lock, and to one with a customer's key only where that key's policy admits S3's log delivery (S3 User
// Guide, "Enabling Amazon S3 server access logging"). It delivers within hours, and not everything for certain.
func newAccessLog(ctx *pulumi.Context, name string, a BedrockLoggingArgs, to target, logged *s3.BucketV2, child []pulumi.ResourceOption) (*s3.BucketV2, *s3.BucketLoggingV2, error) {
	bucket, err := s3.NewBucketV2(ctx, name+"-access", &s3.BucketV2Args{ForceDestroy: pulumi.Bool(a.DeleteOnDestroy), Tags: a.Tags}, child...)
	if err != nil {
		return nil, nil, err
	}
	policy := pulumi.All(bucket.Arn, logged.Arn).ApplyT(func(arns []any) (string, error) {
		return accessLogBucketPolicy(arns[0].(string), arns[1].(string), to.account)
	}).(pulumi.StringOutput)
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp(), expire(a.LogRetentionDays)}
	ready, err := protectBucket(ctx, name+"-access", bucket, ownKeyOfS3, policy, rules, child)
	if err != nil {
		return nil, nil, err
	}
	logging, err := s3.NewBucketLoggingV2(ctx, name, &s3.BucketLoggingV2Args{
		Bucket: logged.ID(), TargetBucket: bucket.ID(), TargetPrefix: pulumi.String(""),
	}, append(child, pulumi.DependsOn(ready))...)
	return bucket, logging, err
}

// bucketEncryption is by a KMS key, or by S3's own where that is nil.
func bucketEncryption(key pulumi.StringPtrInput) s3.BucketServerSideEncryptionConfigurationV2RuleArgs {
	if key == nil {
		return ownKeyOfS3
	}
	return s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
		BucketKeyEnabled: pulumi.Bool(true), // else KMS is called, and paid, for each object
		ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{
			SseAlgorithm: pulumi.String("aws:kms"), KmsMasterKeyId: key,
		},
	}
}

var ownKeyOfS3 = s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
	ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{SseAlgorithm: pulumi.String("AES256")},
}

// protectBucket makes a bucket private, versioned, encrypted and its owner's, and answers with what that needs; the
// lifecycle, too, but none has to wait for that.
func protectBucket(ctx *pulumi.Context, name string, bucket *s3.BucketV2, encryption s3.BucketServerSideEncryptionConfigurationV2RuleArgs, policy pulumi.StringInput, lifecycle s3.BucketLifecycleConfigurationV2RuleArray, child []pulumi.ResourceOption) ([]pulumi.Resource, error) {
	block, err := s3.NewBucketPublicAccessBlock(ctx, name, &s3.BucketPublicAccessBlockArgs{
		Bucket: bucket.ID(), BlockPublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(true),
		IgnorePublicAcls: pulumi.Bool(true), RestrictPublicBuckets: pulumi.Bool(true),
	}, child...)
	if err != nil {
		return nil, err
	}
	// Bedrock delivers to buckets without ACLs only (Bedrock User Guide, "Model invocation logging").
	ownership, err := s3.NewBucketOwnershipControls(ctx, name, &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.ID(), Rule: &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, child...)
	if err != nil {
		return nil, err
	}
	// Whoever overwrites or deletes a record leaves the record behind as an older version.
	versioning, err := s3.NewBucketVersioningV2(ctx, name, &s3.BucketVersioningV2Args{
		Bucket: bucket.ID(), VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, child...)
	if err != nil {
		return nil, err
	}
	encrypted, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, name, &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: bucket.ID(), Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{encryption},
	}, child...)
	if err != nil {
		return nil, err
	}
	attached, err := s3.NewBucketPolicy(ctx, name, &s3.BucketPolicyArgs{
		Bucket: bucket.ID(), Policy: policy,
		// After the block and not beside it: S3 refuses two changes of a bucket's access at once.
	}, append(child, pulumi.DependsOn([]pulumi.Resource{block, ownership}))...)
	if err != nil {
		return nil, err
	}
	// Before there are versions, expiry would delete for good at once.
	_, err = s3.NewBucketLifecycleConfigurationV2(ctx, name, &s3.BucketLifecycleConfigurationV2Args{
		Bucket: bucket.ID(), Rules: lifecycle,
	}, append(child, pulumi.DependsOn([]pulumi.Resource{versioning}))...)
	return []pulumi.Resource{block, ownership, versioning, encrypted, attached}, err
}
