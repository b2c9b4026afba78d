-- Calls of the last 30 days whose prompt or answer lies in an object of its own, being over 100 KB or no JSON, and where.
SELECT
  timestamp,
  caller,
  requestId,
  modelId,
  inputTokenCount,
  outputTokenCount,
  inputBodyS3Path,
  outputBodyS3Path
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND coalesce(inputBodyS3Path, outputBodyS3Path) IS NOT NULL
ORDER BY timestamp, requestId
