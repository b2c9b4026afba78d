// Package wire is the ground floor of the sandbox. It runs moto, calls it over the protocols of AWS, and reads and changes requests
// and responses on their way.
package wire

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

// Client asks moto over AWS's own protocols. Nothing is signed, because moto checks no signature; the header only names
// the service and region.
type Client struct {
	URL, Region string
	Transport   http.RoundTripper // nil is that of http.DefaultClient
}

// StatusError is a response of moto that reports a failure.
type StatusError struct {
	call   string
	Status int
	Body   string
}

func (e StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.call, e.Status, e.Body)
}

// NotFound reports whether moto has no such resource.
func NotFound(err error) bool {
	var e StatusError
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || strings.Contains(e.Body, "NotFound") || strings.Contains(e.Body, "NoSuch"))
}

// Do calls a service and returns the body of the response, also that of a StatusError.
func (c Client) Do(ctx context.Context, service, method, path string, header map[string]string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=sandbox/20260101/"+c.Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := (&http.Client{Transport: c.Transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = StatusError{service + " " + method + " " + path, response.StatusCode, string(answer)}
	}
	return answer, err
}

// Get reads JSON over a REST protocol.
func (c Client) Get(ctx context.Context, service, path string, out any) error {
	answer, err := c.Do(ctx, service, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// Query calls IAM, STS and EC2 over the Query protocol.
func (c Client) Query(ctx context.Context, service, version, action string, parameters map[string]string, out any) error {
	form := url.Values{"Action": {action}, "Version": {version}}
	for k, v := range parameters {
		form.Set(k, v)
	}
	answer, err := c.Do(ctx, service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(form.Encode()))
	if err != nil {
		return err
	}
	return xml.Unmarshal(answer, out)
}

// Target calls a service over AWS's JSON protocol.
func (c Client) Target(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.Do(ctx, service, http.MethodPost, "/", map[string]string{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// AccountID asks which account moto plays.
func (c Client) AccountID(ctx context.Context) (string, error) {
	var out struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	err := c.Query(ctx, "sts", "2011-06-15", "GetCallerIdentity", nil, &out)
	return out.Account, err
}
