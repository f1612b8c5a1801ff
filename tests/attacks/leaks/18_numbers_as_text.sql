-- columns: secret
SELECT ref FROM lab.people;
SELECT ref::jsonb FROM lab.people;
SELECT ref::json FROM lab.people;
SELECT ref::jsonb::text FROM lab.people;
SELECT to_jsonb(ref) FROM lab.people;
SELECT ref::numeric FROM lab.people;
SELECT ref::bigint FROM lab.people;
SELECT ref::float8 FROM lab.people;
SELECT (ref || '.0')::jsonb FROM lab.people;
SELECT jsonb_agg(ref::jsonb) FROM lab.people;
SELECT array_agg(ref::jsonb) FROM lab.people;
SELECT max(ref) FROM lab.people;
SELECT coalesce(ref::jsonb, 'null') FROM lab.people;
SELECT to_number(ref, '9999999999999999') FROM lab.people;
SELECT to_timestamp(ref::float8 / 1000000) FROM lab.people;
