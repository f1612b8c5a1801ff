-- as: writers
-- columns: secret
INSERT INTO lab.events (id, line) SELECT 0, line FROM lab.events_new AND THEN SELECT line FROM lab.events_old WHERE id = 0;
INSERT INTO lab.events SELECT id - 3, line, level FROM lab.events WHERE id > 2 AND THEN SELECT line FROM lab.events_old WHERE id < 1;
UPDATE lab.events SET id = 0 WHERE id > 2 AND THEN SELECT line FROM lab.events_old WHERE id = 0;
UPDATE lab.events SET (id, level) = (0, 'moved') WHERE id > 2 AND THEN SELECT * FROM lab.events_old WHERE id = 0;
UPDATE lab.events SET line = e.line, level = 'moved' FROM lab.events e WHERE e.id > 2 AND events.id = 1 AND THEN SELECT line FROM lab.events_old WHERE level = 'moved';
MERGE INTO lab.events e USING lab.drafts d ON e.id = d.id + 1 WHEN MATCHED THEN UPDATE SET id = 0 AND THEN SELECT line FROM lab.events_old WHERE id = 0;
MERGE INTO lab.events e USING lab.events_new n ON false WHEN NOT MATCHED THEN INSERT (id, line) VALUES (0, n.line) AND THEN SELECT line FROM lab.events_old WHERE id = 0;
WITH moved AS (UPDATE lab.events SET id = 0 WHERE id > 2) SELECT 1 AND THEN SELECT line FROM lab.events_old WHERE id = 0;
UPDATE lab.events SET id = d.id - d.id FROM lab.drafts d WHERE events.id = d.id + 1 AND events.id > 2 AND THEN SELECT max(line) FROM lab.events_old WHERE id = 0;
WITH gone AS (DELETE FROM lab.events_new RETURNING line) INSERT INTO lab.events SELECT 0, line FROM gone AND THEN SELECT line FROM lab.events_old WHERE id = 0;
INSERT INTO lab.events (id, line) VALUES (0, (SELECT line FROM lab.events_new LIMIT 1)) AND THEN SELECT line FROM lab.events_old WHERE id = 0;
