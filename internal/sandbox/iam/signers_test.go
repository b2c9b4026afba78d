package iam

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

var (
	signedAt    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	userKey     = aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"}
	sessionKeys = aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "other", SessionToken: "token"}
)

const (
	testRegion  = "ap-northeast-1"
	generateURL = "https://abc123.execute-api.ap-northeast-1.amazonaws.com/api/generate/"
)

// testSigners knows two callers: ana, a user, and chat, a role of another account, in a session that lasts one hour.
func testSigners(t *testing.T, status string) *Signers {
	t.Helper()
	moto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := r.FormValue("Action")
		answers := map[string]string{
			" GetAccessKeyInfo":           `<Account>111111111111</Account>`,
			"111111111111 ListAccessKeys": `<AccessKeyMetadata><member><AccessKeyId>AKIAEXAMPLE</AccessKeyId><Status>` + status + `</Status></member></AccessKeyMetadata>`,
			"111111111111 GetUser":        `<User><Arn>arn:aws:iam::111111111111:user/team/ana</Arn><UserId>AIDAEXAMPLE</UserId><Tags><member><Key>team</Key><Value>blue</Value></member></Tags></User>`,
			"222222222222 GetRole":        `<Role><Arn>arn:aws:iam::222222222222:role/app/chat</Arn><RoleId>AROAEXAMPLE</RoleId></Role>`,
		}
		answer, known := answers[r.Header.Get("X-Moto-Account-Id")+" "+action]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = "<Error><Code>NoSuchEntity</Code></Error>"
		}
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></%[1]sResponse>", action, answer)
	}))
	t.Cleanup(moto.Close)
	s := NewSigners(wire.Client{URL: moto.URL, Region: testRegion}, "111111111111", nil)
	for _, answer := range []string{
		`<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>ana</UserName><AccessKeyId>AKIAEXAMPLE</AccessKeyId>
			<SecretAccessKey>secret</SecretAccessKey></AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>`,
		`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>other</SecretAccessKey>
			<SessionToken>token</SessionToken><Expiration>2026-01-02T04:04:05.000001Z</Expiration></Credentials>
			<AssumedRoleUser><Arn>arn:aws:sts::222222222222:assumed-role/chat/s1</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>`,
		`<GetUserResponse><GetUserResult><User><UserName>ana</UserName></User></GetUserResult></GetUserResponse>`,
	} {
		if err := s.keep(t.Context(), []byte(answer)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.issued) != 3 {
		t.Fatalf("knows %v", s.issued)
	}
	return s
}

// received is a request as the server reads it off the wire, and its body.
func received(t *testing.T, r *http.Request) (*http.Request, []byte) {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

func request(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

func signAs(t *testing.T, c aws.Credentials, r *http.Request, body, service, region string, at time.Time) {
	t.Helper()
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(hash[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
}

// A caller who is taken for somebody else is blamed, or let in, for him.
func TestVerifyTellsWhoSigned(t *testing.T) {
	t.Parallel()
	s := testSigners(t, "Active")
	for name, c := range map[string]struct {
		keys aws.Credentials
		want Signer
	}{
		"user": {userKey, Signer{ARN: "arn:aws:iam::111111111111:user/team/ana", Account: "111111111111", AccessKey: "AKIAEXAMPLE", UserID: "AIDAEXAMPLE", kind: "User", name: "ana",
			Keys: map[string][]string{
				"aws:PrincipalArn": {"arn:aws:iam::111111111111:user/team/ana"}, "aws:PrincipalAccount": {"111111111111"}, "aws:PrincipalType": {"User"},
				"aws:userid": {"AIDAEXAMPLE"}, "aws:username": {"ana"}, "aws:PrincipalTag/team": {"blue"},
			}}},
		"deployer": {aws.Credentials{AccessKeyID: RootKey, SecretAccessKey: RootKey}, Signer{ARN: "arn:aws:iam::111111111111:root", Account: "111111111111", AccessKey: RootKey, UserID: "111111111111",
			Keys: map[string][]string{
				"aws:PrincipalArn": {"arn:aws:iam::111111111111:root"}, "aws:PrincipalAccount": {"111111111111"}, "aws:PrincipalType": {"Account"}, "aws:userid": {"111111111111"},
			}}},
		"session of a role of another account": {sessionKeys, Signer{ARN: "arn:aws:sts::222222222222:assumed-role/chat/s1", Account: "222222222222", AccessKey: "ASIAEXAMPLE", UserID: "AROAEXAMPLE:s1", kind: "Role", name: "chat",
			Keys: map[string][]string{
				"aws:PrincipalArn": {"arn:aws:iam::222222222222:role/app/chat"}, "aws:PrincipalAccount": {"222222222222"}, "aws:PrincipalType": {"AssumedRole"},
				"aws:userid": {"AROAEXAMPLE:s1"},
			}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{
				"a", "", "?b=2&a=1&a=0", "a?q=a%20b%2Fc+d&empty=&none", "%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF%20%E4%B8%96%E7%95%8C",
				"%e3%81%82", "a%2Fb", "100%25", "%2525", "a+b%2Bc", "~_-.!*'(),;:@&=$",
			} {
				r := request(t, generateURL+path, `{"a":1}`)
				r.Header["X-Many"] = []string{" a  b ", "c"}
				signAs(t, c.keys, r, `{"a":1}`, "execute-api", testRegion, signedAt)
				got, body := received(t, r)
				who, err := s.Verify(t.Context(), got, body, signedAt.Add(4*time.Minute))
				c.want.moto = s.moto
				if err != nil || !reflect.DeepEqual(who, c.want) {
					t.Errorf("%q: %+v, %v", path, who, err)
				}
			}
		})
	}
}

// The signatures here are botocore's, for it and the Go SDK could differ.
func TestVerifyOtherSDKs(t *testing.T) {
	t.Parallel()
	s := testSigners(t, "Active")
	for _, c := range []struct{ url, body, signature string }{
		{generateURL + "%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF%20100%25%20a%2Fb%20c+d%2Be?z=1&a=%E3%81%82%20b", `{"a":1}`,
			"SignedHeaders=content-type;host;x-amz-date, Signature=c09ffe7c90d23bdf9026bcbe303a1e13aea54ed708e83b22bd1aee53e815c215"},
		{generateURL + "user-agent", `{"a":1}`, // which the Go SDK never signs
			"SignedHeaders=content-length;host;user-agent;x-amz-date, Signature=f7efa86685c80ac1e8dca5b82345312485fd4d05c61d4ee5b33f079a35119d4d"},
	} {
		r := request(t, c.url, c.body)
		r.Header.Set("X-Amz-Date", signedAt.Format(signedTime))
		r.Header.Set("User-Agent", "x")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260102/ap-northeast-1/execute-api/aws4_request, "+c.signature)
		got, body := received(t, r)
		if _, err := s.Verify(t.Context(), got, body, signedAt); err != nil {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

// A request that nobody signed as it is must be refused, in AWS's words.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	type sent struct {
		keys            aws.Credentials
		service, region string
		at              time.Time
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	authorization := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	target := func(target string) func(*http.Request) {
		return func(r *http.Request) {
			u, err := r.URL.Parse(target)
			if err != nil {
				panic(err)
			}
			r.URL = u
		}
	}
	mismatch := "InvalidSignatureException: The request signature we calculated does not match the signature you provided."
	invalid := "UnrecognizedClientException: The security token included in the request is invalid."
	for name, c := range map[string]struct {
		sign    func(*sent)
		changed func(*http.Request)
		body    string
		want    string
	}{
		"nothing is wrong":                   {want: ""},
		"unsigned":                           {changed: func(r *http.Request) { r.Header.Del("Authorization") }, want: "MissingAuthenticationTokenException: Missing Authentication Token"},
		"a bearer token":                     {changed: header("Authorization", "Bearer abc"), want: "IncompleteSignatureException: Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'w1Xc6WwWEogNEZQP/dkBTThsJT4MNlKmzQanIm970rY='."},
		"a password":                         {changed: header("Authorization", "Basic YTpi="), want: "IncompleteSignatureException: Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed"},
		"no date":                            {changed: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, want: "IncompleteSignatureException: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		"no time":                            {changed: header("X-Amz-Date", "20260102"), want: "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '20260102'."},
		"another algorithm":                  {changed: authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), want: "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'"},
		"half a credential":                  {changed: authorization("/aws4_request", ""), want: "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements"},
		"another terminator":                 {changed: authorization("/aws4_request", "/aws3_request"), want: "InvalidSignatureException: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws3_request'."},
		"another day's scope":                {changed: authorization("20260102", "20260101"), want: "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260101' != '20260102', from '20260102T030405Z'."},
		"another region":                     {sign: func(s *sent) { s.region = "us-east-1" }, want: "InvalidSignatureException: Credential should be scoped to a valid region, not 'us-east-1'. "},
		"another service":                    {sign: func(s *sent) { s.service = "bedrock" }, want: "InvalidSignatureException: Credential should be scoped to correct service: 'execute-api'. "},
		"too old":                            {sign: func(s *sent) { s.at = signedAt.Add(-6 * time.Minute) }, want: "InvalidSignatureException: Signature expired: 20260102T025805Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)"},
		"from the future":                    {sign: func(s *sent) { s.at = signedAt.Add(6 * time.Minute) }, want: "InvalidSignatureException: Signature not yet current: 20260102T031005Z is still later than 20260102T030905Z (20260102T030405Z + 5 min.)"},
		"another date than the signed one":   {changed: header("X-Amz-Date", "20260102T030406Z"), want: mismatch},
		"the date with a fraction":           {changed: header("X-Amz-Date", "20260102T030405.5Z"), want: "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '20260102T030405.5Z'."},
		"another body":                       {body: `{"a":2}`, want: mismatch},
		"no body":                            {body: " ", want: mismatch},
		"another method":                     {changed: func(r *http.Request) { r.Method = http.MethodPut }, want: mismatch},
		"a second date":                      {changed: func(r *http.Request) { r.Header.Add("X-Amz-Date", "20260102T030405Z") }, want: "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '20260102T030405Z,20260102T030405Z'."},
		"another path":                       {changed: target("/api/generate/b?q=1"), want: mismatch},
		"the path's slash decoded":           {changed: target("/api/generate/a/b?q=1"), want: mismatch},
		"the path's hex in lower case":       {changed: target("/api/generate/a%2fb?q=1"), want: mismatch},
		"another query":                      {changed: target("/api/generate/a%2Fb?q=2"), want: mismatch},
		"no query":                           {changed: target("/api/generate/a%2Fb"), want: mismatch},
		"a longer query":                     {changed: target("/api/generate/a%2Fb?q=1&r"), want: mismatch},
		"a query that is none, beside":       {changed: target("/api/generate/a%2Fb?q=1&r=1;s=1"), want: mismatch},
		"another host":                       {changed: func(r *http.Request) { r.Host = "abc124.execute-api.ap-northeast-1.amazonaws.com" }, want: mismatch},
		"another signed header":              {changed: header("Content-Type", "text/plain"), want: mismatch},
		"a signed header twice":              {changed: func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }, want: mismatch},
		"a signed header gone":               {changed: func(r *http.Request) { r.Header.Del("Content-Type") }, want: mismatch},
		"the host not signed":                {changed: authorization("host;", ""), want: "InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		"the date not signed":                {changed: authorization(";x-amz-date", ""), want: mismatch},
		"a header signed no more":            {changed: authorization("content-type;", ""), want: mismatch},
		"another signature":                  {changed: authorization("Signature=", "Signature=0"), want: mismatch},
		"another secret":                     {sign: func(s *sent) { s.keys.SecretAccessKey = "Secret" }, want: mismatch},
		"an unknown key":                     {sign: func(s *sent) { s.keys.AccessKeyID = "AKIAUNKNOWN" }, want: invalid},
		"another's key":                      {changed: authorization("AKIAEXAMPLE", "ASIAEXAMPLE"), want: invalid},
		"the deployer's key, another secret": {sign: func(s *sent) { s.keys = aws.Credentials{AccessKeyID: RootKey, SecretAccessKey: "x"} }, want: mismatch},
		"a user's key with a token":          {sign: func(s *sent) { s.keys.SessionToken = "token" }, want: invalid},
		"a session without its token":        {sign: func(s *sent) { s.keys = sessionKeys; s.keys.SessionToken = "" }, want: invalid},
		"a session with another's token":     {sign: func(s *sent) { s.keys = sessionKeys; s.keys.SessionToken = "Token" }, want: invalid},
		"a session's token that is changed":  {sign: func(s *sent) { s.keys = sessionKeys }, changed: header("X-Amz-Security-Token", "x"), want: invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sent{userKey, "execute-api", testRegion, signedAt}
			if c.sign != nil {
				c.sign(&s)
			}
			r := request(t, generateURL+"a%2Fb?q=1", `{"a":1}`)
			signAs(t, s.keys, r, `{"a":1}`, s.service, s.region, s.at)
			got, body := received(t, r)
			if c.changed != nil {
				c.changed(got)
			}
			if c.body != "" {
				body = []byte(strings.TrimSpace(c.body))
			}
			_, err := testSigners(t, "Active").Verify(t.Context(), got, body, signedAt)
			checkRefusal(t, err, c.want)
		})
	}
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err == nil {
		return
	}
	var own wire.Refusal
	if !errors.As(err, &own) || own.Status != http.StatusForbidden || want == "" || !strings.HasPrefix(own.Type+": "+own.Message, want) {
		t.Errorf("got %#v, want %q", err, want)
	}
}

// A key must end when AWS ends it.
func TestVerifyRefusesEndedCredentials(t *testing.T) {
	t.Parallel()
	verify := func(s *Signers, keys aws.Credentials, now time.Time) error {
		r := request(t, generateURL, "")
		signAs(t, keys, r, "", "execute-api", testRegion, now)
		got, body := received(t, r)
		_, err := s.Verify(t.Context(), got, body, now)
		return err
	}
	active := testSigners(t, "Active")
	for at, want := range map[time.Time]string{
		signedAt.Add(time.Hour):               "",
		signedAt.Add(time.Hour + time.Second): "ExpiredTokenException: The security token included in the request is expired",
	} {
		checkRefusal(t, verify(active, sessionKeys, at), want)
		checkRefusal(t, verify(active, userKey, at), "")
	}
	checkRefusal(t, verify(testSigners(t, "Inactive"), userKey, signedAt), "UnrecognizedClientException: ")

	gone := testSigners(t, "Active") // that is, no user or role is found any more
	for id, c := range gone.issued {
		c.account = "333333333333"
		gone.issued[id] = c
	}
	checkRefusal(t, verify(gone, userKey, signedAt), "UnrecognizedClientException: ")
	checkRefusal(t, verify(gone, sessionKeys, signedAt), "UnrecognizedClientException: ")
}

// What is not understood must not be let in.
func TestVerifyRefusesPresignedURL(t *testing.T) {
	t.Parallel()
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), userKey, request(t, generateURL, ""), "UNSIGNED-PAYLOAD", "execute-api", testRegion, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	got, body := received(t, request(t, url, ""))
	_, err = testSigners(t, "Active").Verify(t.Context(), got, body, signedAt)
	checkRefusal(t, err, "IncompleteSignatureException: The sandbox takes signatures in the Authorization header")
}

// A browser's SDK that API Gateway generates sends the token without signing it.
func TestVerifyUnsignedToken(t *testing.T) {
	t.Parallel()
	keys := sessionKeys
	keys.SessionToken = ""
	r := request(t, generateURL, "")
	signAs(t, keys, r, "", "execute-api", testRegion, signedAt)
	r.Header.Set("X-Amz-Security-Token", sessionKeys.SessionToken)
	got, body := received(t, r)
	_, err := testSigners(t, "Active").Verify(t.Context(), got, body, signedAt)
	checkRefusal(t, err, "")
}

// curl signs with code of its own.
func TestVerifyCurl(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "curl", "--help", "auth").Output(); err != nil || !strings.Contains(string(out), "--aws-sigv4") {
		t.Skip("curl does not sign")
	}
	s := testSigners(t, "Active")
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		now, err := time.Parse(signedTime, r.Header.Get("X-Amz-Date")) // curl has its own clock
		if err == nil {
			var who Signer
			who, err = s.Verify(context.WithoutCancel(r.Context()), r, body, now)
			fmt.Fprint(w, who.ARN)
		}
		if err != nil {
			fmt.Fprint(w, err)
		}
	}))
	t.Cleanup(door.Close)
	const ana = "arn:aws:iam::111111111111:user/team/ana"
	for _, c := range []struct {
		user, scope, want string
		more              []string
	}{
		{"AKIAEXAMPLE:secret", testRegion + ":execute-api", ana, nil},
		{"AKIAEXAMPLE:secret", testRegion + ":execute-api", ana, []string{"-d", `{"prompt":"こんにちは"}`, "-H", "Content-Type: application/json", "-H", "X-Other: a"}},
		{"AKIAEXAMPLE:Secret", testRegion + ":execute-api", errMismatch.Message, nil},
		{"AKIAEXAMPLE:secret", "us-east-1:execute-api", "Credential should be scoped to a valid region, not 'us-east-1'. ", nil},
	} {
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-s", "--aws-sigv4", "aws:amz:" + c.scope, "--user", c.user,
			door.URL + "/api/generate/Hello?a=1&b=2"}, c.more...)...).Output()
		if err != nil || string(out) != c.want {
			t.Errorf("%v: %s, %v", c, out, err)
		}
	}
}
