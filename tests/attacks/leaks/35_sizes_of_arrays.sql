-- columns: secret
WITH q AS MATERIALIZED (SELECT array_agg(x) AS x FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x)) SELECT count(*) FROM q;
WITH q AS MATERIALIZED (SELECT ARRAY(SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) AS x) SELECT count(*) FROM q;
WITH q AS MATERIALIZED (SELECT array_agg(pins) AS x FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p) SELECT 1 FROM q;
SELECT EXISTS (SELECT array_agg(x) FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x));
SELECT title FROM lab.drafts WHERE EXISTS (SELECT array_agg(coalesce(x)) FROM (SELECT p.pins FROM lab.people p WHERE p.id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x));
SELECT EXISTS (SELECT array_agg(any_value(x)) OVER () FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x) GROUP BY x);
SELECT EXISTS (SELECT array_agg(CASE WHEN true THEN x END) FROM (SELECT pins FROM lab.looks WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x));
SELECT array_agg(x) IS NULL FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL SELECT ARRAY['a', 'b', 'c']) p (x);
SELECT 1 FROM (VALUES (1)) v (x) HAVING EXISTS (SELECT array_agg(x) FROM (SELECT pins FROM lab.people WHERE id = 1 UNION ALL VALUES (ARRAY['a', 'b', 'c'])) p (x));
