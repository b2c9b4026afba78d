package bedrock

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	controlplane "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/smithy-go"
)

// controls is Bedrock's control plane as the SDK's own client speaks with it, and what IAM is asked.
type controls struct {
	*controlplane.Client
	service *Service
	asked   []string
	denied  string // an action
}

func controlClient(t *testing.T) *controls {
	t.Helper()
	s := New(&Runtime{Region: "ap-northeast-1", Account: "123456789012"})
	s.Caller = func(*http.Request) string { return "arn:aws:iam::123456789012:root" }
	c := &controls{service: s}
	s.Authorize = func(_ *http.Request, action string, keys map[string]string) error {
		c.asked = append(c.asked, fmt.Sprint(action, keys))
		if action == c.denied {
			return errors.New("denied")
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handled, err := s.Handle(w, r); !handled {
			t.Errorf("%s %s is left to moto: %v", r.Method, r.URL, err)
		}
	}))
	t.Cleanup(server.Close)
	c.Client = controlplane.New(controlplane.Options{
		Region: "ap-northeast-1", BaseEndpoint: &server.URL, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
	return c
}

// refusedAs is an error's name as the SDK reads it.
func refusedAs(err error) string {
	var exception smithy.APIError
	if !errors.As(err, &exception) {
		return ""
	}
	return exception.ErrorCode()
}

// Lost: a test that a function notices when AWS begins to share prompts, and that IAM decides who reads and changes the mode.
func TestDataRetention(t *testing.T) {
	t.Parallel()
	c, ctx := controlClient(t), t.Context()
	if out, err := c.GetAccountDataRetention(ctx, nil); err != nil || out.Mode != types.DataRetentionModeInherit || out.UpdatedAt != nil {
		t.Errorf("a new account: %+v, %v", out, err)
	}
	put := func(mode types.DataRetentionMode) error {
		_, err := c.PutAccountDataRetention(ctx, &controlplane.PutAccountDataRetentionInput{Mode: mode})
		return err
	}
	for _, mode := range types.DataRetentionMode("").Values() {
		if err := put(mode); err != nil {
			t.Error(mode, err)
		}
		if out, err := c.GetAccountDataRetention(ctx, nil); err != nil || out.Mode != mode || out.UpdatedAt == nil {
			t.Errorf("%s: %+v, %v", mode, out, err)
		}
	}
	for _, mode := range []types.DataRetentionMode{"aws_review", "None", "x"} {
		if err := put(mode); refusedAs(err) != "ValidationException" {
			t.Errorf("%s: %v", mode, err)
		}
	}
	c.asked, c.denied = nil, "bedrock:PutAccountDataRetention"
	if err := put("none"); refusedAs(err) != "AccessDeniedException" {
		t.Errorf("a denied change: %v", err)
	}
	out, err := c.GetAccountDataRetention(ctx, nil)
	if err != nil || out.Mode != types.DataRetentionModeInherit {
		t.Errorf("after a denied change: %+v, %v", out, err)
	}
	c.denied = "bedrock:GetAccountDataRetention"
	if _, err := c.GetAccountDataRetention(ctx, nil); refusedAs(err) != "AccessDeniedException" {
		t.Errorf("a denied look: %v", err)
	}
	want := "bedrock:PutAccountDataRetentionmap[bedrock:DataRetentionMode:none] bedrock:GetAccountDataRetentionmap[] bedrock:GetAccountDataRetentionmap[]"
	if got := strings.Join(c.asked, " "); got != want {
		t.Errorf("IAM is asked %s, want %s", got, want)
	}
}
