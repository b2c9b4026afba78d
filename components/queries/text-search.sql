-- Calls of the last 30 days that hold a text in prompt or answer. Parameter: the text, such as 'project falcon', without quotation marks and line breaks, which JSON writes otherwise. Bodies over 100 KB are not searched: large-bodies names them.
SELECT
  timestamp,
  caller,
  requestId,
  modelId,
  inputBodyJson AS prompt,
  outputBodyJson AS answer
FROM calls
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND strpos(lower(coalesce(inputBodyJson, '') || coalesce(outputBodyJson, '')), lower(?)) > 0
ORDER BY timestamp, requestId
