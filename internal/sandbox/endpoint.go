package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// endpoint is the one address of every AWS API: moto, and what moto lacks.
type endpoint struct {
	moto          client
	proxy         *httputil.ReverseProxy
	bedrock       *Bedrock
	functions     *functions
	invocationLog invocationLog
	signers       *signers

	// authorizeControl says why a request of Bedrock's control plane may not perform an action. nil admits every request.
	authorizeControl  func(r *http.Request, action string, keys map[string]string) error
	retention         retention
	inferenceProfiles *inferenceProfiles
	guardrails        *guardrails
	logMasks          logMasks
	athena            *athena

	events *eventBus // nil tells nobody of calls

	aws client // itself, where moto's answers are mended

	mu           sync.Mutex
	deployments  map[string]deployment
	logging      map[string]any                     // LoggingConfig by function name: moto drops it
	operations   map[string]map[string]apiOperation // by API id: see deployment
	vpcEndpoints map[string][]string                // by API id, where they were changed: moto drops changes

	binaryMediaTypes map[string][]string // by API id, where they were imported or changed
}

func newEndpoint(moto, aws client, bedrock *Bedrock, functions *functions, log invocationLog) (*endpoint, error) {
	target, err := url.Parse(moto.url)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		moto: moto, aws: aws, bedrock: bedrock, functions: functions, invocationLog: log, signers: newSigners(moto, log.account),
		inferenceProfiles: newInferenceProfiles(moto.region, log.account), guardrails: newGuardrails(moto.region, log.account), logMasks: logMasks{by: map[string]string{}}, athena: newAthena(moto.region, log.account),
		deployments: map[string]deployment{}, logging: map[string]any{}, operations: map[string]map[string]apiOperation{}, vpcEndpoints: map[string][]string{}, binaryMediaTypes: map[string][]string{},
	}
	e.proxy = &httputil.ReverseProxy{
		Transport: moto.transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // S3 and signatures go by the name that was called
		},
		ModifyResponse: e.mend,
		// A client that leaves in mid-request is no news.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	return e, nil
}

var (
	logging      = regexp.MustCompile(`^/logging/modelinvocations/?$`)
	functionPath = regexp.MustCompile(`^/2015-03-31/functions/?([^/]*)(/code|/configuration)?$`)
	concurrency  = regexp.MustCompile(`^/2017-10-31/functions/([^/]+)/concurrency$`)
	deployments  = regexp.MustCompile(`^/restapis/([^/]+)/deployments/?$`)
	restAPIs     = regexp.MustCompile(`^/restapis/?([^/]*)/?$`)
)

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fromBrowser(r) {
		http.Error(w, "the emulated AWS answers programs on this machine, not web pages", http.StatusForbidden)
		return
	}
	if e.events != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		body, err := peek(r)
		if c, ok := callOf(r, body); ok && err == nil {
			e.events.tell(w, r, e.callerOf(r), c, e.serve)
			return
		}
	}
	e.serve(w, r)
}

// callerOf is whom a request's access key stands for.
func (e *endpoint) callerOf(r *http.Request) string {
	if c, ok := e.functions.caller(credential(r)[0]); ok {
		return c.sessionArn
	}
	return "arn:aws:iam::" + e.invocationLog.account + ":root"
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	action, keys, err := controlAction(r)
	if err == nil && action != "" && e.authorizeControl != nil {
		if err := e.authorizeControl(r, action, keys); err != nil {
			refuse(w, fault{"AccessDeniedException", err.Error()})
			return
		}
	}
	switch {
	case err != nil:
	case serviceOf(r) == "s3" && partOf(r.URL.Query()) != "":
		e.invocationLog.buckets.serve(w, r)
		return
	case serviceOf(r) == "bedrock" && (strings.HasPrefix(path, "/model/") || applyPath.MatchString(path)):
		e.bedrock.ServeHTTP(w, r)
		return
	case serviceOf(r) == "bedrock" && (strings.HasPrefix(path, "/inference-profiles") || tagging(r, "inference-profile/")):
		e.inferenceProfiles.ServeHTTP(w, r)
		return
	case serviceOf(r) == "bedrock" && r.Method == http.MethodGet && strings.HasPrefix(path, "/foundation-model-availability/"):
		availability(w, r)
		return
	case serviceOf(r) == "bedrock" && retentionPath.MatchString(path):
		e.retention.ServeHTTP(w, r)
		return
	case serviceOf(r) == "bedrock" && enforcedPath.MatchString(path):
		e.guardrails.serveEnforced(w, r, e.callerOf(r))
		return
	case serviceOf(r) == "bedrock" && (strings.HasPrefix(path, "/guardrails") || tagging(r, ":guardrail/")):
		e.guardrails.ServeHTTP(w, r)
		return
	case serviceOf(r) == "logs" && e.logMasks.serve(w, r):
		return
	case serviceOf(r) == "athena":
		e.athena.ServeHTTP(w, r)
		return
	case serviceOf(r) == "sts":
		if err := e.mayAssume(r); err != nil {
			refuseQuery(w, err)
			return
		}
	case r.Method == http.MethodPut && logging.MatchString(path):
		err = e.checkLogging(r)
	case concurrency.MatchString(path):
		err = e.keepConcurrency(r, concurrency.FindStringSubmatch(path)[1])
	case (r.Method == http.MethodPost || r.Method == http.MethodPut) && functionPath.MatchString(path):
		err = e.keepFunction(r, functionPath.FindStringSubmatch(path)[1])
	case r.Method == http.MethodPut && restAPIs.MatchString(path):
		err = e.keepOperations(r, restAPIs.FindStringSubmatch(path)[1])
	case r.Method == http.MethodPatch && restAPIs.MatchString(path):
		err = e.keepPatch(r, restAPIs.FindStringSubmatch(path)[1])
	case r.Method == http.MethodPatch && path == "/account":
		err = completePatch(r)
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Errortype", "ValidationException")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
		return
	}
	e.proxy.ServeHTTP(w, r)
}

// controlAction is what IAM is asked for a request of Bedrock's control plane, and with which condition keys; "" is of what is
// open to the deployer alone, which has the root user's key here.
func controlAction(r *http.Request) (action string, keys map[string]string, err error) {
	path := r.URL.EscapedPath()
	switch {
	case serviceOf(r) != "bedrock":
	case logging.MatchString(path) && r.Method == http.MethodGet:
		return "bedrock:GetModelInvocationLoggingConfiguration", nil, nil
	case enforcedPath.MatchString(path) && enforcedActions[r.Method] != "":
		return "bedrock:" + enforcedActions[r.Method], nil, nil
	case retentionPath.MatchString(path) && r.Method == http.MethodGet:
		return "bedrock:GetAccountDataRetention", nil, nil
	case retentionPath.MatchString(path):
		body, err := peek(r)
		in := map[string]any{} // a struct would take "Mode" for "mode"
		if err == nil && json.Unmarshal(body, &in) == nil && in["mode"] != nil {
			keys = map[string]string{"bedrock:DataRetentionMode": fmt.Sprint(in["mode"])} // Bedrock User Guide, "Data retention"
		}
		return "bedrock:PutAccountDataRetention", keys, err
	}
	return "", nil, nil
}

// fromBrowser tells what a page of a foreign site could send, by its own name's resolving to this machine or not: it
// could deploy a function, which runs here.
func fromBrowser(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return net.ParseIP(host) == nil && host != "localhost" || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// serviceOf reads the service's name from a signature's scope (AWS Signature Version 4).
func serviceOf(r *http.Request) string {
	if scope := credential(r); len(scope) == 5 {
		return scope[3]
	}
	return ""
}

// credential is a signature's: access key, date, region, service, "aws4_request".
func credential(r *http.Request) []string {
	_, after, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ := strings.Cut(after, ",")
	return strings.Split(scope, "/")
}

func peek(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

func replace(r *http.Request, body []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

func (e *endpoint) checkLogging(r *http.Request) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var in struct {
		LoggingConfig loggingConfig `json:"loggingConfig"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	return e.invocationLog.check(r.Context(), in.LoggingConfig)
}

// mend corrects the answers in which moto differs from AWS.
func (e *endpoint) mend(response *http.Response) error {
	r := response.Request
	path := r.URL.EscapedPath()
	if response.StatusCode >= 300 {
		return nil
	}
	switch {
	case r.Method == http.MethodDelete && serviceOf(r) == "s3" && partName(r.URL.Query()) == "":
		e.invocationLog.buckets.forget(strings.Trim(r.URL.Path, "/")) // of an object: no bucket has such a name
	case r.Method == http.MethodPost && deployments.MatchString(path):
		return rewrite(response, func(body []byte) ([]byte, error) {
			return body, e.keepDeployment(context.WithoutCancel(r.Context()), deployments.FindStringSubmatch(path)[1], body)
		})
	case functionPath.MatchString(path):
		return rewrite(response, func(body []byte) ([]byte, error) { return e.mendFunction(context.WithoutCancel(r.Context()), body) })
	case restAPIs.MatchString(path):
		return rewrite(response, e.mendAPI)
	case serviceOf(r) == "iam" || serviceOf(r) == "sts":
		return rewrite(response, func(body []byte) ([]byte, error) {
			return body, e.signers.keep(context.WithoutCancel(r.Context()), body)
		})
	case serviceOf(r) == "ec2":
		return rewrite(response, func(body []byte) ([]byte, error) {
			// An empty one reads as a public address.
			return bytes.ReplaceAll(body, []byte("<association/>"), nil), nil
		})
	}
	return nil
}

func rewrite(response *http.Response, change func([]byte) ([]byte, error)) error {
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
