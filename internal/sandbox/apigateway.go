package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// deployment is what API Gateway serves until the next deployment: changes of the API's policy or routes in
// between are not in force (API Gateway Developer Guide, "Create and attach an API Gateway resource policy").
type deployment struct {
	policy    string
	endpoints []string
	routes    []apiResource
	// signed are the methods, such as "POST /generate", of authorization AWS_IAM.
	signed map[string]bool
}

type apiResource struct {
	ID      string               `json:"id"`
	Path    string               `json:"path"`
	Methods map[string]apiMethod `json:"resourceMethods"`
}

type apiMethod struct {
	Integration struct {
		URI string `json:"uri"`
	} `json:"methodIntegration"`
}

// restAPI is an API as API Gateway describes it.
type restAPI struct {
	Policy                string `json:"policy"` // escaped once more than JSON is
	EndpointConfiguration struct {
		VpcEndpointIDs []string `json:"vpcEndpointIds"`
	} `json:"endpointConfiguration"`
}

func (c client) restAPI(ctx context.Context, id string) (restAPI, error) {
	var api restAPI
	err := c.get(ctx, "apigateway", "/restapis/"+id, &api)
	return api, err
}

func (c client) deployment(ctx context.Context, apiID string) (deployment, error) {
	api, err := c.restAPI(ctx, apiID)
	if err != nil {
		return deployment{}, err
	}
	d := deployment{endpoints: api.EndpointConfiguration.VpcEndpointIDs}
	if err := json.Unmarshal([]byte(`"`+api.Policy+`"`), &d.policy); err != nil {
		return deployment{}, fmt.Errorf("policy of API %s: %w", apiID, err)
	}
	var resources struct {
		Item []apiResource `json:"item"`
	}
	err = c.get(ctx, "apigateway", "/restapis/"+apiID+"/resources?embed=methods&limit=500", &resources)
	d.routes = resources.Item
	return d, err
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
	snapshot.signed = e.signed[apiID]
	e.deployments[made.ID] = snapshot
	return nil
}

// keepAuthorization remembers which methods of an imported OpenAPI document ask for a signature: moto drops it (API
// Gateway Developer Guide, "x-amazon-apigateway-auth object"). A merge goes on with what the document leaves out.
func (e *endpoint) keepAuthorization(r *http.Request, apiID string) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var document struct {
		Paths map[string]map[string]struct {
			Auth struct{ Type string } `json:"x-amazon-apigateway-auth"`
		}
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	signed := map[string]bool{} // another: the last one may be deployed
	maps.Copy(signed, e.signed[apiID])
	for path, operations := range document.Paths {
		for method, operation := range operations {
			name := strings.ToUpper(method) + " " + path
			switch operation.Auth.Type {
			case "AWS_IAM":
				signed[name] = true
			case "NONE":
				signed[name] = false
			case "":
			default:
				return fmt.Errorf("%s: authorization %q is not understood here", name, operation.Auth.Type)
			}
		}
	}
	e.signed[apiID] = signed
	return nil
}

func (e *endpoint) deployed(id string) (deployment, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.deployments[id]
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
	body, err := peek(r)
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
	replace(r, body)
	return err
}

// keepVpcEndpoints remembers changes of a private API's endpoints.
func (e *endpoint) keepVpcEndpoints(r *http.Request, apiID string) error {
	p, err := readPatch(r)
	if err != nil {
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
