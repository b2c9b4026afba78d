// Command package is the components for programs in every language: a plugin that Pulumi compiles and asks for components.
// What they take and give is in schema.json, which TestSchema makes out of components/.
package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
)

// version is that of the release's tag, v0.1.0: SDKs that are made of the schema have Pulumi fetch the plugin of that tag.
const version = "0.1.0"

//go:embed schema.json
var schema []byte

func main() {
	if err := provider.ComponentMain("private-bedrock", version, schema, construct); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var constructors = map[string]provider.ConstructFunc{
	"private-bedrock:index:AuditQuery":      constructor(components.NewAuditQuery),
	"private-bedrock:index:AuditReader":     constructor(components.NewAuditReader),
	"private-bedrock:index:BedrockFunction": constructor(newBedrockFunction),
	"private-bedrock:index:BedrockLogging":  constructor(components.NewBedrockLogging),
	"private-bedrock:index:CoreVpc":         constructor(components.NewCoreVpc),
	"private-bedrock:index:Guardrail":       constructor(components.NewGuardrail),
	"private-bedrock:index:Monitoring":      constructor(components.NewMonitoring),
	"private-bedrock:index:PrivateApi":      constructor(components.NewPrivateApi),
	"private-bedrock:index:SsmClient":       constructor(components.NewSsmClient),
}

func construct(ctx *pulumi.Context, typ, name string, inputs provider.ConstructInputs, options pulumi.ResourceOption) (*provider.ConstructResult, error) {
	make, found := constructors[typ]
	if !found {
		return nil, fmt.Errorf("got %s, want a component of this package", typ)
	}
	return make(ctx, typ, name, inputs, options)
}

// constructor has a component made of what another language sent, by the `pulumi` tags of its arguments and outputs.
func constructor[Args any, Component pulumi.ComponentResource](
	make func(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (Component, error),
) provider.ConstructFunc {
	return func(ctx *pulumi.Context, typ, name string, inputs provider.ConstructInputs, options pulumi.ResourceOption) (*provider.ConstructResult, error) {
		args := new(Args)
		if err := inputs.CopyTo(args); err != nil {
			return nil, fmt.Errorf("%s %s: %w; is it another resource's output, where the schema says plain?", typ, name, err)
		}
		c, err := make(ctx, name, args, options)
		if err != nil {
			return nil, err
		}
		return provider.NewConstructResult(c)
	}
}

// newBedrockFunction builds the function where it is given no code, for in other languages there is no BuildFunctionZip.
func newBedrockFunction(ctx *pulumi.Context, name string, args *components.BedrockFunctionArgs, opts ...pulumi.ResourceOption) (*components.BedrockFunction, error) {
	if args.Code == nil {
		args.Architecture = cmp.Or(args.Architecture, "arm64") // BedrockFunction's own default: code and function are of one kind
		zip, err := buildFunction(ctx, args.Architecture)
		if err != nil {
			return nil, fmt.Errorf("BedrockFunction %s: Code: %w", name, err)
		}
		args.Code = pulumi.NewFileArchive(zip)
	}
	return components.NewBedrockFunction(ctx, name, args, opts...)
}

// buildFunction builds function/ of the checkout that this plugin was compiled from: Pulumi compiles it where it lies, and
// starts it in the folder of the program that uses it.
func buildFunction(ctx *pulumi.Context, architecture string) (zip string, err error) {
	_, file, _, _ := runtime.Caller(0)
	checkout := filepath.Dir(filepath.Dir(file))
	source := filepath.Join(checkout, "function")
	if _, err := os.Stat(source); err != nil {
		return "", fmt.Errorf("got none, and this plugin was moved, or compiled with -trimpath: its source is not beside it: %w; want the plugin that `pulumi package add` installs, or a zip with the executable \"bootstrap\"", err)
	}
	zip = filepath.Join(checkout, ".build", "function-"+architecture+".zip")
	return zip, components.BuildFunctionZip(ctx.Context(), source, architecture, zip)
}
