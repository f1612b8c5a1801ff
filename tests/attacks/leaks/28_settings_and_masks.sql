-- as: explorers
-- columns: secret
SET TIME ZONE '<x>-167' AND THEN SELECT born FROM lab.cards UNION ALL SELECT now() LIMIT 4;
SET TIME ZONE '<x>-100' AND THEN SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz;
SET TIME ZONE '<x>-72' AND THEN SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz;
SET TIME ZONE '<x>-96' AND THEN SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz;
SET TIME ZONE '<x>-120' AND THEN SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz;
SET extra_float_digits = -14 AND THEN SELECT paid FROM lab.cards;
SET extra_float_digits = -14 AND THEN SELECT paid FROM lab.cards UNION ALL SELECT 1;
SET extra_float_digits = -15 AND THEN SELECT paid FROM lab.cards;
SELECT set_config('extra_float_digits', '-15', false) AND THEN SELECT paid FROM lab.cards;
SET enable_seqscan = off AND THEN SET enable_bitmapscan = off AND THEN SELECT id FROM lab.people WHERE token IS NOT NULL;
SET enable_seqscan = off AND THEN SET enable_hashjoin = off AND THEN SET enable_nestloop = off AND THEN SELECT a.id FROM lab.people a JOIN lab.people b ON a.token = b.token;
SET seq_page_cost = 100000000 AND THEN SET enable_bitmapscan = off AND THEN SELECT id FROM lab.people WHERE token IS NOT NULL;
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true) AND THEN SELECT id FROM lab.people WHERE token IS NOT NULL;
SET enable_seqscan = off AND THEN SET enable_bitmapscan = off AND THEN SELECT id FROM lab.people WHERE token IS NOT NULL LIMIT 1;
SET TIME ZONE INTERVAL '72:00' HOUR TO MINUTE AND THEN SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz;
SET TIME ZONE '<x>-120' AND THEN SELECT b FROM (SELECT born FROM lab.cards UNION ALL VALUES ('2000-01-01'::timestamptz)) q (b);
SET TIME ZONE '<x>-120' AND THEN WITH q (b) AS (SELECT '2000-01-01'::timestamptz UNION ALL SELECT born FROM lab.cards) SELECT b FROM q;
SET TIME ZONE '<x>-120' AND THEN SELECT x FROM lab.cards c, LATERAL (VALUES (c.born), (now())) v (x)  WHERE x < '2001-01-01';
SET TIME ZONE '<x>-120' AND THEN SELECT unnest(ARRAY(SELECT born FROM lab.cards UNION ALL SELECT '2000-01-01'::timestamptz));
