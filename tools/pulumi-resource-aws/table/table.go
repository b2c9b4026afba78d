// Package table is the form of tokens.json.
package table

// Field is a property that the bridge by itself would name otherwise, or take for a list or not.
type Field struct {
	Name        string           `json:"name,omitempty"`
	MaxItemsOne *bool            `json:"maxItemsOne,omitempty"`
	Fields      map[string]Field `json:"fields,omitempty"`
}

// Mapping is a Pulumi type or function.
type Mapping struct {
	Token  string           `json:"token"`
	Fields map[string]Field `json:"fields,omitempty"`
}

// Table is by Terraform's names of types.
type Table struct {
	Resources   map[string]Mapping `json:"resources"`
	DataSources map[string]Mapping `json:"dataSources"`
}
