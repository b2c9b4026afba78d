package components

import (
	"encoding/json"
	"fmt"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// widget is a dashboard's widget (CloudWatch API Reference, "Dashboard body structure and syntax").
type widget struct {
	Type       string         `json:"type"`
	X          int            `json:"x"`
	Y          int            `json:"y"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Properties map[string]any `json:"properties"`
}

// dashboardBody shows the alarms, then calls, tokens and errors by model, the delivery of records, the function and the
// API.
//
// Search expressions also find models that are first called later (CloudWatch User Guide, "Use search expressions in
// graphs"). Bedrock counts deliveries of records for all models together.
func dashboardBody(region, functionName, apiName, stageName string, alarmArns []string) (string, error) {
	const perRow, width, height = 3, 8, 6 // of a grid of 24 columns
	widgets := []widget{{"alarm", 0, 0, 24, 3, map[string]any{"title": "Alarms", "alarms": alarmArns}}}
	graph := func(title string, metrics ...any) {
		n := len(widgets) - 1
		widgets = append(widgets, widget{"metric", n % perRow * width, 3 + n/perRow*height, width, height, map[string]any{
			"title": title, "region": region, "view": "timeSeries", "period": 300, "metrics": metrics,
		}})
	}
	search := func(label, schema, terms, statistic string) any {
		return []any{map[string]string{"expression": fmt.Sprintf("SEARCH('%s %s', '%s', 300)", schema, terms, statistic), "label": label}}
	}
	byModel := func(metric, statistic string) any {
		const schema = "{" + contract.MetricNamespace + "," + contract.DimensionFunctionName + "," + contract.DimensionModelID + "}"
		terms := fmt.Sprintf(contract.DimensionFunctionName+`="%s" MetricName="%s"`, functionName, metric)
		return search(statistic+" ${PROP('Dim."+contract.DimensionModelID+"')}", schema, terms, statistic)
	}
	function := func(metric, statistic string) any {
		return []any{"AWS/Lambda", metric, "FunctionName", functionName, map[string]string{"stat": statistic}}
	}
	api := func(metric, statistic string) any {
		return []any{"AWS/ApiGateway", metric, "ApiName", apiName, "Stage", stageName, map[string]string{"stat": statistic}}
	}
	graph("Calls by model", byModel(contract.MetricInvocationLatency, "SampleCount"))
	graph("Tokens in, by model", byModel(contract.MetricInputTokenCount, "Sum"))
	graph("Tokens out, by model", byModel(contract.MetricOutputTokenCount, "Sum"))
	graph("Latency by model, ms",
		byModel(contract.MetricInvocationLatency, "p50"), byModel(contract.MetricInvocationLatency, "p90"))
	graph("First byte of streams by model, ms",
		byModel(contract.MetricTimeToFirstToken, "p50"), byModel(contract.MetricTimeToFirstToken, "p90"))
	graph("Tokens from the cache, by model",
		byModel(contract.MetricCacheReadInputTokenCount, "Sum"), byModel(contract.MetricCacheWriteInputTokenCount, "Sum"))
	graph("Errors by model: callers', then servers'",
		byModel(contract.MetricInvocationClientErrors, "Sum"), byModel(contract.MetricInvocationServerErrors, "Sum"))
	graph("Throttles by model, and of the function",
		byModel(contract.MetricInvocationThrottles, "Sum"), function("Throttles", "Sum"))
	graph("Refused: prompts not logged, or shared", byModel(contract.MetricUnloggedInvocationsRefused, "Sum"))
	graph("Delivery of records", search("", `Namespace="AWS/Bedrock"`, "Delivery", "Sum"))
	graph("The function: errors, copies at once", function("Errors", "Sum"), function("ConcurrentExecutions", "Maximum"))
	graph("The API: calls, 4xx, 5xx, latency", api("Count", "Sum"), api("4XXError", "Sum"), api("5XXError", "Sum"), api("Latency", "p90"))
	b, err := json.MarshalIndent(map[string]any{"widgets": widgets}, "", "  ")
	return string(b), err
}
