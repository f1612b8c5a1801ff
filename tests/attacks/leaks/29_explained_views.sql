-- as: explorers
-- columns: secret
EXPLAIN SELECT title FROM lab.asked;
EXPLAIN (COSTS off) SELECT title FROM lab.asked;
EXPLAIN (COSTS off) SELECT 1 FROM lab.cases c JOIN lab.asked a ON a.title = c.title;
EXPLAIN SELECT count(token) FROM lab.people;
EXPLAIN (VERBOSE) SELECT title FROM lab.asked;
EXPLAIN (FORMAT json, COSTS off) SELECT count(*) FROM lab.asked;
EXPLAIN (COSTS off) INSERT INTO lab.drafts (title) SELECT title FROM lab.asked;
EXPLAIN (COSTS off) WITH q AS (SELECT title FROM lab.asked) SELECT * FROM q;
EXPLAIN (COSTS off, GENERIC_PLAN) SELECT (SELECT count(*) FROM lab.asked);
EXPLAIN (COSTS off) DELETE FROM lab.drafts WHERE title IN (SELECT title FROM lab.asked);
EXPLAIN (COSTS off) MERGE INTO lab.drafts d USING lab.asked a ON d.title = a.title WHEN MATCHED THEN DELETE;
