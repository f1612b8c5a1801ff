-- as: writers
-- columns: secret
WITH q AS (DELETE FROM lab.vault RETURNING gold) UPDATE lab.drafts SET title = 'a';
WITH q AS (DELETE FROM lab.voult RETURNING gold) UPDATE lab.drafts SET title = 'a';
WITH q AS (DELETE FROM lab.vault RETURNING *) INSERT INTO lab.drafts (id) SELECT 1;
WITH q AS (DELETE FROM lab.voult RETURNING *) INSERT INTO lab.drafts (id) SELECT 1;
WITH q AS (UPDATE lab.vault SET gold = gold) DELETE FROM lab.drafts;
WITH q AS (UPDATE lab.voult SET gold = gold) DELETE FROM lab.drafts;
WITH q AS (MERGE INTO lab.vault v USING lab.drafts d ON v.id = d.id WHEN MATCHED THEN DELETE) INSERT INTO lab.drafts (id) VALUES (1);
WITH q AS (MERGE INTO lab.voult v USING lab.drafts d ON v.id = d.id WHEN MATCHED THEN DELETE) INSERT INTO lab.drafts (id) VALUES (1);
WITH q AS (DELETE FROM lab.vault v RETURNING v) INSERT INTO lab.drafts (id) VALUES (1);
WITH q AS (DELETE FROM lab.voult v RETURNING v) INSERT INTO lab.drafts (id) VALUES (1);
WITH q AS (SELECT * FROM lab.vault x (a, b, c)) UPDATE lab.drafts SET title = 'a';
WITH q AS (SELECT * FROM lab.voult x (a, b, c)) UPDATE lab.drafts SET title = 'a';
WITH q AS (SELECT c FROM lab.vault x (a, b, c)) INSERT INTO lab.drafts (nope) VALUES (1);
WITH q AS (SELECT c FROM lab.voult x (a, b, c)) INSERT INTO lab.drafts (nope) VALUES (1);
