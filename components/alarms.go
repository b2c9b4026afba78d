package components

import (
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// alarm is a CloudWatch alarm on a metric of one dimensioned series, or on a query over all series of a metric.
type alarm struct {
	name string // the last part of the alarm's name
	// means is what happened, and what to do first.
	means string

	namespace, metric, statistic string
	dimensions                   map[string]string

	query string

	// threshold is the value that the metric reaches or exceeds for this many consecutive periods, of periodSeconds each.
	threshold              float64
	periodSeconds, periods int
}

// alarms are listed most severe first. Missing data doesn't raise an alarm.
//
// A model's failures raise an alarm at five calls in five minutes, and one failure doesn't. The function handles model
// errors itself, so any function error or failed start raises an alarm immediately.
func alarms(functionName, apiName, stageName string, slowMs float64) []alarm {
	function := map[string]string{"FunctionName": functionName}
	api := map[string]string{"ApiName": apiName, "Stage": stageName}
	lost := func(name, metric, means string) alarm {
		// Queries, because AWS documents these metrics' dimension as "Across all model IDs" and not by its name (Bedrock User
		// Guide, "Monitor Amazon Bedrock Runtime metrics"), and an alarm on a dimension that doesn't exist never changes its
		// state. A query adds up all dimensions (CloudWatch User Guide, "Create a CloudWatch alarm based on a Metrics
		// Insights query"), and is billed for each metric that it finds.
		return alarm{name: name, query: `SELECT SUM(` + metric + `) FROM "AWS/Bedrock"`, means: means,
			threshold: 1, periodSeconds: 60, periods: 1}
	}
	return []alarm{
		lost("delivery-s3", "ModelInvocationLogsS3DeliveryFailure",
			"Bedrock could not write records to the log's bucket: they are lost there, and in CloudWatch Logs for "+
				"logRetentionDays only. Look at the bucket's policy and lock, and at the key."),
		lost("delivery-logs", "ModelInvocationLogsCloudWatchDeliveryFailure",
			"Bedrock could not write records to the log group. Look at the role that the logging configuration names, at "+
				"the log group and at the key."),
		lost("delivery-large", "ModelInvocationLargeDataS3DeliveryFailure",
			"Bedrock could not write bodies over 100 KB: their records lack the prompt or the answer. Look at the "+
				"bucket's policy and lock, and at the key."),
		{
			// MAX and not SUM: a principal that can put metrics could put negative ones, except into AWS's own namespaces.
			name: "refused", threshold: 1, periodSeconds: 60, periods: 1,
			query: `SELECT MAX(` + contract.MetricUnloggedInvocationsRefused + `) FROM ` + contract.MetricNamespace +
				` WHERE ` + contract.DimensionFunctionName + ` = '` + functionName + `'`,
			means: "The function refuses calls. Bedrock's invocation logging is off, leaves out kinds of data or isn't as the " +
				"stack set it, or the account's data retention mode isn't in dataRetentionModes. Set it again; the rule named " +
				"logging or retention reported who changed it.",
		},
		{
			name: "errors", namespace: "AWS/Lambda", metric: "Errors", dimensions: function, statistic: "Sum",
			threshold: 1, periodSeconds: 300, periods: 1,
			means: "The function crashed, ran out of time or memory, or could not start: its callers got no answer. Look at " +
				"the end of its log.",
		},
		{
			name: "throttles", namespace: "AWS/Lambda", metric: "Throttles", dimensions: function, statistic: "Sum",
			threshold: 1, periodSeconds: 300, periods: 1,
			means: "Lambda refused to start the function: the account's concurrency is used up, or the function's reserved " +
				"concurrency is 0. Check its reserved concurrency and the account's quota.",
		},
		{
			name: "api-5xx", namespace: "AWS/ApiGateway", metric: "5XXError", dimensions: api, statistic: "Sum",
			threshold: 5, periodSeconds: 300, periods: 1,
			means: "Five calls or more failed within five minutes. Statuses in the API's access log tell a model's failures " +
				"(500, 503, 424) from the function's (502, 504).",
		},
		{
			name: "api-latency", namespace: "AWS/ApiGateway", metric: "Latency", dimensions: api, statistic: "p90",
			threshold: slowMs, periodSeconds: 300, periods: 3,
			means: "For a quarter of an hour, one call in ten took as long as the threshold says. The dashboard tells which " +
				"model, and whether the first byte was late or the answer long.",
		},
	}
}

// percentile reports whether the statistic is one such as p90, which CloudWatch has in another field than one such as
// Sum.
func (a alarm) percentile() bool { return strings.HasPrefix(a.statistic, "p") }
