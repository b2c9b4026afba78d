package components

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	noObjectLock = "none"
	// notArchived is the storage class of records that stay where Bedrock wrote them.
	notArchived = "STANDARD"
)

// storageClasses are S3's storage classes that keep a record in more than one zone.
var storageClasses = []string{
	"DEEP_ARCHIVE", "GLACIER", "GLACIER_IR", "INTELLIGENT_TIERING", "STANDARD_IA", notArchived,
}

// CheckArchive rejects a lifecycle that S3 rejects. If expireAfterDays is 0, records never expire.
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
	// S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle"
	case storageClass == "STANDARD_IA" && afterDays < 30:
		return fmt.Errorf("got STANDARD_IA after %d days, want 30 or more, which S3 asks of that class", afterDays)
	case expireAfterDays > 0 && expireAfterDays <= afterDays: // S3 API Reference, "PutBucketLifecycleConfiguration"
		return fmt.Errorf("got expiry after %d days and archiving after %d, want expiry later, or the storage class %s",
			expireAfterDays, afterDays, notArchived)
	}
	return nil
}

// CheckObjectLock rejects a lock that S3 rejects, and one that contradicts another argument.
func CheckObjectLock(mode string, days, expireAfterDays int, retainLogs bool) error {
	switch {
	case mode == noObjectLock && days == 0:
		return nil
	case mode == noObjectLock:
		return fmt.Errorf("got %d days without a mode, want GOVERNANCE or COMPLIANCE, or 0 days", days)
	case mode != "GOVERNANCE" && mode != "COMPLIANCE":
		return fmt.Errorf("got %q, want none, GOVERNANCE or COMPLIANCE", mode)
	case days < 1 || days > 36_500: // S3 User Guide, "Setting limits on retention periods with a bucket policy": 100 years
		return fmt.Errorf("got %s for %d days, want 1 to 36500 days", mode, days)
	case mode == "COMPLIANCE" && !retainLogs:
		return errors.New("got COMPLIANCE for a log that is to be deleted with its stack, which not even the " +
			"account's root user could: " +
			"want GOVERNANCE, or a log that is retained")
	case expireAfterDays > 0 && expireAfterDays < days:
		return fmt.Errorf("got a lock for %d days and expiry after %d, want expiry no earlier than the lock's end",
			days, expireAfterDays)
	}
	return nil
}

// logLifecycle archives and expires records. Without the filter by size, S3 would not move records under 128 KB, which
// most records are, into every class (S3 User Guide, "Transitioning objects using Amazon S3 Lifecycle").
func logLifecycle(a BedrockLoggingArgs) s3.BucketLifecycleConfigurationV2RuleArray {
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp()}
	if a.ArchiveStorageClass != notArchived {
		rules = append(rules, s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("archive"), Status: pulumi.String("Enabled"),
			Filter: s3.BucketLifecycleConfigurationV2RuleFilterArgs{ObjectSizeGreaterThan: pulumi.Int(1)}, // bytes
			Transitions: s3.BucketLifecycleConfigurationV2RuleTransitionArray{
				s3.BucketLifecycleConfigurationV2RuleTransitionArgs{
					Days: pulumi.Int(a.ArchiveAfterDays), StorageClass: pulumi.String(a.ArchiveStorageClass),
				},
			},
		})
	}
	if a.ExpireAfterDays > 0 {
		rules = append(rules, expire(a.ExpireAfterDays))
	}
	return rules
}

// cleanUp deletes what isn't a record: parts of abandoned uploads, and delete markers that hide nothing.
func cleanUp() s3.BucketLifecycleConfigurationV2RuleArgs {
	return s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("clean-up"), Status: pulumi.String("Enabled"), Filter: everyObject,
		AbortIncompleteMultipartUpload: s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{
			DaysAfterInitiation: pulumi.Int(7),
		},
		Expiration: s3.BucketLifecycleConfigurationV2RuleExpirationArgs{ExpiredObjectDeleteMarker: pulumi.Bool(true)},
	}
}

// expire deletes permanently after twice the days: with fewer days for versions, a principal that can delete an object,
// but none of its versions, could end its retention early.
func expire(days int) s3.BucketLifecycleConfigurationV2RuleArgs {
	return s3.BucketLifecycleConfigurationV2RuleArgs{
		Id: pulumi.String("expire"), Status: pulumi.String("Enabled"), Filter: everyObject,
		Expiration: s3.BucketLifecycleConfigurationV2RuleExpirationArgs{Days: pulumi.Int(days)},
		NoncurrentVersionExpiration: s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{
			NoncurrentDays: pulumi.Int(days),
		},
	}
}

// expireResults deletes copies of records, and their versions a day later.
func expireResults(days int) s3.BucketLifecycleConfigurationV2RuleArgs {
	rule := expire(days)
	rule.NoncurrentVersionExpiration = s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{
		NoncurrentDays: pulumi.Int(1),
	}
	return rule
}

var everyObject = s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")}

// newLogBucket makes everything that must be in place before Bedrock writes to the bucket. Without a customer managed
// key, key is nil.
func newLogBucket(
	s scope, a BedrockLoggingArgs, bucket *s3.BucketV2, key pulumi.StringPtrInput,
) ([]pulumi.Resource, error) {
	policy := bucket.Arn.ApplyT(func(arn string) (string, error) {
		return logBucketPolicy(s.target, arn)
	}).(pulumi.StringOutput)
	ready, err := protectBucket(s, bucket, bucketEncryption(key), policy, logLifecycle(a))
	if err != nil || a.ObjectLockMode == noObjectLock {
		return ready, err
	}
	// Not on the bucket itself, where adding a lock later would replace the bucket, without the records.
	lock, err := s3.NewBucketObjectLockConfigurationV2(s.ctx, s.name, &s3.BucketObjectLockConfigurationV2Args{
		Bucket: bucket.ID(), Rule: s3.BucketObjectLockConfigurationV2RuleArgs{
			DefaultRetention: s3.BucketObjectLockConfigurationV2RuleDefaultRetentionArgs{
				Mode: pulumi.String(a.ObjectLockMode), Days: pulumi.Int(a.ObjectLockDays),
			},
		},
	}, s.options(pulumi.DependsOn(ready))...)
	return append(ready, lock), err
}

// newAccessLog makes S3 log reads, writes and deletions in the log's bucket, into a bucket of its own: S3 delivers to
// no bucket with an object lock, and to one with a customer managed key only if that key's policy allows S3's log
// delivery (S3 User Guide, "Enabling Amazon S3 server access logging"). S3 delivers within hours, and doesn't guarantee
// every entry.
func newAccessLog(s scope, a BedrockLoggingArgs, logged *s3.BucketV2) (*s3.BucketV2, *s3.BucketLoggingV2, error) {
	access := s.named("-access")
	bucket, err := s3.NewBucketV2(s.ctx, access.name, &s3.BucketV2Args{
		ForceDestroy: pulumi.Bool(!*a.RetainLogs), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return nil, nil, err
	}
	policy := pulumi.All(bucket.Arn, logged.Arn).ApplyT(func(arns []any) (string, error) {
		return accessLogBucketPolicy(arns[0].(string), arns[1].(string), s.target.Account)
	}).(pulumi.StringOutput)
	rules := s3.BucketLifecycleConfigurationV2RuleArray{cleanUp(), expire(a.LogRetentionDays)}
	ready, err := protectBucket(access, bucket, ownKeyOfS3, policy, rules)
	if err != nil {
		return nil, nil, err
	}
	logging, err := s3.NewBucketLoggingV2(s.ctx, s.name, &s3.BucketLoggingV2Args{
		Bucket: logged.ID(), TargetBucket: bucket.ID(), TargetPrefix: pulumi.String(""),
	}, s.options(pulumi.DependsOn(ready))...)
	return bucket, logging, err
}

// encryptionByDefault is short for a name of 86 characters.
type encryptionByDefault = s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs

// bucketEncryption encrypts with a KMS key or, if that's nil, with S3's own.
func bucketEncryption(key pulumi.StringPtrInput) s3.BucketServerSideEncryptionConfigurationV2RuleArgs {
	if key == nil {
		return ownKeyOfS3
	}
	return s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
		BucketKeyEnabled: pulumi.Bool(true), // otherwise S3 calls KMS, which is billed, for each object
		ApplyServerSideEncryptionByDefault: encryptionByDefault{
			SseAlgorithm: pulumi.String("aws:kms"), KmsMasterKeyId: key,
		},
	}
}

var ownKeyOfS3 = s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
	ApplyServerSideEncryptionByDefault: encryptionByDefault{
		SseAlgorithm: pulumi.String("AES256"),
	},
}

// protectBucket makes a bucket private, versioned and encrypted, without ACLs, and returns the resources that do that.
// It also sets the lifecycle, which no writer has to wait for.
func protectBucket(
	s scope, bucket *s3.BucketV2, encryption s3.BucketServerSideEncryptionConfigurationV2RuleArgs,
	policy pulumi.StringInput,
	lifecycle s3.BucketLifecycleConfigurationV2RuleArray,
) ([]pulumi.Resource, error) {
	block, err := s3.NewBucketPublicAccessBlock(s.ctx, s.name, &s3.BucketPublicAccessBlockArgs{
		Bucket: bucket.ID(), BlockPublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(true),
		IgnorePublicAcls: pulumi.Bool(true), RestrictPublicBuckets: pulumi.Bool(true),
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	// Bedrock delivers only to buckets without ACLs (Bedrock User Guide, "Model invocation logging").
	ownership, err := s3.NewBucketOwnershipControls(s.ctx, s.name, &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.ID(), Rule: &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	// If a record is overwritten or deleted, it stays as a noncurrent version.
	versioning, err := s3.NewBucketVersioningV2(s.ctx, s.name, &s3.BucketVersioningV2Args{
		Bucket: bucket.ID(), VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{
			Status: pulumi.String("Enabled"),
		},
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	encrypted, err := s3.NewBucketServerSideEncryptionConfigurationV2(s.ctx, s.name,
		&s3.BucketServerSideEncryptionConfigurationV2Args{
			Bucket: bucket.ID(), Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{encryption},
		}, s.options()...)
	if err != nil {
		return nil, err
	}
	attached, err := s3.NewBucketPolicy(s.ctx, s.name, &s3.BucketPolicyArgs{
		Bucket: bucket.ID(), Policy: policy,
		// After the block and not beside it: S3 rejects two concurrent changes of a bucket's access.
	}, s.options(pulumi.DependsOn([]pulumi.Resource{block, ownership}))...)
	if err != nil {
		return nil, err
	}
	// Without versions, expiry would delete permanently at once.
	_, err = s3.NewBucketLifecycleConfigurationV2(s.ctx, s.name, &s3.BucketLifecycleConfigurationV2Args{
		Bucket: bucket.ID(), Rules: lifecycle,
	}, s.options(pulumi.DependsOn([]pulumi.Resource{versioning}))...)
	return []pulumi.Resource{block, ownership, versioning, encrypted, attached}, err
}
