-- All calls of one caller in the last 30 days, with prompts and answers. Parameter: a part of the caller's name, address or ARN, such as 'Clerk/jane'.
SELECT
  timestamp,
  caller,
  requestId,
  apiExtendedRequestId,
  operation,
  modelId,
  errorCode,
  inputTokenCount,
  outputTokenCount,
  coalesce(inputBodyJson, inputBodyS3Path) AS prompt,
  coalesce(outputBodyJson, outputBodyS3Path) AS answer
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND strpos(lower(caller), lower(?)) > 0
ORDER BY timestamp, requestId
