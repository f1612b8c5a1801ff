"""The doors: what may go in, what comes out, and what stays psycopg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import tracewall
from tracewall import AsyncConnection
from tracewall.testing import TokenIssuer

SECRETS = "select run_id, api_key, user_email from traces.runs order by run_id limit 20"


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A connection of an analyst."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as made:
        yield made


@pytest.fixture
async def writer(guard: Any) -> AsyncIterator[Any]:
    """A connection of an operator, rolled back in the end."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.operator) as made:
        yield made
        await made.rollback()


def check_masked(guard: Any, rows: Any) -> None:
    """Check rows of `SECRETS`: masked, and the right ones."""
    raw = guard.raw(SECRETS)
    assert [row[0] for row in rows] == [row[0] for row in raw]
    for (_, key, mail), (_, raw_key, raw_mail) in zip(rows, raw, strict=True):
        assert key is None if raw_key is None else key.endswith(raw_key[-4:])
        assert raw_key is None or (key != raw_key and raw_key[:8] not in key)
        assert mail != raw_mail and mail.endswith(raw_mail.split("@")[1])


def forged(token: str) -> str:
    """Give a token whose signature was tampered with."""
    return token[:-40] + token[-40:-10].swapcase() + token[-10:]


async def test_fetchall_is_masked(conn: Any, guard: Any) -> None:
    """Rows come back with protected columns masked and the others as they are."""
    check_masked(guard, await (await conn.execute(SECRETS)).fetchall())


@pytest.mark.parametrize("binary", [False, True])
async def test_both_formats_are_masked(conn: Any, guard: Any, binary: bool) -> None:
    """Text and binary results are masked alike."""
    check_masked(guard, await (await conn.execute(SECRETS, binary=binary)).fetchall())


async def test_prepared_statements_are_masked(conn: Any, guard: Any) -> None:
    """A statement that psycopg prepares is masked at every execution."""
    for _ in range(8):
        check_masked(guard, await (await conn.execute(SECRETS, prepare=True)).fetchall())


async def test_every_fetch_method_is_masked(conn: Any, guard: Any) -> None:
    """fetchone, fetchmany, iteration and scrolling give masked rows."""
    cursor = await conn.execute(SECRETS)
    rows = [await cursor.fetchone(), *await cursor.fetchmany(5)]
    rows += [row async for row in cursor]
    check_masked(guard, rows)
    await cursor.scroll(0, mode="absolute")
    check_masked(guard, await cursor.fetchall())


async def test_stream_is_masked(conn: Any, guard: Any) -> None:
    """Rows that are streamed are masked one by one."""
    check_masked(guard, [row async for row in conn.cursor().stream(SECRETS)])


async def test_a_broken_off_stream_ends_well(conn: Any, guard: Any) -> None:
    """Breaking out of a stream leaves a usable connection and a recorded outcome."""
    async for _ in conn.cursor().stream(SECRETS):
        break
    check_masked(guard, await (await conn.execute(SECRETS)).fetchall())


async def test_executemany_returning_is_masked(conn: Any, guard: Any) -> None:
    """Each result of an executemany is masked."""
    ids = [row[0] for row in guard.raw(SECRETS)]
    cursor = conn.cursor()
    query = "select run_id, api_key, user_email from traces.runs where run_id = %s"
    await cursor.executemany(query, [(each,) for each in ids], returning=True)
    rows = []
    while True:
        rows += await cursor.fetchall()
        if not cursor.nextset():
            break
    check_masked(guard, rows)


async def test_executemany_without_anything_to_do_sends_nothing(conn: Any, guard: Any) -> None:
    """An empty sequence of parameters is no statement: nothing is sent, judged or recorded."""
    before = guard.recorded().count('"kind":"intent"')
    await conn.cursor().executemany("delete from traces.runs where run_id = %s", [])
    assert guard.recorded().count('"kind":"intent"') == before
    with pytest.raises(psycopg.Error):
        await conn.cursor().executemany("delete from traces.runs where run_id = %s", [("a",)])
    assert guard.recorded().count('"kind":"intent"') > before


async def test_a_pipeline_masks_each_result_by_its_own_judgement(conn: Any, guard: Any) -> None:
    """In a pipeline, results that come late are masked as their own statement was judged."""
    clear = "select run_id, model, operation from traces.runs order by run_id limit 20"
    async with conn.pipeline():
        first, second, third = conn.cursor(), conn.cursor(), conn.cursor()
        await first.execute(SECRETS)
        await second.execute(clear)
        await third.execute(SECRETS)
    check_masked(guard, await first.fetchall())
    assert await second.fetchall() == guard.raw(clear)
    check_masked(guard, await third.fetchall())


async def test_one_cursor_used_twice_in_a_pipeline_never_mixes_judgements(
    conn: Any, guard: Any
) -> None:
    """A cursor that sends again before its first result came shows neither result unmasked."""
    keys = {row[1] for row in guard.raw(SECRETS) if row[1]}
    cursor = conn.cursor()
    async with conn.pipeline():
        await cursor.execute("select api_key from traces.runs order by run_id limit 20")
        await cursor.execute("select model from traces.runs order by run_id limit 20")
        seen = await cursor.fetchall()
    seen += await cursor.fetchall()
    assert not keys & {row[0] for row in seen}


async def test_row_factories_get_masked_values(conn: Any, guard: Any) -> None:
    """A row factory of the caller's sees masked values only."""
    seen: list[Any] = []

    def spy(cursor: Any) -> Any:
        def make(values: Any) -> Any:
            seen.append(tuple(values))
            return dict(zip([c.name for c in cursor.description or []], values, strict=False))

        return make

    cursor = conn.cursor(row_factory=spy)
    rows = await (await cursor.execute(SECRETS)).fetchall()
    check_masked(guard, seen)
    assert rows[0].keys() == {"run_id", "api_key", "user_email"}


async def test_loaders_of_the_caller_never_see_a_masked_column(conn: Any, guard: Any) -> None:
    """A loader registered before or after the result came gets no raw value of a masked column."""
    seen: list[bytes] = []

    class Spy(psycopg.adapt.Loader):
        def load(self, data: Any) -> str:
            seen.append(bytes(data))
            return "spied"

    conn.adapters.register_loader("text", Spy)
    cursor = await conn.execute(SECRETS)
    before = await cursor.fetchall()
    cursor = await conn.execute(SECRETS)
    cursor.adapters.register_loader("text", Spy)
    after = await cursor.fetchall()
    check_masked(guard, before)
    check_masked(guard, after)
    assert seen == []


async def test_a_statement_that_is_sent_again_is_masked_again(conn: Any, guard: Any) -> None:
    """One cursor gives the same masked rows each time, in either format, for any parameter type."""

    class Name:
        pass

    class Dumper(psycopg.adapt.Dumper):
        oid = 25

        def dump(self, obj: Any) -> bytes:
            return b"%"

    cursor = conn.cursor()
    query = SECRETS.replace("order by", "where coalesce(model, '') like %s order by")
    found = []
    for binary in (False, True, False):
        await cursor.execute(query, ["%"], binary=binary)
        found.append(await cursor.fetchall())
    cursor.adapters.register_dumper(Name, Dumper)
    await cursor.execute(query, [Name()])
    found.append(await cursor.fetchall())
    check_masked(guard, found[0])
    assert found == [found[0]] * 4


async def test_loaders_of_the_caller_serve_clear_columns(conn: Any) -> None:
    """Adaptation that the caller set up works on columns that are not masked."""

    class Shout(psycopg.adapt.Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode().upper()

    conn.adapters.register_loader("text", Shout)
    (row,) = await (await conn.execute("select model from traces.runs limit 1")).fetchall()
    assert row[0] == row[0].upper()


async def test_json_is_searched(conn: Any, guard: Any) -> None:
    """Planted secrets in JSON documents and free text don't come back."""
    planted = {each.value for each in guard.store.planted}
    whole = ""
    for table, column in (
        ("steps", "content"),
        ("messages", "parts"),
        ("tool_calls", "arguments"),
        ("tool_calls", "result"),
    ):
        count = guard.raw(f"select count(*) from traces.{table}")[0][0]
        for start in range(0, count, 100):
            query = f"select {column} from traces.{table} order by 1 limit 100 offset {start}"
            whole += repr(await (await conn.execute(query)).fetchall())
    assert planted
    assert [value for value in planted if value in whole] == []


async def test_a_refusal_comes_before_anything_is_sent(conn: Any) -> None:
    """A refused statement leaves the connection idle: not even BEGIN was sent."""
    with pytest.raises(tracewall.Forbidden) as refused:
        await conn.execute("delete from traces.runs")
    assert refused.value.sqlstate == "42501"
    assert refused.value.decision.rule == "default"
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_a_refusal_leaves_the_transaction_whole(writer: Any) -> None:
    """Inside a transaction a refusal changes nothing: what was done can be committed."""
    sql = "update traces.steps set tokens = tokens where seq = 0"
    changed = (await writer.execute(sql)).rowcount
    with pytest.raises(tracewall.Forbidden):
        await writer.execute("drop table traces.steps")
    assert writer.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert (await writer.execute(sql)).rowcount == changed > 0


async def test_writes_go_through_and_returning_is_masked(writer: Any, guard: Any) -> None:
    """INSERT, UPDATE and DELETE work where granted; RETURNING is masked like a SELECT."""
    (run,) = guard.raw("select run_id from traces.runs limit 1")[0]
    cursor = await writer.execute(
        "insert into traces.steps (run_id, seq, kind, content, started_at, duration_ms, tokens)"
        " values (%s, 99999, 'reasoning', %s, now(), 1, 1) returning content, seq",
        (run, "write to someone@example.com now"),
    )
    ((content, seq),) = await cursor.fetchall()
    assert (content, seq) == ("write to [email] now", 99999)
    cursor = await writer.execute("update traces.steps set tokens = 2 where seq = 99999")
    assert cursor.rowcount == 1
    cursor = await writer.execute("delete from traces.steps where seq = 99999")
    assert cursor.rowcount == 1


async def test_too_many_rows_are_withheld(conn: Any) -> None:
    """A result over the policy's limit of rows is withheld whole, also from a later fetch."""
    cursor = conn.cursor()
    with pytest.raises(tracewall.Withheld, match="150 rows"):
        await cursor.execute("select run_id from traces.runs")
    with pytest.raises(psycopg.ProgrammingError):
        await cursor.fetchall()


async def test_a_stream_stops_at_the_limit(conn: Any) -> None:
    """A stream delivers no row beyond the policy's limit."""
    seen = 0
    with pytest.raises(tracewall.Withheld):
        async for _ in conn.cursor().stream("select run_id from traces.runs"):
            seen += 1
    assert seen == 150
    # psycopg cancels what is left of a stream: whether that came too late is the server's word.
    await conn.rollback()
    assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_several_statements_are_refused(conn: Any) -> None:
    """One execute sends one statement, parameters or not."""
    for params in (None, ()):
        with pytest.raises(tracewall.Unreadable):
            await conn.execute("select 1; select 2", params)


async def test_errors_hold_no_value(conn: Any, writer: Any, guard: Any) -> None:
    """A server's error keeps its class and SQLSTATE, and loses every value."""
    (run,) = guard.raw("select run_id from traces.runs limit 1")[0]
    with pytest.raises(psycopg.errors.UniqueViolation) as failed:
        await writer.execute(
            "insert into traces.steps (run_id, seq, kind, content, started_at, duration_ms, tokens)"
            " values (%s, 0, 'reasoning', 'CANARY', now(), 1, 1)",
            (run,),
        )
    error = failed.value
    told = repr(error) + str(error) + repr(error.args) + repr(vars(error))
    told += "".join(str(getattr(error.diag, name)) for name in dir(error.diag) if name[0] != "_")
    assert error.sqlstate == "23505" and error.diag.table_name == "steps"
    assert "CANARY" not in told and str(run) not in told
    assert error.pgresult is None and error.pgconn is None
    assert error.__cause__ is None and error.__context__ is None
    await writer.rollback()


async def test_a_cursor_factory_is_taken_in(conn: Any, guard: Any) -> None:
    """Whatever cursor class a program asks for comes out guarded, and still is that class."""

    class Mine(psycopg.AsyncCursor[Any]):
        def hello(self) -> str:
            return "hello"

    for kind in (Mine, psycopg.AsyncClientCursor, psycopg.AsyncRawCursor):
        conn.cursor_factory = kind
        cursor = conn.cursor()
        assert isinstance(cursor, kind)
        check_masked(guard, await (await cursor.execute(SECRETS)).fetchall())
    conn.cursor_factory = Mine
    assert conn.cursor().hello() == "hello"


async def test_a_client_cursor_is_judged_after_binding(conn: Any) -> None:
    """What a client-side cursor binds into the text is judged as part of it."""
    cursor = tracewall.AsyncClientCursor(conn)
    trick = psycopg.sql.SQL("client_ip")
    with pytest.raises(tracewall.Forbidden):
        await cursor.execute(psycopg.sql.SQL("select {} from traces.runs").format(trick))
    query = "select model from traces.runs where model = %s limit 1"
    await cursor.execute(query, ("nobody's",))
    assert await cursor.fetchall() == []


async def test_a_query_that_changes_its_mind_is_judged_as_sent(conn: Any, guard: Any) -> None:
    """A query object that answers differently when asked again gains nothing."""

    class Fickle(str):
        asked = 0

        def encode(self, *given: Any, **named: Any) -> bytes:
            Fickle.asked += 1
            harmless = b"select 'a', 'b', 'c@d.ef'"
            return harmless if Fickle.asked == 1 else SECRETS.encode()

    class Sly(bytes):
        def __bytes__(self) -> bytes:
            return b"select 1"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash(b"select 1")

    raw = {row[1] for row in guard.raw(SECRETS) if row[1]}
    for query in (Fickle(SECRETS), Sly(SECRETS.encode())):
        for _ in range(3):
            rows = await (await conn.execute(query)).fetchall()
            assert not raw & {row[1] for row in rows}


async def test_parameters_cannot_look_up_names(conn: Any) -> None:
    """A parameter typed regclass or the like, which would tell what exists, is refused."""

    class Prober(psycopg.adapt.Dumper):
        oid = psycopg.adapters.types["regclass"].oid

        def dump(self, obj: Any) -> bytes:
            return obj.name.encode()

    class Name:
        def __init__(self, name: str) -> None:
            self.name = name

    conn.adapters.register_dumper(Name, Prober)
    for name in ("traces.runs", "traces.none"):
        with pytest.raises(tracewall.Forbidden, match="looks names up"):
            await conn.execute("select %s", (Name(name),))
        with pytest.raises(tracewall.Forbidden, match="looks names up"):
            await conn.cursor().executemany("select %s", [("harmless",), (Name(name),)])
        await conn.rollback()


async def test_nothing_of_the_credential_shows(conn: Any, guard: Any) -> None:
    """Neither the connection's words about itself nor its errors hold the password."""
    secret = guard.store.password
    told = [repr(conn), conn.info.dsn, str(conn.info.get_parameters()), conn.info.password]
    with pytest.raises(tracewall.Forbidden) as refused:
        await conn.execute("select client_ip from traces.runs")
    told.append(repr(refused.value))
    assert conn.info.password == ""
    assert all(secret not in each for each in told)


async def test_the_caller_cannot_choose_where_to_log_in(guard: Any) -> None:
    """Host, port, database, role and password are the wall's; the credential goes nowhere else."""
    token = guard.analyst
    for option in (
        {"host": "evil.example"},
        {"hostaddr": "192.0.2.1"},
        {"user": "postgres"},
        {"dbname": "template1"},
        {"password": "guessed"},
        {"options": "-c search_path=evil"},
        {"service": "evil"},
        {"passfile": "evil"},
        {"sslmode": "disable"},
    ):
        with pytest.raises(tracewall.Forbidden):
            await AsyncConnection.connect(wall=guard.wall, token=token, **option)
    with pytest.raises(tracewall.Forbidden):
        await AsyncConnection.connect("host=evil.example", wall=guard.wall, token=token)


async def test_harmless_options_are_the_callers(guard: Any) -> None:
    """A program's application_name and timeouts go through, as do psycopg's own options."""
    made = await AsyncConnection.connect(
        "application_name=mine connect_timeout=5",
        wall=guard.wall,
        token=guard.analyst,
        autocommit=True,
        row_factory=dict_row,
    )
    async with made as conn:
        assert conn.info.get_parameters()["application_name"] == "mine"
        rows = await (await conn.execute("select 1 as one")).fetchall()
        assert rows == [{"one": 1}]


async def test_a_failed_log_in_shows_no_credential(guard: Any, store: Any, tmp_path: Any) -> None:
    """When the server can't be reached, the error holds neither password nor connection."""
    policy = tmp_path / "elsewhere.toml"
    text = (guard.folder / "tracewall.toml").read_text().replace("jwks.json", "keys")
    text = text.replace(store.dsn, f"host={tmp_path} dbname=traces user=nobody")
    policy.write_text(text)
    guard.issuer.write_jwks(tmp_path / "keys")
    with tracewall.Wall.load(policy, password=lambda: "PASSWORD-CANARY") as wall:
        with pytest.raises(psycopg.OperationalError) as failed:
            await AsyncConnection.connect(wall=wall, token=guard.analyst)
    assert failed.value.pgconn is None
    assert "PASSWORD-CANARY" not in repr(vars(failed.value)) + str(failed.value)
    assert failed.value.__context__ is None


async def test_without_a_token_nothing_is_judged(guard: Any) -> None:
    """A connection without a token serves nobody until somebody acts on it."""
    async with await AsyncConnection.connect(wall=guard.wall) as conn:
        with pytest.raises(tracewall.TokenRejected) as refused:
            await conn.execute("select 1")
        assert refused.value.reason == "missing" and refused.value.sqlstate == "28000"
        with guard.wall.acting_as(guard.analyst, purpose="a test"):
            check_masked(guard, await (await conn.execute(SECRETS)).fetchall())
        with pytest.raises(tracewall.TokenRejected):
            await conn.execute("select 1")


async def test_who_acts_may_change_between_statements(guard: Any) -> None:
    """Each statement on a shared connection is judged for whoever acts then."""
    async with await AsyncConnection.connect(wall=guard.wall) as conn:
        with guard.wall.acting_as(guard.operator):
            await conn.execute("select client_ip from traces.runs limit 1")
        with guard.wall.acting_as(guard.analyst), pytest.raises(tracewall.Forbidden):
            await conn.execute("select client_ip from traces.runs limit 1")


async def test_the_connections_own_token_wins(guard: Any) -> None:
    """A connection made with a token never acts for anybody else."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        with guard.wall.acting_as(guard.operator), pytest.raises(tracewall.Forbidden):
            await conn.execute("select client_ip from traces.runs limit 1")


async def test_a_bad_token_makes_no_connection(guard: Any) -> None:
    """A token that is refused is refused before anything connects, with a stable code."""
    for token, reason in (
        (forged(guard.analyst), "bad_signature"),
        ("nonsense", "malformed"),
        (guard.issuer.mint("someone", [], audience="another"), "wrong_audience"),
    ):
        with pytest.raises(tracewall.TokenRejected) as refused:
            await AsyncConnection.connect(wall=guard.wall, token=token)
        assert refused.value.reason == reason
        assert token not in str(refused.value)


async def test_a_wall_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wall there is no connection: no unguarded mode."""
    monkeypatch.delenv("TRACEWALL_CONFIG", raising=False)
    with pytest.raises(tracewall.PolicyError, match="no unguarded mode"):
        await AsyncConnection.connect("dbname=traces")


async def test_every_statement_is_recorded(guard: Any) -> None:
    """Intent and outcome of each statement are in the record, refused ones too, without values."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        await conn.execute("select model from traces.runs where model = %s", ("PARAM-CANARY",))
        await conn.execute("select model from traces.runs where model = 'LITERAL-CANARY'")
        with pytest.raises(tracewall.Forbidden):
            await conn.execute("delete from traces.runs where status = 'LITERAL-CANARY'")
        session = conn._session.id
    told = guard.recorded()
    mine = [line for line in told.splitlines() if session in line]
    intents = [line for line in mine if '"kind":"intent"' in line]
    assert len(intents) == 4, "the two reads, the refusal and the commit"
    assert '"decision":"forbidden"' in intents[2] and '"decision":"allowed"' in intents[0]
    assert '"status":"refused"' in told and '"status":"ok"' in told
    assert "CANARY" not in told


async def test_transactions_and_savepoints_work(writer: Any) -> None:
    """psycopg's transaction blocks work, nested and with awkward names."""
    async with writer.transaction():
        async with writer.transaction('sp"; drop table x; --'):
            await writer.execute("select 1")
        with pytest.raises(ZeroDivisionError):
            async with writer.transaction():
                raise ZeroDivisionError
    await writer.commit()


async def test_notices_hold_no_value(guard: Any, store: Any) -> None:
    """What a trigger says in a notice does not reach the caller's notice handlers."""
    guard.raw(
        "create function traces.shout() returns trigger language plpgsql as"
        " $$ begin raise notice 'NOTICE-CANARY %', new.content; return new; end $$"
    )
    guard.raw(
        "create trigger shout before update on traces.steps"
        " for each row execute function traces.shout()"
    )
    try:
        heard: list[Any] = []
        made = await AsyncConnection.connect(wall=guard.wall, token=guard.operator)
        async with made as conn:
            conn.add_notice_handler(heard.append)
            await conn.execute("update traces.steps set tokens = tokens where seq = 0")
            await conn.rollback()
        assert heard and heard[0].severity_nonlocalized == "NOTICE"
        told = "".join(
            str(getattr(each, name)) for each in heard for name in dir(each) if name[0] != "_"
        )
        assert "CANARY" not in told
    finally:
        guard.raw("drop function traces.shout() cascade")


async def test_a_changed_table_is_noticed(guard: Any) -> None:
    """A table that appears, and a column added under a star, are judged as they are now."""
    guard.raw("create table traces.fresh (a int)")
    guard.raw(f'grant select on traces.fresh to "{guard.store.role}"')
    guard.raw("insert into traces.fresh values (1)")
    try:
        made = await AsyncConnection.connect(wall=guard.wall, token=guard.analyst)
        async with made as conn:
            assert await (await conn.execute("select * from traces.fresh")).fetchall() == [(1,)]
            await conn.commit()
            guard.raw("alter table traces.fresh add column b text default 'later'")
            with pytest.raises(tracewall.Withheld):
                await conn.execute("select * from traces.fresh")
            await conn.rollback()
            assert await (await conn.execute("select * from traces.fresh")).fetchall()
            await conn.commit()
            guard.raw("alter table traces.fresh add column c text default 'latest'")
            seen: list[Any] = []
            curious = conn.cursor(row_factory=lambda cursor: seen.append(cursor) or tuple)
            with pytest.raises(tracewall.Withheld):
                async for _ in curious.stream("select * from traces.fresh"):
                    pass
            assert not seen
            await conn.rollback()
            guard.raw("alter table traces.fresh drop column c")
            conn._session.known.doubt()
            cursor = await conn.execute("select * from traces.fresh")
            assert await cursor.fetchall() == [(1, "later")]
    finally:
        guard.raw("drop table traces.fresh")


async def test_keys_rotate_while_connections_are_open(guard: Any, tmp_path: Any) -> None:
    """A token signed by a new key is accepted; one whose key is withdrawn ends at once."""
    issuer = TokenIssuer("https://idp.test")
    issuer.write_jwks(tmp_path / "jwks.json")
    policy = tmp_path / "tracewall.toml"
    policy.write_text((guard.folder / "tracewall.toml").read_text())
    with tracewall.Wall.load(policy, password=lambda: guard.store.password) as wall:
        old = issuer.mint("someone", ["analysts"], audience="traces")
        async with await AsyncConnection.connect(wall=wall, token=old, autocommit=True) as conn:
            await conn.execute("select 1")
            issuer.rotate()
            issuer.withdraw()
            issuer.write_jwks(tmp_path / "jwks.json")
            new = issuer.mint("someone", ["analysts"], audience="traces")
            other = await AsyncConnection.connect(wall=wall, token=new)
            async with other:
                await other.execute("select 1")
            with pytest.raises(tracewall.TokenRejected) as refused:
                await conn.execute("select 1")
            assert refused.value.reason == "key_withdrawn"


async def test_a_policy_that_fits_no_more_refuses(guard: Any) -> None:
    """When the database changes so that a rule matches nothing, statements are refused."""
    made = await AsyncConnection.connect(wall=guard.wall, token=guard.analyst, autocommit=True)
    async with made as conn:
        await conn.execute("select api_key from traces.runs limit 1")
        guard.raw("alter table traces.runs rename column api_key to renamed_key")
        try:
            conn._session.known.doubt()
            with pytest.raises(tracewall.Forbidden, match="does not fit") as refused:
                await conn.execute("select renamed_key from traces.runs limit 1")
            assert "api_key" not in str(refused.value) and refused.value.__context__ is None
        finally:
            guard.raw("alter table traces.runs rename column renamed_key to api_key")
        await conn.execute("select api_key from traces.runs limit 1")


@pytest.mark.parametrize("returning", [True, False])
async def test_a_client_cursors_batch_is_judged_row_by_row(
    conn: Any, guard: Any, returning: bool
) -> None:
    """Each row of a client-side executemany is a text of its own: judged, masked and recorded."""
    ids = [row[0] for row in guard.raw(SECRETS)][:3]
    query = "select run_id, api_key, user_email from traces.runs where run_id = %s"
    before = guard.recorded().count('"kind":"outcome"')
    cursor = tracewall.AsyncClientCursor(conn)
    await cursor.executemany(query, [(each,) for each in ids], returning=returning)
    rows = []
    while returning:
        rows += await cursor.fetchall()
        if not cursor.nextset():
            break
    assert [row[0] for row in rows] == (ids if returning else [])
    keys = {row[1] for row in guard.raw(SECRETS) if row[1]}
    assert not keys & {row[1] for row in rows}
    assert guard.recorded().count('"kind":"outcome"') == before + 3
