package components

import (
	_ "embed"
	"encoding/json"
)

//go:embed openapi.json
var openAPIDocument []byte

// openAPI is the document that API Gateway imports: openapi.json, each of whose operations calls the function and, with
// AWS_IAM, asks for a signature (API Gateway Developer Guide, "x-amazon-apigateway-authtype property").
func openAPI(title, partition, region, functionArn, authorization string) (string, error) {
	var document struct {
		OpenAPI    string                               `json:"openapi"`
		Info       map[string]any                       `json:"info"`
		Paths      map[string]map[string]map[string]any `json:"paths"`
		Components map[string]any                       `json:"components"`
	}
	if err := json.Unmarshal(openAPIDocument, &document); err != nil {
		return "", err
	}
	document.Info["title"] = title
	signed := authorization == "AWS_IAM"
	if signed {
		document.Components["securitySchemes"] = map[string]any{"sigv4": map[string]string{
			"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4",
		}}
	}
	for _, operations := range document.Paths {
		for _, operation := range operations {
			// Said for each, and not left out where nobody signs: a merge may keep what the document does not say.
			operation["security"] = []map[string][]string{}
			if signed {
				operation["security"] = []map[string][]string{{"sigv4": {}}}
			}
			operation["x-amazon-apigateway-integration"] = map[string]any{
				"type": "aws_proxy", "httpMethod": "POST", "timeoutInMillis": functionTimeoutSeconds * 1000,
				"uri": "arn:" + partition + ":apigateway:" + region + ":lambda:path/2015-03-31/functions/" + functionArn + "/invocations",
			}
		}
	}
	b, err := json.Marshal(document)
	return string(b), err
}
