SELECT "{c}" FROM lab."people";
SELECT p."{c}" "id" FROM LAB.PEOPLE p;
select/**/{c}/**/from/**/lab/**/./**/people;
SELECT {c} -- name
FROM lab.people;
SELECT /* name */ {c} /* /* nested */ */ FROM lab.people;
SELECT	{c}
FROM	lab.people;
SELECT U&"{c}" FROM lab.people;
SELECT U&"\0073ecret" FROM lab.people;
SELECT U&"!0074oken" UESCAPE '!' FROM lab.people;
SELECT u&"\0068idden" FROM U&"lab".people;
SELECT {c} "$1" FROM lab.people;
SELECT {c} AS "name, id FROM drafts --" FROM lab.people;
SELECT '$$', {c}, $$'$$ FROM lab.people;
SELECT $a$ -- $a$, {c} FROM lab.people;
SELECT E'\'', {c} FROM lab.people;
SELECT '\', {c}, ' FROM lab.drafts --' FROM lab.people;
SELECT '''', {c} FROM lab.people;
SELECT 'a'
  'b', {c} FROM lab.people;
SELECT B'1', {c} FROM lab.people;
SELECT {c}::text::text::text FROM lab.people;
SELECT (((({c})))) FROM lab.people;
SELECT ALL ({c}) FROM ((lab.people JOIN lab.drafts d USING (id)));
SELECT {c} FROM lab.people p, LATERAL (SELECT 1) AS "p.name";
SELECT p.{c} AS p FROM lab.people p;
SELECT p FROM (SELECT {c} AS p FROM lab.people) p;
SELECT interval FROM (SELECT {c} AS interval FROM lab.people) q;
SELECT "select" FROM (SELECT {c} AS "select" FROM lab.people) q;
SELECT "null" FROM (SELECT {c} AS "null" FROM lab.people) q;
SELECT values FROM (SELECT {c} AS values FROM lab.people) q;
SELECT @id, {c} FROM lab.people;
