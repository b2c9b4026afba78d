package components

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// component is a component that's made from arguments A.
type component[A any] interface {
	pulumi.ComponentResource
	// provision makes the component's resources and sets its outputs.
	provision(s scope, a A) error
}

// arguments are a component's arguments.
type arguments[A any] interface {
	withDefaults() A
	validate(name string) error
}

// construct checks a component's arguments, registers it, makes its resources, and registers its outputs.
func construct[A arguments[A], C component[A]](
	ctx *pulumi.Context, name string, c C, args *A, opts []pulumi.ResourceOption,
) (none C, err error) {
	if args == nil {
		args = new(A)
	}
	a := (*args).withDefaults()
	kind := reflect.TypeOf(c).Elem().Name()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s %s: %w", kind, name, err)
		}
	}()
	if err := a.validate(name); err != nil {
		return none, err
	}
	if err := ctx.RegisterComponentResource("private-bedrock:index:"+kind, name, c, opts...); err != nil {
		return none, err
	}
	tags, _ := reflect.ValueOf(a).FieldByName("Tags").Interface().(pulumi.StringMapInput)
	s := scope{ctx: ctx, name: name, tags: tags, component: c, opts: []pulumi.ResourceOption{pulumi.Parent(c)}}
	if s.target, err = lookupTarget(ctx, c); err != nil {
		return none, err
	}
	if err := c.provision(s, a); err != nil {
		return none, err
	}
	return c, ctx.RegisterResourceOutputs(c, outputs(c))
}

// faults are the errors in a component's arguments.
type faults []error

// check adds the error of an argument, if any.
func (f *faults) check(argument string, err error) {
	if err != nil {
		*f = append(*f, fmt.Errorf("%s: %w", argument, err))
	}
}

// reject adds an error if a condition is met.
func (f *faults) reject(condition bool, format string, values ...any) {
	if condition {
		*f = append(*f, fmt.Errorf(format, values...))
	}
}

// outputs are the component's fields that have a `pulumi` tag, by that tag.
func outputs(c pulumi.ComponentResource) pulumi.Map {
	all, v := pulumi.Map{}, reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if tag, tagged := v.Type().Field(i).Tag.Lookup("pulumi"); tagged {
			all[tag] = v.Field(i).Interface().(pulumi.Input)
		}
	}
	return all
}

func lookupTarget(ctx *pulumi.Context, parent pulumi.Resource) (t iamdoc.Target, err error) {
	identity, err := aws.GetCallerIdentity(ctx, &aws.GetCallerIdentityArgs{}, pulumi.Parent(parent))
	if err != nil {
		return t, fmt.Errorf("AWS account: %w", err)
	}
	region, err := aws.GetRegion(ctx, &aws.GetRegionArgs{}, pulumi.Parent(parent))
	if err != nil {
		return t, fmt.Errorf("AWS region: %w", err)
	}
	partition, err := aws.GetPartition(ctx, &aws.GetPartitionArgs{}, pulumi.Parent(parent))
	if err != nil {
		return t, fmt.Errorf("AWS partition: %w", err)
	}
	return iamdoc.Target{Account: identity.AccountId, Region: region.Name, Partition: partition.Partition}, nil
}

// scope is what every resource of a component needs.
type scope struct {
	ctx       *pulumi.Context
	name      string // the names of the component's resources begin with it
	target    iamdoc.Target
	tags      pulumi.StringMapInput
	component pulumi.Resource
	opts      []pulumi.ResourceOption // of every resource
}

// named is the scope of resources whose names have a suffix.
func (s scope) named(suffix string) scope {
	s.name += suffix
	return s
}

// options are the options of each of the component's resources, and more.
func (s scope) options(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return slices.Concat(s.opts, more)
}

// lookup is the option of each lookup.
func (s scope) lookup() pulumi.InvokeOption { return pulumi.Parent(s.component) }

// newRole makes a role and its only policy.
func (s scope) newRole(trust iamdoc.Statement, permissions pulumi.StringInput) (*iam.Role, *iam.RolePolicy, error) {
	assumeRole, err := iamdoc.JSON(trust)
	if err != nil {
		return nil, nil, err
	}
	role, err := iam.NewRole(s.ctx, s.name, &iam.RoleArgs{
		AssumeRolePolicy: pulumi.String(assumeRole), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return nil, nil, err
	}
	rolePolicy, err := iam.NewRolePolicy(s.ctx, s.name+"-policy", &iam.RolePolicyArgs{
		Role: role.Name, Policy: permissions,
	}, s.options()...)
	return role, rolePolicy, err
}

// newLogGroup makes a log group that CloudWatch Logs encrypts with its own key.
func (s scope) newLogGroup(name string, retentionDays int) (*cloudwatch.LogGroup, error) {
	return cloudwatch.NewLogGroup(s.ctx, s.name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String(name), RetentionInDays: pulumi.Int(retentionDays), Tags: s.tags,
	}, s.options()...)
}

// newEndpointPolicy sets the policy of a VPC endpoint. The policy stays when the component is deleted: deleting it
// would give the endpoint AWS's full-access policy while the endpoint still exists.
func (s scope) newEndpointPolicy(endpointId, policy pulumi.StringInput) (*ec2.VpcEndpointPolicy, error) {
	return ec2.NewVpcEndpointPolicy(s.ctx, s.name, &ec2.VpcEndpointPolicyArgs{
		VpcEndpointId: endpointId, Policy: policy,
	}, s.options(pulumi.RetainOnDelete(true))...)
}

// withName adds the Name tag, which the AWS console shows, to the component's tags.
func (s scope) withName(name string) pulumi.StringMapOutput {
	tags := s.tags
	if tags == nil {
		tags = pulumi.StringMap{}
	}
	return tags.ToStringMapOutput().ApplyT(func(tags map[string]string) map[string]string {
		named := map[string]string{}
		maps.Copy(named, tags)
		named["Name"] = name // last: lookupExistingVpc recognizes the component's own endpoints by it
		return named
	}).(pulumi.StringMapOutput)
}

// defaultTrue is the value of an optional argument whose default is true.
func defaultTrue(b *bool) *bool {
	if b == nil {
		return pulumi.BoolRef(true)
	}
	return b
}

// CloudWatch Logs API Reference, PutRetentionPolicy.
var retentions = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

// CheckRetention rejects a number of days for which CloudWatch Logs can't keep a log group.
func CheckRetention(days int) error {
	if !slices.Contains(retentions, days) {
		return fmt.Errorf("got %d, want days that CloudWatch Logs offers: %v", days, retentions)
	}
	return nil
}
