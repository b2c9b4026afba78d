package components

import (
	_ "embed"
	"encoding/json"
)

//go:embed openapi.json
var openAPIDocument []byte

// openAPI is the document that API Gateway imports: openapi.json, each of whose operations calls the function and says who
// may, NONE (everybody whom the API's policy admits) or AWS_IAM.
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
	for _, operations := range document.Paths {
		for _, operation := range operations {
			operation["x-amazon-apigateway-auth"] = map[string]string{"type": authorization}
			operation["x-amazon-apigateway-integration"] = map[string]any{
				"type": "aws_proxy", "httpMethod": "POST", "timeoutInMillis": functionTimeoutSeconds * 1000,
				"uri": "arn:" + partition + ":apigateway:" + region + ":lambda:path/2015-03-31/functions/" + functionArn + "/invocations",
			}
		}
	}
	b, err := json.Marshal(document)
	return string(b), err
}
