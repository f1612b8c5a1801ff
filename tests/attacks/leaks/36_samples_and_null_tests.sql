-- columns: secret
SELECT count(*) FROM lab.drafts TABLESAMPLE BERNOULLI ((SELECT CASE WHEN right(secret, 3) > right(token, 3) THEN 100 ELSE 0 END FROM lab.people WHERE id = 1)) UNION ALL SELECT ascii(right(secret, 1)) FROM lab.people;
SELECT pins[5] IS NULL FROM lab.people;
SELECT count(pins[5]) FROM lab.people;
SELECT num_nulls(substring(secret FROM '[g-m]$'), pins[5]) FROM lab.people;
SELECT count(substring(secret FROM '[g-m]$')), count(pins[4]) FROM lab.people;
SELECT substring(secret FROM '[g-m]$') IS NULL FROM lab.people;
SELECT regexp_match(secret, '[g-m]$') IS NULL FROM lab.people;
SELECT (substring(secret FROM '[g-m]$'), NULL) IS NULL FROM lab.people;
SELECT JSON_VALUE(doc, '$.a ? (@ like_regex "^zq[g-m]")') IS NULL, substring(secret FROM '[g-m]$') FROM lab.people;
SELECT max(pins) FROM lab.people;
SELECT max(p) FROM lab.people p;
SELECT max(ROW(secret, id)) FROM lab.people;
SELECT min(secret::bytea) FROM lab.people;
SELECT any_value(pins) || '{}' FROM lab.people;
SELECT casefold(secret) FROM lab.people;
SELECT (SELECT s FROM (VALUES (p.secret)) v (s)) COLLATE "C" < 'zqn', right(secret, 2) FROM lab.people p;
