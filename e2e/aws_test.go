package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// account is the one that the sandbox plays.
const account = "123456789012"

const (
	cloudWatchVersion = "2010-08-01"
	ec2Version        = "2016-11-15"
	iamVersion        = "2010-05-08"
	snsVersion        = "2010-03-31"
)

// client asks the sandbox's AWS over AWS's own protocols. Nothing is signed, because the sandbox checks no signature there; the header
// only names the service and region.
type client struct{ url, region string }

func (c client) do(ctx context.Context, service, method, path string, header map[string]string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=sandbox/20260101/"+c.region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s %s: status %d: %s", service, method, path, response.StatusCode, answer)
	}
	return answer, err
}

// get reads JSON over a REST protocol.
func (c client) get(ctx context.Context, service, path string, out any) error {
	answer, err := c.do(ctx, service, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// target calls a service over AWS's JSON protocol.
func (c client) target(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, service, http.MethodPost, "/", map[string]string{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// query calls a service over the Query protocol.
func (c client) query(ctx context.Context, service, version, action string, parameters map[string]string, out any) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for k, v := range parameters {
		form.Set(k, v)
	}
	answer, err := c.do(ctx, service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(form.Encode()))
	if err != nil {
		return err
	}
	return xml.Unmarshal(answer, out)
}

func (c client) iam(ctx context.Context, action string, parameters map[string]string, out any) error {
	return c.query(ctx, "iam", iamVersion, action, parameters, out)
}

type vpcEndpoint struct {
	ID          string `xml:"vpcEndpointId"`
	VpcID       string `xml:"vpcId"`
	ServiceName string `xml:"serviceName"`
	State       string `xml:"state"`
	Policy      string `xml:"policyDocument"`
}

func (c client) vpcEndpoints(ctx context.Context) ([]vpcEndpoint, error) {
	var out struct {
		Endpoints []vpcEndpoint `xml:"vpcEndpointSet>item"`
	}
	err := c.query(ctx, "ec2", ec2Version, "DescribeVpcEndpoints", nil, &out)
	// moto lists deleted ones for ever
	return slices.DeleteFunc(out.Endpoints, func(e vpcEndpoint) bool { return e.State != "available" }), err
}

// keyPolicy reads a KMS key's policy, by its ARN or id.
func (c client) keyPolicy(ctx context.Context, key string) (string, error) {
	var out struct{ Policy string }
	err := c.target(ctx, "kms", "TrentService.GetKeyPolicy", map[string]string{"KeyId": key, "PolicyName": "default"}, &out)
	return out.Policy, err
}

// bucketKey is the KMS key that a bucket encrypts with.
func (c client) bucketKey(ctx context.Context, bucket string) (string, error) {
	answer, err := c.do(ctx, "s3", http.MethodGet, "/"+bucket+"?encryption", nil, nil)
	if err != nil {
		return "", err
	}
	var out struct {
		Key string `xml:"Rule>ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
	}
	err = xml.Unmarshal(answer, &out)
	return out.Key, err
}

// groupKey is the KMS key that a log group encrypts with.
func (c client) groupKey(ctx context.Context, group string) (string, error) {
	var out struct {
		LogGroups []struct{ LogGroupName, KmsKeyID string }
	}
	err := c.target(ctx, "logs", "Logs_20140328.DescribeLogGroups", map[string]string{"logGroupNamePrefix": group}, &out)
	for _, g := range out.LogGroups {
		if g.LogGroupName == group {
			return g.KmsKeyID, err
		}
	}
	return "", err
}

// topic has the attributes of an SNS topic.
func (c client) topic(ctx context.Context, arn string) (map[string]string, error) {
	var out struct {
		Attributes []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"GetTopicAttributesResult>Attributes>entry"`
	}
	err := c.query(ctx, "sns", snsVersion, "GetTopicAttributes", map[string]string{"TopicArn": arn}, &out)
	attributes := map[string]string{}
	for _, a := range out.Attributes {
		attributes[a.Key] = a.Value
	}
	return attributes, err
}

// alarms are the names of CloudWatch's alarms.
func (c client) alarms(ctx context.Context) ([]string, error) {
	var out struct {
		Names []string `xml:"DescribeAlarmsResult>MetricAlarms>member>AlarmName"`
	}
	err := c.query(ctx, "monitoring", cloudWatchVersion, "DescribeAlarms", nil, &out)
	return out.Names, err
}

// apiPolicy is a REST API's resource policy.
func (c client) apiPolicy(t *testing.T, id string) (policy string) {
	t.Helper()
	var api struct{ Policy string }
	if err := c.get(t.Context(), "apigateway", "/restapis/"+id, &api); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`"`+api.Policy+`"`), &policy); err != nil { // escaped once more than JSON is
		t.Fatalf("policy of API %s: %v", id, err)
	}
	return policy
}

// accountOf is the account of an ARN.
func accountOf(arn string) string { return strings.Split(arn, ":")[4] }
