// Package openapi contains the definition of the private API, which API Gateway imports and the function serves.
package openapi

import _ "embed"

// Document is the definition in OpenAPI 3.0, as JSON without API Gateway's integrations.
//
//go:embed openapi.json
var Document []byte
