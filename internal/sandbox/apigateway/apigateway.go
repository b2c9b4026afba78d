// Package apigateway serves private REST APIs as API Gateway does, and keeps of them what moto drops.
package apigateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// APIs keeps of REST APIs what moto drops, and what was deployed of them.
type APIs struct {
	aws wire.Client // the sandbox's own endpoint, where an API is whole

	mu               sync.Mutex
	deployments      map[string]Deployment
	operations       map[string]map[string]apiOperation // by API id: see Deployment
	vpcEndpoints     map[string][]string                // by API id, where they were changed: moto drops changes
	binaryMediaTypes map[string][]string                // by API id, where they were imported or changed
}

// New knows of no API.
func New(aws wire.Client) *APIs {
	return &APIs{
		aws: aws, deployments: map[string]Deployment{}, operations: map[string]map[string]apiOperation{},
		vpcEndpoints: map[string][]string{}, binaryMediaTypes: map[string][]string{},
	}
}

var (
	deployments = regexp.MustCompile(`^/restapis/([^/]+)/deployments/?$`)
	restAPIs    = regexp.MustCompile(`^/restapis/?([^/]*)/?$`)
)

// Handle remembers what moto drops.
func (a *APIs) Handle(_ http.ResponseWriter, r *http.Request) (handled bool, err error) {
	switch path := r.URL.EscapedPath(); {
	case r.Method == http.MethodPut && restAPIs.MatchString(path):
		err = a.keepOperations(r, restAPIs.FindStringSubmatch(path)[1])
	case r.Method == http.MethodPatch && restAPIs.MatchString(path):
		err = a.keepPatch(r, restAPIs.FindStringSubmatch(path)[1])
	case r.Method == http.MethodPatch && path == "/account":
		err = completePatch(r)
	}
	return false, err
}

// Amend remembers deployments, and completes what moto answers of an API.
func (a *APIs) Amend(response *http.Response) error {
	r := response.Request
	switch path := r.URL.EscapedPath(); {
	case r.Method == http.MethodPost && deployments.MatchString(path):
		return wire.Rewrite(response, func(body []byte) ([]byte, error) {
			return body, a.keepDeployment(context.WithoutCancel(r.Context()), deployments.FindStringSubmatch(path)[1], body)
		})
	case restAPIs.MatchString(path):
		return wire.Rewrite(response, a.mendAPI)
	}
	return nil
}

// Deployment is what API Gateway serves until the next deployment: changes of the API's policy or routes in
// between are not in force (API Gateway Developer Guide, "Create and attach an API Gateway resource policy").
type Deployment struct {
	Policy    string
	endpoints []string
	Routes    []Resource
	// Operations are those of the imported OpenAPI document, by method and path, such as "POST /generate".
	Operations map[string]apiOperation
	// BinaryMediaTypes are what is not text, such as "*/*".
	BinaryMediaTypes []string
}

// apiOperation is what moto drops of one.
type apiOperation struct {
	signed  bool // authorization AWS_IAM
	Streams bool // response transfer mode STREAM
}

// Resource is a path of an API, with its methods.
type Resource struct {
	ID      string               `json:"id"`
	Path    string               `json:"path"`
	Methods map[string]apiMethod `json:"resourceMethods"`
}

type apiMethod struct {
	Integration struct {
		URI             string `json:"uri"`
		TimeoutInMillis int    `json:"timeoutInMillis"`
	} `json:"methodIntegration"`
}

// restAPI is an API as API Gateway describes it.
type restAPI struct {
	Name                  string `json:"name"`
	Policy                string `json:"policy"` // escaped once more than JSON is
	EndpointConfiguration struct {
		VpcEndpointIDs []string `json:"vpcEndpointIds"`
	} `json:"endpointConfiguration"`
	BinaryMediaTypes []string `json:"binaryMediaTypes"`
}

func restAPIOf(ctx context.Context, c wire.Client, id string) (restAPI, error) {
	var api restAPI
	err := c.Get(ctx, "apigateway", "/restapis/"+id, &api)
	return api, err
}

// DeploymentOf reads an API as a deployment of now would serve it.
func DeploymentOf(ctx context.Context, c wire.Client, apiID string) (Deployment, error) {
	api, err := restAPIOf(ctx, c, apiID)
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{endpoints: api.EndpointConfiguration.VpcEndpointIDs, BinaryMediaTypes: api.BinaryMediaTypes}
	if err := json.Unmarshal([]byte(`"`+api.Policy+`"`), &d.Policy); err != nil {
		return Deployment{}, fmt.Errorf("policy of API %s: %w", apiID, err)
	}
	var resources struct {
		Item []Resource `json:"item"`
	}
	err = c.Get(ctx, "apigateway", "/restapis/"+apiID+"/resources?embed=methods&limit=500", &resources)
	d.Routes = resources.Item
	return d, err
}

// keepDeployment remembers the API as it is at this moment: that is what a deployment serves.
func (a *APIs) keepDeployment(ctx context.Context, apiID string, answer []byte) error {
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	snapshot, err := DeploymentOf(ctx, a.aws, apiID)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	snapshot.Operations = a.operations[apiID]
	a.deployments[made.ID] = snapshot
	return nil
}

// keepOperations remembers what moto drops of an imported OpenAPI document: which methods ask for a signature, which
// stream, and the binary media types (API Gateway Developer Guide, "x-amazon-apigateway-auth object",
// "x-amazon-apigateway-integration object", "x-amazon-apigateway-binary-media-types property"). A merge goes on with what
// the document leaves out.
func (a *APIs) keepOperations(r *http.Request, apiID string) error {
	body, err := wire.Peek(r)
	if err != nil {
		return err
	}
	var document struct {
		BinaryMediaTypes []string `json:"x-amazon-apigateway-binary-media-types"`

		Paths map[string]map[string]struct {
			Auth        struct{ Type string } `json:"x-amazon-apigateway-auth"`
			Integration *importedIntegration  `json:"x-amazon-apigateway-integration"`
		}
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := map[string]apiOperation{} // another: the last one may be deployed
	maps.Copy(kept, a.operations[apiID])
	for path, methods := range document.Paths {
		for method, imported := range methods {
			name := strings.ToUpper(method) + " " + path
			one := kept[name]
			switch imported.Auth.Type {
			case "AWS_IAM", "NONE":
				one.signed = imported.Auth.Type == "AWS_IAM"
			case "":
			default:
				return fmt.Errorf("%s: authorization %q is not understood here", name, imported.Auth.Type)
			}
			if imported.Integration != nil {
				if one.Streams, err = imported.Integration.streams(); err != nil {
					return fmt.Errorf("unable to put integration on %s: %w", name, err)
				}
			}
			kept[name] = one
		}
	}
	a.operations[apiID] = kept
	if document.BinaryMediaTypes != nil {
		a.binaryMediaTypes[apiID] = document.BinaryMediaTypes
	}
	return nil
}

type importedIntegration struct {
	Type                 string `json:"type"`
	ResponseTransferMode string `json:"responseTransferMode"`
	TimeoutInMillis      int    `json:"timeoutInMillis"`
}

// API Gateway's limits of one call (API Gateway Developer Guide, "Quotas for configuring and running a REST API in API
// Gateway", "Stream the integration response for your proxy integrations in API Gateway"), of which the first is also
// what an integration without its own has.
const (
	maxBufferedTime = 29 * time.Second
	maxStreamedTime = 15 * time.Minute
	maxIdleTime     = 5 * time.Minute // of a private API
)

// streams tells an integration's response transfer mode, if API Gateway would accept the integration.
func (i importedIntegration) streams() (bool, error) {
	longest := maxBufferedTime
	switch i.ResponseTransferMode {
	case "", "BUFFERED":
	case "STREAM":
		longest = maxStreamedTime
		if kind := strings.ToLower(i.Type); kind != "aws_proxy" && kind != "http_proxy" {
			return false, fmt.Errorf("integration type %q cannot stream its response", i.Type)
		}
	default:
		return false, fmt.Errorf("response transfer mode %q is neither BUFFERED nor STREAM", i.ResponseTransferMode)
	}
	if timeout := i.TimeoutInMillis; timeout != 0 && (timeout < 50 || timeout > int(longest.Milliseconds())) {
		return false, fmt.Errorf("timeout should be between 50 ms and %d ms, it is %d ms", longest.Milliseconds(), timeout)
	}
	return i.ResponseTransferMode == "STREAM", nil
}

// Deployed finds a deployment that was made through this sandbox.
func (a *APIs) Deployed(id string) (Deployment, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok := a.deployments[id]
	return d, ok
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

func readPatch(r *http.Request) (p patch, err error) {
	body, err := wire.Peek(r)
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	return p, err
}

// completePatch gives every operation a value, without which moto fails to take the account's role back.
func completePatch(r *http.Request) error {
	p, err := readPatch(r)
	if err != nil {
		return err
	}
	body, err := json.Marshal(p)
	wire.Replace(r, body)
	return err
}

// keepPatch remembers changes of a private API's endpoints and of the binary media types. The latter moto does not get: it
// fails at them, for the type is in the path. (It drops those of CreateRestApi, which the AWS provider says again in a patch
// where the API has a document.)
func (a *APIs) keepPatch(r *http.Request, apiID string) error {
	p, err := readPatch(r)
	if err != nil {
		return err
	}
	api, err := restAPIOf(r.Context(), a.aws, apiID)
	if err != nil {
		return err
	}
	ids, types := api.EndpointConfiguration.VpcEndpointIDs, api.BinaryMediaTypes
	others := []patchOperation{}
	for _, op := range p.Operations {
		if name, ok := strings.CutPrefix(op.Path, "/binaryMediaTypes/"); ok {
			types = op.apply(types, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
			continue
		}
		if op.Path == "/endpointConfiguration/vpcEndpointIds" && op.Value != nil {
			ids = op.apply(ids, *op.Value)
		}
		others = append(others, op)
	}
	body, err := json.Marshal(patch{others})
	if err != nil {
		return err
	}
	wire.Replace(r, body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vpcEndpoints[apiID], a.binaryMediaTypes[apiID] = ids, types
	return nil
}

// apply adds a member to a list or takes it out.
func (op patchOperation) apply(list []string, member string) []string {
	list = slices.DeleteFunc(list, func(one string) bool { return one == member })
	if op.Op == "add" {
		list = append(list, member)
	}
	return list
}

// mendAPI escapes an API's policy once more, as API Gateway answers with it and its clients expect, and puts changes
// of its endpoints and its binary media types in.
func (a *APIs) mendAPI(body []byte) ([]byte, error) {
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
	a.mu.Lock()
	ids, changed := a.vpcEndpoints[id]
	if types, ok := a.binaryMediaTypes[id]; ok {
		api["binaryMediaTypes"] = types
	}
	a.mu.Unlock()
	if config, ok := api["endpointConfiguration"].(map[string]any); ok && changed {
		config["vpcEndpointIds"] = ids
	}
	return json.Marshal(api)
}
