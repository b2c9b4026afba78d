// Command tokens writes ../tokens.json: which Pulumi token, and which property where it is not the one that the bridge
// would choose, stands for each type of the Terraform AWS provider. The Go SDK that this project is built with decides.
//
// usage, in this project's folder: make tokens
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/internal/shim/run"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/proto"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"

	"github.com/pulumi/pulumi-terraform-bridge/v3/dynamic/pulumi-resource-aws/table"
)

// modules are the SDK's folders whose types are in the table; "." is aws.GetRegion and its like. Add here what the
// components import, then run: make tokens
var modules = strings.Fields(`. apigateway athena bedrock bedrockfoundation bedrockmodel budgets cloudtrail cloudwatch ec2
	glue iam kms lambda s3 sns sqs ssm vpc`)

// typeOf has the types that are called otherwise in Terraform than in Pulumi.
var typeOf = map[string]string{
	"aws:apigateway/response:Response":                       "aws_api_gateway_gateway_response",
	"aws:cloudtrail/trail:Trail":                             "aws_cloudtrail",
	"aws:s3/bucketObjectv2:BucketObjectv2":                   "aws_s3_object",
	"aws:s3/bucketReplicationConfig:BucketReplicationConfig": "aws_s3_bucket_replication_configuration",
	"aws:s3/bucketV2:BucketV2":                               "aws_s3_bucket",
	"aws:s3/inventory:Inventory":                             "aws_s3_bucket_inventory",
	"aws:sns/dataProtectionPolicy:DataProtectionPolicy":      "aws_sns_topic_data_protection_policy",
	"aws:sqs/redriveAllowPolicy:RedriveAllowPolicy":          "aws_sqs_queue_redrive_allow_policy",
	"aws:sqs/redrivePolicy:RedrivePolicy":                    "aws_sqs_queue_redrive_policy",
	// Forks that only the published plugin has.
	"aws:s3/bucket:Bucket":             "",
	"aws:s3/bucketObject:BucketObject": "",
}

// propertyOf has the properties whose name nothing but the published plugin's source tells.
var propertyOf = map[string]string{
	"aws_lambda_function.function_name":      "name",
	"aws_lambda_function.filename":           "code",
	"aws_lambda_layer_version.filename":      "code",
	"aws_cloudwatch_metric_alarm.alarm_name": "name",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./tokens TERRAFORM_PROVIDER_FILE >tokens.json")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "tokens:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, providerFile string) error {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi-aws/sdk/v6")
	list.Dir, list.Stderr = "../..", os.Stderr
	folder, err := list.Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	sdk, err := read(filepath.Join(strings.TrimSpace(string(folder)), "go", "aws"))
	if err != nil {
		return err
	}
	server, err := run.LocalProvider(ctx, providerFile)
	if err != nil {
		return err
	}
	defer server.Close()
	provider := proto.New(ctx, server)

	t := table.Table{
		Resources: sdk.mappings(sdk.resources, provider.ResourcesMap(), func(_, name string) string {
			return lowerFirst(name) + "State"
		}),
		DataSources: sdk.mappings(sdk.functions, provider.DataSourcesMap(), func(module, name string) string {
			if result := "Lookup" + strings.TrimPrefix(name, "get") + "Result"; sdk.structs[module+"."+result] != nil {
				return result
			}
			return "G" + strings.TrimPrefix(name, "g") + "Result"
		}),
	}
	fmt.Fprintf(os.Stderr, "%d resource types, %d data sources\n", len(t.Resources), len(t.DataSources))
	return print(t)
}

func (s sources) mappings(tokens []string, types shim.ResourceMap, structOf func(module, name string) string) map[string]table.Mapping {
	plain, found := byPlainName(types), map[string]table.Mapping{}
	for _, token := range tokens {
		tf := find(token, plain)
		r, ok := types.GetOk(tf)
		if !ok || found[tf].Token != "" {
			fmt.Fprintln(os.Stderr, "left out:", token)
			continue
		}
		module, name := split(token)
		found[tf] = table.Mapping{Token: token, Fields: s.fields(module, structOf(module, name), r.Schema(), tf)}
	}
	return found
}

// print writes one type a line, so that a difference can be read.
func print(t table.Table) error {
	var out bytes.Buffer
	part := func(name string, types map[string]table.Mapping) error {
		fmt.Fprintf(&out, "%q: {\n", name)
		for i, tf := range slices.Sorted(maps.Keys(types)) {
			line, err := json.Marshal(types[tf])
			if err != nil {
				return err
			}
			comma := ","
			if i == len(types)-1 {
				comma = ""
			}
			fmt.Fprintf(&out, "%q: %s%s\n", tf, line, comma)
		}
		return nil
	}
	out.WriteString("{\n")
	if err := part("resources", t.Resources); err != nil {
		return err
	}
	out.WriteString("},\n")
	if err := part("dataSources", t.DataSources); err != nil {
		return err
	}
	out.WriteString("}\n}\n")
	_, err := os.Stdout.Write(out.Bytes())
	return err
}

// sources is what the SDK's Go files say.
type sources struct {
	resources, functions []string
	structs              map[string]map[string]string // "module.Struct" → property → Go type
}

var (
	resource = regexp.MustCompile(`RegisterResource\("(aws:[^"]+)"`)
	function = regexp.MustCompile(`Invoke(?:Output)?\("(aws:[^"]+)"`)
	structs  = regexp.MustCompile(`(?s)\ntype (\w+) struct \{\n(.*?)\n\}`)
	property = regexp.MustCompile("(?m)^\\s+\\w+\\s+(\\S+)\\s+`pulumi:\"(\\w+)\"`")
)

func read(sdk string) (sources, error) {
	s := sources{structs: map[string]map[string]string{}}
	for _, module := range modules {
		files, err := filepath.Glob(filepath.Join(sdk, module, "*.go"))
		if err != nil {
			return s, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return s, err
			}
			for _, m := range resource.FindAllSubmatch(text, -1) {
				s.resources = append(s.resources, string(m[1]))
			}
			for _, m := range function.FindAllSubmatch(text, -1) {
				s.functions = append(s.functions, string(m[1]))
			}
			for _, m := range structs.FindAllSubmatch(text, -1) {
				properties := map[string]string{}
				for _, p := range property.FindAllSubmatch(m[2], -1) {
					properties[string(p[2])] = string(p[1])
				}
				s.structs[strings.TrimPrefix(module, ".")+"."+string(m[1])] = properties
			}
		}
	}
	for _, list := range []*[]string{&s.resources, &s.functions} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return s, nil
}

// split answers with the SDK's folder and the name: "ec2", "Vpc" of aws:ec2/vpc:Vpc.
func split(token string) (module, name string) {
	parts := strings.Split(token, ":")
	module, _, _ = strings.Cut(parts[1], "/")
	if module == "index" {
		module = ""
	}
	return module, parts[len(parts)-1]
}

// find looks for the Terraform type behind a token: without underscores the two are mostly the same.
func find(token string, types map[string]string) string {
	if tf, ok := typeOf[token]; ok {
		return tf
	}
	module, name := split(token)
	plain := strings.ToLower(strings.TrimPrefix(name, "get"))
	unversioned := strings.TrimSuffix(plain, "v2")
	for _, candidate := range []string{module + plain, plain, module + unversioned, unversioned, module + unversioned + "configuration"} {
		if tf := types[candidate]; tf != "" {
			return tf
		}
	}
	return ""
}

// byPlainName indexes types by their name without "aws_" and underscores.
func byPlainName(types shim.ResourceMap) map[string]string {
	plain := map[string]string{}
	types.Range(func(tf string, _ shim.Resource) bool {
		plain[strings.ReplaceAll(strings.TrimPrefix(tf, "aws_"), "_", "")] = tf
		return true
	})
	return plain
}

// fields answers with what the bridge would name otherwise than the SDK does, or take for a list where the SDK has one
// value, and the reverse.
func (s sources) fields(module, structName string, schema shim.SchemaMap, path string) map[string]table.Field {
	properties := s.structs[module+"."+structName]
	if properties == nil {
		fmt.Fprintf(os.Stderr, "%s: the SDK has no struct %s\n", path, structName)
		return nil
	}
	found := map[string]table.Field{}
	schema.Range(func(tf string, field shim.Schema) bool {
		if tf == "id" || tf == "timeouts" {
			return true
		}
		name := s.name(path+"."+tf, tf, schema, properties)
		if name == "" {
			fmt.Fprintf(os.Stderr, "no property for %s.%s\n", path, tf)
			return true
		}
		var f table.Field
		if name != tfbridge.TerraformToPulumiNameV2(tf, schema, nil) {
			f.Name = name
		}
		goType := strings.TrimLeft(properties[name], "*")
		if field.Type() == shim.TypeList || field.Type() == shim.TypeSet {
			if one := !strings.HasPrefix(goType, "[]"); one != tfbridge.IsMaxItemsOne(field, nil) {
				f.MaxItemsOne = &one
			}
		}
		goType = strings.TrimLeft(goType, "[]*")
		if nested, ok := field.Elem().(shim.Resource); ok && s.structs[module+"."+goType] != nil {
			f.Fields = s.fields(module, goType, nested.Schema(), path+"."+tf)
		}
		if f.Name != "" || f.MaxItemsOne != nil || f.Fields != nil {
			found[tf] = f
			if f.Name == "" && f.MaxItemsOne != nil {
				f.Name = name // the bridge's own choice depends on MaxItemsOne
				found[tf] = f
			}
		}
		return true
	})
	if len(found) == 0 {
		return nil
	}
	return found
}

// name is the property that stands for a Terraform field: as the bridge would name it, for one value or for a list, or
// without the "_id" of a reference.
func (s sources) name(path, tf string, schema shim.SchemaMap, properties map[string]string) string {
	candidates := []string{propertyOf[path]}
	for _, one := range []*bool{nil, ptr(true), ptr(false)} {
		candidates = append(candidates, tfbridge.TerraformToPulumiNameV2(tf, schema, map[string]*info.Schema{tf: {MaxItemsOne: one}}))
	}
	for _, suffix := range []string{"Id", "Arn", "Name"} {
		candidates = append(candidates, strings.TrimSuffix(candidates[1], suffix))
	}
	candidates = append(candidates, candidates[1]+"Details")
	for _, c := range candidates {
		if _, ok := properties[c]; ok && c != "" {
			return c
		}
	}
	for p := range properties { // an abbreviation written otherwise
		if strings.EqualFold(p, candidates[1]) {
			return p
		}
	}
	return ""
}

func ptr(b bool) *bool { return &b }

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
