-- as: writers
-- columns: secret
UPDATE lab.drafts SET secret = '{value}' WHERE id = 3 AND THEN SELECT id FROM lab.guessed WHERE guess = '{value}' AND id = 2;
UPDATE lab.drafts SET secret = '{value}x' WHERE id = 3 AND THEN SELECT id FROM lab.guessed WHERE guess = '{value}' AND id = 2;
INSERT INTO lab.checked (id, title, secret) VALUES (9, 'a', 'a');
INSERT INTO lab.checked (id, title, secret) VALUES (9, 'a', 'zzzz');
UPDATE lab.checked SET secret = 'a' WHERE id = 1;
UPDATE lab.checked SET secret = 'zzzz' WHERE id = 1;
UPDATE lab.entries SET name = 'x' WHERE secret = '{value}' RETURNING id;
UPDATE lab.entries SET name = 'x' WHERE secret = '{value}x' RETURNING id;
DELETE FROM lab.entries WHERE secret > '{value}' RETURNING id;
DELETE FROM lab.entries WHERE secret > 'zzz' RETURNING id;
