"""A log in PostgreSQL that an earlier version has made is brought up to date by the same script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall.audit.migration import migration
from tracewall.audit.verify import records, verify
from tracewall.events import Ended, Incident, What, Who

# What the first version's script made: no `closed`, `received`, `hold`, `abandoned`, `people`.
FIRST = r"""
DROP SCHEMA tracewall_audit CASCADE;
CREATE SCHEMA tracewall_audit;
CREATE TABLE tracewall_audit.heads (
    writer text PRIMARY KEY, role name NOT NULL, n bigint NOT NULL, sha256 text NOT NULL);
CREATE TABLE tracewall_audit.records (
    writer text NOT NULL REFERENCES tracewall_audit.heads, n bigint NOT NULL, line text NOT NULL,
    received timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), PRIMARY KEY (writer, n));
CREATE FUNCTION tracewall_audit.append(of_writer text, first bigint, lines text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    head tracewall_audit.heads;
    said text;
BEGIN
    IF first = 0 THEN
        INSERT INTO tracewall_audit.heads VALUES (of_writer, session_user, -1, repeat('0', 64));
    END IF;
    SELECT * INTO head FROM tracewall_audit.heads WHERE writer = of_writer FOR UPDATE;
    FOREACH said IN ARRAY lines LOOP
        head.n := head.n + 1;
        head.sha256 := encode(sha256(convert_to(said, 'UTF8')), 'hex');
        INSERT INTO tracewall_audit.records (writer, n, line) VALUES (of_writer, head.n, said);
    END LOOP;
    UPDATE tracewall_audit.heads SET n = head.n, sha256 = head.sha256 WHERE writer = of_writer;
    RETURN head.n;
END $body$;
REVOKE ALL ON FUNCTION tracewall_audit.append(text, bigint, text[]) FROM PUBLIC;
GRANT USAGE ON SCHEMA tracewall_audit TO {role};
GRANT EXECUTE ON FUNCTION tracewall_audit.append(text, bigint, text[]) TO {role};
"""
# A later one had all but people.
SECOND = """
DROP FUNCTION tracewall_audit.person(text, text);
DROP TABLE tracewall_audit.people;
"""
_SHAPE = """
select 'column', format('%s.%s %s %s %s', c.relname, a.attname, a.atttypid::regtype, a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid)) from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and a.attnum > 0
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'tracewall_audit'::regnamespace
union all select 'rights', format('%s %s', relname, relacl) from pg_class
    where relnamespace = 'tracewall_audit'::regnamespace
union all select 'function', pg_get_functiondef(oid) || proacl::text from pg_proc
    where pronamespace = 'tracewall_audit'::regnamespace
order by 1, 2"""


def run(place: Any, script: str) -> None:
    """Execute a script as the log's owner."""
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute(script.encode())


def shape(place: Any) -> list[Any]:
    with psycopg.connect(place.admin) as conn:
        return conn.execute(_SHAPE).fetchall()


def lines(place: Any) -> list[Any]:
    with psycopg.connect(place.admin) as conn:
        return conn.execute("select * from tracewall_audit.records order by 1, 2").fetchall()


def told_by_the_first(place: Any, who: Who, what: What) -> str:
    """Have the log's role keep a closed chain and an open one in the first version's log.

    What is given is the closed one's id.
    """
    chains: dict[str, list[str]] = {}
    for _ in range(2):
        with place.log() as log:
            log.outcome(log.intent(who, what), Ended(status="ok"))
    for writer, _, line, _ in lines(place):
        chains.setdefault(writer, []).append(line)
    closed, left = chains
    run(place, FIRST.format(role=place.role))
    with psycopg.connect(place.writer, autocommit=True) as conn:
        for writer, told in ((closed, chains[closed]), (left, chains[left][:2])):
            conn.execute("select tracewall_audit.append(%s, 0, %s)", (writer, told))
    return closed


def test_the_first_version_s_log_is_brought_up_to_date(
    place: Any, tmp_path: Path, who: Who, what: What
) -> None:
    """No record changes, all chains verify, new ones go on, and the writer may append only."""
    wanted = shape(place)
    closed = told_by_the_first(place, who, what)
    before = lines(place)
    run(place, migration(place.role, "tracewall_audit"))
    assert lines(place) == before and shape(place) == wanted
    with psycopg.connect(place.admin) as conn:
        heads = conn.execute("select closed from tracewall_audit.heads order by writer").fetchall()
    assert heads == [(True,), (False,)]
    with place.log() as log:
        log.outcome(log.intent(who, what), Ended(status="ok"))
        assert log.people.of("i", "ann").pseudonym.startswith("p-")
    report = verify(place.fetched(tmp_path))
    assert report.ok and len(report.files) == 3
    with psycopg.connect(place.writer, autocommit=True) as conn:
        for statement in (
            "select * from tracewall_audit.records",
            "update tracewall_audit.records set line = ''",
            "delete from tracewall_audit.records",
            "truncate tracewall_audit.heads",
            "insert into tracewall_audit.people values ('i', 's', 'p', '')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
        with pytest.raises(psycopg.errors.CheckViolation):
            again = (closed, 4, ['{"n":4,"prev":""}'])
            conn.execute("select tracewall_audit.append(%s, %s, %s)", again)


def test_the_script_may_be_run_again_and_again(place: Any, tmp_path: Path) -> None:
    """Also while a log is written, which goes on; nothing is made twice, and nothing is lost."""
    wanted = shape(place)
    with place.log() as log:
        log.people.of("i", "ann")
        for kind in ("policy_loaded", "unsafe"):
            log.incident(Incident(kind=kind))
            run(place, migration(place.role, "tracewall_audit"))
        known = log.people.of("i", "ann")
    assert shape(place) == wanted
    with place.log() as other:
        assert other.people.of("i", "ann") == known
    assert verify(place.fetched(tmp_path)).ok
    kinds = [each["incident"]["kind"] for each in records(tmp_path / "log") if "incident" in each]
    assert kinds == ["policy_loaded", "unsafe"]


def test_what_lacks_people_gets_them(place: Any) -> None:
    """The version before pseudonyms is brought up to date, too."""
    wanted = shape(place)
    run(place, SECOND)
    assert shape(place) != wanted
    run(place, migration(place.role, "tracewall_audit"))
    assert shape(place) == wanted


@pytest.mark.parametrize("ill", ["SCHEMA tracewall_audit", "TABLE tracewall_audit.records"])
def test_nobody_else_s_schema_becomes_a_log(place: Any, ill: str) -> None:
    """A schema or a table of it that is another role's is refused, and nothing is changed."""
    run(place, f"ALTER {ill} OWNER TO {place.role}")
    before = shape(place)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="run this as its owner"):
        run(place, migration(place.role, "tracewall_audit"))
    assert shape(place) == before
    run(place, f"ALTER {ill} OWNER TO current_user")
