package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/internal/models"
	"github.com/private-bedrock/private-bedrock/internal/subnets"
)

// settings are the stack's configuration; Pulumi.yaml says what each means and has its default.
type settings struct {
	SystemName, Environment                          string
	VpcCidr                                          string
	AvailabilityZones                                []string
	VpcId                                            string
	SubnetIds                                        []string
	ExecuteApiEndpointId                             string
	BedrockRuntimeEndpointId, BedrockEndpointId      string
	ModelIds                                         []string
	AllowGlobalInference                             bool
	GuardrailId                                      string
	GuardrailVersion                                 int
	GuardrailContentFilters                          []string
	GuardrailBlockedWords, GuardrailPiiEntities      []string
	EnforcedGuardrailArns                            []string
	AllowUnevaluatedTools                            bool
	DataRetentionModes, ServiceTiers                 []string
	ResponseStreaming                                bool
	StageName                                        string
	Authorization                                    string
	CallerArns                                       []string
	ConsumerVpcEndpointIds                           []string
	ThrottlingRateLimit, ThrottlingBurstLimit        int
	ReservedConcurrency                              int
	FunctionArchitecture                             string
	FunctionMemoryMb                                 int
	LogRetentionDays                                 int
	CustomerManagedKey                               bool
	ArchiveAfterDays, ExpireAfterDays                int
	ArchiveStorageClass                              string
	ObjectLockMode                                   string
	ObjectLockDays                                   int
	ManageInvocationLogging, ManageApiGatewayAccount bool
	AdoptInvocationLogging, MaskPersonalData         bool
	RequireInvocationLogging                         bool
	Monitoring                                       bool
	AlarmEmail                                       string
	AuditQueries                                     bool
	AuditorArns                                      []string
	SsmClient                                        bool
	RetainLogs                                       bool
}

// name is what the names of all resources begin with, but for those that are one per account.
func (s settings) name() string { return s.SystemName + "-" + s.Environment }

// endpointIds are the existing endpoints to use, by service.
func (s settings) endpointIds() map[string]string {
	ids := map[string]string{"execute-api": s.ExecuteApiEndpointId, "bedrock-runtime": s.BedrockRuntimeEndpointId, "bedrock": s.BedrockEndpointId}
	maps.DeleteFunc(ids, func(_, id string) bool { return id == "" })
	return ids
}

func (s settings) createsGuardrail() bool {
	return len(s.GuardrailContentFilters)+len(s.GuardrailBlockedWords)+len(s.GuardrailPiiEntities) > 0
}

// loadSettings reads and checks every setting and reports all mistakes at once. get answers with a setting's
// text, arrays as JSON; stack is the environment's default; region is empty where the AWS profile names it.
func loadSettings(get func(name string) string, stack, region string) (settings, error) {
	r := reader{get: get}
	s := settings{
		SystemName: r.text("systemName"), Environment: get("environment"),
		VpcCidr: r.text("vpcCidr"), AvailabilityZones: r.list("availabilityZones"),
		VpcId: get("vpcId"), SubnetIds: r.list("subnetIds"),
		ExecuteApiEndpointId: get("executeApiEndpointId"), BedrockRuntimeEndpointId: get("bedrockRuntimeEndpointId"), BedrockEndpointId: get("bedrockEndpointId"),
		ModelIds: r.list("modelIds"), AllowGlobalInference: r.flag("allowGlobalInference"),
		GuardrailId: get("guardrailId"), GuardrailVersion: r.number("guardrailVersion", 0, 99_999_999),
		GuardrailContentFilters: r.list("guardrailContentFilters"), GuardrailBlockedWords: r.list("guardrailBlockedWords"), GuardrailPiiEntities: r.list("guardrailPiiEntities"),
		EnforcedGuardrailArns: r.list("enforcedGuardrailArns"), AllowUnevaluatedTools: r.flag("allowUnevaluatedTools"),
		DataRetentionModes: r.list("dataRetentionModes"), ServiceTiers: r.list("serviceTiers"),
		ResponseStreaming: r.flag("responseStreaming"),
		StageName:         r.text("stageName"), Authorization: r.text("authorization"), CallerArns: r.list("callerArns"),
		ConsumerVpcEndpointIds: r.list("consumerVpcEndpointIds"),
		ThrottlingRateLimit:    r.number("throttlingRateLimit", 1, 10_000), // API Gateway quotas: a region's account-level throttle
		ThrottlingBurstLimit:   r.number("throttlingBurstLimit", 1, 5_000),
		ReservedConcurrency:    r.number("reservedConcurrency", 0, 1_000_000),
		FunctionArchitecture:   r.text("functionArchitecture"), FunctionMemoryMb: r.number("functionMemoryMb", 128, 10_240), // Lambda quotas
		LogRetentionDays:   r.number("logRetentionDays", 1, 3653),
		CustomerManagedKey: r.flag("customerManagedKey"),
		ArchiveAfterDays:   r.number("archiveAfterDays", 1, mostDays), ArchiveStorageClass: r.text("archiveStorageClass"), ExpireAfterDays: r.number("expireAfterDays", 0, mostDays),
		ObjectLockMode: r.text("objectLockMode"), ObjectLockDays: r.number("objectLockDays", 0, mostDays),
		ManageInvocationLogging: r.flag("manageInvocationLogging"), ManageApiGatewayAccount: r.flag("manageApiGatewayAccount"),
		MaskPersonalData: r.flag("maskPersonalData"), AdoptInvocationLogging: r.flag("adoptInvocationLogging"), RequireInvocationLogging: r.flag("requireInvocationLogging"),
		Monitoring: r.flag("monitoring"), AlarmEmail: get("alarmEmail"),
		AuditQueries: r.flag("auditQueries"), AuditorArns: r.list("auditorArns"),
		SsmClient: r.flag("ssmClient"), RetainLogs: r.flag("retainLogs"),
	}
	if s.Environment == "" {
		s.Environment = stack
	}
	return s, errors.Join(append(r.errs, s.check(region)...)...)
}

var (
	namePart = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	zoneName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$`)
)

// Pulumi's AWS provider refuses names over 64 characters, of which it chooses the last 7; the longest of a stack is this
// security group's.
const maxName = 64 - len("-function-endpoints-1234567")

// mostDays is S3's for an object lock, 100 years (S3 User Guide, "Setting limits on retention periods with a bucket policy").
const mostDays = 36_500

func (s settings) check(region string) (errs []error) {
	wrong := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	parts := []struct{ name, value string }{{"systemName", s.SystemName}, {"environment", s.Environment}}
	for _, part := range parts {
		switch {
		case part.value == "": // reported by the reader
		case !namePart.MatchString(part.value):
			wrong(part.name, fmt.Errorf("got %q, want lower-case letters, digits and hyphens, a letter first and no hyphen last", part.value))
		}
	}
	for _, reserved := range []string{"sg-", "xn--", "sthree-", "amzn-s3-demo-"} { // EC2's for security groups, S3's for buckets
		if strings.HasPrefix(s.name(), reserved) {
			wrong("systemName", fmt.Errorf("got %q, want a name that does not begin with %s, which AWS reserves", s.SystemName, reserved))
		}
	}
	if len(s.name()) > maxName {
		wrong("systemName, environment", fmt.Errorf("got %q, %d characters together, want at most %d: set a shorter systemName or environment, else the names of security groups are too long", s.name(), len(s.name()), maxName))
	}
	var zones []string // those whose names are zones': the others are reported below
	for _, zone := range s.AvailabilityZones {
		if zoneName.MatchString(zone) {
			zones = append(zones, zone)
		}
	}
	if s.VpcCidr != "" {
		_, err := subnets.ByZone(s.VpcCidr, zones)
		wrong("vpcCidr", err)
	}
	for i, zone := range s.AvailabilityZones {
		switch {
		case !zoneName.MatchString(zone):
			wrong("availabilityZones", fmt.Errorf("got %q, want zone names such as ap-northeast-1a", zone))
		case region != "" && zone[:len(zone)-1] != region:
			wrong("availabilityZones", fmt.Errorf("got %q, want zones of aws:region, %s", zone, region))
		case slices.Contains(s.AvailabilityZones[:i], zone):
			wrong("availabilityZones", fmt.Errorf("got %q twice, want each zone once", zone))
		}
	}
	if len(s.ModelIds) == 0 {
		wrong("modelIds", errors.New("got none, want at least one model's id"))
	}
	for i, id := range s.ModelIds {
		wrong("modelIds", models.Check(id, region, s.AllowGlobalInference))
		if slices.Contains(s.ModelIds[:i], id) {
			wrong("modelIds", fmt.Errorf("got %q twice, want each model once", id))
		}
	}
	wrong("vpcId, subnetIds, executeApiEndpointId, bedrockRuntimeEndpointId, bedrockEndpointId", components.CheckExistingVpc(s.VpcId, s.SubnetIds, s.endpointIds()))
	if s.SsmClient && s.VpcId != "" {
		wrong("ssmClient", fmt.Errorf("got true beside vpcId %s, whose other instances would lose Session Manager to endpoints that admit this one only: want false, and an instance of the owner's with the group clientSecurityGroupId", s.VpcId))
	}
	switch {
	case s.createsGuardrail() && s.GuardrailId != "":
		wrong("guardrailId", fmt.Errorf("got %q beside filters, words or entities of a guardrail to create, want one or the other", s.GuardrailId))
	case s.GuardrailId != "" || s.GuardrailVersion != 0:
		wrong("guardrailId, guardrailVersion", components.CheckGuardrail(s.GuardrailId, strconv.Itoa(s.GuardrailVersion)))
	}
	wrong("alarmEmail", components.CheckAlarmEmail(s.AlarmEmail))
	if s.AlarmEmail != "" && !s.Monitoring {
		wrong("alarmEmail", fmt.Errorf("got %q, but monitoring is false, so no alarm is sent: set monitoring to true, or remove alarmEmail", s.AlarmEmail))
	}
	wrong("guardrailContentFilters", components.CheckContentFilters(s.GuardrailContentFilters))
	wrong("guardrailPiiEntities", components.CheckPiiEntities(s.GuardrailPiiEntities))
	for _, arn := range s.EnforcedGuardrailArns {
		wrong("enforcedGuardrailArns", components.CheckEnforcedGuardrail(arn, region))
	}
	if s.DataRetentionModes != nil {
		wrong("dataRetentionModes", components.CheckDataRetentionModes(s.DataRetentionModes))
	}
	if s.ServiceTiers != nil {
		wrong("serviceTiers", components.CheckServiceTiers(s.ServiceTiers))
	}
	if s.Authorization != "" {
		wrong("authorization, callerArns", components.CheckAuthorization(s.Authorization, s.CallerArns))
	}
	if s.StageName != "" {
		wrong("stageName", components.CheckStageName(s.StageName))
	}
	wrong("consumerVpcEndpointIds", components.CheckVpcEndpointIds(s.ConsumerVpcEndpointIds))
	if s.FunctionArchitecture != "" && s.FunctionArchitecture != "arm64" && s.FunctionArchitecture != "x86_64" {
		wrong("functionArchitecture", fmt.Errorf("got %q, want arm64 or x86_64", s.FunctionArchitecture))
	}
	if s.LogRetentionDays > 0 {
		wrong("logRetentionDays", components.CheckRetention(s.LogRetentionDays))
	}
	if s.ArchiveAfterDays > 0 && s.ArchiveStorageClass != "" {
		wrong("archiveAfterDays, archiveStorageClass, expireAfterDays", components.CheckArchive(s.ArchiveAfterDays, s.ArchiveStorageClass, s.ExpireAfterDays))
	}
	if s.ObjectLockMode != "" {
		wrong("objectLockMode, objectLockDays, expireAfterDays, retainLogs", components.CheckObjectLock(s.ObjectLockMode, s.ObjectLockDays, s.ExpireAfterDays, s.RetainLogs))
	}
	wrong("auditorArns", components.CheckAuditors(s.AuditorArns))
	if len(s.AuditorArns) > 0 && !s.ManageInvocationLogging {
		wrong("auditorArns", fmt.Errorf("got %q beside manageInvocationLogging false, want none: the role that reads the log is of the stack that manages it", s.AuditorArns))
	}
	return errs
}

// reader parses settings and keeps what is wrong with them.
type reader struct {
	get  func(name string) string
	errs []error
}

func (r *reader) fail(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(name+": "+format, args...))
}

func (r *reader) text(name string) string {
	value := r.get(name)
	if value == "" {
		r.fail(name, "got nothing, want a value; Pulumi.yaml has the default")
	}
	return value
}

func (r *reader) number(name string, least, most int) int {
	value := r.get(name)
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		r.fail(name, "got %q, want a whole number from %d to %d", value, least, most)
		return 0
	}
	return n
}

func (r *reader) flag(name string) bool {
	value := r.get(name)
	if value != "true" && value != "false" {
		r.fail(name, "got %q, want true or false", value)
	}
	return value == "true"
}

func (r *reader) list(name string) []string {
	var list []string
	if err := json.Unmarshal([]byte(r.get(name)), &list); err != nil {
		r.fail(name, "got %q, want a list of texts", r.get(name))
	}
	return list
}
