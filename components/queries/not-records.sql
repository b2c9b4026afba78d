-- Lines of the last 30 days that are no record and that no other query shows: damaged, or not written by Bedrock. None is how it should be.
SELECT
  "$path" AS file,
  count(*) AS lineCount,
  min(substr(line, 1, 200)) AS example
FROM records
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND "$path" NOT LIKE '%/data/%'
  AND line <> ''
  AND coalesce(json_extract_scalar(line, '$.schemaType'), '') <> 'ModelInvocationLog'
GROUP BY "$path"
ORDER BY file
