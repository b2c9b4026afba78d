// Command pulumi-resource-aws is the AWS plugin of machines that cannot download the published one: Pulumi's own bridge
// over the Terraform AWS provider that the published plugin 6.83.2 is made of, for the types in tokens.json.
//
// Beside it lie two links: "upstream" leads to the Terraform provider, "terraform-provider-aws" back to this program.
// The module is named as if it were the bridge's, because Go lets nobody else import what runs a provider's executable.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/internal/fixup"
	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/internal/shim/run"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/proto"
	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	pulumiprovider "github.com/pulumi/pulumi/pkg/v3/resource/provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"golang.org/x/sys/unix"

	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/pulumi-resource-aws/table"
)

const version = "6.83.2"

//go:embed tokens.json
var tokensJSON []byte

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-aws:", err)
		os.Exit(1)
	}
}

func start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	folder := filepath.Dir(self)
	if filepath.Base(os.Args[0]) == "terraform-provider-aws" {
		return becomeUpstream(filepath.Join(folder, "upstream"))
	}
	return serve(context.Background(), folder)
}

// becomeUpstream ends the Terraform provider together with the plugin that started it, however that ends.
func becomeUpstream(file string) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return unix.Exec(file, os.Args, os.Environ())
}

func serve(ctx context.Context, folder string) error {
	// The engine interrupts, and kills 5 seconds later. Killed, the Terraform provider would leave its socket behind.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, unix.SIGTERM)
	go func() {
		<-interrupted
		goplugin.CleanupClients()
		os.Exit(0)
	}()
	defer goplugin.CleanupClients()

	server, err := run.LocalProvider(ctx, filepath.Join(folder, "terraform-provider-aws"))
	if err != nil {
		return err
	}
	bridged, err := bridge(proto.New(ctx, server))
	if err != nil {
		return err
	}
	// The engine asks for no schema: a Go program has it in its SDK.
	meta := pfbridge.ProviderMetadata{PackageSchema: []byte("{}")}
	return pulumiprovider.Main("aws", func(host *pulumiprovider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		inner, err := pfbridge.NewProviderServer(ctx, host, bridged, meta)
		return assetServer{inner, filepath.Join(folder, "assets")}, err
	})
}

// bridge gives every type in tokens.json its Pulumi name, and leaves the others out.
func bridge(upstream shim.Provider) (info.Provider, error) {
	p := info.Provider{
		P: upstream, Name: "aws", Version: version, ResourcePrefix: "aws",
		MetadataInfo: &info.Metadata{Data: tfbridge.ProviderMetadata(nil)},
		Resources:    map[string]*info.Resource{},
		DataSources:  map[string]*info.DataSource{},
	}
	var t table.Table
	if err := json.Unmarshal(tokensJSON, &t); err != nil {
		return p, err
	}
	for tf, m := range t.Resources {
		p.Resources[tf] = &info.Resource{Tok: tokens.Type(m.Token), Fields: schemas(m.Fields)}
	}
	for tf, m := range t.DataSources {
		p.DataSources[tf] = &info.DataSource{Tok: tokens.ModuleMember(m.Token), Fields: schemas(m.Fields)}
	}
	leaveOut := func(in func(tf string) bool) func(string, shim.Resource) bool {
		return func(tf string, _ shim.Resource) bool {
			if !in(tf) {
				p.IgnoreMappings = append(p.IgnoreMappings, tf)
			}
			return true
		}
	}
	upstream.ResourcesMap().Range(leaveOut(func(tf string) bool { return p.Resources[tf] != nil }))
	upstream.DataSourcesMap().Range(leaveOut(func(tf string) bool { return p.DataSources[tf] != nil }))
	if err := fixup.Default(&p); err != nil {
		return p, err
	}
	for tf, r := range p.Resources { // fixup names properties of the types left out as well
		if r.Tok == "" {
			delete(p.Resources, tf)
		}
	}
	// A name that a program does not give. Only names of 64 characters are good for every type: roles and functions.
	p.SetAutonaming(64, "-")
	p.Resources["aws_s3_bucket"].Fields["bucket"] = info.AutoName("bucket", 63, "-")
	return p, nil
}

func schemas(fields map[string]table.Field) map[string]*info.Schema {
	out := map[string]*info.Schema{}
	for tf, f := range fields {
		out[tf] = &info.Schema{Name: f.Name, MaxItemsOne: f.MaxItemsOne}
		if f.Fields != nil {
			out[tf].Elem = &info.Schema{Fields: schemas(f.Fields)}
		}
		if f.Name == "name" {
			out[tf].Default = info.AutoName("name", 64, "-").Default
		}
	}
	return out
}
