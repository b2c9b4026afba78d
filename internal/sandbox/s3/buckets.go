// Package s3 keeps the configurations of buckets that moto would get wrong: policies, lifecycles and access logs.
package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// Buckets keeps of buckets' configurations what moto would get wrong: it ignores policies' conditions, and so takes "Deny
// without TLS" for "Deny", and it forgets a lifecycle's filters by size. It cannot be told of an access log whose bucket's
// policy it does not have; none is written.
type Buckets struct {
	moto    wire.Client
	account string
	mu      sync.Mutex
	by      map[bucketPart]string // documents
}

// bucketPart is one of a bucket's configurations, by the query that names it in S3's API.
type bucketPart struct{ bucket, part string }

// absent is what S3 says of a configuration that was never put; of an access log it says that there is none.
var absent = map[string]struct{ code, message string }{
	"policy":    {"NoSuchBucketPolicy", "The bucket policy does not exist"},
	"lifecycle": {"NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"},
	"logging":   {},
}

// partOf tells which of the kept configurations a request to S3 is about.
func partOf(query url.Values) string {
	for part := range absent {
		if query.Has(part) {
			return part
		}
	}
	return ""
}

// NewBuckets has no configuration.
func NewBuckets(moto wire.Client, account string) *Buckets {
	return &Buckets{moto: moto, account: account, by: map[bucketPart]string{}}
}

// Handle answers what is asked of a kept configuration.
func (b *Buckets) Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	if partOf(r.URL.Query()) == "" {
		return false, nil
	}
	b.serve(w, r)
	return true, nil
}

// Amend forgets what a deleted bucket had.
func (b *Buckets) Amend(response *http.Response) error {
	if r := response.Request; r.Method == http.MethodDelete && PartName(r.URL.Query()) == "" {
		b.forget(strings.Trim(r.URL.Path, "/")) // of an object: no bucket has such a name
	}
	return nil
}

// serve answers Put-, Get- and Delete- of bucket policies, lifecycles and access logs.
func (b *Buckets) serve(w http.ResponseWriter, r *http.Request) {
	key := bucketPart{strings.Trim(r.URL.Path, "/"), partOf(r.URL.Query())}
	if _, err := b.moto.Do(r.Context(), "s3", http.MethodGet, "/"+key.bucket+"?location", nil, nil); err != nil {
		s3Error(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s3Error(w, http.StatusBadRequest, "IncompleteBody", err.Error())
		return
	}
	if r.Method == http.MethodPut {
		if code, err := b.check(r.Context(), key, body); err != nil {
			s3Error(w, http.StatusBadRequest, code, err.Error())
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	document, found := b.by[key]
	if key.part == "lifecycle" { // S3 API Reference, "GetBucketLifecycleConfiguration": AWS's default
		w.Header().Set("X-Amz-Transition-Default-Minimum-Object-Size", "all_storage_classes_128K")
	}
	switch {
	case r.Method == http.MethodPut:
		b.by[key] = string(body)
		if key.part == "policy" {
			w.WriteHeader(http.StatusNoContent)
		}
	case r.Method == http.MethodDelete:
		delete(b.by, key)
		w.WriteHeader(http.StatusNoContent)
	case found && key.part == "policy":
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, document)
	case found:
		w.Header().Set("Content-Type", "application/xml")
		io.WriteString(w, document)
	case key.part == "logging":
		w.Header().Set("Content-Type", "application/xml")
		io.WriteString(w, `<BucketLoggingStatus xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`)
	default:
		s3Error(w, http.StatusNotFound, absent[key.part].code, absent[key.part].message)
	}
}

// check refuses as S3 does what it would not keep.
func (b *Buckets) check(ctx context.Context, key bucketPart, body []byte) (code string, err error) {
	switch key.part {
	case "policy":
		_, err := iampolicy.ParseResource(string(body))
		return "MalformedPolicy", err
	case "lifecycle":
		return "MalformedXML", xml.Unmarshal(body, &struct {
			XMLName xml.Name `xml:"LifecycleConfiguration"`
		}{})
	}
	var in struct {
		XMLName xml.Name                                     `xml:"BucketLoggingStatus"`
		Enabled *struct{ TargetBucket, TargetPrefix string } `xml:"LoggingEnabled"`
	}
	if err := xml.Unmarshal(body, &in); err != nil || in.Enabled == nil {
		return "MalformedXML", err
	}
	return "InvalidTargetBucketForLogging", b.Allows(in.Enabled.TargetBucket, iampolicy.Request{
		Principal: iampolicy.Principal{Service: "logging.s3.amazonaws.com"}, Action: "s3:PutObject",
		Resource: "arn:aws:s3:::" + in.Enabled.TargetBucket + "/" + in.Enabled.TargetPrefix + "2026-01-01-00-00-00-0123456789ABCDEF",
		Context: map[string][]string{
			"aws:SourceAccount": {b.account}, "aws:SourceArn": {"arn:aws:s3:::" + key.bucket}, "aws:SecureTransport": {"true"},
		},
	})
}

func s3Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

func (b *Buckets) forget(bucket string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for part := range absent {
		delete(b.by, bucketPart{bucket, part})
	}
}

// Allows asks a bucket's policy about a request of a service's.
func (b *Buckets) Allows(bucket string, request iampolicy.Request) error {
	b.mu.Lock()
	document, found := b.by[bucketPart{bucket, "policy"}]
	b.mu.Unlock()
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

// BucketKey is the KMS key that a bucket encrypts with, if it has one of the customer's.
func BucketKey(ctx context.Context, c wire.Client, bucket string) (string, error) {
	answer, err := c.Do(ctx, "s3", http.MethodGet, "/"+bucket+"?encryption", nil, nil)
	if err != nil {
		if wire.NotFound(err) || strings.Contains(err.Error(), "ServerSideEncryptionConfigurationNotFoundError") {
			return "", nil
		}
		return "", err
	}
	var out struct {
		Key string `xml:"Rule>ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
	}
	err = xml.Unmarshal(answer, &out)
	return out.Key, err
}

// bucketParts are the names that CloudTrail has of them (S3 User Guide, "Amazon S3 CloudTrail events"): some differ from the API's.
var bucketParts = map[string]string{
	"policy": "Policy", "lifecycle": "Lifecycle", "versioning": "Versioning", "object-lock": "ObjectLockConfiguration", "encryption": "Encryption",
	"publicAccessBlock": "PublicAccessBlock", "ownershipControls": "OwnershipControls", "logging": "Logging", "replication": "Replication",
	"notification": "Notification", "acl": "Acl", "tagging": "Tagging", "cors": "Cors", "inventory": "InventoryConfiguration",
}

// PartName is the part of a bucket's configuration that a request is about, empty of the bucket itself.
func PartName(query url.Values) string {
	for part, name := range bucketParts {
		if query.Has(part) {
			return name
		}
	}
	return ""
}
