-- columns: salary born doc
SELECT {c} FROM lab.people;
SELECT {c}::text FROM lab.people;
SELECT coalesce({c}) FROM lab.people;
SELECT ARRAY[{c}] FROM lab.people;
SELECT jsonb_build_object('a', {c}) FROM lab.people;
SELECT to_jsonb({c}) FROM lab.people;
SELECT max({c}::text) FROM lab.people;
SELECT concat({c}) FROM lab.people;
SELECT {c} FROM lab.people UNION ALL SELECT NULL;
SELECT x FROM (SELECT {c} AS x FROM lab.people) q;
SELECT string_agg({c}::text, ',') FROM lab.people;
SELECT format('%s', {c}) FROM lab.people;
SELECT upper({c}::text) FROM lab.people;
SELECT ROW({c}) FROM lab.people;
