package cloudwatch

import (
	"encoding/json"
	"testing"
	"time"
)

// An alarm that rings here and not on AWS, or the reverse, would make the end-to-end test worthless.
func TestAlarmState(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	at := func(namespace, metric string, value float64, age time.Duration, dimensions ...string) Sample {
		s := Sample{namespace, metric, map[string]string{}, value, now.Add(-age)}
		for i := 0; i < len(dimensions); i += 2 {
			s.Dimensions[dimensions[i]] = dimensions[i+1]
		}
		return s
	}
	base := MetricAlarm{Name: "a", ComparisonOperator: "GreaterThanOrEqualToThreshold", TreatMissingData: "notBreaching", EvaluationPeriods: 1, Period: 60, Threshold: 2}
	sum := base
	sum.Namespace, sum.MetricName, sum.Statistic = "AWS/Lambda", "Errors", "Sum"
	sum.Dimensions = []struct{ Name, Value string }{{"FunctionName", "f"}}
	slow := base
	slow.Namespace, slow.MetricName, slow.ExtendedStatistic, slow.EvaluationPeriods, slow.Threshold = "AWS/ApiGateway", "Latency", "p90", 2, 100
	query := func(expression string) MetricAlarm {
		a := base
		a.Queries = []struct {
			Expression string
			Period     int
		}{{expression, 60}}
		return a
	}
	latencies := func(age time.Duration, values ...float64) (all []Sample) {
		for _, value := range values {
			all = append(all, at("AWS/ApiGateway", "Latency", value, age))
		}
		return all
	}
	fast := []float64{1, 1, 1, 1, 1, 1, 1, 1, 1}
	for name, c := range map[string]struct {
		alarm   MetricAlarm
		samples []Sample
		want    string
	}{
		"nothing":           {sum, nil, "OK"},
		"below":             {sum, []Sample{at("AWS/Lambda", "Errors", 1, 0, "FunctionName", "f")}, "OK"},
		"at the threshold":  {sum, []Sample{at("AWS/Lambda", "Errors", 1, 0, "FunctionName", "f"), at("AWS/Lambda", "Errors", 1, 59*time.Second, "FunctionName", "f")}, "ALARM"},
		"too long ago":      {sum, []Sample{at("AWS/Lambda", "Errors", 2, 60*time.Second, "FunctionName", "f")}, "OK"},
		"another function":  {sum, []Sample{at("AWS/Lambda", "Errors", 2, 0, "FunctionName", "g")}, "OK"},
		"more dimensions":   {sum, []Sample{at("AWS/Lambda", "Errors", 2, 0, "FunctionName", "f", "Resource", "f:1")}, "OK"},
		"another metric":    {sum, []Sample{at("AWS/Lambda", "Throttles", 2, 0, "FunctionName", "f")}, "OK"},
		"another namespace": {sum, []Sample{at("AWS/Other", "Errors", 2, 0, "FunctionName", "f")}, "OK"},
		"slow in both periods": {slow, append(append(latencies(0, append(fast[:8:8], 100, 100)...), latencies(70*time.Second, 100)...), latencies(0)...),
			"ALARM"},
		"slow in one":           {slow, latencies(0, 100), "OK"},
		"one in ten is not p90": {slow, append(latencies(0, append(fast[:9:9], 100)...), latencies(70*time.Second, 100)...), "OK"},
		"query over all series": {query(`SELECT SUM(x) FROM "AWS/Bedrock"`), []Sample{at("AWS/Bedrock", "x", 1, 0), at("AWS/Bedrock", "x", 1, 0, "ModelId", "m")}, "ALARM"},
		"query of another":      {query(`SELECT SUM(x) FROM "AWS/Bedrock"`), []Sample{at("AWS/Bedrock", "y", 2, 0), at("Other", "x", 2, 0)}, "OK"},
		"query of a function": {query(`SELECT SUM(x) FROM PrivateBedrock WHERE FunctionName = 'f'`),
			[]Sample{at("PrivateBedrock", "x", 1, 0, "FunctionName", "f", "ModelId", "a"), at("PrivateBedrock", "x", 1, 0, "FunctionName", "f", "ModelId", "b")}, "ALARM"},
		"the greatest, beside a negative one": {query(`SELECT MAX(x) FROM PrivateBedrock`), []Sample{at("PrivateBedrock", "x", -9, 0), at("PrivateBedrock", "x", 2, 0)}, "ALARM"},
		"the greatest, and not the sum":       {query(`SELECT MAX(x) FROM PrivateBedrock`), []Sample{at("PrivateBedrock", "x", 1, 0), at("PrivateBedrock", "x", 1, 0)}, "OK"},
		"query of another function":           {query(`SELECT SUM(x) FROM PrivateBedrock WHERE FunctionName = 'f'`), []Sample{at("PrivateBedrock", "x", 2, 0, "FunctionName", "g")}, "OK"},
	} {
		if got, err := c.alarm.State(c.samples, now); got != c.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
	for name, change := range map[string]func(*MetricAlarm){
		"another operator":  func(a *MetricAlarm) { a.ComparisonOperator = "LessThanThreshold" },
		"missing data":      func(a *MetricAlarm) { a.TreatMissingData = "breaching" },
		"no period":         func(a *MetricAlarm) { a.Period = 0 },
		"another statistic": func(a *MetricAlarm) { a.Statistic = "Average" },
		"another query":     func(a *MetricAlarm) { *a = query("SELECT AVG(x) FROM y") },
	} {
		a := sum
		if change(&a); a.Name != "a" {
			t.Fatal("changed too much")
		}
		if state, err := a.State([]Sample{at("AWS/Lambda", "Errors", 2, 0, "FunctionName", "f")}, now); err == nil {
			t.Errorf("%s: %s, want an error", name, state)
		}
	}
}

// What the function says of a refusal is in its log's lines only.
func TestEmbeddedMetrics(t *testing.T) {
	t.Parallel()
	m := &Metrics{}
	line, err := json.Marshal(map[string]any{
		"FunctionName": "f", "ModelId": "m", "UnloggedInvocationsRefused": 1, "Other": "text",
		"_aws": map[string]any{"CloudWatchMetrics": []any{map[string]any{
			"Namespace": "PrivateBedrock", "Dimensions": [][]string{{"FunctionName", "ModelId"}}, "Metrics": []any{map[string]string{"Name": "UnloggedInvocationsRefused"}, map[string]string{"Name": "Other"}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Embedded(string(line))
	m.Embedded("no JSON")
	m.Embedded(`{"msg":"no metrics"}`)
	(*Metrics)(nil).Embedded(string(line))
	if len(m.samples) != 1 || m.samples[0].Namespace != "PrivateBedrock" || m.samples[0].Value != 1 || m.samples[0].Dimensions["FunctionName"] != "f" || m.samples[0].Dimensions["ModelId"] != "m" {
		t.Errorf("%+v", m.samples)
	}
}
