-- as: writers
-- columns: token
INSERT INTO lab.people (id, name, {c}) SELECT 50, 'a', x FROM (VALUES ('{value}')) v (x) ON CONFLICT DO NOTHING;
INSERT INTO lab.people (id, name, {c}) SELECT 50, 'a', x FROM (VALUES ('nothing')) v (x) ON CONFLICT DO NOTHING;
INSERT INTO lab.people (id, name, {c}) SELECT 50 + g, 'a', left('{value}', 11 + g) FROM generate_series(0, 3) g ON CONFLICT (token) DO NOTHING RETURNING id;
INSERT INTO lab.people (id, name, {c}) SELECT 50 + g, 'a', left('nothing', 3 + g) FROM generate_series(0, 3) g ON CONFLICT (token) DO NOTHING RETURNING id;
INSERT INTO lab.people (id, name, {c}) VALUES (50, 'a', (SELECT '{value}')) ON CONFLICT (token) DO NOTHING;
INSERT INTO lab.people (id, name, {c}) VALUES (50, 'a', (SELECT 'nothing')) ON CONFLICT (token) DO NOTHING;
