package events

import (
	"encoding/json"
	"testing"
)

func decoded(t *testing.T, document string) (out map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A pattern that matches here and not on AWS is a rule that is silent when it matters.
func TestMatches(t *testing.T) {
	t.Parallel()
	event := decoded(t, `{"source":"aws.s3","detail":{"eventName":"PutBucketPolicy","requestParameters":{"bucketName":"logs","names":["a","watch-x"]},"responseElements":null}}`)
	for pattern, want := range map[string]bool{
		`{"source":["aws.s3"]}`:                                                                                          true,
		`{"source":["aws.ec2","aws.s3"]}`:                                                                                true,
		`{"source":["aws.ec2"]}`:                                                                                         false,
		`{"source":[{"prefix":"aws."}]}`:                                                                                 true,
		`{"source":[{"prefix":"s3"}]}`:                                                                                   false,
		`{"source":[{"suffix":".s3"}]}`:                                                                                  true,
		`{"source":[{"suffix":"aws"}]}`:                                                                                  false,
		`{"source":["aws.s3"],"detail":{"eventName":["x"]}}`:                                                             false,
		`{"detail":{"eventName":["x",{"prefix":"PutBucket"}]}}`:                                                          true,
		`{"detail":{"eventName":[{"anything-but":["Publish","PutBucketPolicy"]}]}}`:                                      false,
		`{"detail":{"eventName":[{"anything-but":["Publish"]}]}}`:                                                        true,
		`{"detail":{"eventName":[{"anything-but":{"prefix":"Put"}}]}}`:                                                   false,
		`{"detail":{"eventName":[{"anything-but":{"prefix":"Invoke"}}]}}`:                                                true,
		`{"detail":{"absent":[{"anything-but":["x"]}]}}`:                                                                 false,
		`{"detail":{"absent":["x"]}}`:                                                                                    false,
		`{"detail":{"requestParameters":{"names":[{"prefix":"watch-"}]}}}`:                                               true,
		`{"detail":{"requestParameters":{"names":["b"]}}}`:                                                               false,
		`{"detail":{"responseElements":{"keyId":["x"]}}}`:                                                                false,
		`{"detail":{"$or":[{"eventName":["x"]},{"requestParameters":{"bucketName":["logs"]}}]}}`:                         true,
		`{"detail":{"$or":[{"eventName":["x"]},{"requestParameters":{"bucketName":["other"]}}]}}`:                        false,
		`{"detail":{"eventName":["x"],"$or":[{"requestParameters":{"bucketName":["logs"]}},{"eventName":["y"]}]}}`:       false,
		`{"detail":{"$or":[{"eventName":["PutBucketPolicy"],"requestParameters":{"bucketName":["x"]}},{"absent":[1]}]}}`: false,
	} {
		if got, err := Matches(decoded(t, pattern), event); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{
		`{"source":[{"wildcard":"*"}]}`, `{"source":[{"prefix":["a"]}]}`, `{"source":[{"anything-but":{"wildcard":"*"}}]}`, `{"source":"aws.s3"}`,
		`{"absent":[{"exists":false}]}`,
	} {
		if got, err := Matches(decoded(t, pattern), event); err == nil {
			t.Errorf("%s: %v, want an error", pattern, got)
		}
	}
}

// Whoever is told must know what was called, and by whom.
func TestTransformed(t *testing.T) {
	t.Parallel()
	event := decoded(t, `{"detail":{"eventName":"StopLogging","userIdentity":{"arn":"arn:x"}}}`)
	paths := map[string]string{"call": "$.detail.eventName", "by": "$.detail.userIdentity.arn", "error": "$.detail.errorCode"}
	if got, err := transformed(paths, "\"<call> by <by>\"\n\"Error: <error>.\"", event); got != "StopLogging by arn:x\nError: ." || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := transformed(paths, "<call>", event); err == nil {
		t.Errorf("%q without quotes, which EventBridge refuses", got)
	}
}
