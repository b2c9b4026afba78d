package components

import (
	"fmt"
	"maps"
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/models"
)

// functionPolicy is the only policy of the function's role. It allows these models and the account's settings through
// these endpoints, the guardrails, the function's log, and what Lambda does with the role. It denies everything else,
// so that no other policy, of the role or of a resource, adds a right, such as s3:GetObject on what a request's
// s3Location names.
//
// aws:SourceVpce is in the statements on Bedrock and not on the whole role: Lambda writes logs and traces and creates
// network interfaces with this role from outside the VPC, and would be denied (Lambda Developer Guide, "Working with
// source function ARN"). The key is also absent where Bedrock continues a call itself, to the models behind a profile,
// possibly in another Region, and to the guardrail: AWS doesn't document that the key is still set there (IAM User
// Guide, "Forward access sessions"). The call's own model or profile, without which there is no call, has it.
func functionPolicy(
	logGroupArn, bedrockRuntimeEndpointId, bedrockEndpointId string,
	called []models.Model, guardrail guardrailVersion, enforcedGuardrailArns, serviceTiers []string,
) (string, error) {
	// Lambda encrypts and decrypts the function's environment variables with this role (Lambda Developer Guide, "Using
	// source function ARN to control function access behavior"). A grant on Lambda's key allows that. A Deny would
	// override the grant, and Lambda couldn't start the function (KMS Developer Guide, "Troubleshooting AWS KMS
	// permissions").
	environment := []string{"kms:Decrypt", "kms:Encrypt"}
	networkInterfaces := []string{
		"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
		"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
	}
	through := map[string][]string{"aws:SourceVpce": {bedrockRuntimeEndpointId}}
	statements := slices.Concat(
		modelStatements(called, nil, through, nil), []iamdoc.Statement{onlyTiers(serviceTiers)},
		neverWithoutGuardrail(guardrail, called),
		applyGuardrails(applicableGuardrails(guardrail.arn, enforcedGuardrailArns), nil, nil),
	)
	statements = append(statements,
		readAccountSettings(nil, map[string][]string{"aws:SourceVpce": {bedrockEndpointId}}),
		iamdoc.Statement{
			Sid: "OwnLog", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resource: []string{logGroupArn + ":log-stream:*"},
		},
		iamdoc.Statement{
			// X-Ray has no resources for these actions (Service Authorization Reference, "AWS X-Ray").
			Sid: "Traces", Effect: "Allow", Action: []string{"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
			Resource: []string{"*"},
		},
		iamdoc.Statement{
			// Lambda rejects a function in a VPC whose role doesn't have these on every resource (Lambda Developer
			// Guide, "Giving Lambda functions access to resources in an Amazon VPC", "Required IAM permissions").
			Sid: "NetworkInterfaces", Effect: "Allow", Action: networkInterfaces, Resource: []string{"*"},
		},
		iamdoc.Statement{
			// The same page: Lambda needs them, the function's code doesn't. Calls of the code have this key.
			Sid: "NotByTheCode", Effect: "Deny", Action: slices.Concat(networkInterfaces, environment), Resource: []string{"*"},
			Condition: iamdoc.Conditions{"Null": {"lambda:SourceFunctionArn": {"false"}}},
		},
	)
	allowed := environment
	for _, s := range statements {
		if s.Effect == "Allow" {
			allowed = append(allowed, s.Action...)
		}
	}
	slices.Sort(allowed)
	document, err := iamdoc.RolePolicy(append(statements, iamdoc.Statement{
		Sid: "NothingElse", Effect: "Deny", NotAction: slices.Compact(allowed), Resource: []string{"*"},
	})...)
	return document, fewerModels(err)
}

// bedrockRuntimeEndpointPolicy lets the function's role call these models and apply these guardrails through the
// bedrock-runtime endpoint, and no other principal anything.
func bedrockRuntimeEndpointPolicy(roleArn string, called []models.Model, guardrailArns []string) (string, error) {
	role := iamdoc.OnlyBy(roleArn)
	document, err := iamdoc.EndpointPolicy(append(modelStatements(called, "*", role, role),
		applyGuardrails(guardrailArns, "*", iamdoc.Conditions{"StringEquals": role})...)...)
	return document, fewerModels(err)
}

// fewerModels adds what to do about a policy that is too long.
func fewerModels(err error) error {
	if err != nil {
		return fmt.Errorf("ModelIds: %w: want fewer models", err)
	}
	return nil
}

// bedrockEndpointPolicy lets the function's role read the account's settings through the bedrock endpoint.
func bedrockEndpointPolicy(roleArn string) (string, error) {
	return iamdoc.EndpointPolicy(readAccountSettings("*", iamdoc.OnlyBy(roleArn)))
}

// readAccountSettings lets the function check where prompts are recorded and how long AWS keeps them. Its actions have
// no resource to name (Service Authorization Reference, "Amazon Bedrock").
func readAccountSettings(principal any, conditions map[string][]string) iamdoc.Statement {
	return iamdoc.Statement{
		Sid: "ReadAccountSettings", Effect: "Allow", Principal: principal,
		Action:   []string{"bedrock:GetAccountDataRetention", "bedrock:GetModelInvocationLoggingConfiguration"},
		Resource: []string{"*"}, Condition: iamdoc.Conditions{"StringEquals": conditions},
	}
}

// modelActions are the function's calls of models: Converse needs the first, ConverseStream the second (Service
// Authorization Reference).
var modelActions = []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}

// modelStatements allow these models on the conditions. The models behind an inference profile are allowed only through
// that profile (Bedrock User Guide, "Prerequisites for inference profiles"). Conditions are on the profile, and behind
// it only if they're the caller's own: see functionPolicy.
func modelStatements(called []models.Model, principal any, conditions, behind map[string][]string) []iamdoc.Statement {
	statements := []iamdoc.Statement{{
		Sid: "Models", Effect: "Allow", Principal: principal, Action: modelActions,
		Condition: iamdoc.Conditions{"StringEquals": conditions},
	}}
	for _, m := range called {
		statements[0].Resource = append(statements[0].Resource, m.ARN)
		if len(m.Routes) == 0 {
			continue
		}
		through := map[string][]string{"bedrock:InferenceProfileArn": {m.ARN}}
		maps.Copy(through, behind)
		statements = append(statements, iamdoc.Statement{
			Sid: fmt.Sprintf("ModelsOfProfile%d", len(statements)), Effect: "Allow", Principal: principal, Action: modelActions,
			Resource: m.Routes, Condition: iamdoc.Conditions{"StringEquals": through},
		})
	}
	return statements
}

// neverWithoutGuardrail denies every call of a model without the guardrail, whatever else the role may one day be
// allowed (Bedrock User Guide, "Enforce the use of specific guardrails in model inference requests"). As in that guide,
// an inference profile's own ARN is left out: Bedrock checks the models behind it in the same call.
func neverWithoutGuardrail(g guardrailVersion, called []models.Model) []iamdoc.Statement {
	if g.arn == "" {
		return nil
	}
	var arns []string
	for _, m := range called {
		if m.Routes == nil {
			arns = append(arns, m.ARN)
		}
		arns = append(arns, m.Routes...)
	}
	slices.Sort(arns)
	return []iamdoc.Statement{{
		Sid: "NeverWithoutTheGuardrail", Effect: "Deny", Action: modelActions, Resource: slices.Compact(arns),
		Condition: iamdoc.Conditions{"StringNotEquals": {"bedrock:GuardrailIdentifier": {g.arn + ":" + g.version}}},
	}}
}

// applicableGuardrails are the ARNs, without versions, of the function's guardrail, if any, and of the enforced ones,
// which Bedrock applies with the caller's rights (Bedrock User Guide, "Apply cross-account safeguards with Amazon
// Bedrock Guardrails enforcements").
func applicableGuardrails(own string, enforced []string) (arns []string) {
	if own != "" {
		arns = append(arns, own)
	}
	for _, arn := range enforced {
		arns = append(arns, guardrailARN.FindStringSubmatch(arn)[1])
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

func applyGuardrails(arns []string, principal any, conditions iamdoc.Conditions) []iamdoc.Statement {
	if len(arns) == 0 {
		return nil
	}
	return []iamdoc.Statement{{
		Sid: "ApplyGuardrail", Effect: "Allow", Principal: principal, Action: []string{"bedrock:ApplyGuardrail"},
		Resource: arns, Condition: conditions,
	}}
}

// onlyTiers denies calls with any other service tier, future ones included. A call that names no tier lacks the key
// (Bedrock User Guide, "Control access to service tiers"; Service Authorization Reference, "Amazon Bedrock"), and
// StringNotEquals is true of a missing key (IAM User Guide, "Condition operators"). Null excepts such calls if their
// tier is listed.
func onlyTiers(tiers []string) iamdoc.Statement {
	conditions := iamdoc.Conditions{"StringNotEquals": {"bedrock:ServiceTier": tiers}}
	if slices.Contains(tiers, defaultTier) {
		conditions["Null"] = map[string][]string{"bedrock:ServiceTier": {"false"}}
	}
	return iamdoc.Statement{
		Sid: "OnlyTheseServiceTiers", Effect: "Deny", Action: modelActions, Resource: []string{"*"}, Condition: conditions,
	}
}
