package components

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A policy that is not the reviewed one, byte by byte, admits somebody nobody decided to admit.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const account, region = "123456789012", "ap-northeast-1"
	logGroup := "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/example"
	for name, make := range map[string]func() (string, error){
		"api": func() (string, error) {
			return apiPolicy("aws", region, account, []string{"vpce-0aaaaaaaaaaaaaaaa"}, []string{"vpce-0bbbbbbbbbbbbbbbb"})
		},
		"function": func() (string, error) {
			return functionPolicy(logGroup, "vpce-0cccccccccccccccc", []string{"arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"})
		},
		"log-delivery": func() (string, error) { return logDeliveryPolicy(logGroup) },
		"log-delivery-trust": func() (string, error) {
			return trustPolicy("bedrock.amazonaws.com", account, bedrockArns("aws", region, account))
		},
		"log-bucket": func() (string, error) {
			return logBucketPolicy("arn:aws:s3:::example", account, region, "aws", []string{logPrefix, largeDataPrefix})
		},
		"flow-log":       func() (string, error) { return flowLogPolicy(logGroup) },
		"ssm-client":     ssmClientPolicy,
		"function-trust": func() (string, error) { return plainTrustPolicy("lambda.amazonaws.com") },
		"openapi": func() (string, error) {
			return openAPI("example", "aws", region, "arn:aws:lambda:ap-northeast-1:123456789012:function:example")
		},
		"access-log": accessLogFormat,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := make()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", got)
		})
	}
}

// A Deny without endpoints is one of AWS's unwritten rules: nobody may find out.
func TestApiPolicyWantsEndpoints(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]string{nil, {}, {""}, {"vpce-1", ""}} {
		if policy, err := apiPolicy("aws", "ap-northeast-1", "123456789012", ids, nil); err == nil {
			t.Errorf("%q made %s", ids, policy)
		}
	}
}

// golden compares with a file under testdata; go test ./components -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("differs from %s:\n%s", path, got)
	}
}
