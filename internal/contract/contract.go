// Package contract holds the names that two programs of this repository have to spell alike: the function, what deploys it
// and what audits it. The sandbox plays AWS and spells AWS's names for itself, so that a wrong one here fails a test.
package contract

import "regexp"

// The function's environment, which BedrockFunction sets.
const (
	EnvModelIDs                 = "MODEL_IDS"          // separated by commas; the first is the default
	EnvResponseStreaming        = "RESPONSE_STREAMING" // "true" or "false"
	EnvDataRetentionModes       = "DATA_RETENTION_MODES"
	EnvServiceTiers             = "SERVICE_TIERS"
	EnvRequireInvocationLogging = "REQUIRE_INVOCATION_LOGGING" // "false" turns it off
	EnvLoggingConfiguration     = "LOGGING_CONFIGURATION"      // Bedrock's LoggingConfig, without its switches
	EnvAllowUnevaluatedTools    = "ALLOW_UNEVALUATED_TOOLS"    // "true" turns it on
	EnvGuardrailID              = "GUARDRAIL_ID"
	EnvGuardrailVersion         = "GUARDRAIL_VERSION"
)

// Keys of the requestMetadata that the function writes with each call, and the auditor and the saved queries read.
const (
	MetadataAPIExtendedRequestID = "apiExtendedRequestId"
	MetadataCaller               = "caller"
	MetadataSourceVpce           = "sourceVpce"
	MetadataSourceIP             = "sourceIp"
)

// MetadataKeys are all of them.
var MetadataKeys = []string{MetadataAPIExtendedRequestID, MetadataCaller, MetadataSourceVpce, MetadataSourceIP}

var notMetadata = regexp.MustCompile(`[^a-zA-Z0-9\s:_@$#=/+,.-]`)

// MetadataValue is what the function writes for a value: Bedrock refuses a call with other characters, or with more than
// 256 (Bedrock API Reference, Converse, requestMetadata).
func MetadataValue(value string) string {
	value = notMetadata.ReplaceAllString(value, "_")
	return value[:min(len(value), 256)]
}

// Metrics that the function writes, and the dashboard and an alarm read. Those that Bedrock has too have Bedrock's names.
const (
	MetricNamespace       = "PrivateBedrock"
	DimensionFunctionName = "FunctionName"
	DimensionModelID      = "ModelId"

	MetricInvocationLatency          = "InvocationLatency"
	MetricTimeToFirstToken           = "TimeToFirstToken"
	MetricInputTokenCount            = "InputTokenCount"
	MetricOutputTokenCount           = "OutputTokenCount"
	MetricCacheReadInputTokenCount   = "CacheReadInputTokenCount"
	MetricCacheWriteInputTokenCount  = "CacheWriteInputTokenCount"
	MetricInvocationClientErrors     = "InvocationClientErrors"
	MetricInvocationServerErrors     = "InvocationServerErrors"
	MetricInvocationThrottles        = "InvocationThrottles"
	MetricUnloggedInvocationsRefused = "UnloggedInvocationsRefused"
)

// Where records lie in the log's bucket: PREFIX/AWSLogs/ACCOUNT/RecordsFolder/REGION/YYYY/MM/DD/HH/. The seed has the same
// prefixes.
const (
	LogPrefix       = "bedrock"            // of every record
	LargeDataPrefix = "bedrock-large-data" // of the bodies over 100 KB of CloudWatch Logs' records
	RecordsFolder   = "BedrockModelInvocationLogs"
)
