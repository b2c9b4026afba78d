-- Who called in the last 30 days: how often, with how many failures, tokens and models, from when to when.
SELECT
  caller,
  count(*) AS callCount,
  count(errorCode) AS failures,
  count(DISTINCT modelId) AS models,
  sum(inputTokenCount) AS inputTokens,
  sum(outputTokenCount) AS outputTokens,
  min(timestamp) AS firstCall,
  max(timestamp) AS lastCall
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
GROUP BY caller
ORDER BY callCount DESC, caller
