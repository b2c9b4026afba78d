package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// bucketPolicies keeps buckets' policies away from moto, which ignores their conditions and so takes "Deny without
// TLS" for "Deny".
type bucketPolicies struct {
	moto client
	mu   sync.Mutex
	by   map[string]string // bucket → document
}

// serve answers Put-, Get- and DeleteBucketPolicy.
func (p *bucketPolicies) serve(w http.ResponseWriter, r *http.Request) {
	bucket := strings.Trim(r.URL.Path, "/")
	if _, err := p.moto.do(r.Context(), "s3", http.MethodGet, "/"+bucket+"?location", nil, nil); err != nil {
		s3Error(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	document, found := p.by[bucket]
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = iampolicy.ParseResource(string(body))
		}
		if err != nil {
			s3Error(w, http.StatusBadRequest, "MalformedPolicy", err.Error())
			return
		}
		p.by[bucket] = string(body)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		delete(p.by, bucket)
		w.WriteHeader(http.StatusNoContent)
	default:
		if !found {
			s3Error(w, http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, document)
	}
}

func s3Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

func (p *bucketPolicies) forget(bucket string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.by, bucket)
}

// allows asks a bucket's policy about a request of a service's.
func (p *bucketPolicies) allows(bucket string, request iampolicy.Request) error {
	p.mu.Lock()
	document, found := p.by[bucket]
	p.mu.Unlock()
	if !found {
		return fmt.Errorf("bucket %s has no policy that lets %s in", bucket, request.Principal.Service)
	}
	policy, err := iampolicy.ParseResource(document)
	if err != nil {
		return fmt.Errorf("policy of bucket %s: %w", bucket, err)
	}
	if decision := policy.Decide(request); decision != iampolicy.Allow {
		return fmt.Errorf("the policy of bucket %s does not let %s %s on %s: %v", bucket, request.Principal.Service, request.Action, request.Resource, decision)
	}
	return nil
}
