-- as: explorers
-- columns: secret
SELECT x FROM (SELECT born FROM lab.cards) q (x) UNION ALL SELECT x FROM (VALUES ('2000-05-20'::date)) v (x);
SELECT greatest(born, '2000-05-10') FROM lab.cards;
SELECT born FROM lab.cards EXCEPT SELECT '2000-05-03'::date;
SELECT (SELECT card) || '' FROM lab.cards;
SELECT id, (SELECT count(*) FROM generate_series(1, length(c.card))) FROM lab.cards c;
SELECT left(card, 8) FROM lab.cards;
SELECT card::varchar(9) FROM lab.cards;
SELECT DISTINCT card FROM lab.cards;
SELECT CAST(card AS char(9)) FROM lab.cards UNION ALL SELECT card FROM lab.cards;
UPDATE lab.cards SET twin = card AND THEN SELECT substr(twin, 1, 9) FROM lab.cards;
UPDATE lab.cards SET open = card RETURNING open;
UPDATE lab.cards SET open = paid::text RETURNING open;
UPDATE lab.cards SET born = born + 15 RETURNING born;
UPDATE lab.cards SET paid = paid + 4000 RETURNING paid;
UPDATE lab.cards SET paid = CASE WHEN paid > 71500 THEN 0 ELSE paid END RETURNING paid;
UPDATE lab.cards SET id = paid::int RETURNING id;
INSERT INTO lab.cards (id, born) SELECT id + 10, born - 5 FROM lab.cards RETURNING born;
SELECT JSON_VALUE(doc, '$.token.in') FROM lab.cards;
SELECT doc #> ARRAY['token'::text] FROM lab.cards;
SELECT jsonb_path_query(doc, '$.token') FROM lab.cards;
SELECT doc - 'open' FROM lab.cards;
SELECT doc || '{}' FROM lab.cards;
SELECT jsonb_pretty(doc) FROM lab.cards;
SELECT e.value FROM lab.cards c, jsonb_each(c.doc) e;
SELECT r.token FROM lab.cards c, jsonb_to_record(c.doc) AS r (token text);
