package components_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What S3 refuses in the middle of a deployment leaves a bucket without lifecycle, or a lock without an end.
func TestCheckArchive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after   int
		class   string
		expires int
		want    string
	}{
		{90, "DEEP_ARCHIVE", 0, ""}, {1, "GLACIER", 2, ""}, {1, "GLACIER_IR", 0, ""}, {1, "INTELLIGENT_TIERING", 0, ""}, {30, "STANDARD_IA", 31, ""},
		{90, "STANDARD", 30, ""}, {0, "STANDARD", 0, ""},
		{90, "ONEZONE_IA", 0, `got "ONEZONE_IA"`}, {90, "deep_archive", 0, "DEEP_ARCHIVE"}, {90, "", 0, "STANDARD archives nothing"},
		{29, "STANDARD_IA", 0, "30 or more"}, {0, "GLACIER", 0, "after 0 days"}, {90, "GLACIER", 90, "expiry later"}, {90, "STANDARD", -1, "after -1 days"},
	} {
		if err := components.CheckArchive(c.after, c.class, c.expires); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A lock cannot be taken back: one that contradicts the rest has to be refused before it is set.
func TestCheckObjectLock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode          string
		days, expires int
		destroy       bool
		want          string
	}{
		{"none", 0, 0, false, ""}, {"none", 0, 1, true, ""}, {"GOVERNANCE", 1, 0, true, ""}, {"COMPLIANCE", 36_500, 0, false, ""}, {"GOVERNANCE", 30, 30, false, ""},
		{"none", 5, 0, false, "5 days without a mode"}, {"GOVERNANCE", 0, 0, false, "1 to 36500"}, {"COMPLIANCE", 36_501, 0, false, "1 to 36500"},
		{"", 5, 0, false, "want none, GOVERNANCE or COMPLIANCE"}, {"governance", 5, 0, false, `got "governance"`},
		{"COMPLIANCE", 5, 0, true, "root user"}, {"GOVERNANCE", 30, 29, false, "no earlier"},
	} {
		if err := components.CheckObjectLock(c.mode, c.days, c.expires, !c.destroy); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Records that are archived under the wrong rule cost ten times as much, or are gone.
func TestLogLifecycle(t *testing.T) {
	t.Parallel()
	const cleanUp = "map[abortIncompleteMultipartUpload:map[daysAfterInitiation:7] expiration:map[expiredObjectDeleteMarker:true] filter:map[prefix:] id:clean-up status:Enabled]"
	archive := func(class string, days int) string {
		return fmt.Sprintf(" map[filter:map[objectSizeGreaterThan:1] id:archive status:Enabled transitions:[map[days:%d storageClass:%s]]]", days, class)
	}
	expire := func(days int) string {
		return fmt.Sprintf(" map[expiration:map[days:%d] filter:map[prefix:] id:expire noncurrentVersionExpiration:map[noncurrentDays:%[1]d] status:Enabled]", days)
	}
	for name, c := range map[string]struct {
		args       components.BedrockLoggingArgs
		log, whose string
	}{
		"defaults":   {components.BedrockLoggingArgs{}, cleanUp + archive("DEEP_ARCHIVE", 90), cleanUp + expire(90)},
		"everything": {components.BedrockLoggingArgs{LogRetentionDays: 30, ArchiveAfterDays: 7, ArchiveStorageClass: "GLACIER", ExpireAfterDays: 365}, cleanUp + archive("GLACIER", 7) + expire(365), cleanUp + expire(30)},
		"nothing":    {components.BedrockLoggingArgs{ArchiveStorageClass: "STANDARD"}, cleanUp, cleanUp + expire(90)},
	} {
		r := logging(t, c.args)
		for bucket, want := range map[string]string{"x": c.log, "x-access": c.whose} {
			if got := fmt.Sprint(r.Inputs(t, "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", bucket)["rules"]); got != "["+want+"]" {
				t.Errorf("%s: %s has\n%s\nwant\n[%s]", name, bucket, got, want)
			}
		}
	}
}

// A lock that comes with the bucket makes a new one when it is wanted later; one that comes after Bedrock misses records; one
// that nobody asked for is there for ever.
func TestObjectLock(t *testing.T) {
	t.Parallel()
	const lock = "aws:s3/bucketObjectLockConfigurationV2:BucketObjectLockConfigurationV2"
	locked := logging(t, components.BedrockLoggingArgs{ObjectLockMode: "GOVERNANCE", ObjectLockDays: 30})
	for _, bucket := range []string{"x", "x-access"} { // S3 delivers no access log to a locked one
		if got := locked.Inputs(t, "aws:s3/bucketV2:BucketV2", bucket)["objectLockEnabled"]; got != nil {
			t.Errorf("%s: objectLockEnabled = %v", bucket, got)
		}
	}
	if got := fmt.Sprint(locked.Inputs(t, lock, "x")["rule"]); got != "map[defaultRetention:map[days:30 mode:GOVERNANCE]]" {
		t.Errorf("rule = %s", got)
	}
	for _, setting := range locked.OfType("aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration") {
		if waits := strings.Join(setting.Dependencies, "\n"); !strings.Contains(waits, lock) {
			t.Errorf("records before the lock are not locked: waits for\n%s", waits)
		}
	}
	if n := len(locked.OfType(lock)); n != 1 {
		t.Errorf("%d buckets are locked, want the records' alone", n)
	}
	if open := logging(t, components.BedrockLoggingArgs{}); len(open.OfType(lock)) > 0 {
		t.Error("locked unasked")
	}
}

// Expiry in a bucket without versions deletes for good at once; S3 refuses an access log that it may not write.
func TestBucketsInOrder(t *testing.T) {
	t.Parallel()
	r := logging(t, components.BedrockLoggingArgs{})
	waits := func(one componentstest.Resource, want string) {
		t.Helper()
		if !slices.ContainsFunc(one.Dependencies, func(urn string) bool { return strings.HasSuffix(urn, want) }) {
			t.Errorf("%s %s does not wait for %s, only for\n%s", one.Type, one.Name, want, strings.Join(one.Dependencies, "\n"))
		}
	}
	for _, lifecycle := range r.OfType("aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2") {
		waits(lifecycle, "BucketVersioningV2::"+lifecycle.Name)
	}
	for _, accessLog := range r.OfType("aws:s3/bucketLoggingV2:BucketLoggingV2") {
		waits(accessLog, "BucketPolicy::x-access")
	}
}

// Whoever wants no key of its own pays none, and grants nobody one.
func TestNoCustomerManagedKey(t *testing.T) {
	t.Parallel()
	r := logging(t, components.BedrockLoggingArgs{CustomerManagedKey: pulumi.BoolRef(false)})
	if n := len(r.OfType("aws:kms/key:Key")) + len(r.OfType("aws:kms/alias:Alias")); n > 0 {
		t.Errorf("%d of KMS's resources", n)
	}
	if got := fmt.Sprint(r.Inputs(t, "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x")["rules"]); !strings.Contains(got, "sseAlgorithm:AES256") {
		t.Errorf("records in the clear: %s", got)
	}
	if got := r.Inputs(t, "aws:cloudwatch/logGroup:LogGroup", "x")["kmsKeyId"]; got != nil {
		t.Errorf("kmsKeyId = %v", got)
	}
	if got := fmt.Sprint(r.Inputs(t, "aws:iam/rolePolicy:RolePolicy", "x-policy")["policy"]); strings.Contains(got, "kms:") {
		t.Errorf("policy = %s", got)
	}
}

func logging(t *testing.T, args components.BedrockLoggingArgs) componentstest.Recording {
	t.Helper()
	return componentstest.Run(t, func(ctx *pulumi.Context) error {
		_, err := components.NewBedrockLogging(ctx, "x", &args)
		return err
	})
}

// What is written before the mask is there stays readable to all.
func TestMaskPersonalData(t *testing.T) {
	t.Parallel()
	const mask = "aws:cloudwatch/logDataProtectionPolicy:LogDataProtectionPolicy"
	if made := logging(t, components.BedrockLoggingArgs{}).OfType(mask); len(made) > 0 {
		t.Errorf("unasked: %v", made)
	}
	r := logging(t, components.BedrockLoggingArgs{MaskPersonalData: true})
	in := r.Inputs(t, mask, "x")
	if policy := fmt.Sprint(in["policyDocument"]); in["logGroupName"] != "/aws/bedrock/x" || len(policy) > 30_720 { // CloudWatch Logs' limit
		t.Errorf("%v, %d characters", in["logGroupName"], len(policy))
	}
	for _, setting := range r.OfType("aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration") {
		if !slices.ContainsFunc(setting.Dependencies, func(urn string) bool { return strings.HasSuffix(urn, "LogDataProtectionPolicy::x") }) {
			t.Errorf("logging is on before the mask is there: it waits for\n%s", strings.Join(setting.Dependencies, "\n"))
		}
	}
}
