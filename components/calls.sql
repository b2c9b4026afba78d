WITH calls AS (
  SELECT
    day,
    json_extract_scalar(line, '$.timestamp') AS timestamp,
    json_extract_scalar(line, '$.requestId') AS requestId,
    json_extract_scalar(line, '$.requestMetadata.apiExtendedRequestId') AS apiExtendedRequestId,
    CASE WHEN strpos(json_extract_scalar(line, '$.identity.arn'), '<sessions of the function''s role>') = 1 THEN
      coalesce(
        nullif(json_extract_scalar(line, '$.requestMetadata.caller'), ''),
        nullif(json_extract_scalar(line, '$.requestMetadata.sourceIp'), '') || ' via ' ||
          coalesce(nullif(json_extract_scalar(line, '$.requestMetadata.sourceVpce'), ''), 'no endpoint'),
        json_extract_scalar(line, '$.identity.arn')
      )
    ELSE json_extract_scalar(line, '$.identity.arn') END AS caller, -- any principal that calls Bedrock can write metadata
    json_extract_scalar(line, '$.identity.arn') AS identityArn,
    json_extract_scalar(line, '$.requestMetadata.sourceVpce') AS sourceVpce,
    json_extract_scalar(line, '$.requestMetadata.sourceIp') AS sourceIp,
    TRY(json_format(json_extract(line, '$.requestMetadata'))) AS requestMetadata,
    json_extract_scalar(line, '$.accountId') AS accountId,
    json_extract_scalar(line, '$.region') AS region,
    json_extract_scalar(line, '$.inferenceRegion') AS inferenceRegion,
    json_extract_scalar(line, '$.operation') AS operation,
    json_extract_scalar(line, '$.modelId') AS modelId,
    coalesce(
      nullif(json_extract_scalar(line, '$.errorCode'), ''),
      CASE
        WHEN json_extract_scalar(line, '$.status') LIKE '2%' OR lower(json_extract_scalar(line, '$.status')) IN ('success', '') THEN NULL
        ELSE json_extract_scalar(line, '$.status')
      END
    ) AS errorCode,
    coalesce(TRY_CAST(json_extract_scalar(line, '$.input.inputTokenCount') AS bigint), 0) AS inputTokenCount,
    coalesce(TRY_CAST(json_extract_scalar(line, '$.output.outputTokenCount') AS bigint), 0) AS outputTokenCount,
    coalesce(TRY_CAST(json_extract_scalar(line, '$.input.cacheReadInputTokenCount') AS bigint), 0) AS cacheReadInputTokenCount,
    coalesce(TRY_CAST(json_extract_scalar(line, '$.input.cacheWriteInputTokenCount') AS bigint), 0) AS cacheWriteInputTokenCount,
    json_extract_scalar(line, '$.input.inputContentType') AS inputContentType,
    json_extract_scalar(line, '$.output.outputContentType') AS outputContentType,
    TRY_CAST(json_extract_scalar(line, '$.output.outputImageWidth') AS bigint) AS outputImageWidth,
    TRY_CAST(json_extract_scalar(line, '$.output.outputImageHeight') AS bigint) AS outputImageHeight,
    TRY(json_format(json_extract(line, '$.input.inputBodyJson'))) AS inputBodyJson,
    TRY(json_format(json_extract(line, '$.output.outputBodyJson'))) AS outputBodyJson,
    json_extract_scalar(line, '$.input.inputBodyS3Path') AS inputBodyS3Path,
    json_extract_scalar(line, '$.output.outputBodyS3Path') AS outputBodyS3Path,
    json_extract_scalar(line, '$.output.outputBodyJson.stopReason') AS stopReason,
    json_extract_scalar(line, '$.schemaVersion') AS schemaVersion,
    "$path" AS file
  FROM records
  WHERE "$path" NOT LIKE '%/data/%' -- the bodies over 100 KB, which lie below the records
    AND json_extract_scalar(line, '$.schemaType') = 'ModelInvocationLog'
)
