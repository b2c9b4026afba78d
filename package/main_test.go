package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
)

// The schema and the component agree on which arguments are required. Otherwise, a program that compiles fails in the
// middle of a deployment, or must set an argument that the component doesn't need.
func TestRequiredArguments(t *testing.T) {
	t.Parallel()
	structs := componentStructs(t)
	for typ := range constructors {
		name := strings.TrimPrefix(typ, "private-bedrock:index:")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := componentstest.Record(func(ctx *pulumi.Context) error {
				_, err := construct(ctx, typ, "x", provider.ConstructInputs{}, pulumi.Composite())
				return err
			})
			asked := ""
			if err != nil {
				asked = err.Error()
			}
			for _, f := range structs[name+"Args"].fields {
				required := !strings.HasSuffix(f.tag, `,optional"`)
				oneOfThese := name == "Guardrail" && strings.Contains(asked, "at least one entry")
				if found := regexp.MustCompile(`\b` + f.name + `\b`).MatchString(asked); found != required && !oneOfThese {
					t.Errorf("%s: got required %t, and without it: %v", f.name, required, err)
				}
			}
		})
	}
}

// The plugin builds the function for the right architecture, because other languages can't build it. Lambda can't start
// an executable of another architecture.
func TestFunctionIsBuilt(t *testing.T) {
	t.Parallel()
	for architecture, want := range map[string]elf.Machine{"": elf.EM_AARCH64, "arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64} {
		got := componentstest.Run(t, func(ctx *pulumi.Context) error {
			_, err := newBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Architecture: architecture,
				ModelIds:     []string{"amazon.nova-lite-v1:0"}, SubnetIds: pulumi.ToStringArray([]string{"subnet-1"}), SecurityGroupIds: pulumi.ToStringArray([]string{"sg-1"}),
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
			})
			return err
		}).Inputs(t, "aws:lambda/function:Function", "x")
		deployed := cmp.Or(architecture, "arm64")
		if fmt.Sprint(got["architectures"]) != "["+deployed+"]" {
			t.Errorf("architecture %q: deployed as %v", architecture, got["architectures"])
		}
		contents, err := zip.OpenReader(got["code"].(*archive.Archive).Path)
		if err != nil {
			t.Fatal(err)
		}
		defer contents.Close()
		file, err := contents.Open("bootstrap")
		if err != nil {
			t.Fatal(err)
		}
		executable, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		header, err := elf.NewFile(bytes.NewReader(executable))
		if err != nil || header.Machine != want {
			t.Errorf("architecture %q: got an executable for %v, %v, want %v", architecture, header.Machine, err, want)
		}
	}
}
