-- as: lifters
-- columns: secret
INSERT INTO lab.noisy SELECT id + 10, secret FROM lab.people RETURNING code;
INSERT INTO lab.noisy SELECT id + 10, secret FROM lab.people AND THEN SELECT code FROM lab.noisy WHERE id > 10;
INSERT INTO lab.noisy (id, code) SELECT id + 10, coalesce(secret, '') FROM lab.people RETURNING code;
INSERT INTO lab.noisy SELECT id + 10, (SELECT secret FROM lab.people p WHERE p.id = n.id) FROM lab.noisy n RETURNING code;
INSERT INTO lab.noisy VALUES (20, (SELECT secret FROM lab.people WHERE id = 2)) RETURNING code;
WITH q AS (INSERT INTO lab.noisy SELECT id + 10, secret FROM lab.people RETURNING code) SELECT code FROM q;
INSERT INTO lab.noisy SELECT id + 10, max(secret) FROM lab.people GROUP BY id RETURNING code;
INSERT INTO lab.noisy SELECT id + 10, tail FROM lab.people RETURNING code;
INSERT INTO lab.noisy SELECT id + 10, salary::text FROM lab.people RETURNING code;
WITH p AS MATERIALIZED (SELECT id, secret AS s FROM lab.people) INSERT INTO lab.noisy SELECT id + 10, s FROM p RETURNING *;
INSERT INTO lab.noisy SELECT p.id + 10, p.secret FROM lab.people p JOIN lab.noisy n ON n.id = p.id RETURNING old, new.code;
