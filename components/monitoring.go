package components

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Monitoring tells when the log loses records, when the API fails, and when somebody changes what either rests on: alarms
// and event rules that publish to one topic, and a dashboard. The rules need a CloudTrail trail in the account that logs
// writing management events in this region; without one, none of them rings. An update of the stack rings them, too.
type Monitoring struct {
	pulumi.ResourceState

	// TopicArn of the topic to subscribe to.
	TopicArn pulumi.StringOutput `pulumi:"topicArn"`
}

// MonitoringArgs are Monitoring's arguments.
type MonitoringArgs struct {
	// FunctionArn, and ApiId, ApiName and StageName of the API. Required.
	FunctionArn pulumi.StringInput `pulumi:"functionArn"`
	ApiId       pulumi.StringInput `pulumi:"apiId"`
	ApiName     pulumi.StringInput `pulumi:"apiName"`
	StageName   string             `pulumi:"stageName"`
	// BucketNames of the invocation log, of its access log and of AuditQuery's results. Default: none, as where another stack has them.
	BucketNames []pulumi.StringInput `pulumi:"bucketNames,optional"`
	// LogGroupNames of the invocation log, of the function, whose lines are metrics, and of the API. Default: none.
	LogGroupNames []pulumi.StringInput `pulumi:"logGroupNames,optional"`
	// KeyIds that the invocation log is encrypted with. Default: none. The topic's own is watched in any case.
	KeyIds []pulumi.StringInput `pulumi:"keyIds,optional"`
	// DatabaseName and WorkgroupName are those of AuditQuery. Default: none.
	DatabaseName  pulumi.StringInput `pulumi:"databaseName,optional"`
	WorkgroupName pulumi.StringInput `pulumi:"workgroupName,optional"`
	// SlowMs is the latency, in milliseconds, that one call in ten reaches for 15 minutes before it is told. Default: 60000.
	SlowMs float64 `pulumi:"slowMs,optional"`
	// AlarmEmail gets every message, once its owner has followed the link in SNS's first one. Default: none.
	AlarmEmail string `pulumi:"alarmEmail,optional"`
	// NoCustomerManagedKey leaves the messages, which hold no prompt, without encryption but TLS. Default: false, a KMS key
	// of the topic's own, at 1 USD a month.
	NoCustomerManagedKey bool `pulumi:"noCustomerManagedKey,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a MonitoringArgs) withDefaults() MonitoringArgs {
	if a.SlowMs == 0 {
		a.SlowMs = 60_000
	}
	return a
}

// Not RFC 5322, but what people have: SNS sends the confirmation, and tells of nothing that comes back.
var email = regexp.MustCompile(`^[^@\s"<>]+@[^@\s"<>]+\.[^@\s"<>]+$`)

// CheckAlarmEmail refuses what cannot be an address; empty is none.
func CheckAlarmEmail(address string) error {
	if address != "" && !email.MatchString(address) {
		return fmt.Errorf("got %q, want an address such as oncall@example.com, or nothing", address)
	}
	return nil
}

func (a MonitoringArgs) validate(name string) error {
	var errs []error
	if a.FunctionArn == nil || a.ApiId == nil || a.ApiName == nil || a.StageName == "" {
		errs = append(errs, errors.New("FunctionArn, ApiId, ApiName, StageName: got nil, want all four, such as BedrockFunction's and PrivateApi's"))
	}
	if err := CheckAlarmEmail(a.AlarmEmail); err != nil {
		errs = append(errs, fmt.Errorf("AlarmEmail: %w", err))
	}
	if (a.DatabaseName == nil) != (a.WorkgroupName == nil) {
		errs = append(errs, errors.New("DatabaseName, WorkgroupName: got one of the two, want both, such as AuditQuery's, or none"))
	}
	if a.SlowMs < 0 {
		errs = append(errs, fmt.Errorf("SlowMs: got %v, want more than 0", a.SlowMs))
	}
	if len(name) > 54 { // EventBridge API Reference, "PutRule": 64, of which the longest rule has 10
		errs = append(errs, fmt.Errorf("name: got %q, %d characters, want at most 54, else the names of rules are too long", name, len(name)))
	}
	return errors.Join(errs...)
}

// NewMonitoring makes a Monitoring.
func NewMonitoring(ctx *pulumi.Context, name string, args *MonitoringArgs, opts ...pulumi.ResourceOption) (*Monitoring, error) {
	if args == nil {
		args = &MonitoringArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(name); err != nil {
		return nil, fmt.Errorf("Monitoring %s: %w", name, err)
	}
	c := &Monitoring{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:Monitoring", name, c, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(c)
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
	topicArgs := &sns.TopicArgs{Name: pulumi.String(name), Tags: a.Tags}
	if !a.NoCustomerManagedKey {
		keyPolicy, err := topicKeyPolicy(to, name+"-")
		if err != nil {
			return nil, err
		}
		key, err := kms.NewKey(ctx, name, &kms.KeyArgs{
			Description: pulumi.String("Messages of " + name), EnableKeyRotation: pulumi.Bool(true), Policy: pulumi.String(keyPolicy),
			Tags: withName(a.Tags, name), // by which policies/deployer-policy.json has this key deleted, and not the log's
		}, parent)
		if err != nil {
			return nil, err
		}
		topicArgs.KmsMasterKeyId = key.Arn
		a.KeyIds = append(a.KeyIds[:len(a.KeyIds):len(a.KeyIds)], key.ID()) // a copy
	}
	topic, err := sns.NewTopic(ctx, name, topicArgs, parent)
	if err != nil {
		return nil, err
	}
	// Not in the topic, whose ARN it names.
	attached, err := sns.NewTopicPolicy(ctx, name, &sns.TopicPolicyArgs{Arn: topic.Arn, Policy: topic.Arn.ApplyT(func(arn string) (string, error) {
		return topicPolicy(to, arn, name+"-")
	}).(pulumi.StringOutput)}, parent)
	if err != nil {
		return nil, err
	}
	told := pulumi.DependsOn([]pulumi.Resource{attached}) // before, the topic takes nothing
	if a.AlarmEmail != "" {
		if _, err := sns.NewTopicSubscription(ctx, name, &sns.TopicSubscriptionArgs{
			Topic: topic.Arn, Protocol: pulumi.String("email"), Endpoint: pulumi.String(a.AlarmEmail),
		}, parent); err != nil {
			return nil, err
		}
	}
	if err := newTamperRules(ctx, name, a, topic.Arn, parent, told); err != nil {
		return nil, err
	}
	if err := newAlarms(ctx, name, a, to, topic.Arn, parent, told); err != nil {
		return nil, err
	}
	c.TopicArn = topic.Arn
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"topicArn": c.TopicArn})
}

// newTamperRules makes those rules for which there is something to watch. Which these are must be known before any name is:
// a preview shows them all.
func newTamperRules(ctx *pulumi.Context, name string, a MonitoringArgs, topicArn pulumi.StringOutput, parent, told pulumi.ResourceOption) error {
	planned := watched{buckets: make([]string, len(a.BucketNames)), logGroups: make([]string, len(a.LogGroupNames)), keyIds: make([]string, len(a.KeyIds))}
	var database, workgroup pulumi.StringInput = pulumi.String(""), pulumi.String("")
	if a.DatabaseName != nil {
		planned.database, database, workgroup = "there is one", a.DatabaseName, a.WorkgroupName
	}
	all := pulumi.All(pulumi.StringArray(a.BucketNames), pulumi.StringArray(a.LogGroupNames), pulumi.StringArray(a.KeyIds), a.ApiId, a.FunctionArn, topicArn, database, workgroup)
	for i, plan := range tamperRules(planned) {
		pattern := all.ApplyT(func(v []any) (string, error) {
			return tamperRules(watched{
				buckets: v[0].([]string), logGroups: v[1].([]string), keyIds: v[2].([]string),
				apiId: fmt.Sprint(v[3]), functionArn: v[4].(string), topicArn: v[5].(string), name: name + "-",
				database: v[6].(string), workgroup: v[7].(string),
			})[i].pattern()
		}).(pulumi.StringOutput)
		rule, err := cloudwatch.NewEventRule(ctx, name+"-"+plan.name, &cloudwatch.EventRuleArgs{
			Name: pulumi.String(name + "-" + plan.name), Description: pulumi.String(plan.means), EventPattern: pattern, Tags: a.Tags,
			State: pulumi.String("ENABLED"), // said, because a rule that somebody disabled would else be no drift
		}, parent)
		if err != nil {
			return err
		}
		if _, err := cloudwatch.NewEventTarget(ctx, name+"-"+plan.name, &cloudwatch.EventTargetArgs{
			Rule: rule.Name, Arn: topicArn, TargetId: pulumi.String("topic"),
			InputTransformer: &cloudwatch.EventTargetInputTransformerArgs{InputPaths: pulumi.ToStringMap(tamperFields), InputTemplate: pulumi.String(plan.message())},
		}, parent, told); err != nil {
			return err
		}
	}
	return nil
}

// newAlarms makes the alarms and the dashboard that shows them.
func newAlarms(ctx *pulumi.Context, name string, a MonitoringArgs, to target, topicArn pulumi.StringOutput, parent, told pulumi.ResourceOption) error {
	names := pulumi.All(a.FunctionArn, a.ApiName)
	of := func(v []any) (functionName, apiName string) {
		arn := v[0].(string)
		return arn[strings.LastIndex(arn, ":")+1:], v[1].(string)
	}
	var arns []string
	for i, plan := range alarms("", "", a.StageName, a.SlowMs) {
		made := func(v []any) alarm {
			functionName, apiName := of(v)
			return alarms(functionName, apiName, a.StageName, a.SlowMs)[i]
		}
		alarmArgs := &cloudwatch.MetricAlarmArgs{
			Name: pulumi.String(name + "-" + plan.name), AlarmDescription: pulumi.String(plan.means), Tags: a.Tags,
			ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Threshold: pulumi.Float64(plan.threshold),
			EvaluationPeriods: pulumi.Int(plan.periods), TreatMissingData: pulumi.String("notBreaching"),
			AlarmActions: pulumi.Array{topicArn}, OkActions: pulumi.Array{topicArn},
		}
		switch {
		case plan.query != "":
			alarmArgs.MetricQueries = cloudwatch.MetricAlarmMetricQueryArray{cloudwatch.MetricAlarmMetricQueryArgs{
				Id: pulumi.String("q"), ReturnData: pulumi.Bool(true), Period: pulumi.Int(plan.periodSeconds), Label: pulumi.String(plan.name),
				Expression: names.ApplyT(func(v []any) string { return made(v).query }).(pulumi.StringOutput),
			}}
		default:
			alarmArgs.Namespace, alarmArgs.MetricName, alarmArgs.Period = pulumi.String(plan.namespace), pulumi.String(plan.metric), pulumi.Int(plan.periodSeconds)
			alarmArgs.Dimensions = names.ApplyT(func(v []any) map[string]string { return made(v).dimensions }).(pulumi.StringMapOutput)
			if plan.percentile() {
				alarmArgs.ExtendedStatistic = pulumi.String(plan.statistic)
			} else {
				alarmArgs.Statistic = pulumi.String(plan.statistic)
			}
		}
		if _, err := cloudwatch.NewMetricAlarm(ctx, name+"-"+plan.name, alarmArgs, parent, told); err != nil {
			return err
		}
		arns = append(arns, strings.TrimSuffix(alarmArns(to, name+"-"+plan.name), "*"))
	}
	_, err := cloudwatch.NewDashboard(ctx, name, &cloudwatch.DashboardArgs{
		DashboardName: pulumi.String(name),
		DashboardBody: names.ApplyT(func(v []any) (string, error) {
			functionName, apiName := of(v)
			return dashboardBody(to.region, functionName, apiName, a.StageName, arns)
		}).(pulumi.StringOutput),
	}, parent)
	return err
}
