package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/components/componentstest"
)

// A program that does not run, or a component without one, is where its user gives up.
func TestPrograms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../package/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct{ Resources map[string]any }
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if len(programs) != len(schema.Resources) {
		t.Errorf("got %d programs, want %d, one for each component", len(programs), len(schema.Resources))
	}
	settings := map[string]string{
		"source": "../../function", "functionArn": "arn:aws:lambda:ap-northeast-1:123456789012:function:f", "vpcEndpointId": "vpce-1",
		"apiId": "a", "apiName": "api", "alarmEmail": "oncall@example.com", "auditorArn": "arn:aws:iam::123456789012:role/auditor",
		"logBucketName": "bucket", "logGroupName": "group", "accessLogGroupName": "access",
	}
	config := map[string]string{}
	for name, value := range settings {
		config["private-bedrock:"+name] = value
	}
	for typ := range schema.Resources {
		name := strings.TrimPrefix(typ, "private-bedrock:index:")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, found := programs[name]
			if !found {
				t.Fatalf("%s has no program", name)
			}
			if got := componentstest.Run(t, program, componentstest.Config("test", config)).OfType(typ); len(got) != 1 {
				t.Errorf("got %d of %s, want 1", len(got), typ)
			}
		})
	}
}
