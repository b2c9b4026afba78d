package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

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

// keepConcurrency remembers whether a function has none reserved for it, with which it is never started.
func (e *endpoint) keepConcurrency(r *http.Request, name string) error {
	body, err := peek(r)
	if err != nil {
		return err
	}
	var in struct{ ReservedConcurrentExecutions *int }
	if r.Method == http.MethodPut {
		if err := json.Unmarshal(body, &in); err != nil {
			return err
		}
	}
	e.functions.stop(name, in.ReservedConcurrentExecutions != nil && *in.ReservedConcurrentExecutions == 0)
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
