-- Which models were called in the last 30 days, by which operation, and where they ran: a cross-region call names its region.
SELECT
  modelId,
  operation,
  coalesce(inferenceRegion, region) AS ranIn,
  count(*) AS callCount,
  count(errorCode) AS failures,
  count(DISTINCT caller) AS callers,
  sum(inputTokenCount) AS inputTokens,
  sum(cacheReadInputTokenCount) AS cacheReadTokens,
  sum(cacheWriteInputTokenCount) AS cacheWriteTokens,
  sum(outputTokenCount) AS outputTokens
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
GROUP BY modelId, operation, coalesce(inferenceRegion, region)
ORDER BY callCount DESC, modelId, operation, ranIn
