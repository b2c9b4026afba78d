package apigateway

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// FrontDoor stands where API Gateway's private endpoints stand. A plain address is a client inside the VPC that
// uses private DNS; a Host of AWS's form names the endpoint that a call comes through.
type FrontDoor struct {
	Moto      wire.Client
	Account   string
	Functions *lambda.Functions
	Signers   *iam.Signers
	Deployed  func(deploymentID string) (Deployment, bool)
	APIID     string // the API behind the plain address
	Report    func(error)
	Alarm     lambda.Alarm
	Metrics   *cloudwatch.Metrics
	names     sync.Map // of APIs, by id
}

// API Gateway Developer Guide, "Invoke a private API": {api}[-{vpce}].execute-api.{region}.amazonaws.com.
var apiHost = regexp.MustCompile(`^([a-z0-9]+)(?:-(vpce-[0-9a-f]+))?\.execute-api\.(?:([a-z0-9-]+)\.amazonaws\.com|localhost)$`)

var (
	errForbidden   = wire.NewRefusal(http.StatusForbidden, "ForbiddenException", "Forbidden")
	errTooLong     = wire.NewRefusal(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request Too Long")
	errIntegration = wire.NewRefusal(http.StatusInternalServerError, "InternalServerErrorException", "Internal server error")
	errBadAnswer   = wire.NewRefusal(http.StatusBadGateway, "InternalServerErrorException", "Internal server error")
	errLate        = wire.NewRefusal(http.StatusGatewayTimeout, "InternalServerErrorException", "Endpoint request timed out")
)

// maxPayload is API Gateway's (API Gateway quotas).
const maxPayload = 10 << 20

// visit is one call: what API Gateway knows of it.
type visit struct {
	apiID, endpointID, vpcID, stage string
	requestID, extendedID, sourceIP string
	resource, errType               string
	caller                          iam.Signer // the zero signer did not sign
	start                           time.Time
	transferMode                    string // of an integration
	accessLogGroup, accessLogFormat string
	binaryMediaTypes                []string
}

func (d *FrontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := wire.NewID()
	v := &visit{requestID: id, extendedID: base64.StdEncoding.EncodeToString([]byte(wire.NewID()[:14])), start: time.Now()}
	if chosen := r.Header.Get("X-Amzn-Requestid"); chosen != "" && len(chosen) <= 128 {
		v.requestID = chosen // as a caller can on AWS (API Gateway Developer Guide, "$context variables")
	}
	v.sourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	w.Header().Set("X-Amzn-Requestid", v.requestID)
	w.Header().Set("X-Amz-Apigw-Id", v.extendedID)
	// Whatever a call left waiting ends with it.
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	a, err := d.answer(r.WithContext(ctx), v, func() { cancel(errLate) })
	if err != nil {
		own := errIntegration
		if !errors.As(err, &own) && r.Context().Err() == nil { // a client that left is no news
			d.Report(err)
		}
		v.errType = own.Type
		key := "message"
		if own.Type == "AccessDeniedException" {
			key = "Message" // as AWS spells it there
		}
		body, _ := json.Marshal(map[string]string{key: own.Message})
		a = reply{status: own.Status, body: body, header: http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {own.Type}}}
	}
	maps.Copy(w.Header(), a.header)
	if a.stream == nil {
		// Before the answer, so that a client that has it finds its line in the log.
		d.log(r, v, a.status, int64(len(a.body)))
		w.WriteHeader(a.status)
		w.Write(a.body)
		return
	}
	w.WriteHeader(a.status)
	http.NewResponseController(w).Flush()
	sent, err := io.Copy(flushed{w}, a.stream)
	d.log(r, v, a.status, sent)
	if err != nil {
		panic(http.ErrAbortHandler) // a client must see that this was not all
	}
}

// reply is what a client gets: a body, or a stream.
type reply struct {
	status int
	header http.Header
	body   []byte
	stream io.Reader
}

// answer finds out what a client gets; late ends the call for having taken too long.
func (d *FrontDoor) answer(r *http.Request, v *visit, late func()) (none reply, err error) {
	ctx := r.Context()
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	v.apiID = d.APIID
	if m := apiHost.FindStringSubmatch(host); m != nil && (m[3] == "" || m[3] == d.Moto.Region) {
		v.apiID, v.endpointID = m[1], m[2]
	} else if net.ParseIP(host) == nil && host != "localhost" {
		return none, errForbidden
	}
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if v.stage = path[0]; v.stage == "" {
		return none, errForbidden
	}
	var stage struct {
		DeploymentID      string `json:"deploymentId"`
		AccessLogSettings struct {
			DestinationArn string `json:"destinationArn"`
			Format         string `json:"format"`
		} `json:"accessLogSettings"`
	}
	if err := d.Moto.Get(ctx, "apigateway", "/restapis/"+v.apiID+"/stages/"+url.PathEscape(v.stage), &stage); wire.NotFound(err) {
		return none, errForbidden
	} else if err != nil {
		return none, err
	}
	_, v.accessLogGroup, _ = strings.Cut(stage.AccessLogSettings.DestinationArn, ":log-group:")
	v.accessLogFormat = stage.AccessLogSettings.Format
	api, known := d.Deployed(stage.DeploymentID)
	if !known {
		return none, fmt.Errorf("deployment %s was not made through this sandbox", stage.DeploymentID)
	}
	v.binaryMediaTypes = api.BinaryMediaTypes
	if v.endpointID == "" && len(api.endpoints) > 0 {
		v.endpointID = api.endpoints[0] // private DNS leads to the endpoint of the caller's own VPC
	}
	endpoints, err := ec2.VPCEndpoints(ctx, d.Moto)
	if err != nil {
		return none, err
	}
	call := Call{}
	for _, endpoint := range endpoints {
		if endpoint.ID != v.endpointID { // of another account: neither its VPC nor its policy is known here
			continue
		}
		v.vpcID = endpoint.VpcID
		if call.Endpoint, err = endpoint.Document(); err != nil {
			return none, err
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return none, err
	}
	if len(body) > maxPayload {
		return none, errTooLong
	}
	template, parameters, method := match(api.Routes, r.Method, path[1:])
	operation := api.Operations[r.Method+" "+template]
	// A signature that is there must be right even where none is asked for (API Gateway Developer Guide, "Use VPC endpoint
	// policies for private APIs").
	if asked := operation.signed; asked || strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") {
		who, err := d.Signers.Verify(ctx, r, body, v.start)
		if err != nil {
			return none, err
		}
		if asked {
			v.caller, call.Foreign = who, who.Account != d.Account
			if call.Identity, err = who.IdentityPolicies(ctx); err != nil {
				return none, err
			}
		}
	}
	if err := d.admit(r, v, call, api.Policy, path); err != nil {
		return none, err
	}
	if template == "" {
		return none, iam.ErrMissingToken
	}
	v.resource = template
	v.transferMode = "BUFFERED"
	if operation.Streams {
		v.transferMode = "STREAMED"
	}
	function, streams, err := d.integration(ctx, v, r.Method, method.Integration.URI)
	if err != nil {
		return none, err
	}
	if streams != operation.Streams {
		return none, fmt.Errorf("%s %s: API Gateway supports response transfer mode STREAM with response-streaming-invocations only, and those with no other mode", r.Method, template)
	}
	event, err := d.event(r, v, parameters, body)
	if err != nil {
		return none, err
	}
	timeout := cmp.Or(time.Duration(method.Integration.TimeoutInMillis)*time.Millisecond, maxBufferedTime)
	stop := d.Alarm(timeout, late)
	context.AfterFunc(ctx, func() { stop() })
	if streams {
		return d.invokeWithResponseStream(ctx, function, event, late)
	}
	return d.invoke(ctx, r, v, function, event)
}

// admit asks the endpoint's policy, the deployed resource policy and the caller's own. A private API without a resource
// policy refuses every call.
func (d *FrontDoor) admit(r *http.Request, v *visit, call Call, policy string, path []string) (err error) {
	resource := "arn:aws:execute-api:" + d.Moto.Region + ":" + d.Account + ":" + v.apiID + "/" + v.stage + "/" + r.Method + "/" + strings.Join(path[1:], "/")
	name := "anonymous"
	keys := map[string][]string{"aws:SourceVpce": {v.endpointID}}
	if v.vpcID != "" {
		keys["aws:SourceVpc"] = []string{v.vpcID}
	}
	if v.caller.ARN != "" {
		name = v.caller.ARN
		maps.Copy(keys, v.caller.Keys)
	}
	if policy != "" {
		// API Gateway completes the short form itself.
		policy = strings.ReplaceAll(policy, `"execute-api:/`, `"arn:aws:execute-api:`+d.Moto.Region+":"+d.Account+":"+v.apiID+"/")
		if call.API, err = iampolicy.ParseResource(policy); err != nil {
			return fmt.Errorf("resource policy of API %s: %w", v.apiID, err)
		}
	}
	call.Request = iampolicy.Request{Principal: iampolicy.Principal{ARN: v.caller.ARN}, Action: "execute-api:Invoke", Resource: resource, Context: keys}
	decision, by := call.Decide()
	if decision == iampolicy.Allow && policy != "" {
		return nil
	}
	return wire.NewRefusal(http.StatusForbidden, "AccessDeniedException", "User: "+name+" is not authorized to perform: execute-api:Invoke on resource: "+
		strings.Replace(resource, d.Account[:8], "********", 1)+" "+iam.Reason(decision, by, "execute-api:Invoke"))
}

// match finds the route of a path; a literal part goes before a parameter. Parameters stay percent-encoded, as REST
// APIs hand them on.
func match(routes []Resource, method string, path []string) (template string, parameters map[string]string, found apiMethod) {
	for _, route := range routes {
		m, ok := route.Methods[method]
		parts := strings.Split(strings.TrimPrefix(route.Path, "/"), "/")
		path := path
		if last := len(parts) - 1; strings.HasSuffix(parts[last], "+}") && len(path) > last { // takes the rest of the path
			path = append(slices.Clone(path[:last]), strings.Join(path[last:], "/"))
		}
		if !ok || len(parts) != len(path) {
			continue
		}
		values := map[string]string{}
		fits := true
		for i, part := range parts {
			switch {
			case strings.HasPrefix(part, "{") && path[i] != "":
				values[strings.Trim(part, "{+}")] = path[i]
			case part != path[i]:
				fits = false
			}
		}
		// Greedy paths come last, and the longest of them first.
		greedy, former := strings.HasSuffix(route.Path, "+}"), strings.HasSuffix(template, "+}")
		if fits && (template == "" || greedy == former && (greedy && len(route.Path) > len(template) || !greedy && len(values) < len(parameters)) || former && !greedy) {
			template, parameters, found = route.Path, values, m
		}
	}
	return template, parameters, found
}
