package main

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// call is the data that the function logs about one request. It contains no prompt, no response and no other text of
// the caller.
type call struct {
	route, model         string
	apiExtendedRequestID string
	start                time.Time
	firstByte            time.Duration // from start to a stream's first byte
	tokens               tokens
	status               int
	err                  error // in the middle of a stream
	unlogged             bool  // refused because Bedrock would not log it or AWS could share it
}

type tokens struct {
	Input      int `json:"inputTokenCount"`
	Output     int `json:"outputTokenCount"`
	CacheRead  int `json:"cacheReadInputTokenCount"`
	CacheWrite int `json:"cacheWriteInputTokenCount"`
}

// metric is a metric definition (Amazon CloudWatch User Guide, "Embedded metric format specification").
type metric struct {
	Name string
	Unit string
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

// record writes the call's log line. CloudWatch extracts metrics from it by function and model. Their names are those
// of Bedrock's own metrics.
func (c *call) record(ctx context.Context, log *slog.Logger) {
	count := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	values := []struct {
		name, unit string
		value      int64
	}{
		{contract.MetricInvocationLatency, "Milliseconds", time.Since(c.start).Milliseconds()},
		{contract.MetricInputTokenCount, "Count", int64(c.tokens.Input)},
		{contract.MetricOutputTokenCount, "Count", int64(c.tokens.Output)},
		{contract.MetricCacheReadInputTokenCount, "Count", int64(c.tokens.CacheRead)},
		{contract.MetricCacheWriteInputTokenCount, "Count", int64(c.tokens.CacheWrite)},
		{contract.MetricInvocationClientErrors, "Count", int64(count(c.status >= 400 && c.status < 500 && c.status != 429))},
		{contract.MetricUnloggedInvocationsRefused, "Count", int64(count(c.unlogged))},
		{contract.MetricInvocationThrottles, "Count", int64(count(c.status == 429))},
		{contract.MetricInvocationServerErrors, "Count", int64(count(c.status >= 500 || c.err != nil))},
	}
	if c.firstByte > 0 {
		values = append(values, struct {
			name, unit string
			value      int64
		}{contract.MetricTimeToFirstToken, "Milliseconds", c.firstByte.Milliseconds()})
	}
	dimensions := []string{contract.DimensionFunctionName, contract.DimensionModelID}
	d := directive{Namespace: contract.MetricNamespace, Dimensions: [][]string{dimensions}}
	attributes := []slog.Attr{
		slog.String(contract.DimensionFunctionName, cmp.Or(lambdacontext.FunctionName, "none")),
		slog.String(contract.DimensionModelID, cmp.Or(c.model, "none")),
		slog.String("route", c.route), slog.Int("status", c.status), slog.String("apiExtendedRequestId", c.apiExtendedRequestID),
	}
	for _, v := range values {
		d.Metrics = append(d.Metrics, metric{v.name, v.unit})
		attributes = append(attributes, slog.Int64(v.name, v.value))
	}
	attributes = append(attributes, slog.Any("_aws", map[string]any{"Timestamp": c.start.UnixMilli(), "CloudWatchMetrics": []directive{d}}))
	log.LogAttrs(ctx, slog.LevelInfo, "call", attributes...)
}
