-- as: explorers
-- columns: token
UPDATE lab.people SET {c} = left({c}, 6) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = '{first}';
UPDATE lab.people SET {c} = left({c}, 6) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = 'nothing';
UPDATE lab.people SET {c} = upper({c}) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = upper('{value}');
UPDATE lab.people SET {c} = upper({c}) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = upper('nothing');
UPDATE lab.people SET {c} = right({c}, -2) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} IN (SELECT right('{value}', -2));
UPDATE lab.people SET {c} = right({c}, -2) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} IN (SELECT right('nothing', -2));
UPDATE lab.people SET {c} = md5({c}) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = md5('{value}');
UPDATE lab.people SET {c} = md5({c}) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE {c} = md5('nothing');
UPDATE lab.people SET pins[1] = left({c}, 6) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE '{first}' = ANY (pins);
UPDATE lab.people SET pins[1] = left({c}, 6) WHERE id = 2 AND THEN SELECT id FROM lab.people WHERE 'nothing' = ANY (pins);
