-- How many calls, callers, failures and tokens there were on each of the last 30 days (UTC). A day without calls has no row.
SELECT
  substr(timestamp, 1, 10) AS callDay,
  count(*) AS callCount,
  count(DISTINCT caller) AS callers,
  count(errorCode) AS failures,
  sum(inputTokenCount) AS inputTokens,
  sum(outputTokenCount) AS outputTokens
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
GROUP BY substr(timestamp, 1, 10)
ORDER BY callDay
