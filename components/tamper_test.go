package components

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// watchedOf are those of a stack of a name.
func watchedOf(name string) watched {
	return watched{
		buckets: []string{"bedrock-logging-1234567", "bedrock-logging-access-1234567", "bedrock-audit-1234567"},
		logGroups: []string{
			"/aws/bedrock/bedrock-logging-1234567", "/aws/lambda/" + name + "-function", "/aws/apigateway/" + name + "-api",
		},
		keyIds: []string{"1234abcd-12ab-34cd-56ef-1234567890ab", "5678abcd-12ab-34cd-56ef-1234567890ab"},
		apiId:  "abc123defg", functionArn: "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + name + "-function-1234567",
		topicArn: "arn:aws-us-gov:sns:us-gov-west-1:123456789012:" + name + "-watch", name: name + "-watch-",
		database: "bedrock_audit_1234567", workgroup: "bedrock-audit-1234567",
	}
}

// A pattern that is not the reviewed one, byte by byte, misses what somebody decided to watch.
func TestTamperPatterns(t *testing.T) {
	t.Parallel()
	for _, rule := range tamperRules(watchedOf("bedrock-app-dev")) {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			pattern, err := rule.pattern()
			if err != nil {
				t.Fatal(err)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, []byte(pattern), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, "rule-"+rule.name+".txt", indented.String()+"\n\n"+rule.message())
		})
	}
}

// What EventBridge refuses, or takes and never matches, is found when somebody needs it.
func TestTamperRulesFit(t *testing.T) {
	t.Parallel()
	longest := tamperRules(watchedOf(strings.Repeat("a", 47))) // maxName of main's
	if len(longest) > 20 {
		t.Errorf("%d rules; a bus has 100 in some regions", len(longest))
	}
	for _, rule := range longest {
		if pattern, err := rule.pattern(); err != nil {
			t.Errorf("%s: %v: %s", rule.name, err, pattern)
		}
		if n := len(rule.calls.Or); n == 1 {
			t.Errorf("%s: $or of one, which EventBridge may take for a field", rule.name)
		}
		if len(rule.name) > 10 || len(rule.means) > 512 { // of a description
			t.Errorf("%s: its name or description is too long", rule.name)
		}
		if strings.ContainsAny(rule.means, `"<>\`) {
			t.Errorf("%s: %s spoils the message's template", rule.name, rule.means)
		}
		for field := range tamperFields {
			if !strings.Contains(rule.message(), "<"+field+">") {
				t.Errorf("%s: the message lacks %s", rule.name, field)
			}
		}
	}
	if _, err := tamperRules(watchedOf(strings.Repeat("a", 500)))[3].pattern(); err == nil || !strings.Contains(err.Error(), "takes 2048") {
		t.Errorf("a pattern that is too long: %v", err)
	}
}

// An alarm on another metric, series or threshold than the reviewed one is silent, or cries wolf.
func TestAlarms(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, a := range alarms("example-function", "example-api", "api", 60_000) {
		dimensions, err := json.Marshal(a.dimensions)
		if err != nil {
			t.Fatal(err)
		}
		what := a.query
		if what == "" {
			what = fmt.Sprintf("%s(%s %s) %s", a.statistic, a.namespace, a.metric, dimensions)
		}
		lines = append(lines, fmt.Sprintf("%s: %s >= %v, %d x %d s\n  %s", a.name, what, a.threshold, a.periods, a.periodSeconds, a.means))
	}
	golden(t, "alarms.txt", strings.Join(lines, "\n"))
}

// A dashboard that shows another function's or nobody's numbers is believed all the same.
func TestDashboard(t *testing.T) {
	t.Parallel()
	body, err := dashboardBody("ap-northeast-1", "example-function", "example-api", "api", []string{"arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:example-watch-errors"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "dashboard.json", body)
}
