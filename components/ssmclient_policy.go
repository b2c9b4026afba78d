package components

import (
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

// What Session Manager needs and no more, by the endpoint that it's called through (Systems Manager User Guide, "Create
// a custom IAM role for Session Manager").
var (
	ssmActions         = []string{"ssm:UpdateInstanceInformation"}
	ssmMessagesActions = []string{
		"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel",
		"ssmmessages:OpenDataChannel",
	}
)

// ssmClientPolicy names no resource: ssmmessages' actions have none, and the instance isn't known before its role.
func ssmClientPolicy() (string, error) {
	return iamdoc.RolePolicy(iamdoc.Statement{
		Sid: "SessionManager", Effect: "Allow", Resource: []string{"*"},
		Action: slices.Concat(ssmActions, ssmMessagesActions),
	})
}

// ssmEndpointPolicy lets one role use Session Manager through an endpoint. Resources are as in ssmClientPolicy.
func ssmEndpointPolicy(roleArn string, actions []string) (string, error) {
	return iamdoc.EndpointPolicy(iamdoc.Statement{
		Sid: "SessionManager", Effect: "Allow", Principal: "*", Action: actions, Resource: []string{"*"},
		Condition: iamdoc.Conditions{"StringEquals": iamdoc.OnlyBy(roleArn)},
	})
}
