// Command package is the Pulumi plugin that offers the components to programs in all languages. Pulumi compiles it and
// calls it to create components. schema.json describes their arguments and outputs; TestSchema generates it from
// components/.
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

// version is the version of the release's tag, v0.1.0. SDKs that are generated from the schema make Pulumi download the
// plugin of that tag.
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
		return nil, fmt.Errorf("got %s, must be a component of this package", typ)
	}
	return make(ctx, typ, name, inputs, options)
}

// constructor creates a component from the inputs of another language, by the `pulumi` tags of its arguments and
// outputs.
func constructor[Args any, Component pulumi.ComponentResource](
	make func(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (Component, error),
) provider.ConstructFunc {
	return func(ctx *pulumi.Context, typ, name string, inputs provider.ConstructInputs, options pulumi.ResourceOption) (*provider.ConstructResult, error) {
		args := new(Args)
		if err := inputs.CopyTo(args); err != nil {
			return nil, fmt.Errorf("%s %s: %w; if the value is another resource's output, use a plain value, because the schema says plain", typ, name, err)
		}
		c, err := make(ctx, name, args, options)
		if err != nil {
			return nil, err
		}
		return provider.NewConstructResult(c)
	}
}

// newBedrockFunction builds the function if no code is set, because other languages have no BuildFunctionZip.
func newBedrockFunction(ctx *pulumi.Context, name string, args *components.BedrockFunctionArgs, opts ...pulumi.ResourceOption) (*components.BedrockFunction, error) {
	if args.Code == nil {
		// This is the default of BedrockFunction. Code and function must have the same architecture.
		args.Architecture = cmp.Or(args.Architecture, "arm64")
		zip, err := buildFunction(ctx, args.Architecture)
		if err != nil {
			return nil, fmt.Errorf("BedrockFunction %s: Code: %w", name, err)
		}
		args.Code = pulumi.NewFileArchive(zip)
	}
	return components.NewBedrockFunction(ctx, name, args, opts...)
}

// buildFunction builds function/ of the checkout that this plugin was compiled from. Pulumi compiles the plugin in its
// checkout, but starts it in the folder of the program that uses it.
func buildFunction(ctx *pulumi.Context, architecture string) (zip string, err error) {
	_, file, _, _ := runtime.Caller(0)
	checkout := filepath.Dir(filepath.Dir(file))
	source := filepath.Join(checkout, "function")
	if _, err := os.Stat(source); err != nil {
		return "", fmt.Errorf("not set, and this plugin can't find its source, because it was moved or compiled with -trimpath: %w; use the plugin that `pulumi package add` installs, or set a zip with the executable \"bootstrap\"", err)
	}
	zip = filepath.Join(checkout, ".build", "function-"+architecture+".zip")
	return zip, components.BuildFunctionZip(ctx.Context(), source, architecture, zip)
}
