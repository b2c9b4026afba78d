package components

import (
	"encoding/json"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newLogMask makes CloudWatch Logs mask personal data and credentials in a log group for principals without
// logs:Unmask. It doesn't mask older log events, or the records in S3.
func newLogMask(s scope, logGroup *cloudwatch.LogGroup) (pulumi.Resource, error) {
	policy, err := logMaskPolicy()
	if err != nil {
		return nil, err
	}
	return cloudwatch.NewLogDataProtectionPolicy(s.ctx, s.name, &cloudwatch.LogDataProtectionPolicyArgs{
		LogGroupName: logGroup.Name, PolicyDocument: pulumi.String(policy),
	}, s.options()...)
}

// maskedData are CloudWatch Logs' managed data identifiers for personal, financial and secret data, with their
// countries (CloudWatch Logs User Guide, "CloudWatch Logs managed data identifiers for sensitive data types"). IP
// addresses are left out: a record's sourceIp identifies the caller.
var maskedData = []string{
	"Address", "CreditCardExpiration", "CreditCardNumber", "CreditCardSecurityCode", "EmailAddress", "LatLong", "Name",
	"VehicleIdentificationNumber",
	"AwsSecretKey", "OpenSshPrivateKey", "PgpPrivateKey", "PkcsPrivateKey", "PuttyPrivateKey",
	"BankAccountNumber DE ES FR GB IT US", "CepCode BR", "Cnpj BR", "CpfCode BR",
	"DriversLicense AT AU BE BG CA CY CZ DE DK EE ES FI FR GB GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK US",
	"ElectoralRollNumber GB", "IndividualTaxIdentificationNumber US", "InseeCode FR",
	"NationalIdentificationNumber DE ES IT", "NieNumber ES", "NifNumber ES",
	"PassportNumber CA DE ES FR GB IT US", "PermanentResidenceNumber CA", "PhoneNumber BR DE ES FR GB IT US",
	"PostalCode CA", "RgNumber BR",
	"SocialInsuranceNumber CA", "Ssn ES US", "TaxId DE ES FR GB", "ZipCode US",
}

// logMaskPolicy counts findings, in the metric LogEventsWithFindings, and masks them: AWS accepts neither without the
// other (CloudWatch Logs User Guide, "Create a data protection policy for a single log group").
func logMaskPolicy() (string, error) {
	var identifiers []string
	for _, data := range maskedData {
		kind, countries, _ := strings.Cut(data, " ")
		const arn = "arn:aws:dataprotection::aws:data-identifier/"
		if countries == "" {
			identifiers = append(identifiers, arn+kind)
		}
		for _, country := range strings.Fields(countries) {
			identifiers = append(identifiers, arn+kind+"-"+country)
		}
	}
	type object = map[string]any
	b, err := json.MarshalIndent(object{"Name": "mask-personal-data", "Version": "2021-06-01", "Statement": []object{
		{"Sid": "Count", "DataIdentifier": identifiers,
			"Operation": object{"Audit": object{"FindingsDestination": object{}}}},
		{"Sid": "Mask", "DataIdentifier": identifiers, "Operation": object{"Deidentify": object{"MaskConfig": object{}}}},
	}}, "", "  ")
	return string(b), err
}
