package lambda

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

var (
	functionPath = regexp.MustCompile(`^/2015-03-31/functions/?([^/]*)(/code|/configuration)?$`)
	concurrency  = regexp.MustCompile(`^/2017-10-31/functions/([^/]+)/concurrency$`)
)

// Handle remembers what moto drops.
func (f *Functions) Handle(_ http.ResponseWriter, r *http.Request) (handled bool, err error) {
	switch path := r.URL.EscapedPath(); {
	case concurrency.MatchString(path):
		err = f.keepConcurrency(r, concurrency.FindStringSubmatch(path)[1])
	case (r.Method == http.MethodPost || r.Method == http.MethodPut) && functionPath.MatchString(path):
		err = f.keepFunction(r, functionPath.FindStringSubmatch(path)[1])
	}
	return false, err
}

// Amend completes functions' configurations.
func (f *Functions) Amend(response *http.Response) error {
	r := response.Request
	if !functionPath.MatchString(r.URL.EscapedPath()) {
		return nil
	}
	return wire.Rewrite(response, func(body []byte) ([]byte, error) { return f.mendFunction(context.WithoutCancel(r.Context()), body) })
}

// keepFunction remembers what moto does not give back of CreateFunction, UpdateFunctionCode and UpdateFunctionConfiguration.
func (f *Functions) keepFunction(r *http.Request, name string) error {
	body, err := wire.Peek(r)
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
		f.keep(zipped)
	}
	if name == "" {
		name = in.FunctionName
	}
	if in.LoggingConfig != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.logging[name] = in.LoggingConfig
	}
	return nil
}

// keepConcurrency remembers whether a function has none reserved for it, with which it is never started.
func (f *Functions) keepConcurrency(r *http.Request, name string) error {
	body, err := wire.Peek(r)
	if err != nil {
		return err
	}
	var in struct{ ReservedConcurrentExecutions *int }
	if r.Method == http.MethodPut {
		if err := json.Unmarshal(body, &in); err != nil {
			return err
		}
	}
	f.stop(name, in.ReservedConcurrentExecutions != nil && *in.ReservedConcurrentExecutions == 0)
	return nil
}

// mendFunction completes a function's configuration, which GetFunction answers with one level deeper.
func (f *Functions) mendFunction(ctx context.Context, body []byte) ([]byte, error) {
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return body, nil
	}
	config, ok := answer["Configuration"].(map[string]any)
	if !ok {
		config = answer
	}
	name, _ := config["FunctionName"].(string)
	f.mu.Lock()
	if logging, ok := f.logging[name]; ok {
		config["LoggingConfig"] = logging
	}
	f.mu.Unlock()
	if vpc, ok := config["VpcConfig"].(map[string]any); ok {
		if subnets, _ := vpc["SubnetIds"].([]any); len(subnets) > 0 {
			id, err := ec2.VPCOfSubnet(ctx, f.moto, fmt.Sprint(subnets[0]))
			if err != nil {
				return nil, err
			}
			vpc["VpcId"] = id // moto's is always the same
		}
	}
	return json.Marshal(answer)
}
