package iam

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

const stsVersion = "2011-06-15"

// RootKey is the id and the secret of the account's root user's access key.
const RootKey = "sandbox"

// Signers knows the credentials that the emulated AWS gave out, and the principals that they belong to.
type Signers struct {
	moto    wire.Client
	account string // whose root user has every key that was not given out
	// Sessions knows the sessions of functions, whose keys Lambda gives out.
	Sessions func(accessKey string) (arn string, ok bool)

	mu     sync.Mutex
	issued map[string]credentials // by access key id
}

// credentials are a user's access key or those of a role's session.
type credentials struct {
	secret, token string
	expires       time.Time // never, if zero
	account       string
	kind, name    string // "User" or "Role", and its name
	sessionArn    string
	sessionName   string
}

// Signer is who signed a request.
type Signer struct {
	ARN       string // of the user or session, as $context.identity.userArn has it
	Account   string
	AccessKey string
	UserID    string              // as $context.identity.user has it
	Keys      map[string][]string // condition keys: AWS global condition context keys, "Properties of the principal"

	moto       wire.Client
	kind, name string // neither is set for the root user
}

// NewSigners knows the root user only.
func NewSigners(moto wire.Client, account string, sessions func(accessKey string) (arn string, ok bool)) *Signers {
	// The deployer's own, as .local/env has them.
	return &Signers{moto: moto, account: account, Sessions: sessions, issued: map[string]credentials{RootKey: {secret: RootKey, account: account}}}
}

// Handle refuses the AssumeRole that AWS would refuse.
func (s *Signers) Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error) {
	if wire.ServiceOf(r) != "sts" {
		return false, nil
	}
	if err := s.mayAssume(r); err != nil {
		refuseQuery(w, err)
		return true, nil
	}
	return false, nil
}

// Amend remembers the credentials that moto gives out.
func (s *Signers) Amend(response *http.Response) error {
	ctx := context.WithoutCancel(response.Request.Context())
	return wire.Rewrite(response, func(body []byte) ([]byte, error) { return body, s.keep(ctx, body) })
}

// keep remembers the credentials in an answer of IAM or STS, if it is one that holds any. Only CreateAccessKey and
// AssumeRole are understood: keys of other origin sign nothing.
func (s *Signers) keep(ctx context.Context, answer []byte) error {
	var out struct {
		XMLName xml.Name
		Key     struct{ UserName, AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
		Session struct {
			Credentials struct {
				AccessKeyId, SecretAccessKey, SessionToken string
				Expiration                                 time.Time
			}
			AssumedRoleUser struct{ Arn string }
		} `xml:"AssumeRoleResult"`
	}
	if err := xml.Unmarshal(answer, &out); err != nil {
		return err
	}
	var id string
	var c credentials
	switch out.XMLName.Local {
	case "CreateAccessKeyResponse":
		var info struct {
			Account string `xml:"GetAccessKeyInfoResult>Account"`
		}
		id = out.Key.AccessKeyId
		if err := s.moto.Query(ctx, "sts", stsVersion, "GetAccessKeyInfo", map[string]string{"AccessKeyId": id}, &info); err != nil {
			return err
		}
		c = credentials{secret: out.Key.SecretAccessKey, account: info.Account, kind: "User", name: out.Key.UserName}
	case "AssumeRoleResponse":
		given := out.Session.Credentials
		id = given.AccessKeyId
		c = sessionOf(out.Session.AssumedRoleUser.Arn)
		c.secret, c.token, c.expires = given.SecretAccessKey, given.SessionToken, given.Expiration
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued[id] = c
	return nil
}

// sessionOf reads arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION.
func sessionOf(arn string) credentials {
	path := strings.Split(arn, "/")
	return credentials{account: AccountOf(arn), kind: "Role", name: path[1], sessionArn: arn, sessionName: path[2]}
}

// AccountOf reads the account of an ARN; "" is not an ARN.
func AccountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

var (
	errUnrecognized = wire.NewRefusal(http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
	errExpired      = wire.NewRefusal(http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired")
)

// find returns credentials that were given out and have not expired.
func (s *Signers) find(accessKey string, now time.Time) (credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.issued[accessKey]
	switch {
	case !known:
		return c, errUnrecognized
	case !c.expires.IsZero() && !now.Before(c.expires):
		return c, errExpired
	}
	return c, nil
}

// signer asks IAM for the principal that credentials belong to. It refuses a key that was deleted or made inactive, and one
// whose user or role is gone.
func (s *Signers) signer(ctx context.Context, accessKey string, c credentials) (Signer, error) {
	if c.kind == "" {
		return s.root(accessKey), nil
	}
	iam := Of(s.moto, c.account)
	if c.kind == "User" {
		result, err := iam.read(ctx, "ListAccessKeys", map[string]string{"UserName": c.name})
		if err != nil && !wire.NotFound(err) {
			return Signer{}, err
		}
		if !slices.Contains(result.AccessKeys, struct{ AccessKeyId, Status string }{accessKey, "Active"}) {
			return Signer{}, errUnrecognized
		}
	}
	p, err := iam.describe(ctx, c.kind, c.name)
	if wire.NotFound(err) {
		return Signer{}, errUnrecognized
	}
	if err != nil {
		return Signer{}, err
	}
	who := Signer{ARN: p.Arn, Account: c.account, AccessKey: accessKey, UserID: p.UserId, moto: s.moto, kind: c.kind, name: c.name}
	principalType := "User"
	if c.kind == "Role" {
		who.ARN, who.UserID, principalType = c.sessionArn, p.RoleId+":"+c.sessionName, "AssumedRole"
	}
	who.Keys = map[string][]string{
		"aws:PrincipalArn": {p.Arn}, "aws:PrincipalAccount": {c.account}, "aws:PrincipalType": {principalType}, "aws:userid": {who.UserID},
	}
	if c.kind == "User" {
		who.Keys["aws:username"] = []string{c.name}
	}
	for _, tag := range p.Tags {
		who.Keys["aws:PrincipalTag/"+tag.Key] = []string{tag.Value}
	}
	return who, nil
}

func (s *Signers) root(accessKey string) Signer {
	arn := "arn:aws:iam::" + s.account + ":root"
	return Signer{ARN: arn, Account: s.account, AccessKey: accessKey, UserID: s.account, moto: s.moto, Keys: map[string][]string{
		"aws:PrincipalArn": {arn}, "aws:PrincipalAccount": {s.account}, "aws:PrincipalType": {"Account"}, "aws:userid": {s.account},
	}}
}

// IdentityPolicies reads what the signer's own policies permit now, a user's groups' policies included.
func (s Signer) IdentityPolicies(ctx context.Context) ([]iampolicy.Document, error) {
	if s.kind == "" {
		all, err := iampolicy.ParseIdentity(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
		return []iampolicy.Document{all}, err
	}
	iam := Of(s.moto, s.Account)
	policies, err := iam.policies(ctx, s.kind, s.name)
	if err != nil || s.kind != "User" {
		return policies, err
	}
	result, err := iam.read(ctx, "ListGroupsForUser", map[string]string{"UserName": s.name})
	if err != nil {
		return nil, err
	}
	for _, group := range result.GroupNames {
		more, err := iam.policies(ctx, "Group", group)
		if err != nil {
			return nil, err
		}
		policies = append(policies, more...)
	}
	return policies, nil
}

var (
	// What else AssumeRole takes, such as a session policy, would change what the session may do.
	assumeRoleParameters = []string{"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"}
	// AWS STS API Reference, AssumeRole. Moto takes any, and the session's ARN is made of it.
	roleSessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// mayAssume refuses the AssumeRole that AWS would refuse. The access key names the caller. Unlike AWS (AWS STS API Reference,
// AssumeRole) it takes the root user's key, because the sandbox's deployer has no other.
func (s *Signers) mayAssume(r *http.Request) error {
	body, err := wire.Peek(r)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return err
	}
	if len(form) == 0 {
		form = r.URL.Query()
	}
	if form.Get("Action") != "AssumeRole" {
		return nil
	}
	for name := range form {
		if !slices.Contains(assumeRoleParameters, name) {
			return fmt.Errorf("the sandbox does not understand %s of AssumeRole", name)
		}
	}
	if name := form.Get("RoleSessionName"); !roleSessionName.MatchString(name) {
		return fmt.Errorf("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	ctx := r.Context()
	who, err := s.caller(ctx, wire.Credential(r)[0])
	if err != nil {
		return err
	}
	arn := form.Get("RoleArn")
	denied := wire.NewRefusal(http.StatusForbidden, "AccessDenied", "User: "+who.ARN+" is not authorized to perform: sts:AssumeRole on resource: "+arn)
	role, err := Of(s.moto, AccountOf(arn)).describe(ctx, "Role", arn[strings.LastIndex(arn, "/")+1:])
	if wire.NotFound(err) || err == nil && role.Arn != arn {
		return denied
	}
	if err != nil {
		return err
	}
	trust, err := role.trust()
	if err != nil {
		return err
	}
	identity, err := who.IdentityPolicies(ctx)
	if err != nil {
		return err
	}
	keys := maps.Clone(who.Keys)
	keys["sts:RoleSessionName"] = form["RoleSessionName"]
	keys["sts:ExternalId"] = form["ExternalId"]
	decide := iampolicy.SameAccountKeyOrRole
	if AccountOf(arn) != who.Account {
		decide = iampolicy.CrossAccount
	}
	request := iampolicy.Request{Principal: iampolicy.Principal{ARN: who.ARN}, Action: "sts:AssumeRole", Resource: arn, Context: keys}
	if decide(identity, []iampolicy.Document{trust}, request) != iampolicy.Allow {
		return denied
	}
	return nil
}

// caller tells whose an access key is.
func (s *Signers) caller(ctx context.Context, accessKey string) (Signer, error) {
	c, err := s.find(accessKey, time.Now())
	if arn, ok := s.Sessions(accessKey); ok {
		c, err = sessionOf(arn), nil
	}
	switch {
	case err == errUnrecognized:
		return s.root(accessKey), nil
	case err != nil:
		return Signer{}, err
	}
	return s.signer(ctx, accessKey, c)
}

// refuseQuery answers as services of the Query protocol do (AWS STS API Reference, "Common Errors").
func refuseQuery(w http.ResponseWriter, err error) {
	own := wire.NewRefusal(http.StatusBadRequest, "ValidationError", err.Error())
	errors.As(err, &own)
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(own.Status)
	type fault struct{ Type, Code, Message string }
	xml.NewEncoder(w).Encode(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error     fault
		RequestID string `xml:"RequestId"`
	}{Error: fault{"Sender", own.Type, own.Message}, RequestID: wire.NewID()})
}
