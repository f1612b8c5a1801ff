-- The schema that the tests judge by, made in a server of their own.
create table people (id int primary key, name text, email text);
create view people_by_name as select name, email from people order by name;
