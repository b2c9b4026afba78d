package events

import (
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	bedrocksdk "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// watchedAs are the forms in which a call can name what the stack of components/testdata has, by service and parameter.
var watchedAs = map[string][]any{
	"s3 bucketName":              {"bedrock-logging-1234567", "bedrock-logging-access-1234567", "bedrock-audit-1234567"},
	"logs logGroupName":          {"/aws/bedrock/bedrock-logging-1234567", "/aws/lambda/bedrock-app-dev-function", "/aws/apigateway/bedrock-app-dev-api"},
	"logs logGroupIdentifier":    {"/aws/apigateway/bedrock-app-dev-api", watchedGroup, watchedGroup + ":*"},
	"kms keyId":                  {"1234abcd-12ab-34cd-56ef-1234567890ab", watchedKey},
	"kms targetKeyId":            {"1234abcd-12ab-34cd-56ef-1234567890ab", watchedKey},
	"kms responseElements.keyId": {watchedKey},
	"apigateway restApiId":       {"abc123defg"},
	"lambda functionName":        {"bedrock-app-dev-function-1234567", "bedrock-app-dev-function-1234567:live", "123456789012:function:bedrock-app-dev-function-1234567", watchedFunction, watchedFunction + ":1"},
	"lambda resourceArn":         {watchedFunction, watchedFunction + ":live"},
	"lambda resource":            {watchedFunction, watchedFunction + ":1"},
	"events name":                {"bedrock-app-dev-watch-api"},
	"events rule":                {"bedrock-app-dev-watch-api"},
	"cloudwatch alarmName":       {"bedrock-app-dev-watch-refused"},
	"cloudwatch alarmNames":      {[]any{"other", "bedrock-app-dev-watch-refused"}},
	"sns topicArn":               {watchedTopic},
	"sns resourceArn":            {watchedTopic},
	"sns subscriptionArn":        {watchedTopic + ":00000000-0000-0000-0000-000000000000"},
	"glue databaseName":          {"bedrock_audit_1234567"},
	"glue name":                  {"bedrock_audit_1234567"},
	"athena workGroup":           {"bedrock-audit-1234567"},
}

const (
	watchedGroup    = "arn:aws-us-gov:logs:us-gov-west-1:123456789012:log-group:/aws/apigateway/bedrock-app-dev-api"
	watchedKey      = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	watchedFunction = "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:bedrock-app-dev-function-1234567"
	watchedTopic    = "arn:aws-us-gov:sns:us-gov-west-1:123456789012:bedrock-app-dev-watch"
)

var (
	writeVerdict = regexp.MustCompile(`^(?:heard (\w+) by (.+)|denied (\S+): .+|harmless: .+)$`)
	readingName  = regexp.MustCompile(`^(Get|List|Describe|Head|Select|Filter|Test|Options$)`)
)

// A writing call that no verdict was given on, such as one that AWS adds or that names its resource in another parameter,
// may change what the log rests on without a sound.
func TestWriteActionsHaveAVerdict(t *testing.T) {
	t.Parallel()
	rules := map[string]map[string]any{}
	files, err := filepath.Glob("../../../components/testdata/rule-*.txt") // the deployed ones: TestTamperPatterns
	if err != nil || len(files) == 0 {
		t.Fatalf("%d rules, %v", len(files), err)
	}
	for _, file := range files {
		pattern, _, _ := strings.Cut(readText(t, file), "\n\n")
		rules[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "rule-"), ".txt")] = decoded(t, pattern)
	}
	// rings names the rules that a call rings.
	rings := func(service, call, parameter string, value any) string {
		source, at := strings.Replace(service, "cloudwatch", "monitoring", 1), map[string]any{}
		detail := map[string]any{"eventSource": source + ".amazonaws.com", "eventName": call, "requestParameters": at}
		if answer, ok := strings.CutPrefix(parameter, "responseElements."); ok {
			detail["responseElements"] = map[string]any{answer: value}
		} else if parameter != "" {
			at[parameter] = value
		}
		var rung []string
		for name, pattern := range rules {
			ok, err := Matches(pattern, map[string]any{"source": "aws." + source, "detail-type": "AWS API Call via CloudTrail", "detail": detail})
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				rung = append(rung, name)
			}
		}
		slices.Sort(rung)
		return strings.Join(rung, " ")
	}
	deniedActions := deniedByOrganization(t)
	known := map[string]bool{}
	for _, line := range strings.Split(readText(t, "../../../components/testdata/write-actions.txt"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || !writeVerdict.MatchString(cells[1]) {
			t.Errorf("got the line %q, want a service, a verdict and calls", line)
			continue
		}
		service, verdict := cells[0], writeVerdict.FindStringSubmatch(cells[1])
		rule, by, action := verdict[1], verdict[2], verdict[3]
		for _, call := range strings.Fields(cells[2]) {
			if known[service+" "+call] {
				t.Errorf("%s %s has two verdicts", service, call)
			}
			known[service+" "+call] = true
			name := call
			if service == "lambda" {
				name += "20150331v2" // Lambda Developer Guide, "Logging AWS Lambda API calls using AWS CloudTrail"
			}
			switch want := rule; {
			case by == "its name":
				if got := rings(service, name, "", nil); got != want {
					t.Errorf("%s %s rings %q, want %q", service, call, got, want)
				}
			case rule == "":
				if got := rings(service, name, "", nil); got != "" {
					t.Errorf("%s %s rings %q, and its verdict is %q", service, call, got, cells[1])
				}
			default:
				for _, parameter := range strings.Fields(by) {
					if len(watchedAs[service+" "+parameter]) == 0 {
						t.Errorf("%s %s: watchedAs has no %s", service, call, parameter)
					}
					for _, value := range watchedAs[service+" "+parameter] {
						if got := rings(service, name, parameter, value); got != want {
							t.Errorf("%s %s of %s %v rings %q, want %q", service, call, parameter, value, got, want)
						}
					}
					if got := rings(service, name, parameter, "another"); got != "" {
						t.Errorf("%s %s of another %s rings %q", service, call, parameter, got)
					}
				}
			}
			if action != "" && !slices.ContainsFunc(deniedActions, func(pattern string) bool { ok, _ := path.Match(pattern, action); return ok }) {
				t.Errorf("%s %s: policies/service-control-policy.json does not deny %s", service, call, action)
			}
		}
	}
	for service, client := range map[string]any{"bedrock": &bedrocksdk.Client{}, "logs": &cloudwatchlogs.Client{}, "s3": &s3.Client{}} {
		for of, i := reflect.TypeOf(client), 0; i < of.NumMethod(); i++ {
			if call := of.Method(i).Name; !readingName.MatchString(call) && !known[service+" "+call] {
				t.Errorf("components/testdata/write-actions.txt has no verdict on %s %s, an operation of the SDK", service, call)
			}
		}
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// deniedByOrganization are the actions that the organization policy denies, whatever their resource and condition:
// TestOrganizationPolicyVerdicts asks these.
func deniedByOrganization(t *testing.T) (actions []string) {
	t.Helper()
	for _, s := range decoded(t, readText(t, "../../../policies/service-control-policy.json"))["Statement"].([]any) {
		for _, action := range s.(map[string]any)["Action"].([]any) {
			actions = append(actions, action.(string))
		}
	}
	return actions
}
