UPDATE users SET name = 'a' RETURNING old.name, new.name, old.*, new;
INSERT INTO t1 VALUES (1, 2) RETURNING old.a, new.b, old;
DELETE FROM t1 RETURNING old.a, new.b;
