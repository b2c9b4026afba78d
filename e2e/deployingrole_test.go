package e2e

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/deployer"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// deployingRole is a front to an AWS endpoint that decides on each call as IAM would for a role with these policies. It reports
// what they deny, and lets it pass, so that one run finds all; and it remembers what was asked.
type deployingRole struct {
	policies []iampolicy.Document
	aws      wire.Client
	proxy    *httputil.ReverseProxy
	report   func(error)

	mu   sync.Mutex
	seen map[string]bool // rights as patterns
}

func newRole(t *testing.T, aws wire.Client, report func(error), policyFiles ...string) (*deployingRole, string) {
	t.Helper()
	target, err := url.Parse(aws.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := &deployingRole{aws: aws, report: report, seen: map[string]bool{}, proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}}
	for _, file := range policyFiles {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := iampolicy.ParseIdentity(string(content))
		if err != nil {
			t.Fatal(err)
		}
		r.policies = append(r.policies, document)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func (r *deployingRole) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := wire.Peek(request)
	if err == nil {
		err = r.decide(request, body)
	}
	if err != nil {
		r.report(err)
	}
	r.proxy.ServeHTTP(w, request)
}

func (r *deployingRole) decide(request *http.Request, body []byte) error {
	rights, err := deployer.Call{
		Service: wire.ServiceOf(request), Region: r.aws.Region, Account: account, Method: request.Method, URL: request.URL, Header: request.Header, Body: body,
	}.Rights()
	if err != nil {
		return err
	}
	var errs []error
	for _, right := range rights {
		if strings.HasPrefix(right.Key, "aws:ResourceTag/") {
			if right.Value, err = r.tag(right.Resource, strings.TrimPrefix(right.Key, "aws:ResourceTag/")); err != nil {
				return err
			}
		}
		if right.Value == "" {
			right.Key = "" // no such tag
		}
		r.mu.Lock()
		r.seen[right.Pattern().String()] = true
		r.mu.Unlock()
		right = right.OfDev()
		asked := iampolicy.Request{Action: right.Action, Resource: right.Resource, Context: right.Context()}
		if iampolicy.SameAccount(r.policies, nil, asked) != iampolicy.Allow {
			errs = append(errs, fmt.Errorf("no policy allows %s", right))
		}
	}
	return errors.Join(errs...)
}

// tag looks a resource's tag up; empty where it has none.
func (r *deployingRole) tag(arn, key string) (string, error) {
	id := arn[strings.LastIndex(arn, "/")+1:]
	if strings.HasPrefix(arn, "arn:aws:kms:") {
		var out struct {
			Tags []struct{ TagKey, TagValue string }
		}
		err := r.aws.Target(context.Background(), "kms", "TrentService.ListResourceTags", map[string]string{"KeyId": id}, &out)
		for _, tag := range out.Tags {
			if tag.TagKey == key {
				return tag.TagValue, err
			}
		}
		return "", err
	}
	var out struct {
		XMLName xml.Name
		Values  []string `xml:"tagSet>item>value"`
	}
	err := r.aws.Query(context.Background(), "ec2", "2016-11-15", "DescribeTags", map[string]string{
		"Filter.1.Name": "resource-id", "Filter.1.Value.1": id, "Filter.2.Name": "key", "Filter.2.Value.1": key,
	}, &out)
	return strings.Join(slices.Sorted(slices.Values(out.Values)), ","), err
}

// A deployment that needs a right which its role lacks, or that touches what is not its own, passes the end-to-end test
// and fails on AWS.
func TestRoleReportsWhatIsDenied(t *testing.T) {
	t.Parallel()
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := ""
		if body, _ := wire.Peek(r); strings.Contains(string(body), "vpc-0123456789abcdef0") {
			value = "<item><value>bedrock-app</value></item>"
		}
		fmt.Fprint(w, "<DescribeTagsResponse><tagSet>"+value+"</tagSet></DescribeTagsResponse>")
	}))
	t.Cleanup(aws.Close)
	var denied []string
	_, front := newRole(t, wire.Client{URL: aws.URL, Region: "ap-northeast-1"}, func(err error) { denied = append(denied, err.Error()) },
		"policies/preview-policy.json", "policies/deployer-policy.json", "policies/deployer-policy-ec2-iam.json")
	call := func(service, body string) {
		c := wire.Client{URL: front, Region: "ap-northeast-1"}
		if _, err := c.Do(t.Context(), service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	call("ec2", "Action=DeleteVpc&VpcId=vpc-0123456789abcdef0")
	call("iam", "Action=DeleteRole&RoleName=bedrock-app-local-function-1a2b3c4")
	if len(denied) > 0 {
		t.Errorf("the stack's own: %v", denied)
	}
	for body, service := range map[string]string{
		"Action=DeleteVpc&VpcId=vpc-0fedcba9876543210": "ec2", "Action=DeleteRole&RoleName=other": "iam", "Action=CreateUser&UserName=other": "iam",
	} {
		denied = nil
		call(service, body)
		if len(denied) != 1 {
			t.Errorf("%s: reported %v, want one denial", body, denied)
		}
	}
}
