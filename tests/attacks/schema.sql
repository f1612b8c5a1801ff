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
CREATE FUNCTION lab.echo(text) RETURNS text LANGUAGE sql RETURN $1;
CREATE VIEW lab.looks AS SELECT id, name, secret, token, email, hidden, notes, wish, salary, doc, tail, pins, ref, born FROM lab.people;
CREATE VIEW lab.looks_again (i, n, secret, token, email, hidden, notes, wish) AS
    SELECT id, name, secret, token, email, hidden, notes, wish FROM lab.looks WHERE id > 0;
CREATE VIEW lab.looks_as WITH (security_invoker, security_barrier) AS SELECT id, secret, token FROM lab.people;
CREATE MATERIALIZED VIEW lab.stills AS SELECT id, secret, token, email, hidden, notes, wish, upper(secret) AS loud FROM lab.people;
CREATE VIEW lab.pairs AS SELECT d.title, p.secret, p.token FROM lab.drafts d JOIN lab.people p USING (id);
CREATE VIEW lab.guessed AS SELECT p.id, d.secret AS guess FROM lab.people p JOIN lab.drafts d ON d.secret = p.secret OR d.id = p.id;
CREATE VIEW lab.sorted AS SELECT name FROM lab.people ORDER BY salary;
CREATE VIEW lab.grouped AS SELECT min(id) AS id, count(*) AS n FROM lab.people GROUP BY salary % 2;
CREATE VIEW lab.flags AS SELECT id, name, secret > 'zqp' AS high, length(secret) AS long, left(secret, 9) AS start, salary % 1000 AS rest,
    CASE WHEN salary % 2 = 0 THEN 'even' ELSE 'odd' END AS parity FROM lab.people;
CREATE VIEW lab.many AS SELECT p.id, generate_series(1, p.salary % 7 + 1) AS x, p.name FROM lab.people p;
CREATE VIEW lab.lines AS SELECT id, line, level FROM lab.events;
CREATE VIEW lab.everyone AS SELECT id, code, nick FROM lab.humans;
CREATE VIEW lab.united AS SELECT id, secret AS word FROM lab.people UNION ALL SELECT id, secret FROM lab.drafts;
CREATE RECURSIVE VIEW lab.chain (id, word) AS SELECT id, secret FROM lab.people WHERE id = 1
    UNION ALL SELECT p.id, p.secret FROM lab.people p JOIN chain c ON p.id = c.id + 1;
CREATE VIEW lab.rows AS SELECT id, p AS whole FROM lab.people p;
CREATE VIEW lab.echoed AS SELECT id, lab.echo(secret) AS said FROM lab.people;
CREATE VIEW lab.echoes AS SELECT id, said FROM lab.echoed;
CREATE VIEW lab.vaulted AS SELECT id, gold FROM lab.vault;
CREATE VIEW lab.papers AS SELECT id, title, secret, token, hidden FROM lab.drafts;
CREATE VIEW lab.entries AS SELECT id, name, secret, token, hidden FROM lab.people WITH CHECK OPTION;
CREATE VIEW lab.checked AS SELECT id, title, secret FROM lab.drafts d WHERE EXISTS (SELECT FROM lab.people p WHERE p.secret > d.secret) WITH CHECK OPTION;
CREATE FUNCTION lab.place() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE lab.drafts SET title = (SELECT secret FROM lab.people p WHERE p.id = new.id) WHERE id = new.id; RETURN new; END $$;
CREATE VIEW lab.placed AS SELECT id, title FROM lab.drafts;
CREATE TRIGGER place INSTEAD OF INSERT ON lab.placed FOR EACH ROW EXECUTE FUNCTION lab.place();
CREATE TABLE lab.ruled (id int, word text);
CREATE RULE copy AS ON INSERT TO lab.ruled DO ALSO UPDATE lab.drafts SET title = (SELECT secret FROM lab.people p WHERE p.id = new.id) WHERE id = new.id;
CREATE FUNCTION lab.reveal(int) RETURNS text LANGUAGE sql RETURN (SELECT secret FROM lab.people WHERE id = $1);
CREATE OPERATOR lab.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = textcat);
CREATE DOMAIN lab.word AS text;
CREATE SEQUENCE lab.steps;
CREATE TYPE lab.couple AS (left_half text, right_half text);
CREATE TABLE lab.cases (
    id int PRIMARY KEY, title text, doc jsonb, raw json, bag text, chat jsonb, log jsonb, pair lab.couple, rank numeric
);
INSERT INTO lab.cases SELECT i, 'case' || i,
    jsonb_build_object('token', lab.canary('key', i), 'open', 'yes', 'deep', jsonb_build_object('key', lab.canary('key', i)),
        'list', jsonb_build_array(jsonb_build_object('key', lab.canary('key', i))), 'plain', 'case' || i),
    format('{"token": "%s", "open": "yes", "token": "%s"}', lab.canary('key', i), lab.canary('twice', i))::json,
    format('{"token": "%s", "open": "yes"}', lab.canary('key', i)),
    jsonb_build_array(jsonb_build_object('role', 'user', 'parts', jsonb_build_array(jsonb_build_object('type', 'text', 'content', lab.canary('said', i))))),
    jsonb_build_object('api_key', 'x-' || lab.canary('key', i), 'open', 'yes', 'deep', jsonb_build_object('password', lab.canary('key', i))),
    CAST(ROW(lab.canary('half', i), 'right'::text) AS lab.couple), 700000 + i
    FROM generate_series(1, 4) i;
ALTER TABLE lab.cases ADD COLUMN late text DEFAULT lab.canary('late', 1);
CREATE VIEW lab.files AS SELECT id, title, doc, doc -> 'deep' AS deep, raw, chat, log FROM lab.cases;
DO $$ BEGIN EXECUTE format('CREATE VIEW lab.asked AS SELECT title FROM lab.cases WHERE late = %L', lab.canary('late', 1)); END $$;
CREATE TABLE lab.hosts (id int, host text, name text);
INSERT INTO lab.hosts SELECT i, lab.canary('host', i), 'host' || i FROM generate_series(1, 4) i;
CREATE TABLE lab.cards (id int PRIMARY KEY, card text, twin text, doc jsonb, open text, born date, paid float8);
INSERT INTO lab.cards SELECT i, lab.canary('card', i) || '-wxyz', 'twin-wxyz', jsonb_build_object('token', jsonb_build_object('in', lab.canary('card', i))),
    'open', date '2000-05-02' + i * {more}, 71000 + i * {more} * 400 FROM generate_series(1, 4) i;
-- What is rolled back must not change plans, and with them the order of rows, in one world only.
DO $$ DECLARE t regclass; BEGIN
    FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'lab'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
    END LOOP;
END $$;
ANALYZE;
GRANT USAGE ON SCHEMA lab TO {role};
GRANT ALL ON ALL TABLES IN SCHEMA lab TO {role};
GRANT ALL ON ALL SEQUENCES IN SCHEMA lab TO {role};
