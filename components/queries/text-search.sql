-- Calls of the last 30 days that hold a text in prompt or answer, as audit list --text finds them. Parameter: the text, such as 'project falcon'; letters' case does not matter. It is looked for in every string, in JSON within strings up to two deep (a call with more is in the result for every text), and across the chunks of a stream. Not searched: bodies over 100 KB, which large-bodies names, and what is in base64.
, layer0 AS (
  SELECT
    *,
    coalesce(inputBodyJson, '') || ' ' || coalesce(outputBodyJson, '') || ' ' || CASE
      WHEN outputBodyJson LIKE '[%' THEN coalesce(TRY(array_join(regexp_extract_all(outputBodyJson, '"(text|thinking|partial_json|input|content|reasoning_content|arguments|completion|generation|outputText|message)":"(([^"\\]|\\.)*)"', 2), '')), '')
      ELSE ''
    END AS text0
  FROM calls
),
-- Each layer takes one of JSON's escapes off: it makes one string of the text, without backslashes that escape nothing.
layer1 AS (SELECT *, coalesce(TRY(json_extract_scalar('"' || replace(replace(regexp_replace(regexp_replace(text0, '[\x00-\x1f]', ' '), '(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})|\\', '$1'), '\"', '"'), '"', '\u0022') || '"', '$')), text0) AS text1 FROM layer0),
layer2 AS (SELECT *, coalesce(TRY(json_extract_scalar('"' || replace(replace(regexp_replace(regexp_replace(text1, '[\x00-\x1f]', ' '), '(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})|\\', '$1'), '\"', '"'), '"', '\u0022') || '"', '$')), text1) AS text2 FROM layer1),
layer3 AS (SELECT *, coalesce(TRY(json_extract_scalar('"' || replace(replace(regexp_replace(regexp_replace(text2, '[\x00-\x1f]', ' '), '(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})|\\', '$1'), '\"', '"'), '"', '\u0022') || '"', '$')), text2) AS text3 FROM layer2),
layer4 AS (SELECT *, coalesce(TRY(json_extract_scalar('"' || replace(replace(regexp_replace(regexp_replace(text3, '[\x00-\x1f]', ' '), '(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})|\\', '$1'), '\"', '"'), '"', '\u0022') || '"', '$')), text3) AS text4 FROM layer3)
SELECT
  timestamp,
  caller,
  requestId,
  modelId,
  inputBodyJson AS prompt,
  outputBodyJson AS answer
FROM layer4
WHERE day >= date_format(date_add('day', -30, current_date), '%Y/%m/%d')
  AND (strpos(lower(text0 || ' ' || text1 || ' ' || text2 || ' ' || text3 || ' ' || text4), lower(?)) > 0 OR strpos(text4, '\') > 0)
ORDER BY timestamp, requestId
