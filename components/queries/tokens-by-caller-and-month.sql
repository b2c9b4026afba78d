-- Tokens of each caller and model in each month (UTC), of the last 365 days, as far as their records are not in the archive.
SELECT
  substr(timestamp, 1, 7) AS callMonth,
  caller,
  modelId,
  count(*) AS callCount,
  sum(inputTokenCount) AS inputTokens,
  sum(cacheReadInputTokenCount) AS cacheReadTokens,
  sum(cacheWriteInputTokenCount) AS cacheWriteTokens,
  sum(outputTokenCount) AS outputTokens
FROM calls
WHERE day >= date_format(date_add('day', -365, current_date), '%Y/%m/%d')
GROUP BY substr(timestamp, 1, 7), caller, modelId
ORDER BY callMonth, caller, modelId
