-- as: explorers
-- columns: secret notes
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id AND p.{c} > 'zqm' WHEN MATCHED THEN UPDATE SET title = 'hit' RETURNING d.id, merge_action();
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED AND substr(p.{c}, 8, 1) < 'm' THEN DELETE WHEN MATCHED THEN DO NOTHING RETURNING merge_action(), d.id;
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED THEN UPDATE SET slots = ARRAY[ascii(right(p.{c}, 1))] RETURNING d.slots;
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED THEN UPDATE SET slots[1] = length(p.{c}) * ascii(right(p.{c}, 1)) RETURNING d.slots[1];
MERGE INTO lab.drafts d USING (SELECT 1 AS id) s ON d.id = s.id WHEN MATCHED THEN UPDATE SET title = (SELECT {c} FROM lab.people WHERE id = 2) RETURNING d.title;
MERGE INTO lab.drafts d USING (SELECT 1 AS id) s ON d.id = (SELECT ascii(right({c}, 1)) % 2 + 1 FROM lab.people WHERE id = 2) WHEN MATCHED THEN DELETE RETURNING d.id;
MERGE INTO lab.drafts d USING generate_series(1, (SELECT ascii(right({c}, 1)) FROM lab.people WHERE id = 2)) g ON d.id = g + 1000 WHEN NOT MATCHED THEN INSERT (id) VALUES (g);
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id + 100 WHEN NOT MATCHED BY SOURCE AND EXISTS (SELECT FROM lab.people q WHERE q.id = 2 AND right(q.{c}, 1) < 's') THEN DELETE;
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED THEN UPDATE SET title = p.name RETURNING p.{c} || '';
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED THEN UPDATE SET title = p.name RETURNING p;
MERGE INTO lab.drafts d USING lab.people p ON d.id = p.id WHEN MATCHED THEN UPDATE SET title = p.name RETURNING p.*, to_jsonb(p) ->> '{c}';
MERGE INTO lab.drafts d USING lab.people AS p (id, {c}, name) ON d.id = p.id WHEN MATCHED THEN UPDATE SET title = p.name RETURNING title;
WITH p AS (SELECT id, {c} AS name FROM lab.people) MERGE INTO lab.drafts d USING p ON d.id = p.id WHEN MATCHED THEN UPDATE SET title = p.name RETURNING d.title;
WITH people AS (SELECT id, {c} AS name FROM lab.people) MERGE INTO lab.drafts USING people ON drafts.id = people.id WHEN MATCHED THEN UPDATE SET title = name RETURNING title;
WITH drafts AS (SELECT 1 AS id) MERGE INTO lab.drafts USING lab.people p ON drafts.id = p.id WHEN MATCHED THEN UPDATE SET title = {c} RETURNING lab.drafts.title;
MERGE INTO lab.people p USING lab.drafts d ON d.id = p.id WHEN MATCHED THEN UPDATE SET name = left(p.{c}, 9) RETURNING new.name;
MERGE INTO lab.people p USING lab.drafts d ON d.id = p.id WHEN MATCHED THEN UPDATE SET name = p.{c} RETURNING WITH (OLD AS o, NEW AS n) n.name, o.name;
MERGE INTO lab.people p USING lab.drafts d ON d.id = p.id WHEN MATCHED THEN DELETE RETURNING old.{c} || '';
MERGE INTO lab.people p USING lab.drafts d ON d.id = p.id WHEN MATCHED THEN DELETE RETURNING reverse(p.{c});
MERGE INTO lab.people p USING (VALUES (2)) v (id) ON v.id = p.id WHEN MATCHED THEN UPDATE SET id = -p.id;
MERGE INTO lab.people p USING (VALUES (2)) v (id) ON v.id = p.id WHEN MATCHED AND p.{c}::int > 0 THEN DELETE;
MERGE INTO lab.people p USING (VALUES (1)) v (x) ON p.{c} LIKE 'zq_k%' OR p.{c} LIKE 'see zq_k%' OR p.{c} > 'zqn' WHEN MATCHED THEN DELETE RETURNING p.id;
