CREATE SCHEMA w;
SET search_path = w, public;
CREATE TABLE users (
    id int PRIMARY KEY, name text NOT NULL, gone int, secret varchar(40), token char(8) UNIQUE,
    age smallint, balance numeric(10, 2), born date, seen timestamptz, doc jsonb, raw json,
    tags text[], ip inet, uid uuid, ok bool, tail text GENERATED ALWAYS AS (right(secret, 4)) STORED
);
ALTER TABLE users DROP COLUMN gone;
CREATE TABLE orders (id int PRIMARY KEY, user_id int, total numeric, secret text, note text);
CREATE TABLE events (gone int, id int, day date, payload jsonb, user_id int) PARTITION BY RANGE (day);
ALTER TABLE events DROP COLUMN gone;
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 (user_id int, payload jsonb, day date, id int);
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE animals (id int, name text);
CREATE TABLE dogs (breed text) INHERITS (animals);
CREATE TABLE "Mixed Case" ("Some Column" text, "select" int, "é" text);
CREATE TABLE t1 (a int, b int);
CREATE TABLE t2 (a int, c int);
CREATE TABLE t3 (b int, c int);
CREATE TABLE empty ();
CREATE TABLE public.orders (id int, other text);
