// Command go has each component in a program of its own, as small as it can be. A program of yours takes one file's function
// as its own; here the setting `component` chooses.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

var programs = map[string]pulumi.RunFunc{
	"AuditQuery": auditQuery, "AuditReader": auditReader, "BedrockFunction": bedrockFunction, "BedrockLogging": bedrockLogging,
	"CoreVpc": coreVpc, "Guardrail": guardrail, "Monitoring": monitoring, "PrivateApi": privateApi, "SsmClient": ssmClient,
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		component := config.Require(ctx, "component")
		program, found := programs[component]
		if !found {
			return fmt.Errorf("component: got %q, want one such as CoreVpc", component)
		}
		return program(ctx)
	})
}
