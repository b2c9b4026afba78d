package apigateway

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
)

// count counts a call of a stage (API Gateway Developer Guide, "Amazon API Gateway dimensions and metrics").
func (d *FrontDoor) count(ctx context.Context, v *visit, status int) {
	if d.Metrics == nil || v.accessLogGroup == "" {
		return
	}
	name, known := d.names.Load(v.apiID)
	if !known {
		api, err := restAPIOf(context.WithoutCancel(ctx), d.Moto, v.apiID)
		if err != nil {
			d.Report(fmt.Errorf("metrics: %w", err))
			return
		}
		name = api.Name
		d.names.Store(v.apiID, name)
	}
	values := map[string]float64{"5XXError": 0, "Latency": float64(time.Since(v.start).Milliseconds())}
	if status >= 500 {
		values["5XXError"] = 1
	}
	d.Metrics.Put("AWS/ApiGateway", map[string]string{"ApiName": name.(string), "Stage": v.stage}, values)
}

var contextVariable = regexp.MustCompile(`\$context\.[a-zA-Z.]+`)

// log writes the access log as the stage's format says (API Gateway Developer Guide, "$context variables").
func (d *FrontDoor) log(r *http.Request, v *visit, status int, length int64) {
	d.count(r.Context(), v, status)
	if v.accessLogGroup == "" {
		return
	}
	latency := fmt.Sprint(time.Since(v.start).Milliseconds())
	values := map[string]string{
		"requestId": v.requestID, "extendedRequestId": v.extendedID, "httpMethod": r.Method, "resourcePath": v.resource,
		"path": r.URL.EscapedPath(), "stage": v.stage, "status": fmt.Sprint(status), "error.responseType": v.errType,
		"requestTime": v.start.UTC().Format("02/Jan/2006:15:04:05 -0700"), "requestTimeEpoch": fmt.Sprint(v.start.UnixMilli()),
		"responseLength": fmt.Sprint(length), "responseLatency": latency, "integration.latency": latency,
		"identity.sourceIp": v.sourceIP, "identity.vpceId": v.endpointID, "identity.vpcId": v.vpcID, "identity.userArn": v.caller.ARN,
		"integration.responseTransferMode": v.transferMode,
	}
	if v.resource != "" {
		values["integration.status"] = "200"
	}
	line := contextVariable.ReplaceAllStringFunc(v.accessLogFormat, func(name string) string {
		if value := values[strings.TrimPrefix(name, "$context.")]; value != "" {
			return value
		}
		return "-"
	})
	if err := logs.PutLogEvent(context.WithoutCancel(r.Context()), d.Moto, v.accessLogGroup, "sandbox", line); err != nil {
		d.Report(fmt.Errorf("access log: %w", err))
	}
}
