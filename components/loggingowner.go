package components

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// keepForeignLogging makes Pulumi check where logging goes just before it sets or deletes the account's logging
// configuration, and in the preview of setting it. Without the check, either would take over another owner's logging
// silently.
//
// With a hook on deletion, `pulumi destroy` needs --run-program. The hook is there only if a deletion would be done.
func keepForeignLogging(s scope, a BedrockLoggingArgs) (pulumi.ResourceOption, error) {
	hooks := &pulumi.ResourceHookBinding{}
	if s.ctx.RunningWithMocks() { // mocks panic on hooks
		return pulumi.ResourceHooks(hooks), nil
	}
	hook, err := s.ctx.RegisterResourceHook(s.name+"-owner", func(args *pulumi.ResourceHookArgs) error {
		// If a program in another language made the component, the component's context ends long before a deletion.
		ctx := context.WithoutCancel(s.ctx.Context())
		cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(s.target.Region))
		if err != nil {
			return err
		}
		current, err := currentLogging(ctx, cfg, s.target)
		if err != nil {
			return fmt.Errorf("where Bedrock's invocation logging of account %s in %s goes now: %w%s",
				s.target.Account, s.target.Region, err, waysOut)
		}
		properties := args.NewInputs
		if properties == nil { // a deletion
			properties = args.OldOutputs
		}
		return checkLoggingOwner(current, bucketOf(properties), s.target)
	}, &pulumi.ResourceHookOptions{OnDryRun: true})
	check := []*pulumi.ResourceHook{hook}
	if !a.AdoptInvocationLogging {
		hooks.BeforeCreate, hooks.BeforeUpdate = check, check
	}
	if !*a.RetainLogs {
		hooks.BeforeDelete = check
	}
	return pulumi.ResourceHooks(hooks), err
}

// waysOut names arguments of BedrockLogging and, in parentheses, the program's setting for leaving the component out.
const waysOut = `
To replace the existing configuration, set adoptInvocationLogging to true.
To keep it, remove BedrockLogging (manageInvocationLogging: false).
To destroy this stack, first update it with retainLogs: true.`

// loggingDestination is where logging goes; the zero value means that logging is off.
type loggingDestination struct{ bucket, logGroup string }

// checkLoggingOwner rejects a configuration of another owner. bucket is the component's own, and empty before it
// exists.
func checkLoggingOwner(current loggingDestination, bucket string, to iamdoc.Target) error {
	if current == (loggingDestination{}) || bucket != "" && current.bucket == bucket {
		return nil
	}
	return fmt.Errorf("Bedrock's invocation logging of account %s in %s belongs to another owner, or was left by a stack "+
		"that is gone: got bucket %q and log group %q, want none, or this stack's bucket%s",
		to.Account, to.Region, current.bucket, current.logGroup, waysOut)
}

// bucketOf is the bucket's name in a logging configuration's properties; it's empty until the name is known.
func bucketOf(properties resource.PropertyMap) string {
	level := properties.Mappable()
	for _, key := range []string{"loggingConfig", "s3Config"} {
		level, _ = level[key].(map[string]any)
	}
	bucket, _ := level["bucketName"].(string)
	return bucket
}

// currentLogging asks AWS, because the provider has no lookup for it. It uses the credentials that AWS's SDK finds by
// itself, which can belong to another account than the provider's.
func currentLogging(ctx context.Context, cfg sdk.Config, to iamdoc.Target) (current loggingDestination, err error) {
	identity, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return current, err
	}
	if account := sdk.ToString(identity.Account); account != to.Account {
		return current, fmt.Errorf("AWS_PROFILE, or the environment's other credentials, are of account %s, want the "+
			"provider's, %s",
			account, to.Account)
	}
	out, err := bedrock.NewFromConfig(cfg).GetModelInvocationLoggingConfiguration(ctx, nil)
	if err != nil || out.LoggingConfig == nil {
		return current, err
	}
	if s3 := out.LoggingConfig.S3Config; s3 != nil {
		current.bucket = sdk.ToString(s3.BucketName)
	}
	if group := out.LoggingConfig.CloudWatchConfig; group != nil {
		current.logGroup = sdk.ToString(group.LogGroupName)
	}
	return current, nil
}
