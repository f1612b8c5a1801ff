-- as: explorers
-- columns: secret
SELECT attmissingval FROM pg_attribute WHERE attname = 'late';
SELECT attmissingval::text FROM pg_catalog.pg_attribute WHERE attname = 'late';
SELECT a FROM pg_attribute a WHERE attname = 'late';
SELECT * FROM pg_attribute WHERE attname = 'late';
SELECT a.* FROM pg_attribute a WHERE attname = 'late';
SELECT to_jsonb(a) ->> 'attmissingval' FROM pg_attribute a WHERE attname = 'late';
SELECT x.m FROM (SELECT attmissingval AS m FROM pg_attribute) x WHERE m IS NOT NULL;
SELECT (a).attmissingval FROM pg_attribute a WHERE attname = 'late';
SELECT a.attmissingval FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname = 'cases' AND attname = 'late';
SELECT max(attmissingval::text) FROM pg_attribute;
SELECT attname FROM pg_attribute WHERE attname = 'late' AND attmissingval::text > '{zqm';
SELECT z FROM pg_attribute AS a (b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z) WHERE c = 'late';
