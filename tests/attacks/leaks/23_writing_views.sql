-- as: writers
-- columns: secret
INSERT INTO lab.papers (id, title) SELECT id, secret FROM lab.people RETURNING title;
INSERT INTO lab.papers (id, title) SELECT id, secret FROM lab.looks RETURNING *;
UPDATE lab.papers p SET title = l.secret FROM lab.looks l WHERE l.id = p.id RETURNING p.title;
UPDATE lab.papers p SET secret = l.secret FROM lab.people l WHERE l.id = p.id AND THEN SELECT secret FROM lab.drafts;
UPDATE lab.drafts d SET title = e.secret FROM lab.entries e WHERE e.id = d.id RETURNING title;
UPDATE lab.entries SET name = secret RETURNING name;
UPDATE lab.entries SET name = secret AND THEN SELECT name FROM lab.people;
UPDATE lab.entries SET id = id RETURNING secret;
UPDATE lab.entries SET id = id RETURNING *;
UPDATE lab.entries SET id = id RETURNING hidden;
UPDATE lab.entries SET id = id RETURNING upper(secret);
DELETE FROM lab.papers p USING lab.looks l WHERE l.id = p.id RETURNING l.secret;
INSERT INTO lab.placed VALUES (1, 'x') AND THEN SELECT title FROM lab.drafts;
INSERT INTO lab.ruled VALUES (1, 'x') AND THEN SELECT title FROM lab.drafts;
WITH q AS (UPDATE lab.entries SET id = id RETURNING secret) SELECT secret || '' FROM q;
INSERT INTO lab.entries (id, name, token) SELECT 9, secret, 'x' FROM lab.looks WHERE id = 1 RETURNING name;
INSERT INTO lab.entries (id, name, token) VALUES (1, 'a', 'b') ON CONFLICT (id) DO UPDATE SET name = entries.secret RETURNING name;
MERGE INTO lab.papers p USING lab.looks l ON p.id = l.id WHEN MATCHED THEN UPDATE SET title = l.secret RETURNING p.title;
