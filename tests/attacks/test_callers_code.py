"""Attacks by what a program passes to psycopg: its loaders, factories, cursors, and objects.

The statement of each is one that is allowed and masked; what the program brings along must
see no more of it than the rows that it is given.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.adapt import Dumper, Loader
from psycopg.rows import args_row, class_row, dict_row, kwargs_row, namedtuple_row
from psycopg.types import json as psycopg_json

import tracewall
from tracewall import errors

MASKED = "SELECT secret, token, salary, born, pins, notes, doc, name FROM lab.people ORDER BY id"
LOST = "SELECT secret FROM lab.people UNION ALL SELECT secret FROM lab.people"
"""The server tells no column's origin for a UNION, so that only the judgement can mask it."""

CLEAR = "SELECT name || '' FROM lab.people"
TYPES = ("text", "varchar", "int4", "int8", "numeric", "date", "json", "jsonb", "bool")


class Spy:
    """Keeps all that a program's own code has seen."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def loader(self) -> type[Loader]:
        seen = self.seen

        class Spying(Loader):
            def load(self, data: Any) -> Any:
                seen.append(bytes(data))
                return bytes(data).decode()

        return Spying

    def binary_loader(self) -> type[Loader]:
        base = self.loader()
        return type("SpyingBinary", (base,), {"format": psycopg.pq.Format.BINARY})


@pytest.fixture
def conn(lab: Any) -> Iterator[tracewall.Connection[Any]]:
    """A guarded connection of one's own."""
    with lab.guards[0].connect() as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def leaks(lab: Any) -> Callable[[object], set[str]]:
    """Tell what leaks."""
    return lab.worlds[0].leaks


def attempt(act: Callable[[], object]) -> list[object]:
    """Do something, and give what it gave or all that its error tells."""
    try:
        return [act()]
    except Exception as error:
        told: list[object] = []
        chain: BaseException | None = error
        while chain is not None:
            told += [chain, chain.args, vars(chain)]
            chain = chain.__cause__ or chain.__context__
        return told


def register(target: Any, spy: Spy) -> None:
    """Register loaders for every type that there is, and for numbers that types might have."""
    for name in (*TYPES, 0, 705, *range(0xF000_0000, 0xF000_0010)):
        target.adapters.register_loader(name, spy.loader())
        target.adapters.register_loader(name, spy.binary_loader())


def test_a_cursor_shows_masked_rows(conn: Any, leaks: Any, lab: Any) -> None:
    """The statement that the others use gives masked rows here, and raw ones on plain psycopg."""
    assert leaks(lab.worlds[0].plain.execute(MASKED).fetchall())
    assert leaks(lab.worlds[0].plain.execute(LOST).fetchall())
    rows = conn.execute(MASKED).fetchall()
    assert [row[-1] for row in rows] == ["name1", "name2", "name3", "name4"]
    assert not leaks(rows)
    assert not leaks(conn.execute(LOST).fetchall())


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("where", ["connection", "cursor", "late", "between"])
def test_loaders_see_no_masked_value(conn: Any, leaks: Any, where: str, binary: bool) -> None:
    """Loaders registered before, after or between fetches see clear columns only."""
    spy, told = loaded(conn, where, binary)
    assert not leaks(told)
    assert not leaks(spy.seen)
    # Before 3.3 psycopg asks no loader that comes after the result.
    late = where in ("late", "between") and psycopg.__version__ < "3.3"
    assert late or any(b"name" in seen for seen in spy.seen)


def loaded(conn: Any, where: str, binary: bool) -> tuple[Spy, list[object]]:
    """Fetch with loaders that were registered then; give them, and what was fetched."""
    spy = Spy()
    if where == "connection":
        register(conn, spy)
    cursor = conn.cursor(binary=binary)
    if where == "cursor":
        register(cursor, spy)
    cursor.execute(MASKED)
    told: list[object] = [cursor.fetchone()] if where == "between" else []
    if where in ("late", "between"):
        register(cursor, spy)
    return spy, told + attempt(cursor.fetchall)


def test_loaders_by_name_of_type_see_no_masked_value(conn: Any, leaks: Any) -> None:
    """A loader registered in the row factory, while rows are made, sees no masked value."""
    spy = Spy()

    def meddling(cursor: Any) -> Callable[[Any], Any]:
        register(cursor, spy) if not spy.seen else None
        spy.seen.append(b"made")

        def make(values: Any) -> Any:
            cursor.adapters.register_loader("text", spy.loader())
            return tuple(values)

        return make

    cursor = conn.cursor()
    cursor.row_factory = meddling
    told = attempt(lambda: cursor.execute(MASKED).fetchmany(2))
    told += attempt(cursor.fetchall)
    assert not leaks(told)
    assert not leaks(spy.seen)


def test_json_callbacks_see_no_masked_document(conn: Any, leaks: Any) -> None:
    """JSON functions set for a cursor, a connection or everywhere see no scanned document."""
    spy = Spy()

    def loads(data: Any) -> Any:
        spy.seen.append(bytes(data) if not isinstance(data, str) else data)
        return json.loads(data)

    psycopg_json.set_json_loads(loads, conn)
    told = [conn.execute("SELECT doc FROM lab.people").fetchall()]
    cursor = conn.cursor(binary=True)
    psycopg_json.set_json_loads(loads, cursor)
    told.append(cursor.execute("SELECT doc FROM lab.people").fetchall())
    before = psycopg_json._JsonLoader._loads
    psycopg_json.set_json_loads(loads)
    try:
        with tracewall_like(conn) as fresh:
            told.append(fresh.execute("SELECT doc, doc FROM lab.people").fetchall())
            told.append(fresh.execute("SELECT to_json(doc) FROM lab.people").fetchall())
    finally:
        psycopg_json.set_json_loads(before)
    assert not leaks(told)
    assert not leaks(spy.seen)


def tracewall_like(conn: Any) -> Any:
    """Give another guarded connection of the same wall and token."""
    session = conn._session
    return tracewall.connect(wall=session.wall, token=session.caller.bearer().token)


def test_loaders_registered_before_tracewall_is_imported_see_nothing(lab: Any, leaks: Any) -> None:
    """A program that spoils psycopg's own adapters before it imports tracewall gains nothing."""
    guard = lab.guards[0]
    token = guard.issuer.mint("mallory", ["readers"], audience="lab")
    policy = str(guard.record.parent / "policy.toml")
    program = f"""
import psycopg, json
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads
seen = []
class Spying(Loader):
    def load(self, data):
        seen.append(bytes(data))
        return bytes(data).decode()
for name in {TYPES!r}:
    psycopg.adapters.register_loader(name, Spying)
set_json_loads(lambda data: seen.append(bytes(data)) or json.loads(data))
import tracewall
with (
    tracewall.Wall.load({policy!r}, password=lambda: "hush") as wall,
    tracewall.connect(wall=wall, token={token!r}) as conn,
):
    rows = conn.execute({MASKED!r}).fetchall()
print(rows, seen)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "name1" in done.stdout, done.stderr
    assert not leaks([done.stdout, done.stderr])


@pytest.mark.parametrize("kind", ["dict", "class", "args", "kwargs", "namedtuple", "own", "late"])
def test_row_factories_get_masked_values(conn: Any, leaks: Any, kind: str) -> None:
    """Whatever makes the rows is given masked values."""
    seen: list[object] = []

    class Row:
        def __init__(self, **values: Any) -> None:
            seen.append(values)

    def taking(*values: Any, **named: Any) -> Any:
        seen.append((values, named))
        return values

    def own(cursor: Any) -> Callable[[Any], Any]:
        seen.append(cursor.description)
        return taking

    factories: dict[str, Any] = {
        "dict": dict_row,
        "class": class_row(Row),
        "args": args_row(taking),
        "kwargs": kwargs_row(taking),
        "namedtuple": namedtuple_row,
        "own": own,
        "late": dict_row,
    }
    cursor = conn.cursor(row_factory=factories[kind])
    cursor.execute(MASKED)
    if kind == "late":
        cursor.row_factory = own
    seen += cursor.fetchall()
    assert not leaks(seen)
    assert len(seen) >= 4


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_masked_value_that_cannot_be_read_is_told_to_nobody(conn: Any, at: int) -> None:
    """A value that psycopg can't load is withheld, and no error or context repeats it."""
    query = f"SELECT born FROM lab.odd WHERE id = {at}"
    told = attempt(conn.execute(query).fetchone)
    told += attempt(lambda: list(conn.cursor().stream(query)))
    told += attempt(conn.cursor(binary=True).execute(query).fetchall)
    assert isinstance(told[0], errors.Withheld) or told[0] == (None,)
    for value in ("infinity", "21234", "0044", "44-03-15"):
        assert value not in repr(told)


# --- cursors that are not ours ---------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        psycopg.Cursor,
        psycopg.ClientCursor,
        psycopg.RawCursor,
        psycopg.ServerCursor,
        psycopg.RawServerCursor,
    ],
)
def test_psycopgs_own_cursors_show_masked_rows_only(conn: Any, leaks: Any, kind: Any) -> None:
    """A cursor that was made behind the guard's back is taken in, or sends nothing."""
    named = ("stolen",) if issubclass(kind, (psycopg.ServerCursor, psycopg.RawServerCursor)) else ()
    told: list[object] = []
    for act in (
        lambda cursor: cursor.execute(LOST).fetchall(),
        lambda cursor: list(cursor.stream(LOST)),
        lambda cursor: cursor.fetchall(),
        lambda cursor: cursor.executemany(LOST, [()], returning=True),
        lambda cursor: cursor.copy(f"COPY ({LOST}) TO STDOUT").__enter__(),
    ):
        with kind(conn, *named) as cursor:
            told += attempt(lambda a=act, c=cursor: a(c))
        conn.rollback()
    assert "[redacted]" in repr(told) or isinstance(told[0], errors.Forbidden)
    assert not leaks(told)


@pytest.mark.parametrize("kind", [psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor])
def test_cursor_factories_are_taken_in(lab: Any, conn: Any, leaks: Any, kind: Any) -> None:
    """A cursor class that is passed or assigned makes guarded cursors, subclasses included."""

    class Chatty(kind):  # type: ignore[misc,valid-type]
        def execute(self, *args: Any, **options: Any) -> Any:
            return super().execute(*args, **options)

    for factory in (kind, Chatty):
        conn.cursor_factory = factory
        assert issubclass(conn.cursor_factory, factory)
        assert not leaks(conn.execute(LOST).fetchall())
        assert not leaks(list(conn.cursor().stream(LOST)))
        with lab.guards[0].connect(cursor_factory=factory) as other:
            assert not leaks(other.execute(LOST).fetchall())
            assert not leaks(other.execute(MASKED).fetchall())


def test_a_cursor_closed_while_it_renders_leaves_no_door_open(conn: Any, leaks: Any) -> None:
    """Code that runs while a statement is rendered can't let an unguarded cursor in after it."""

    class Closing:
        pass

    def dumper(cursor: Any) -> type[Dumper]:
        class ClosingDumper(Dumper):
            oid = 25

            def dump(self, obj: Any) -> bytes:
                cursor.close()
                return b"x"

        return ClosingDumper

    class ClosingList(list[Any]):
        def __len__(self) -> int:
            self.cursor.close()  # type: ignore[attr-defined]
            return super().__len__()

    doors: list[Callable[[Any, Any], Any]] = [
        lambda cursor, params: cursor.execute("SELECT %s::text", params),
        lambda cursor, params: list(cursor.stream("SELECT %s::text", params)),
        lambda cursor, params: cursor.executemany("SELECT %s::text", [params], returning=True),
        lambda cursor, params: cursor.copy("COPY drafts TO STDOUT", params).__enter__(),
    ]
    for door in doors:
        cursor = conn.cursor()
        cursor.adapters.register_dumper(Closing, dumper(cursor))
        attempt(lambda c=cursor, d=door: d(c, [Closing()]))
        told = attempt(lambda: psycopg.Cursor(conn).execute(LOST).fetchall())
        cursor = conn.cursor()
        params = ClosingList(["x"])
        params.cursor = cursor  # type: ignore[attr-defined]
        attempt(lambda c=cursor, d=door, p=params: d(c, p))
        told += attempt(lambda: psycopg.Cursor(conn).execute(LOST).fetchall())
        assert not leaks(told)


# --- objects that change ----------------------------------------------------------------


def changing(first: bytes, then: bytes) -> list[Any]:
    """Give queries that answer one thing the first time they are asked, and another after."""

    class Text(str):
        asked = 0

        def encode(self, *args: Any) -> bytes:
            Text.asked += 1
            return first if Text.asked == 1 else then

        def __str__(self) -> str:
            return first.decode()

    class Composed(sql.Composable):
        asked = 0

        def __init__(self) -> None:
            super().__init__("")

        def as_bytes(self, context: Any = None) -> bytes:
            Composed.asked += 1
            return first if Composed.asked % 2 else then

    class Bytes(bytes):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash(first)

        def strip(self, *args: Any) -> bytes:
            return first

        def decode(self, *args: Any) -> str:
            return first.decode()

    return [Text("SELECT 1"), Composed(), Bytes(then), bytearray(then), memoryview(then)]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize(
    "door", ["execute", "twice", "stream", "many", "prepared", "pipeline", "client"]
)
def test_what_is_judged_is_what_leaves(conn: Any, leaks: Any, at: int, door: str) -> None:
    """An object that changes between being judged and being sent sends what was judged."""
    query = changing(CLEAR.encode(), b"SELECT secret || '' FROM lab.people")[at]
    masked = changing(CLEAR.encode(), LOST.encode())[at]
    told: list[object] = []
    for one in (query, masked):
        cursor = psycopg.ClientCursor(conn) if door == "none" else conn.cursor()
        if door == "client":
            conn.cursor_factory = psycopg.ClientCursor
            cursor = conn.cursor()
        acts: dict[str, Callable[[], Any]] = {
            "execute": lambda c=cursor, q=one: c.execute(q).fetchall(),
            "client": lambda c=cursor, q=one: c.execute(q).fetchall(),
            "twice": lambda c=cursor, q=one: [c.execute(q).fetchall() for _ in range(3)],
            "prepared": lambda c=cursor, q=one: [
                c.execute(q, prepare=True).fetchall() for _ in range(3)
            ],
            "stream": lambda c=cursor, q=one: [list(c.stream(q)) for _ in range(2)],
            "many": lambda c=cursor, q=one: [
                c.executemany(q, [(), (), ()], returning=True),
                [c.fetchall() for _ in iter(c.nextset, None)],
            ],
            "pipeline": lambda c=cursor, q=one: piped(conn, [(c, q), (c, q)]),
        }
        told += attempt(acts[door])
        told += attempt(cursor.fetchall)
    assert not leaks(told)


def test_a_buffer_that_changes_after_it_was_judged_changes_nothing(conn: Any, leaks: Any) -> None:
    """A bytearray that a parameter's dumper rewrites was frozen before it is judged."""
    query = bytearray(b"SELECT name || '' FROM lab.people WHERE name <> %s")

    class Rewriting:
        pass

    class RewritingDumper(Dumper):
        oid = 25

        def dump(self, obj: Any) -> bytes:
            query[:] = b"SELECT secret || '' FROM lab.people WHERE name <> %s"
            return b"x"

    conn.adapters.register_dumper(Rewriting, RewritingDumper)
    told = attempt(lambda: conn.execute(query, (Rewriting(),)).fetchall())
    told += attempt(lambda: conn.execute(bytes(query), (Rewriting(),)).fetchall())
    assert not leaks(told)


def test_composed_names_and_literals_are_judged_after_composing(conn: Any, leaks: Any) -> None:
    """What is composed of parts is judged as the whole that it becomes."""
    conn.adapters.register_dumper(Unquoted, UnquotedDumper)
    for part in (
        sql.SQL("SELECT {} || '' FROM {}").format(
            sql.Identifier("secret"), sql.Identifier("lab", "people")
        ),
        sql.SQL("SELECT {} FROM lab.people").format(sql.SQL("secret || ''")),
        sql.SQL("SELECT {} FROM lab.people").format(sql.Literal(Unquoted())),
        sql.SQL("SELECT {} FROM lab.people").format(sql.Placeholder("a")),
        sql.Composed(
            [sql.SQL("SELECT upper("), sql.Identifier("secret"), sql.SQL(") FROM lab.people")]
        ),
    ):
        assert not leaks(attempt(lambda p=part: conn.execute(p, {"a": "x"}).fetchall()))
    conn.cursor_factory = psycopg.ClientCursor
    query = "SELECT %s FROM lab.people"
    assert not leaks(attempt(lambda: conn.execute(query, (Unquoted(),)).fetchall()))
    assert not leaks(attempt(lambda: conn.cursor().mogrify(query, (Unquoted(),))))


class Unquoted:
    """A value whose dumper quotes nothing."""


class UnquotedDumper(Dumper):
    def dump(self, obj: Any) -> bytes:
        return b"secret"

    def quote(self, obj: Any) -> bytes:
        return b"secret || ''"


# --- several statements on one cursor ------------------------------------------------------


def piped(conn: Any, sent: list[tuple[Any, Any]], **options: Any) -> list[object]:
    """Send statements through one pipeline, and fetch all that their cursors hold."""
    told: list[object] = []
    with conn.pipeline() as pipeline:
        for cursor, query in sent:
            told += attempt(lambda c=cursor, q=query: c.execute(q, **options))
        told += attempt(pipeline.sync)
        for cursor, _ in sent:
            told += attempt(cursor.fetchone)
            told += attempt(cursor.fetchall)
    return told


@pytest.mark.parametrize("prepare", [None, True, False])
@pytest.mark.parametrize("order", ["cm", "mc", "ccm", "mcm", "cmc", "mmc", "cmcm"])
def test_statements_of_one_pipeline_keep_their_masks(
    conn: Any, leaks: Any, order: str, prepare: bool | None
) -> None:
    """Each result in a pipeline is masked as its own statement was judged, in any order."""
    queries = {"c": CLEAR, "m": LOST}
    for cursors in (1, 2):
        made = [conn.cursor() for _ in range(cursors)]
        sent = [(made[at % cursors], queries[letter]) for at, letter in enumerate(order)]
        assert not leaks(attempt(lambda s=sent: piped(conn, s, prepare=prepare)))
        mixed = [(made[0], queries[letter]) for letter in order]
        with_first = attempt(lambda m=mixed: piped(conn, m[:1], prepare=True) + piped(conn, m))
        assert not leaks(with_first)


@pytest.mark.parametrize("first", ["masked", "clear"])
def test_batches_in_a_pipeline_keep_their_masks(conn: Any, leaks: Any, first: str) -> None:
    """Results that execute and executemany leave on one cursor keep each their own mask."""
    clear, masked = CLEAR + " WHERE id <> %s", LOST + " WHERE id <> %s"
    cursor = conn.cursor()

    def mixed() -> list[object]:
        told: list[object] = []
        with conn.pipeline() as pipeline:
            cursor.execute(LOST if first == "masked" else CLEAR)
            cursor.executemany(clear if first == "masked" else masked, [(9,), (8,)], returning=True)
            pipeline.sync()
            for at in (0, 1, 2, -1, 0):
                told += attempt(lambda n=at: cursor.set_result(n).fetchall())
        told += attempt(cursor.fetchall)
        return told

    assert not leaks(attempt(mixed))


class Nonsense:
    """A value whose dumper gives what can't be sent."""


@pytest.mark.parametrize("dumped", [5, "text", None, object(), memoryview(bytearray(3)), [b"a"]])
@pytest.mark.parametrize("oid", [25, 0, -1, 2**40, "text", None])
def test_a_send_that_fails_moves_no_result(lab: Any, leaks: Any, dumped: Any, oid: Any) -> None:
    """A statement that can't be sent does not make another's rows arrive under its name."""
    if isinstance(dumped, memoryview):
        dumped.release()

    class NonsenseDumper(Dumper):
        def dump(self, obj: Any) -> Any:
            return dumped

    NonsenseDumper.oid = oid
    told: list[object] = []
    with lab.guards[0].connect() as conn:
        attempt(lambda: conn.adapters.register_dumper(Nonsense, NonsenseDumper))
        first, second, third = (conn.cursor() for _ in range(3))

        def act() -> None:
            with conn.pipeline():
                told.extend(
                    attempt(lambda: first.execute(CLEAR + " WHERE name <> %s", (Nonsense(),)))
                )
                told.extend(attempt(lambda: second.execute(LOST)))
                told.extend(attempt(lambda: third.execute(CLEAR)))
                for cursor in (first, second, third):
                    told.extend(attempt(cursor.fetchall))

        told += attempt(act)
        for cursor in (first, second, third):
            told += attempt(cursor.fetchall)
    assert not leaks(told)


def test_moving_about_in_results_unmasks_nothing(conn: Any, leaks: Any) -> None:
    """Scrolling, next sets, other results and a broken stream show masked rows only."""
    cursor = conn.cursor()
    cursor.executemany(
        MASKED.replace("ORDER", "WHERE id <> %s ORDER"), [(9,), (8,)], returning=True
    )
    told: list[object] = [cursor.fetchone(), cursor.fetchmany(2)]
    cursor.scroll(-2)
    told += [cursor.fetchone(), cursor.rownumber, cursor.nextset(), cursor.fetchall()]
    told += attempt(lambda: [result.fetchall() for result in cursor.results()])
    stream = cursor.stream(LOST)
    told += [next(stream), cursor.description]
    told += attempt(cursor.fetchone)
    stream.close()
    told += attempt(cursor.fetchall)
    told.append(cursor.execute(CLEAR).fetchone())
    told += [cursor.execute(LOST).fetchone(), list(cursor)]
    told += [repr(cursor), repr(conn), cursor.statusmessage]
    assert not leaks(told)


def test_the_same_query_object_is_judged_each_time(lab: Any, leaks: Any) -> None:
    """A query that one principal was shown in clear is masked for the next on that cursor."""
    guard = lab.guards[0]
    tokens = [
        guard.issuer.mint(name, [group], audience="lab")
        for name, group in (("a", "writers"), ("b", "readers"))
    ]
    with tracewall.connect(wall=guard.wall) as conn:
        cursor = conn.cursor()
        query = "SELECT id, name, token FROM lab.accounts, (SELECT 1 AS name) q"
        for token in (*tokens, *tokens):
            with guard.wall.acting_as(token):
                assert not leaks(attempt(lambda: cursor.execute(query).fetchall()))
        assert isinstance(attempt(lambda: cursor.execute(query))[0], errors.TokenRejected)


def looking_on(base: Any, how: str, seen: list[object]) -> Any:
    """Make a cursor class that sees whatever is set on its instances."""
    if how == "property":
        kept: dict[int, Any] = {}

        def keep(cursor: Any, value: Any) -> None:
            seen.append(value)
            kept[id(cursor)] = value

        return type("Looking", (base,), {"pgresult": property(lambda c: kept.get(id(c)), keep)})

    def set_it(cursor: Any, name: str, value: Any) -> None:
        seen.extend(value if isinstance(value, list) else [value])
        base.__setattr__(cursor, name, value)

    return type("Looking", (base,), {"__setattr__": set_it})


@pytest.mark.parametrize("how", ["property", "setattr"])
@pytest.mark.parametrize("door", ["rows", "stream", "named"])
def test_a_class_of_the_callers_sees_no_raw_result(
    conn: Any, leaks: Any, lab: Any, how: str, door: str
) -> None:
    """A cursor class that is taken in does not look on while results are set on it."""
    seen: list[object] = []
    kind = looking_on(psycopg.ServerCursor if door == "named" else psycopg.Cursor, how, seen)

    def look(connection: Any) -> list[object]:
        seen.clear()
        connection.cursor_factory = connection.server_cursor_factory = kind
        cursor = connection.cursor("x") if door == "named" else connection.cursor()
        told = list(cursor.stream(LOST)) if door == "stream" else cursor.execute(LOST).fetchall()
        cursor.close()
        results = [each for each in seen if hasattr(each, "get_value")]
        return [told] + [attempt(lambda e=each: e.get_value(0, 0)) for each in results]

    plain = psycopg.connect(lab.worlds[0].dsn)
    assert leaks(look(plain)[1:])
    plain.close()
    assert not leaks(look(conn))


@pytest.mark.parametrize("how", ["property", "setattr"])
def test_a_class_made_from_ours_that_would_look_on_is_refused(how: str) -> None:
    """Neither a class of one's own nor one mixed in may stand where results are kept."""
    with pytest.raises(TypeError, match="keeps psycopg's own"):
        looking_on(tracewall.Cursor, how, [])
    mixed = type("Mixed", (), {"_results": property(lambda cursor: [])})
    with pytest.raises(TypeError, match="_results"):
        type("Looking", (mixed, tracewall.ServerCursor), {})


@pytest.mark.parametrize("hold", [False, True])
def test_a_cursor_fetches_nothing_of_another_under_its_name(
    conn: Any, leaks: Any, hold: bool
) -> None:
    """A portal that was declared anew under a name is not fetched from by its former owner."""

    def failing(cursor: Any) -> Any:
        raise RuntimeError

    first = conn.cursor("same", withhold=hold)
    first.execute(CLEAR)
    conn.execute("CLOSE same")
    second = conn.cursor("same", row_factory=failing, withhold=hold)
    with pytest.raises(RuntimeError):
        second.execute(LOST)
    if hold:
        conn.commit()
    told = attempt(first.fetchall)
    assert isinstance(told[0], errors.Forbidden)
    told += attempt(lambda: first.scroll(1)) + attempt(second.fetchall) + attempt(second.fetchone)
    first.close()
    second.close()
    assert not leaks(told)


# --- transactions and the like ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        'a"; SELECT secret FROM lab.people; --',
        "a'; DROP TABLE x; --",
        'a""b',
        "a\n",
        '"',
        "",
        "é" * 40,
    ],
)
def test_names_of_savepoints_are_only_names(conn: Any, leaks: Any, name: str) -> None:
    """A savepoint's name with quotes in it is a name, or is refused."""

    def act() -> Any:
        with conn.transaction(name):
            conn.execute("SELECT 1")
            with conn.transaction(name):
                return conn.execute(CLEAR).fetchone()

    assert not leaks(attempt(act))
    assert not leaks(conn.execute(LOST).fetchall())


def test_transaction_settings_carry_no_statement(conn: Any, leaks: Any) -> None:
    """What is set about transactions takes psycopg's values only."""
    evil = "SERIALIZABLE; SELECT secret FROM lab.people"
    told = attempt(lambda: setattr(conn, "isolation_level", evil))
    told += attempt(lambda: setattr(conn, "read_only", "a'"))
    told += attempt(lambda: conn.execute(LOST).fetchall())
    assert not leaks(told)


@pytest.mark.parametrize("name", ["a'b", "a\\", "a' ; SELECT secret FROM lab.people; --", "a\n"])
def test_names_of_two_phase_transactions_are_only_names(lab: Any, leaks: Any, name: str) -> None:
    """A two-phase transaction's name with quotes in it is a name, or is refused."""
    with lab.guards[0].connect() as conn:
        told = attempt(lambda: conn.tpc_begin(name))
        told += attempt(lambda: conn.execute(LOST).fetchall())
        told += attempt(conn.tpc_prepare)
        told += attempt(conn.tpc_rollback)
        told += attempt(lambda: conn.tpc_rollback(name))
        told += attempt(conn.tpc_recover)
        assert not leaks(told)
        conn.close()


def test_copy_gives_nothing_raw(conn: Any, leaks: Any) -> None:
    """COPY gives what SELECT would, masked, and what is no COPY gives no data as one."""
    for statement in (
        "COPY lab.people TO STDOUT",
        "COPY (SELECT secret FROM lab.people) TO STDOUT",
        "COPY lab.drafts TO STDOUT",
        LOST,
    ):
        for act in (
            lambda s=statement: [bytes(block) for block in conn.cursor().copy(s).__enter__()],
            lambda s=statement: list(conn.cursor().copy(s).__enter__().rows()),
        ):
            told = attempt(act)
            assert not leaks(told)
            assert statement is not LOST or not isinstance(told[0], list)
            conn.rollback()


def test_asynchronous_connections_are_guarded_alike(lab: Any, leaks: Any) -> None:
    """The same attacks fail on an asynchronous connection."""
    guard = lab.guards[0]
    token = guard.issuer.mint("mallory", ["readers"], audience="lab")
    spy = Spy()

    async def act() -> list[object]:
        told: list[object] = []
        async with await tracewall.AsyncConnection.connect(wall=guard.wall, token=token) as conn:
            register(conn, spy)
            cursor = await conn.execute(MASKED)
            told += [await cursor.fetchall(), cursor.description]
            told += [row async for row in conn.cursor().stream(LOST)]
            for query in ("SELECT upper(secret) FROM lab.people", "SELECT hidden FROM lab.people"):
                with pytest.raises(errors.Forbidden) as caught:
                    await conn.execute(query)
                told.append(caught.value)
            told.append(await (await psycopg.AsyncCursor(conn).execute(LOST)).fetchall())
            conn.cursor_factory = psycopg.AsyncClientCursor
            told.append(await (await conn.execute(LOST)).fetchall())
            async with conn.pipeline() as pipeline:
                one = conn.cursor()
                await one.execute(CLEAR, prepare=True)
                await one.execute(LOST)
                await pipeline.sync()
                told.append(await one.fetchall())
        return told

    assert not leaks(asyncio.run(act()))
    assert not leaks(spy.seen)
