// Package openapi is the definition of the private API: API Gateway imports it, the function serves it.
package openapi

import _ "embed"

// Document is OpenAPI 3.0 in JSON, without API Gateway's integrations.
//
//go:embed openapi.json
var Document []byte
