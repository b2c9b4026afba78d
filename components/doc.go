// Package components has the reusable parts of private, audited access to Amazon Bedrock, as Pulumi component resources
// over AWS's own. You can use each one alone. None reads stack configuration.
package components
