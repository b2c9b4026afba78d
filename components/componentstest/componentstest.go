// Package componentstest runs Pulumi programs without an engine or AWS, and records what they would make.
package componentstest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What the recorder returns for the account and the Region.
const (
	Account = "123456789012"
	Region  = "ap-northeast-1"
)

// Resource is a resource that a program registered.
type Resource struct {
	Type, Name, Parent string // Parent is a URN
	Inputs             map[string]any
	RetainOnDelete     bool
	Dependencies       []string // URNs
}

// Recording is every resource that a program registered, in no particular order.
type Recording []Resource

// Option configures a run.
type Option func(*options)

type options struct {
	recorder *recorder
	config   map[string]string
	stack    string
}

// Preview runs the program as the first preview does, before any resource has an ID or an output.
func Preview() Option { return func(o *options) { o.recorder.preview = true } }

// Config sets the stack's name and its configuration, by full key.
func Config(stack string, config map[string]string) Option {
	return func(o *options) { o.stack, o.config = stack, config }
}

// Zones sets the zones in which AWS offers each endpoint service, by its short name. "" stands for EC2 and every other
// service.
func Zones(offered map[string][]string) Option {
	return func(o *options) { o.recorder.zones = offered }
}

// Answer sets what AWS returns for a lookup by its token, such as "aws:ec2/getVpc:getVpc".
func Answer(token string, answer func(args map[string]any) (map[string]any, error)) Option {
	return func(o *options) { o.recorder.answers[token] = answer }
}

// Record runs a program and returns what it registered and its error.
func Record(program pulumi.RunFunc, opts ...Option) (Recording, error) {
	o := options{recorder: &recorder{seen: map[string]bool{}, answers: map[string]func(map[string]any) (map[string]any, error){}, zones: map[string][]string{"": {Region + "a", Region + "c", Region + "d"}}}, stack: "test"}
	for _, option := range opts {
		option(&o)
	}
	err := pulumi.RunErr(program, pulumi.WithMocks("private-bedrock", o.stack, o.recorder), func(info *pulumi.RunInfo) {
		info.Config, info.DryRun = o.config, o.recorder.preview
	})
	return o.recorder.recording, err
}

// Run is Record for a program that must succeed.
func Run(t testing.TB, program pulumi.RunFunc, opts ...Option) Recording {
	t.Helper()
	recording, err := Record(program, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return recording
}

// OfType returns the resources of a type, such as "aws:ec2/subnet:Subnet".
func (r Recording) OfType(typ string) (found Recording) {
	for _, one := range r {
		if one.Type == typ {
			found = append(found, one)
		}
	}
	return found
}

// Names returns the type and name of every resource, sorted.
func (r Recording) Names() (all []string) {
	for _, one := range r {
		all = append(all, one.Type+" "+one.Name)
	}
	slices.Sort(all)
	return all
}

// Inputs returns the inputs of the resource that has this type and name.
func (r Recording) Inputs(t testing.TB, typ, name string) map[string]any {
	t.Helper()
	for _, one := range r.OfType(typ) {
		if one.Name == name {
			return one.Inputs
		}
	}
	t.Fatalf("no %s named %s", typ, name)
	return nil
}

type recorder struct {
	preview bool
	zones   map[string][]string
	answers map[string]func(args map[string]any) (map[string]any, error)

	mu        sync.Mutex
	recording Recording
	seen      map[string]bool
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := args.TypeToken + " " + args.Name; r.seen[key] {
		return "", nil, fmt.Errorf("%s is there twice", key)
	} else {
		r.seen[key] = true
	}
	// Two resources can have the same physical name only in two databases.
	if name := args.Inputs["name"]; name.IsString() {
		if key := fmt.Sprint(args.TypeToken, " named ", name.StringValue(), args.Inputs["database"], args.Inputs["databaseName"]); r.seen[key] {
			return "", nil, fmt.Errorf("%s is there twice", key)
		} else {
			r.seen[key] = true
		}
	}
	r.recording = append(r.recording, Resource{
		Type: args.TypeToken, Name: args.Name, Parent: args.RegisterRPC.GetParent(), Inputs: args.Inputs.Mappable(),
		RetainOnDelete: args.RegisterRPC.GetRetainOnDelete(), Dependencies: args.RegisterRPC.GetDependencies(),
	})
	if r.preview {
		return "", args.Inputs, nil
	}
	state := args.Inputs.Copy()
	for name, value := range map[resource.PropertyKey]string{
		"arn": "arn:aws:test:::" + args.Name, "executionArn": "arn:aws:execute-api:::" + args.Name, "name": args.Name, "bucket": args.Name,
		"guardrailId": args.Name + "-id", "guardrailArn": "arn:aws:bedrock:::" + args.Name, "version": "1",
	} {
		if _, given := state[name]; !given && strings.HasPrefix(args.TypeToken, "aws:") {
			state[name] = resource.NewStringProperty(value)
		}
	}
	return args.Name + "-id", state, nil
}

func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if set, ok := r.answers[args.Token]; ok {
		answer, err := set(args.Args.Mappable())
		return resource.NewPropertyMapFromMap(answer), err
	}
	answer := map[string]any{}
	switch args.Token {
	case "aws:index/getCallerIdentity:getCallerIdentity":
		answer["accountId"] = Account
	case "aws:index/getRegion:getRegion":
		answer["name"] = Region
	case "aws:index/getPartition:getPartition":
		answer["partition"] = "aws"
	case "aws:index/getAvailabilityZones:getAvailabilityZones":
		answer["names"] = toAny(r.zones[""])
	case "aws:ec2/getVpcEndpointService:getVpcEndpointService":
		service := strings.TrimPrefix(args.Args["serviceName"].StringValue(), "com.amazonaws."+Region+".")
		zones, named := r.zones[service]
		if !named {
			zones = r.zones[""]
		}
		answer["availabilityZones"] = toAny(zones)
	case "aws:bedrock/getInferenceProfile:getInferenceProfile":
		_, model, _ := strings.Cut(args.Args["inferenceProfileId"].StringValue(), ".")
		answer["models"] = []any{
			map[string]any{"modelArn": "arn:aws:bedrock:ap-northeast-3::foundation-model/" + model},
			map[string]any{"modelArn": "arn:aws:bedrock:" + Region + "::foundation-model/" + model},
		}
	case "aws:ssm/getParameter:getParameter":
		answer["value"] = "ami-0123456789abcdef0"
	default:
		return nil, fmt.Errorf("the recorder knows no %s", args.Token)
	}
	return resource.NewPropertyMapFromMap(answer), nil
}

func toAny(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}
