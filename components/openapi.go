package components

import (
	"encoding/json"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/openapi"
)

// apiDefinition returns the OpenAPI document that API Gateway imports: openapi.json, with the function as the
// integration of each operation. authorization is NONE or AWS_IAM. With NONE, every caller that the
// API's resource policy allows can call.
func apiDefinition(
	title string, t iamdoc.Target, functionArn, authorization string, responseStreaming bool,
) (string, error) {
	var document struct {
		OpenAPI    string                               `json:"openapi"`
		Info       map[string]any                       `json:"info"`
		Binary     []string                             `json:"x-amazon-apigateway-binary-media-types,omitempty"`
		Paths      map[string]map[string]map[string]any `json:"paths"`
		Components map[string]any                       `json:"components"`
	}
	if err := json.Unmarshal(openapi.Document, &document); err != nil {
		return "", err
	}
	document.Info["title"] = title
	function := "arn:" + t.Partition + ":apigateway:" + t.Region + ":lambda:path/"
	integration := map[string]any{
		"type": "aws_proxy", "httpMethod": "POST",
		"responseTransferMode": "STREAM", "timeoutInMillis": streamedSeconds * 1000,
		"uri": function + "2021-11-15/functions/" + functionArn + "/response-streaming-invocations",
	}
	if !responseStreaming {
		integration["responseTransferMode"], integration["timeoutInMillis"] = "BUFFERED", bufferedSeconds*1000
		integration["uri"] = function + "2015-03-31/functions/" + functionArn + "/invocations"
		document.Binary = []string{"*/*"} // otherwise API Gateway takes an event stream for text, and damages it
	}
	// API Gateway answers a path without a route with "Missing Authentication Token", as it does a wrong signature. The
	// function names the operation that it doesn't serve.
	for path, parameters := range map[string][]string{
		"/{proxy+}": {"proxy"}, "/model/{modelId}/{proxy+}": {"modelId", "proxy"},
	} {
		document.Paths[path] = map[string]map[string]any{}
		for _, method := range []string{"get", "post", "delete"} { // every method of Bedrock Runtime
			document.Paths[path][method] = map[string]any{
				"parameters": pathParameters(parameters),
				"responses":  map[string]any{"404": map[string]string{"description": "Not served"}},
			}
		}
	}
	for _, operations := range document.Paths {
		for _, operation := range operations {
			operation["x-amazon-apigateway-auth"] = map[string]string{"type": authorization}
			operation["x-amazon-apigateway-integration"] = integration
		}
	}
	b, err := json.Marshal(document)
	return string(b), err
}

func pathParameters(names []string) (all []map[string]any) {
	for _, name := range names {
		all = append(all, map[string]any{
			"name": name, "in": "path", "required": true, "schema": map[string]string{"type": "string"},
		})
	}
	return all
}
