package components

import (
	"encoding/json"
	"fmt"
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
		return search(statistic+" ${PROP('Dim.ModelId')}", "{PrivateBedrock,FunctionName,ModelId}", fmt.Sprintf(`FunctionName="%s" MetricName="%s"`, functionName, metric), statistic)
	}
	function := func(metric, statistic string) any {
		return []any{"AWS/Lambda", metric, "FunctionName", functionName, map[string]string{"stat": statistic}}
	}
	api := func(metric, statistic string) any {
		return []any{"AWS/ApiGateway", metric, "ApiName", apiName, "Stage", stageName, map[string]string{"stat": statistic}}
	}
	graph("Calls by model", byModel("InvocationLatency", "SampleCount"))
	graph("Tokens in, by model", byModel("InputTokenCount", "Sum"))
	graph("Tokens out, by model", byModel("OutputTokenCount", "Sum"))
	graph("Latency by model, ms", byModel("InvocationLatency", "p50"), byModel("InvocationLatency", "p90"))
	graph("First byte of streams by model, ms", byModel("TimeToFirstToken", "p50"), byModel("TimeToFirstToken", "p90"))
	graph("Tokens from the cache, by model", byModel("CacheReadInputTokenCount", "Sum"), byModel("CacheWriteInputTokenCount", "Sum"))
	graph("Errors by model: callers', then servers'", byModel("InvocationClientErrors", "Sum"), byModel("InvocationServerErrors", "Sum"))
	graph("Throttles by model, and of the function", byModel("InvocationThrottles", "Sum"), function("Throttles", "Sum"))
	graph("Refused: prompts not logged, or shared", byModel("UnloggedInvocationsRefused", "Sum"))
	graph("Delivery of records", search("", `Namespace="AWS/Bedrock"`, "Delivery", "Sum"))
	graph("The function: errors, copies at once", function("Errors", "Sum"), function("ConcurrentExecutions", "Maximum"))
	graph("The API: calls, 4xx, 5xx, latency", api("Count", "Sum"), api("4XXError", "Sum"), api("5XXError", "Sum"), api("Latency", "p90"))
	b, err := json.MarshalIndent(map[string]any{"widgets": widgets}, "", "  ")
	return string(b), err
}
