package iam

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

const (
	signedTime = "20060102T150405Z"
	clockSkew  = 5 * time.Minute
)

// ErrMissingToken is what API Gateway answers to a call that is not signed, and to one of a route that it does not have.
var ErrMissingToken = wire.NewRefusal(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")

var errMismatch = invalidSignature("The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")

func invalidSignature(format string, a ...any) wire.Refusal {
	return wire.NewRefusal(http.StatusForbidden, "InvalidSignatureException", fmt.Sprintf(format, a...))
}

func incompleteSignature(format string, a ...any) wire.Refusal {
	return wire.NewRefusal(http.StatusForbidden, "IncompleteSignatureException", fmt.Sprintf(format, a...))
}

// signature is what an Authorization header claims.
type signature struct {
	accessKey, header string
	signedHeaders     []string
	signed            time.Time
}

// Verify tells who signed a call of an API with authorization AWS_IAM, whose body was read before. It refuses in AWS's
// words (IAM User Guide, "Troubleshoot Signature Version 4 signing for AWS API requests").
func (s *Signers) Verify(ctx context.Context, r *http.Request, body []byte, now time.Time) (Signer, error) {
	claimed, err := parseSignature(r, s.moto.Region, now)
	if err != nil {
		return Signer{}, err
	}
	c, err := s.find(claimed.accessKey, now)
	if err != nil {
		return Signer{}, err
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Amz-Security-Token")), []byte(c.token)) == 0 {
		return Signer{}, errUnrecognized
	}
	// The token is no part of the credentials here: a client may send it unsigned, as API Gateway's own SDK for browsers.
	header, err := claimed.again(ctx, r, body, aws.Credentials{AccessKeyID: claimed.accessKey, SecretAccessKey: c.secret}, s.moto.Region)
	if err != nil {
		return Signer{}, err
	}
	if subtle.ConstantTimeCompare([]byte(header), []byte(claimed.header)) == 0 {
		return Signer{}, errMismatch
	}
	return s.signer(ctx, claimed.accessKey, c)
}

func parseSignature(r *http.Request, region string, now time.Time) (signature, error) {
	none := signature{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	header := r.Header.Get("Authorization")
	switch {
	case err != nil:
		return none, errMismatch // what is not understood would be in no signature
	case query.Has("X-Amz-Signature"):
		return none, incompleteSignature("The sandbox takes signatures in the Authorization header, none in the query string")
	case header == "":
		return none, ErrMissingToken // API Gateway answers both alike
	}
	algorithm, rest, _ := strings.Cut(header, " ")
	sum := sha256.Sum256([]byte(header))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	given := map[string]string{}
	for pair := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found {
			return none, incompleteSignature("Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '%s'.", hash)
		}
		given[name] = value
	}
	var missing string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if given[name] == "" {
			missing += "Authorization header requires '" + name + "' parameter. "
		}
	}
	date := strings.Join(r.Header.Values("X-Amz-Date"), ",")
	if date == "" {
		missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
	}
	if missing != "" {
		return none, incompleteSignature("%s(Hashed with SHA-256 and encoded with Base64) Authorization=%s", missing, hash)
	}
	signed, err := time.Parse(signedTime, date)
	written := func(t time.Time) string { return t.UTC().Format(signedTime) }
	signedHeaders := strings.Split(given["SignedHeaders"], ";")
	scope := strings.Split(given["Credential"], "/")
	switch {
	case err != nil || written(signed) != date: // Parse takes fractions of a second
		return none, incompleteSignature("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", date)
	case signed.Before(now.Add(-clockSkew)):
		return none, invalidSignature("Signature expired: %s is now earlier than %s (%s - 5 min.)", date, written(now.Add(-clockSkew)), written(now))
	case signed.After(now.Add(clockSkew)):
		return none, invalidSignature("Signature not yet current: %s is still later than %s (%s + 5 min.)", date, written(now.Add(clockSkew)), written(now))
	case !slices.Contains(signedHeaders, "host"):
		return none, invalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	case algorithm != "AWS4-HMAC-SHA256":
		return none, incompleteSignature("Unsupported AWS 'algorithm': '%s'", algorithm)
	case len(scope) != 5:
		return none, incompleteSignature("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", given["Credential"])
	}
	var wrong string
	if scope[2] != region {
		wrong += "Credential should be scoped to a valid region, not '" + scope[2] + "'. "
	}
	if scope[3] != "execute-api" {
		wrong += "Credential should be scoped to correct service: 'execute-api'. "
	}
	if scope[4] != "aws4_request" {
		wrong += "Credential should be scoped with a valid terminator: 'aws4_request', not '" + scope[4] + "'. "
	}
	if scope[1] != date[:8] {
		wrong += "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + scope[1] + "' != '" + date[:8] + "', from '" + date + "'. "
	}
	if wrong != "" {
		return none, invalidSignature("%s", wrong)
	}
	header = algorithm + " Credential=" + given["Credential"] + ", SignedHeaders=" + given["SignedHeaders"] + ", Signature=" + given["Signature"]
	return signature{scope[0], header, signedHeaders, signed}, nil
}

// again signs the request as it came, and returns what its Authorization header should be.
func (s signature) again(ctx context.Context, r *http.Request, body []byte, c aws.Credentials, region string) (string, error) {
	target := *r.URL
	bare := &http.Request{Method: r.Method, URL: &target, Host: r.Host, Header: http.Header{}}
	for _, name := range s.signedHeaders {
		switch name {
		case "host", "x-amz-date": // always signed
		case "content-length":
			bare.ContentLength = r.ContentLength
		default: // under the name in lower case, for the SDK leaves "User-Agent" and its like out
			bare.Header[strings.ToLower(name)] = r.Header.Values(name)
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, c, bare, hex.EncodeToString(hash[:]), "execute-api", region, s.signed); err != nil {
		return "", err
	}
	return bare.Header.Get("Authorization"), nil
}
