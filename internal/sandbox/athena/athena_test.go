package athena

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Lost: whether a change of the workgroup or of a saved query would be deployed. A stand-in that forgets one, or that keeps what
// was deleted, shows a change at every preview, or none where there is one.
func TestAthena(t *testing.T) {
	t.Parallel()
	a := New("ap-northeast-1", "123456789012")
	ask := func(action, in string) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(in))
		r.Header.Set("X-Amz-Target", "AmazonAthena."+action)
		w := httptest.NewRecorder()
		a.Handle(w, r)
		if w.Code == http.StatusOK == strings.Contains(w.Body.String(), "InvalidRequestException") {
			t.Errorf("%s: status %d: %s", action, w.Code, w.Body)
		}
		return strings.TrimSpace(w.Body.String())
	}
	id := func(name string) string {
		t.Helper()
		var made struct{ NamedQueryId string }
		if err := json.Unmarshal([]byte(ask("CreateNamedQuery", `{"Name":"`+name+`","WorkGroup":"g","Database":"d","QueryString":"SELECT 1","ClientRequestToken":"x"}`)), &made); err != nil || made.NamedQueryId == "" {
			t.Fatal(made, err)
		}
		return made.NamedQueryId
	}
	const arn = `"ResourceARN":"arn:aws:athena:ap-northeast-1:123456789012:workgroup/g"`
	ask("CreateWorkGroup", `{"Name":"g","Description":"one","Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}],"Configuration":{
		"BytesScannedCutoffPerQuery":1,"ResultConfiguration":{"OutputLocation":"s3://one/","ExpectedBucketOwner":"1","EncryptionConfiguration":{"EncryptionOption":"SSE_S3"}}}}`)
	ask("UpdateWorkGroup", `{"WorkGroup":"g","Description":"two","ConfigurationUpdates":{"RemoveBytesScannedCutoffPerQuery":true,
		"ResultConfigurationUpdates":{"OutputLocation":"s3://two/","RemoveExpectedBucketOwner":true,"RemoveAclConfiguration":false}}}`)
	ask("TagResource", `{`+arn+`,"Tags":[{"Key":"a","Value":"3"}]}`)
	ask("UntagResource", `{`+arn+`,"TagKeys":["b"]}`)
	one, two := id("one"), id("two")
	for _, c := range []struct{ action, in, want string }{
		{"GetWorkGroup", `{"WorkGroup":"g"}`, `{"WorkGroup":{"Configuration":{"ResultConfiguration":{"EncryptionConfiguration":{"EncryptionOption":"SSE_S3"},"OutputLocation":"s3://two/"}},"Description":"two","Name":"g","State":"ENABLED"}}`},
		{"ListTagsForResource", `{` + arn + `}`, `{"Tags":[{"Key":"a","Value":"3"}]}`},
		{"ListTagsForResource", `{"ResourceARN":"other"}`, `{"Tags":[]}`}, // of which moto says "Does Not Exist"
		{"ListNamedQueries", `{"WorkGroup":"g"}`, `{"NamedQueryIds":["` + one + `","` + two + `"]}`},
		{"GetNamedQuery", `{"NamedQueryId":"` + one + `"}`, `{"NamedQuery":{"Database":"d","Name":"one","NamedQueryId":"` + one + `","QueryString":"SELECT 1","WorkGroup":"g"}}`},
		{"DeleteNamedQuery", `{"NamedQueryId":"` + one + `"}`, `{}`},
		{"GetNamedQuery", `{"NamedQueryId":"` + one + `"}`, `{"Message":"NamedQuery ` + one + ` does not exist","__type":"InvalidRequestException"}`},
		{"BatchGetNamedQuery", `{"NamedQueryIds":["` + one + `","` + two + `"]}`, `{"NamedQueries":[{"Database":"d","Name":"two","NamedQueryId":"` + two + `","QueryString":"SELECT 1","WorkGroup":"g"}]}`},
		{"CreateWorkGroup", `{"Name":"g"}`, `{"Message":"WorkGroup g is already created","__type":"InvalidRequestException"}`},
		{"CreateNamedQuery", `{"WorkGroup":"other"}`, `{"Message":"WorkGroup other is not found.","__type":"InvalidRequestException"}`},
		{"ListWorkGroups", `{}`, `{"WorkGroups":[{"Name":"g","State":"ENABLED"}]}`},
		{"DeleteWorkGroup", `{"WorkGroup":"g"}`, `{}`},
		{"GetWorkGroup", `{"WorkGroup":"g"}`, `{"Message":"WorkGroup g is not found.","__type":"InvalidRequestException"}`},
		{"ListNamedQueries", `{"WorkGroup":"g"}`, `{"NamedQueryIds":[]}`},
		{"StartQueryExecution", `{}`, `{"Message":"the sandbox's Athena has no StartQueryExecution","__type":"InvalidRequestException"}`},
	} {
		if got := ask(c.action, c.in); got != c.want {
			t.Errorf("%s %s\nanswers %s\nwant    %s", c.action, c.in, got, c.want)
		}
	}
}
