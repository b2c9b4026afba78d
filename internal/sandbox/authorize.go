package sandbox

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// authorizer decides on functions' requests to Bedrock.
type authorizer struct {
	moto    wire.Client
	account string
	caller  func(accessKey string) (lambda.Caller, bool) // the function that an access key was given to
}

// model decides whether a call of a model is allowed.
func (a authorizer) model(r *http.Request, call bedrock.ModelCall) (identityArn string, err error) {
	return a.allow(r, "bedrock-runtime", func(keys map[string][]string) []iampolicy.Request { return call.Requests(keys, a.moto.Region) })
}

// control decides whether a call of Bedrock's control plane that names no resource is allowed.
func (a authorizer) control(r *http.Request, action string, own map[string]string) error {
	_, err := a.allow(r, "bedrock", func(keys map[string][]string) []iampolicy.Request {
		for key, value := range own {
			keys[key] = []string{value}
		}
		return []iampolicy.Request{{Action: action, Resource: "*", Context: keys}}
	})
	return err
}

// allow decides whether a request to Bedrock is allowed, by the policies of the function's role and of its VPC's endpoint of
// the service as they are now. Any key that is not a function's is the account's root user's, who may do everything.
func (a authorizer) allow(r *http.Request, service string, requests func(keys map[string][]string) []iampolicy.Request) (identityArn string, err error) {
	c, ok := a.caller(wire.Credential(r)[0])
	if !ok {
		return "arn:aws:iam::" + a.account + ":root", nil
	}
	role, err := iam.ServiceRole(r.Context(), a.moto, c.RoleARN, "lambda.amazonaws.com", nil)
	if err != nil {
		return "", err
	}
	keys := map[string][]string{"aws:PrincipalArn": {c.RoleARN}, "lambda:SourceFunctionArn": {c.FunctionARN}}
	// From inside a VPC, private DNS leads to the VPC's own endpoint. A function without a VPC has none.
	endpoints, err := ec2.VPCEndpoints(r.Context(), a.moto)
	if err != nil {
		return "", err
	}
	var through *iampolicy.Document
	for _, endpoint := range endpoints {
		if endpoint.VpcID == c.VpcID && endpoint.ServiceName == "com.amazonaws."+a.moto.Region+"."+service && strings.EqualFold(endpoint.PrivateDNS, "true") {
			keys["aws:SourceVpce"], keys["aws:SourceVpc"] = []string{endpoint.ID}, []string{c.VpcID}
			if through, err = endpoint.Document(); err != nil {
				return "", err
			}
		}
	}
	if err := iam.Allowed(requests(keys), role.Permissions, through); err != nil {
		return "", fmt.Errorf("User: %s %w", c.SessionARN, err)
	}
	return c.SessionARN, nil
}
