package wire

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// ServiceOf reads the service's name from a signature's scope (AWS Signature Version 4).
func ServiceOf(r *http.Request) string {
	if scope := Credential(r); len(scope) == 5 {
		return scope[3]
	}
	return ""
}

// Credential is a signature's: access key, date, region, service, "aws4_request".
func Credential(r *http.Request) []string {
	_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ := strings.Cut(after, ",")
	return strings.Split(scope, "/")
}

// FromBrowser tells what a page of a foreign site could send, by its own name's resolving to this machine or not: it
// could deploy a function, which runs here.
func FromBrowser(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return net.ParseIP(host) == nil && host != "localhost" || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// Peek reads the body of a request and leaves it to be read again.
func Peek(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// Replace gives a request another body.
func Replace(r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// Rewrite changes the body of a response.
func Rewrite(response *http.Response, change func([]byte) ([]byte, error)) error {
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return err
	}
	if body, err = change(body); err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// NewID has the form of AWS's request ids.
func NewID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
