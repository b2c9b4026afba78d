package components

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// A second program of the same account would send the first one's records elsewhere, or switch them off, silently.
func TestCheckLoggingOwner(t *testing.T) {
	t.Parallel()
	to := iamdoc.Target{Account: "123456789012", Region: "ap-northeast-1", Partition: "aws"}
	for name, c := range map[string]struct {
		current loggingDestination
		bucket  string
		foreign bool
	}{
		"off":                                     {},
		"off, and the component is there":         {bucket: "ours"},
		"on, before the component is made":        {current: loggingDestination{"theirs", ""}, foreign: true},
		"to the log group only":                   {current: loggingDestination{"", "/theirs"}, bucket: "ours", foreign: true},
		"to the log group only, before":           {current: loggingDestination{"", "/theirs"}, foreign: true},
		"to another bucket":                       {current: loggingDestination{"theirs", "/ours"}, bucket: "ours", foreign: true},
		"to the component's own":                  {current: loggingDestination{"ours", "/ours"}, bucket: "ours"},
		"to its bucket, but to its group no more": {current: loggingDestination{"ours", ""}, bucket: "ours"},
	} {
		err := checkLoggingOwner(c.current, c.bucket, to)
		if (err != nil) != c.foreign {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			continue
		}
		for _, said := range []string{c.current.bucket, c.current.logGroup, to.Account, to.Region, "adoptInvocationLogging"} {
			if !strings.Contains(err.Error(), said) {
				t.Errorf("%s: the error does not say %q: %v", name, said, err)
			}
		}
	}
}

// The own bucket is known by the engine's properties, and before it is made by their lack.
func TestBucketOf(t *testing.T) {
	t.Parallel()
	properties := func(bucket resource.PropertyValue) resource.PropertyMap {
		return resource.PropertyMap{"loggingConfig": resource.NewObjectProperty(resource.PropertyMap{
			"s3Config": resource.NewObjectProperty(resource.PropertyMap{"bucketName": bucket, "keyPrefix": resource.NewStringProperty("bedrock")}),
		})}
	}
	for name, c := range map[string]struct {
		properties resource.PropertyMap
		want       string
	}{
		"none": {nil, ""}, "no bucket": {resource.PropertyMap{"loggingConfig": resource.NewObjectProperty(nil)}, ""},
		"known": {properties(resource.NewStringProperty("ours")), "ours"}, "not known yet": {properties(resource.MakeComputed(resource.NewStringProperty(""))), ""},
	} {
		if got := bucketOf(c.properties); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// The SDK's credentials may be another account's than the provider's: what is off there may be on here.
func TestCurrentLogging(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/logging/modelinvocations" {
			fmt.Fprint(w, `{"loggingConfig":{"s3Config":{"bucketName":"theirs"},"cloudWatchConfig":{"logGroupName":"/theirs","roleArn":"arn"}}}`)
			return
		}
		fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}))
	defer server.Close()
	cfg := sdk.Config{Region: "ap-northeast-1", BaseEndpoint: &server.URL, Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
		return sdk.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
	})}
	current, err := currentLogging(t.Context(), cfg, iamdoc.Target{Account: "123456789012", Region: "ap-northeast-1", Partition: "aws"})
	if want := (loggingDestination{"theirs", "/theirs"}); err != nil || current != want {
		t.Errorf("got %v, %v, want %v", current, err, want)
	}
	if _, err := currentLogging(t.Context(), cfg, iamdoc.Target{Account: "999999999999", Region: "ap-northeast-1", Partition: "aws"}); err == nil || !strings.Contains(err.Error(), "123456789012") {
		t.Errorf("another account's credentials: %v", err)
	}
}
