package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// client asks moto over AWS's own protocols. Nothing is signed, because moto checks no signature; the header only names
// the service and region.
type client struct {
	url, region string
	transport   http.RoundTripper // nil is that of http.DefaultClient
}

// statusError is an answer of moto's that is no success.
type statusError struct {
	call   string
	status int
	body   string
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.call, e.status, e.body)
}

func notFound(err error) bool {
	var e statusError
	return errors.As(err, &e) && (e.status == http.StatusNotFound || strings.Contains(e.body, "NotFound") || strings.Contains(e.body, "NoSuch"))
}

func (c client) do(ctx context.Context, service, method, path string, header map[string]string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=sandbox/20260101/"+c.region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := (&http.Client{Transport: c.transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = statusError{service + " " + method + " " + path, response.StatusCode, string(answer)}
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

// query calls IAM, STS and EC2 over the Query protocol.
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

// accountID asks which account moto plays.
func (c client) accountID(ctx context.Context) (string, error) {
	var out struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	err := c.query(ctx, "sts", "2011-06-15", "GetCallerIdentity", nil, &out)
	return out.Account, err
}
