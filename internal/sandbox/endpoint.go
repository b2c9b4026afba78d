package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
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

	aws client // itself, where moto's answers are mended

	mu           sync.Mutex
	deployments  map[string]deployment
	logging      map[string]any      // LoggingConfig by function name: moto drops it
	vpcEndpoints map[string][]string // by API id, where they were changed: moto drops changes
}

func newEndpoint(moto, aws client, bedrock *Bedrock, functions *functions, log invocationLog) (*endpoint, error) {
	target, err := url.Parse(moto.url)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		moto: moto, aws: aws, bedrock: bedrock, functions: functions, invocationLog: log,
		deployments: map[string]deployment{}, logging: map[string]any{}, vpcEndpoints: map[string][]string{},
	}
	e.proxy = &httputil.ReverseProxy{
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
	putLogging   = regexp.MustCompile(`^/logging/modelinvocations/?$`)
	functionPath = regexp.MustCompile(`^/2015-03-31/functions/?([^/]*)(/code|/configuration)?$`)
	deployments  = regexp.MustCompile(`^/restapis/([^/]+)/deployments/?$`)
	restAPIs     = regexp.MustCompile(`^/restapis/?([^/]*)/?$`)
)

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch {
	case serviceOf(r) == "s3" && r.URL.Query().Has("policy"):
		e.invocationLog.buckets.serve(w, r)
		return
	case strings.HasPrefix(path, "/model/") && serviceOf(r) == "bedrock":
		e.bedrock.ServeHTTP(w, r)
		return
	case r.Method == http.MethodPut && putLogging.MatchString(path):
		if err := e.checkLogging(r); err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Amzn-Errortype", "ValidationException")
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
			return
		}
	case (r.Method == http.MethodPost || r.Method == http.MethodPut) && functionPath.MatchString(path):
		if err := e.keepFunction(r, functionPath.FindStringSubmatch(path)[1]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	case r.Method == http.MethodPatch && restAPIs.MatchString(path):
		if err := e.keepVpcEndpoints(r, restAPIs.FindStringSubmatch(path)[1]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	case r.Method == http.MethodPatch && path == "/account":
		if err := completePatch(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	e.proxy.ServeHTTP(w, r)
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

// patch is the body of API Gateway's PATCH calls.
type patch struct {
	Operations []patchOperation `json:"patchOperations"`
}

type patchOperation struct {
	Op    string  `json:"op"`
	Path  string  `json:"path"`
	Value *string `json:"value"`
}

// completePatch gives every operation a value, without which moto fails to take the account's role back.
func completePatch(r *http.Request) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var p patch
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	if body, err = json.Marshal(p); err != nil {
		return err
	}
	replace(r, body)
	return nil
}

// keepVpcEndpoints remembers changes of a private API's endpoints.
func (e *endpoint) keepVpcEndpoints(r *http.Request, apiID string) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var p patch
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	api, err := e.aws.restAPI(r.Context(), apiID)
	if err != nil {
		return err
	}
	ids := api.EndpointConfiguration.VpcEndpointIDs
	for _, op := range p.Operations {
		if op.Path != "/endpointConfiguration/vpcEndpointIds" || op.Value == nil {
			continue
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == *op.Value })
		if op.Op == "add" {
			ids = append(ids, *op.Value)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.vpcEndpoints[apiID] = ids
	return nil
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

// keepFunction remembers what moto does not give back of CreateFunction, UpdateFunctionCode and UpdateFunctionConfiguration.
func (e *endpoint) keepFunction(r *http.Request, name string) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var in struct {
		FunctionName  string
		ZipFile       []byte
		Code          struct{ ZipFile []byte }
		LoggingConfig any
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	if zipped := append(in.ZipFile, in.Code.ZipFile...); len(zipped) > 0 {
		e.functions.keep(zipped)
	}
	if name == "" {
		name = in.FunctionName
	}
	if in.LoggingConfig != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.logging[name] = in.LoggingConfig
	}
	return nil
}

// mendFunction completes a function's configuration, which GetFunction answers with one level deeper.
func (e *endpoint) mendFunction(ctx context.Context, body []byte) ([]byte, error) {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return body, nil
	}
	config, ok := answer["Configuration"].(map[string]any)
	if !ok {
		config = answer
	}
	name, _ := config["FunctionName"].(string)
	e.mu.Lock()
	if logging, ok := e.logging[name]; ok {
		config["LoggingConfig"] = logging
	}
	e.mu.Unlock()
	if vpc, ok := config["VpcConfig"].(map[string]any); ok {
		if subnets, _ := vpc["SubnetIds"].([]any); len(subnets) > 0 {
			id, err := e.moto.vpcOfSubnet(ctx, fmt.Sprint(subnets[0]))
			if err != nil {
				return nil, err
			}
			vpc["VpcId"] = id // moto's is always the same
		}
	}
	return json.Marshal(answer)
}

// mend corrects the answers in which moto differs from AWS.
func (e *endpoint) mend(response *http.Response) error {
	r := response.Request
	path := r.URL.EscapedPath()
	if response.StatusCode >= 300 {
		return nil
	}
	switch {
	case r.Method == http.MethodDelete && serviceOf(r) == "s3":
		e.invocationLog.buckets.forget(strings.Trim(r.URL.Path, "/")) // of an object: no bucket has such a name
	case r.Method == http.MethodPost && deployments.MatchString(path):
		return rewrite(response, func(body []byte) ([]byte, error) {
			return body, e.keepDeployment(context.WithoutCancel(r.Context()), deployments.FindStringSubmatch(path)[1], body)
		})
	case functionPath.MatchString(path):
		return rewrite(response, func(body []byte) ([]byte, error) { return e.mendFunction(context.WithoutCancel(r.Context()), body) })
	case restAPIs.MatchString(path):
		return rewrite(response, e.mendAPI)
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

// mendAPI escapes an API's policy once more, as API Gateway answers with it and its clients expect, and puts changes
// of its endpoints in.
func (e *endpoint) mendAPI(body []byte) ([]byte, error) {
	var api map[string]any
	if json.Unmarshal(body, &api) != nil {
		return body, nil // DELETE answers with nothing
	}
	if policy, ok := api["policy"].(string); ok {
		quoted, err := json.Marshal(policy)
		if err != nil {
			return nil, err
		}
		api["policy"] = string(quoted[1 : len(quoted)-1])
	}
	id, _ := api["id"].(string)
	e.mu.Lock()
	ids, changed := e.vpcEndpoints[id]
	e.mu.Unlock()
	if config, ok := api["endpointConfiguration"].(map[string]any); ok && changed {
		config["vpcEndpointIds"] = ids
	}
	return json.Marshal(api)
}

// keepDeployment remembers the API as it is at this moment: that is what a deployment serves.
func (e *endpoint) keepDeployment(ctx context.Context, apiID string, answer []byte) error {
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	snapshot, err := e.aws.deployment(ctx, apiID)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deployments[made.ID] = snapshot
	return nil
}

func (e *endpoint) deployed(id string) (deployment, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.deployments[id]
	return d, ok
}
