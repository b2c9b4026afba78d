package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/sig"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// assetServer gives the Terraform provider a file's path where a program passes an asset or archive, and the program
// its own value back. The path is a link named after the content, so that Terraform sees a change of it.
type assetServer struct {
	pulumirpc.ResourceProviderServer
	folder string
}

// toFiles replaces assets by paths and answers with what was there. With link the paths lead to the files.
func (s assetServer) toFiles(properties *structpb.Struct, link bool) (kept map[string]*structpb.Value, err error) {
	kept = map[string]*structpb.Value{}
	for name, value := range properties.GetFields() {
		of := func(field string) string { return value.GetStructValue().GetFields()[field].GetStringValue() }
		extension := map[string]string{archive.ArchiveSig: ".zip", asset.AssetSig: ".file"}[of(sig.Key)]
		if extension == "" {
			continue
		}
		file := filepath.Join(s.folder, of("hash")+extension)
		if link {
			if err := linkTo(of("path"), file); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		kept[name] = value
		properties.Fields[name] = structpb.NewStringValue(file)
	}
	return kept, nil
}

func linkTo(path, link string) error {
	target, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if i, err := os.Stat(target); err != nil || !i.Mode().IsRegular() {
		return fmt.Errorf("got %s, want a file: this plugin makes no archive of anything else (%v)", target, err)
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, link); !errors.Is(err, os.ErrExist) { // another deployment's, to the same content
		return err
	}
	return nil
}

func restore(properties *structpb.Struct, kept map[string]*structpb.Value) {
	for name, value := range kept {
		if properties != nil {
			properties.Fields[name] = value
		}
	}
}

// names replaces assets by paths in what was deployed before, of which only the content's name matters.
func (s assetServer) names(all ...*structpb.Struct) error {
	for _, properties := range all {
		if _, err := s.toFiles(properties, false); err != nil {
			return err
		}
	}
	return nil
}

func (s assetServer) Check(ctx context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	kept, err := s.toFiles(r.News, true)
	if err := errors.Join(err, s.names(r.Olds)); err != nil {
		return nil, err
	}
	response, err := s.ResourceProviderServer.Check(ctx, r)
	restore(response.GetInputs(), kept)
	return response, err
}

func (s assetServer) Diff(ctx context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	if err := s.names(r.News, r.Olds, r.OldInputs); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Diff(ctx, r)
}

func (s assetServer) Create(ctx context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	kept, err := s.toFiles(r.Properties, true)
	if err != nil {
		return nil, err
	}
	response, err := s.ResourceProviderServer.Create(ctx, r)
	restore(response.GetProperties(), kept)
	return response, err
}

func (s assetServer) Update(ctx context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	kept, err := s.toFiles(r.News, true)
	if err := errors.Join(err, s.names(r.Olds, r.OldInputs)); err != nil {
		return nil, err
	}
	response, err := s.ResourceProviderServer.Update(ctx, r)
	restore(response.GetProperties(), kept)
	return response, err
}

func (s assetServer) Read(ctx context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	properties, err := s.toFiles(r.Properties, false)
	if err != nil {
		return nil, err
	}
	inputs, err := s.toFiles(r.Inputs, false)
	if err != nil {
		return nil, err
	}
	response, err := s.ResourceProviderServer.Read(ctx, r)
	restore(response.GetProperties(), properties)
	restore(response.GetInputs(), inputs)
	return response, err
}

func (s assetServer) Delete(ctx context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if err := s.names(r.Properties, r.OldInputs); err != nil {
		return nil, err
	}
	return s.ResourceProviderServer.Delete(ctx, r)
}
