-- {world} salts all protected values, {more} is how much longer they are with each row.
CREATE SCHEMA lab;
CREATE FUNCTION lab.canary(of text, at int) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'zq' || substr(translate(md5(of || at || '{world}'), '0123456789abcdef',
        'ghijkmnpqrstuvwx'), 1, 10 + at * {more});
CREATE TABLE lab.people (
    id int PRIMARY KEY, name text NOT NULL, secret text, token text UNIQUE, email text, salary int,
    wish text, ref text, hidden text UNIQUE, notes text, doc jsonb, pins text[], born date,
    tail text GENERATED ALWAYS AS (right(secret, 7)) STORED,
    CONSTRAINT positive CHECK (id > 0), CONSTRAINT grown CHECK (salary > 0)
);
INSERT INTO lab.people SELECT i, 'name' || i, lab.canary('secret', i), lab.canary('token', i),
    lab.canary('email', i) || '@example.org', 700000 + (('x' || substr(md5('{world}' || i), 1, 4))::bit(16)::int),
    lab.canary('wish', i), '4111' || lpad((('x' || substr(md5('{world}' || i), 1, 8))::bit(32)::bigint)::text, 12, '0'),
    lab.canary('hidden', i), 'see ' || rpad(lab.canary('notes', i), 14, 'g') || ' there',
    jsonb_build_object('a', rpad(lab.canary('doc', i), 14, 'g'), 'b', i, 'password', rpad(lab.canary('pass', i), 14, 'g')),
    ARRAY[lab.canary('pins', i), 'z'] || array_fill('y'::text, ARRAY[i * {more}]),
    date '1950-01-01' + (('x' || substr(md5('{world}' || i), 1, 3))::bit(12)::int)
    FROM generate_series(1, 4) i;
CREATE TABLE lab.accounts (id int PRIMARY KEY, plan text, token text, pass text);
INSERT INTO lab.accounts SELECT i, 'plan' || i, lab.canary('token', i), lab.canary('pass', i) FROM generate_series(1, 4) i;
CREATE TABLE lab.vault (id int, gold text);
INSERT INTO lab.vault SELECT i, lab.canary('gold', i) FROM generate_series(1, 4) i;
CREATE TABLE lab.drafts (id int, title text, secret text, token text, hidden text, slots int[]);
INSERT INTO lab.drafts SELECT i, 'title' || i, 'plain' || i, 'plain' || i, 'plain' || i FROM generate_series(1, 3) i;
CREATE TABLE lab.events (id int, line text, level text) PARTITION BY RANGE (id);
CREATE TABLE lab.events_old PARTITION OF lab.events FOR VALUES FROM (0) TO (3);
CREATE TABLE lab.events_new PARTITION OF lab.events FOR VALUES FROM (3) TO (99);
INSERT INTO lab.events SELECT i, lab.canary('line', i), 'level' || i FROM generate_series(1, 4) i;
CREATE TABLE lab.humans (id int, code text, nick text);
CREATE TABLE lab.robots (model text) INHERITS (lab.humans);
INSERT INTO lab.humans SELECT i, lab.canary('code', i), 'nick' || i FROM generate_series(1, 2) i;
INSERT INTO lab.robots SELECT i, lab.canary('code', i), 'nick' || i, 'model' || i FROM generate_series(3, 4) i;
CREATE TABLE lab.noisy (id int PRIMARY KEY, code text, CONSTRAINT short CHECK (id < 100));
INSERT INTO lab.noisy SELECT i, lab.canary('code', i) FROM generate_series(1, 4) i;
CREATE FUNCTION lab.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF old.id = 4 THEN
        RAISE EXCEPTION 'row %', old USING DETAIL = old.code, HINT = old.code, CONSTRAINT = old.code,
            TABLE = old.code, COLUMN = old.code, SCHEMA = old.code, DATATYPE = old.code, ERRCODE = 'ZQ' || upper(substr(old.code, 3, 3));
    END IF;
    RAISE NOTICE 'row %', old USING DETAIL = old.code, HINT = old.code, CONSTRAINT = old.code;
    RAISE WARNING USING MESSAGE = old.code, TABLE = old.code, ERRCODE = 'ZQ' || upper(substr(old.code, 3, 3));
    RETURN new;
END $$;
CREATE TRIGGER shout BEFORE UPDATE ON lab.noisy FOR EACH ROW EXECUTE FUNCTION lab.shout();
CREATE TABLE lab.odd (id int, born date);
INSERT INTO lab.odd VALUES (1, 'infinity'), (2, '21234-05-06'), (3, '0044-03-15 BC');
CREATE VIEW lab.faces AS SELECT id, name, secret, token, hidden FROM lab.people;
CREATE MATERIALIZED VIEW lab.prints AS SELECT id, secret, hidden FROM lab.people;
CREATE FUNCTION lab.reveal(int) RETURNS text LANGUAGE sql RETURN (SELECT secret FROM lab.people WHERE id = $1);
CREATE FUNCTION lab.echo(text) RETURNS text LANGUAGE sql RETURN $1;
CREATE OPERATOR lab.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = textcat);
CREATE DOMAIN lab.word AS text;
CREATE SEQUENCE lab.steps;
ANALYZE;
GRANT USAGE ON SCHEMA lab TO {role};
GRANT ALL ON ALL TABLES IN SCHEMA lab TO {role};
GRANT ALL ON ALL SEQUENCES IN SCHEMA lab TO {role};
