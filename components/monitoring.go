package components

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Monitoring publishes to one topic when the log loses records, when the API fails, and when a principal changes what
// either depends on: alarms, event rules and a dashboard. The rules need a CloudTrail trail in the account that logs
// management events in this Region. Without one, no rule matches anything. An update of the stack also triggers them.
type Monitoring struct {
	pulumi.ResourceState

	// TopicArn is the ARN of the topic to subscribe to.
	TopicArn pulumi.StringOutput `pulumi:"topicArn"`
}

// MonitoringArgs are Monitoring's arguments.
type MonitoringArgs struct {
	// FunctionArn is the ARN of the function, such as BedrockFunction's. Required.
	FunctionArn pulumi.StringInput `pulumi:"functionArn"`
	// ApiId is the ID of the API, such as PrivateApi's. Required.
	ApiId pulumi.StringInput `pulumi:"apiId"`
	// ApiName is the name of the API. Required.
	ApiName pulumi.StringInput `pulumi:"apiName"`
	// StageName is the name of the API's stage. Required.
	StageName string `pulumi:"stageName"`
	// BucketNames are the buckets to watch: the invocation log, its access log and AuditQuery's results. Default: none, as
	// when another stack has them.
	BucketNames []pulumi.StringInput `pulumi:"bucketNames,optional"`
	// LogGroupNames are the log groups to watch: the invocation log's, the function's, whose lines are metrics, and the
	// API's. Default: none.
	LogGroupNames []pulumi.StringInput `pulumi:"logGroupNames,optional"`
	// KeyIds are the keys to watch that encrypt the invocation log. Default: none. The topic's own key is always watched.
	KeyIds []pulumi.StringInput `pulumi:"keyIds,optional"`
	// DatabaseName is the name of AuditQuery's database. It requires WorkgroupName. Default: none.
	DatabaseName pulumi.StringInput `pulumi:"databaseName,optional"`
	// WorkgroupName is the name of AuditQuery's workgroup. Required with DatabaseName.
	WorkgroupName pulumi.StringInput `pulumi:"workgroupName,optional"`
	// SlowMs is the p90 latency, in milliseconds, that raises an alarm when calls reach it for 15 minutes. Default: 60000.
	SlowMs float64 `pulumi:"slowMs,optional"`
	// AlarmEmail is the address that gets every message, after its owner follows the link in SNS's first one. Default:
	// none.
	AlarmEmail string `pulumi:"alarmEmail,optional"`
	// CustomerManagedKey encrypts the messages, which have no prompts, with a KMS key of the topic's own, at 1 USD a
	// month. False leaves them to TLS only. Default: true.
	CustomerManagedKey *bool `pulumi:"customerManagedKey,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a MonitoringArgs) withDefaults() MonitoringArgs {
	a.SlowMs = cmp.Or(a.SlowMs, 60_000)
	a.CustomerManagedKey = defaultTrue(a.CustomerManagedKey)
	return a
}

// The form of common addresses, not RFC 5322: SNS sends the confirmation, and doesn't report a bounce.
var email = regexp.MustCompile(`^[^@\s"<>]+@[^@\s"<>]+\.[^@\s"<>]+$`)

// CheckAlarmEmail rejects what can't be an address. If it's empty, there is no address.
func CheckAlarmEmail(address string) error {
	if address != "" && !email.MatchString(address) {
		return fmt.Errorf("got %q, want an address such as oncall@example.com, or nothing", address)
	}
	return nil
}

func (a MonitoringArgs) validate(name string) error {
	var f faults
	f.reject(a.FunctionArn == nil || a.ApiId == nil || a.ApiName == nil || a.StageName == "",
		"FunctionArn, ApiId, ApiName, StageName: got nil, want all four, such as BedrockFunction's and PrivateApi's")
	f.check("AlarmEmail", CheckAlarmEmail(a.AlarmEmail))
	f.reject((a.DatabaseName == nil) != (a.WorkgroupName == nil),
		"DatabaseName, WorkgroupName: got one of the two, want both, such as AuditQuery's, or none")
	f.reject(a.SlowMs < 0, "SlowMs: got %v, want more than 0", a.SlowMs)
	// EventBridge API Reference, "PutRule": 64, and the longest suffix has 10
	f.reject(len(name) > 54,
		"name: got %q, %d characters, want at most 54: otherwise the names of rules are too long", name, len(name))
	return errors.Join(f...)
}

// NewMonitoring makes a Monitoring.
func NewMonitoring(
	ctx *pulumi.Context, name string, args *MonitoringArgs, opts ...pulumi.ResourceOption,
) (*Monitoring, error) {
	return construct(ctx, name, &Monitoring{}, args, opts)
}

func (c *Monitoring) provision(s scope, a MonitoringArgs) error {
	topicArgs := &sns.TopicArgs{Name: pulumi.String(s.name), Tags: s.tags}
	if *a.CustomerManagedKey {
		key, err := newTopicKey(s)
		if err != nil {
			return err
		}
		topicArgs.KmsMasterKeyId = key.Arn
		a.KeyIds = slices.Concat(a.KeyIds, []pulumi.StringInput{key.ID()})
	}
	topic, err := sns.NewTopic(s.ctx, s.name, topicArgs, s.options()...)
	if err != nil {
		return err
	}
	// Not in the topic itself, whose ARN it names.
	policy, err := sns.NewTopicPolicy(s.ctx, s.name, &sns.TopicPolicyArgs{
		Arn: topic.Arn, Policy: topic.Arn.ApplyT(func(arn string) (string, error) {
			return topicPolicy(s.target, arn, s.name+"-")
		}).(pulumi.StringOutput),
	}, s.options()...)
	if err != nil {
		return err
	}
	if a.AlarmEmail != "" {
		if _, err := sns.NewTopicSubscription(s.ctx, s.name, &sns.TopicSubscriptionArgs{
			Topic: topic.Arn, Protocol: pulumi.String("email"), Endpoint: pulumi.String(a.AlarmEmail),
		}, s.options()...); err != nil {
			return err
		}
	}
	c.TopicArn = topic.Arn
	afterPolicy := s.options(pulumi.DependsOn([]pulumi.Resource{policy})) // before it, nothing can publish to the topic
	if err := newTamperRules(s, a, topic.Arn, afterPolicy); err != nil {
		return err
	}
	return newAlarms(s, a, topic.Arn, afterPolicy)
}

func newTopicKey(s scope) (*kms.Key, error) {
	policy, err := topicKeyPolicy(s.target, s.name+"-")
	if err != nil {
		return nil, err
	}
	return kms.NewKey(s.ctx, s.name, &kms.KeyArgs{
		Description: pulumi.String("Messages of " + s.name), EnableKeyRotation: pulumi.Bool(true),
		Policy: pulumi.String(policy),
		Tags:   s.withName(s.name), // policies/deployer-policy.json allows deleting the key by this tag, not the log's key
	}, s.options()...)
}

// newTamperRules makes the rules that have something to watch. Which these are is known before any name is, so that a
// preview shows them all.
func newTamperRules(
	s scope, a MonitoringArgs, topicArn pulumi.StringOutput, afterPolicy []pulumi.ResourceOption,
) error {
	planned := watched{
		buckets: make([]string, len(a.BucketNames)), logGroups: make([]string, len(a.LogGroupNames)),
		keyIds: make([]string, len(a.KeyIds)),
	}
	var database, workgroup pulumi.StringInput = pulumi.String(""), pulumi.String("")
	if a.DatabaseName != nil {
		planned.database, database, workgroup = "exists", a.DatabaseName, a.WorkgroupName
	}
	names := pulumi.All(pulumi.StringArray(a.BucketNames), pulumi.StringArray(a.LogGroupNames),
		pulumi.StringArray(a.KeyIds),
		a.ApiId, a.FunctionArn, topicArn, database, workgroup)
	for i, plan := range tamperRules(planned) {
		pattern := names.ApplyT(func(v []any) (string, error) {
			return tamperRules(watched{
				buckets: v[0].([]string), logGroups: v[1].([]string), keyIds: v[2].([]string),
				apiId: fmt.Sprint(v[3]), functionArn: v[4].(string), topicArn: v[5].(string), name: s.name + "-",
				database: v[6].(string), workgroup: v[7].(string),
			})[i].pattern()
		}).(pulumi.StringOutput)
		rule, err := cloudwatch.NewEventRule(s.ctx, s.name+"-"+plan.name, &cloudwatch.EventRuleArgs{
			Name: pulumi.String(s.name + "-" + plan.name), Description: pulumi.String(plan.means),
			EventPattern: pattern, Tags: s.tags,
			State: pulumi.String("ENABLED"), // set, because otherwise a disabled rule would not be drift
		}, s.options()...)
		if err != nil {
			return err
		}
		if _, err := cloudwatch.NewEventTarget(s.ctx, s.name+"-"+plan.name, &cloudwatch.EventTargetArgs{
			Rule: rule.Name, Arn: topicArn, TargetId: pulumi.String("topic"),
			InputTransformer: &cloudwatch.EventTargetInputTransformerArgs{
				InputPaths: pulumi.ToStringMap(tamperFields), InputTemplate: pulumi.String(plan.message()),
			},
		}, afterPolicy...); err != nil {
			return err
		}
	}
	return nil
}

// newAlarms makes the alarms and the dashboard that shows them.
func newAlarms(s scope, a MonitoringArgs, topicArn pulumi.StringOutput, afterPolicy []pulumi.ResourceOption) error {
	names := pulumi.All(a.FunctionArn, a.ApiName)
	of := func(v []any) (functionName, apiName string) {
		arn := v[0].(string)
		return arn[strings.LastIndex(arn, ":")+1:], v[1].(string)
	}
	var arns []string
	for i, plan := range alarms("", "", a.StageName, a.SlowMs) {
		named := func(v []any) alarm {
			functionName, apiName := of(v)
			return alarms(functionName, apiName, a.StageName, a.SlowMs)[i]
		}
		alarmArgs := &cloudwatch.MetricAlarmArgs{
			Name: pulumi.String(s.name + "-" + plan.name), AlarmDescription: pulumi.String(plan.means), Tags: s.tags,
			ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Threshold: pulumi.Float64(plan.threshold),
			EvaluationPeriods: pulumi.Int(plan.periods), TreatMissingData: pulumi.String("notBreaching"),
			AlarmActions: pulumi.Array{topicArn}, OkActions: pulumi.Array{topicArn},
		}
		if plan.query != "" {
			alarmArgs.MetricQueries = cloudwatch.MetricAlarmMetricQueryArray{cloudwatch.MetricAlarmMetricQueryArgs{
				Id: pulumi.String("q"), ReturnData: pulumi.Bool(true),
				Period: pulumi.Int(plan.periodSeconds), Label: pulumi.String(plan.name),
				Expression: names.ApplyT(func(v []any) string { return named(v).query }).(pulumi.StringOutput),
			}}
		} else {
			alarmArgs.Namespace, alarmArgs.MetricName = pulumi.String(plan.namespace), pulumi.String(plan.metric)
			alarmArgs.Period = pulumi.Int(plan.periodSeconds)
			alarmArgs.Dimensions = names.ApplyT(func(v []any) map[string]string {
				return named(v).dimensions
			}).(pulumi.StringMapOutput)
			if plan.percentile() {
				alarmArgs.ExtendedStatistic = pulumi.String(plan.statistic)
			} else {
				alarmArgs.Statistic = pulumi.String(plan.statistic)
			}
		}
		if _, err := cloudwatch.NewMetricAlarm(s.ctx, s.name+"-"+plan.name, alarmArgs, afterPolicy...); err != nil {
			return err
		}
		arns = append(arns, alarmArn(s.target, s.name+"-"+plan.name))
	}
	_, err := cloudwatch.NewDashboard(s.ctx, s.name, &cloudwatch.DashboardArgs{
		DashboardName: pulumi.String(s.name),
		DashboardBody: names.ApplyT(func(v []any) (string, error) {
			functionName, apiName := of(v)
			return dashboardBody(s.target.Region, functionName, apiName, a.StageName, arns)
		}).(pulumi.StringOutput),
	}, s.options()...)
	return err
}
