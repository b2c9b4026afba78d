package main

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/private-bedrock/private-bedrock/internal/repocheck"
)

var update = flag.Bool("update", false, "rewrite the costs in the READMEs")

// Prices of ap-northeast-1 in USD, before tax and free tiers: AWS's Price List API as public projects quoted it between
// July and September 2026; of REST APIs' requests and of dashboards, AWS's price pages.
const (
	endpointHour  = 0.014        // VpcEndpoint-Hours, in each zone
	keyMonth      = 1.0          // KMS-Keys; as much again for each of the first two yearly rotations
	alarmMonth    = 0.10         // AlarmMonitorUsage, and for each metric that a Metrics Insights query looks at
	dashboard     = 3.0          // DashboardsUsageHour-Basic; an account's first three are free
	nanoHour      = 0.0054       // BoxUsage:t4g.nano
	metricMonth   = 0.30         // MetricMonitorUsage
	restCall      = 4.25e-6      // ApiGatewayRequest
	lambdaCall    = 0.2e-6       // Request-ARM
	lambdaSecond  = 0.0000133334 // Lambda-GB-Second-ARM
	logGB         = 0.76         // DataProcessing-Bytes
	logGBMonth    = 0.033        // TimedStorage-ByteHrs of CloudWatch Logs
	s3Put         = 4.7e-6       // Requests-Tier1
	s3GBMonth     = 0.025        // TimedStorage-ByteHrs of S3
	hoursInAMonth = 730
	// Claude Haiku 4.5 within a geography, which is a tenth more than global, by the million tokens.
	haikuIn, haikuOut = 1.10, 5.50
)

// idle is what a stack costs in a month in which nobody calls.
func idle(resources componentstest.Recording) (usd float64, of string) {
	var endpoints, zones, keys, alarms, dashboards, instances int
	for _, r := range resources {
		switch r.Type {
		case "aws:ec2/vpcEndpoint:VpcEndpoint":
			if subnets, ok := r.Inputs["subnetIds"].([]any); ok {
				endpoints, zones = endpoints+1, len(subnets)
			}
		case "aws:kms/key:Key":
			keys++
		case "aws:cloudwatch/metricAlarm:MetricAlarm":
			alarms++
		case "aws:cloudwatch/dashboard:Dashboard":
			dashboards++
		case "aws:ec2/instance:Instance":
			instances++
		}
	}
	parts := []string{}
	add := func(n int, label string, each float64) {
		if n > 0 {
			usd += float64(n) * each
			parts = append(parts, fmt.Sprintf("%s %.2f", label, float64(n)*each))
		}
	}
	add(endpoints*zones, fmt.Sprintf("%d endpoints × %d zones", endpoints, zones), endpointHour*hoursInAMonth)
	add(keys, fmt.Sprintf("%d KMS keys", keys), keyMonth)
	add(alarms, fmt.Sprintf("%d alarms", alarms), alarmMonth)
	add(dashboards, "dashboard", dashboard)
	add(instances, "t4g.nano without its disk", nanoHour*hoursInAMonth)
	return usd, strings.Join(parts, ", ")
}

// A platform team plans with these figures; hidden idle cost is what it finds on its first bill.
func TestReadmeHasTheCosts(t *testing.T) {
	t.Parallel()
	stack := func(name string, overrides map[string]string) componentstest.Recording {
		return run(t, name, overrides)
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| stack | USD a month | of which |\n|---|---|---|")
	for _, row := range []struct {
		label     string
		resources componentstest.Recording
	}{
		{"defaults", stack("local", nil)},
		{"`Pulumi.dev.yaml`", stack("dev", nil)},
		{"`Pulumi.prod.yaml`", stack("prod", nil)},
		{"`customerManagedKey: false`, `monitoring: false`", stack("local", map[string]string{"customerManagedKey": "false", "monitoring": "false"})},
	} {
		usd, of := idle(row.resources)
		fmt.Fprintf(&table, "| %s | %.0f | %s |\n", row.label, usd, of)
	}
	table.WriteString("\n")

	// A million tokens: a thousand calls of 750 tokens in and 250 out, five seconds each, and four bytes a token.
	const calls, in, out, seconds, memoryGB = 1000, 750, 250, 5, 0.25
	const recordGB, lineGB = (1500 + 4*(in+out)) / 1e9, 2000 / 1e9 // with its envelope; the function's line and the access log's
	fmt.Fprintln(&table, "| a thousand calls, a million tokens | USD |\n|---|---|")
	total := 0.0
	for _, row := range []struct {
		label string
		usd   float64
	}{
		{"Claude Haiku 4.5 in Japan: 1.10 a million tokens in, 5.50 out", (haikuIn*in + haikuOut*out) * calls / 1e6},
		{"function", calls * (lambdaCall + lambdaSecond*memoryGB*seconds)},
		{"CloudWatch Logs: records, lines, kept for three months", calls * (recordGB + lineGB) * (logGB + 3*logGBMonth)},
		{"S3: an object for each record, kept for a year", calls * (s3Put + recordGB*12*s3GBMonth)},
		{"REST API", calls * restCall},
	} {
		total += row.usd
		fmt.Fprintf(&table, "| %s | %.3f |\n", row.label, row.usd)
	}
	fmt.Fprintf(&table, "| together | %.2f |\n", total)
	repocheck.Table(t, *update, "README.md", "costs", table.String())
	repocheck.Table(t, *update, "README.ja.md", "costs", strings.NewReplacer(
		"| stack | USD a month | of which |", "| スタック | 1 か月の USD | 内訳 |", "defaults", "既定値", "endpoints", "エンドポイント", "zones", "ゾーン", "KMS keys", "KMS キー",
		"alarms", "アラーム", "dashboard", "ダッシュボード", "t4g.nano without its disk", "t4g.nano（ディスクを除く）",
		"a thousand calls, a million tokens", "1,000 回の呼び出し、100 万トークン", "Claude Haiku 4.5 in Japan: 1.10 a million tokens in, 5.50 out", "日本国内の Claude Haiku 4.5（100 万トークンあたり入力 1.10、出力 5.50）",
		"| function", "| 関数", "CloudWatch Logs: records, lines, kept for three months", "CloudWatch Logs（レコードとログ、3 か月保存）",
		"S3: an object for each record, kept for a year", "S3（レコードごとに 1 オブジェクト、1 年保存）", "| together", "| 合計",
	).Replace(table.String()))
}
