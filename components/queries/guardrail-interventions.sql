-- Calls of the last 30 days in which the guardrail stepped in. Answers over 100 KB are not looked at: large-bodies names them.
SELECT
  timestamp,
  caller,
  requestId,
  operation,
  modelId,
  coalesce(inputBodyJson, inputBodyS3Path) AS prompt,
  outputBodyJson AS answer
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND (stopReason = 'guardrail_intervened' -- Converse, ConverseStream
    OR strpos(outputBodyJson, '"stopReason":"guardrail_intervened"') > 0 -- a chunk of a stream
    OR strpos(outputBodyJson, '"amazon-bedrock-guardrailAction":"INTERVENED"') > 0) -- InvokeModel, InvokeModelWithResponseStream
ORDER BY timestamp, requestId
