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

// keepForeignLogging has Pulumi look, just before it would set or delete the account's logging configuration and in the
// preview of setting it, where logging goes now: both would take it from whomever it belongs to, without a word.
//
// With a hook on deletion, `pulumi destroy` needs --run-program: it is there only where a deletion would be done.
func keepForeignLogging(ctx *pulumi.Context, name string, a BedrockLoggingArgs, to iamdoc.Target) (pulumi.ResourceOption, error) {
	hooks := &pulumi.ResourceHookBinding{}
	if ctx.RunningWithMocks() { // which know no hooks, and panic
		return pulumi.ResourceHooks(hooks), nil
	}
	hook, err := ctx.RegisterResourceHook(name+"-owner", func(args *pulumi.ResourceHookArgs) error {
		// Where another language's program made the component, its context ends with that, long before a deletion.
		asking := context.WithoutCancel(ctx.Context())
		cfg, err := config.LoadDefaultConfig(asking, config.WithRegion(to.Region))
		if err != nil {
			return err
		}
		current, err := currentLogging(asking, cfg, to)
		if err != nil {
			return fmt.Errorf("where Bedrock's invocation logging of account %s in %s goes now: %w%s", to.Account, to.Region, err, waysOut)
		}
		properties := args.NewInputs
		if properties == nil { // of a deletion
			properties = args.OldOutputs
		}
		return checkLoggingOwner(current, bucketOf(properties), to)
	}, &pulumi.ResourceHookOptions{OnDryRun: true})
	look := []*pulumi.ResourceHook{hook}
	if !a.AdoptInvocationLogging {
		hooks.BeforeCreate, hooks.BeforeUpdate = look, look
	}
	if a.DeleteOnDestroy {
		hooks.BeforeDelete = look
	}
	return pulumi.ResourceHooks(hooks), err
}

// waysOut are named as a component's user has them, and in brackets as a user of the program's settings.
const waysOut = `
To take it over, adoptInvocationLogging: true. To leave it as it is, no BedrockLogging (manageInvocationLogging: false); before a deletion, an update with deleteOnDestroy: false (retainLogs: true)`

// loggingDestination is where logging goes; its zero is nowhere, off.
type loggingDestination struct{ bucket, logGroup string }

// checkLoggingOwner refuses what would be taken from somebody else. bucket is the component's own, empty before it is made.
func checkLoggingOwner(current loggingDestination, bucket string, to iamdoc.Target) error {
	if current == (loggingDestination{}) || bucket != "" && current.bucket == bucket {
		return nil
	}
	return fmt.Errorf("Bedrock's invocation logging of account %s in %s is somebody else's, or was left by a stack that is gone: got bucket %q and log group %q, want none, or this stack's bucket%s",
		to.Account, to.Region, current.bucket, current.logGroup, waysOut)
}

// bucketOf is the bucket's name in a logging configuration's properties; empty while it is not known.
func bucketOf(properties resource.PropertyMap) string {
	level := properties.Mappable()
	for _, key := range []string{"loggingConfig", "s3Config"} {
		level, _ = level[key].(map[string]any)
	}
	bucket, _ := level["bucketName"].(string)
	return bucket
}

// currentLogging asks AWS, for the provider has no lookup for it, with the credentials that AWS's SDK finds by itself: they
// could be another account's than the provider's.
func currentLogging(ctx context.Context, cfg sdk.Config, to iamdoc.Target) (current loggingDestination, err error) {
	identity, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return current, err
	}
	if account := sdk.ToString(identity.Account); account != to.Account {
		return current, fmt.Errorf("AWS_PROFILE, or the environment's other credentials, are of account %s, want the provider's, %s", account, to.Account)
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
