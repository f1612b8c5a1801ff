"""What grows with the policy and with the catalog, and what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import catalog as catalogs
import policies
from figures import Figure
from ground import Ground, Scale
from pairs import seconds, spread
from point_lookup import lookups

import tracewall
from parts.lookup import compared

TABLES, COLUMNS = 100, 20
CREATE = "".join(
    f"create table if not exists bench.t{at} (id int primary key, "
    + ", ".join(f"c{column} text" for column in range(COLUMNS))
    + ");"
    for at in range(TABLES)
)


def rules(count: int) -> str:
    """Give so many rules of TOML over the tables: three grants in five, a denial, a mask."""
    made = []
    for at in range(count):
        fifth, kind = divmod(at, 5)
        name, table = f'name = "r{at}"\n', f"bench.t{fifth % TABLES}"
        if kind == 4:
            column = f'columns = ["{table}.c{fifth // TABLES % COLUMNS}"]'
            made.append(f'[[masks]]\n{name}{column}\nmethod = "redact"\n')
            continue
        group = "analysts" if kind < 2 else f"team{at}"
        given = f'groups = ["{group}"]\nactions = ["select"]\ntables = ["{table}"]\n'
        made.append(f"[[{'denials' if kind == 3 else 'grants'}]]\n{name}{given}")
    return "\n" + "\n".join(made)


def policy(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Time policies that grow; and compare a statement seen before under the least and the most."""
    known = policies.catalog()
    known.family  # noqa: B018  # read once for each catalog, not for each judge
    for count in scale.rules:
        found = [policies.measured(count, known, 1_000) for _ in range(3)]
        for key, title in (("first_ms", "first statement"), ("next_ms", "next new statement")):
            times = spread([each[key] for each in found])
            yield Figure("policy", f"{title} of a group, {count:,} rules", times, "ms")
    ground.plain().execute(CREATE)  # type: ignore[arg-type]
    least, *_, most = scale.rules
    loaded, guards = [], []
    for count in (least, most):
        path = ground.policy(rules=rules(count))
        started = time.perf_counter()
        wall = ground.stack.enter_context(tracewall.Wall.load(path))
        loaded.append(time.perf_counter() - started)
        guards.append(ground.guarded(wall))
    for count, took in zip((least, most), loaded, strict=True):
        yield Figure("policy", f"load a file of {count:,} rules", spread([took * 1e3]), "ms")
    sides = [lookups(guarded, scale.lookups) for guarded in reversed(guards)]
    title = f"a lookup seen before, {most:,} rules beside {least:,}"
    yield compared(title, sides[0], sides[1], scale, part="policy")


def catalog(ground: Ground, scale: Scale) -> Iterator[Figure]:
    """Time catalogs that grow: connecting, first sight; and compare a statement seen before."""
    for size in scale.tables:
        conninfo = ground.database(f"tables{size}")
        plain = ground.plain(conninfo)
        catalogs.fill(plain, size)
        path = ground.policy(conninfo=conninfo)
        path.write_text(path.read_text().replace("bench.*", "public.*"))
        wall = ground.stack.enter_context(tracewall.Wall.load(path))

        def connect(wall: Any = wall) -> None:
            tracewall.connect(wall=wall, token=ground.token, autocommit=True).close()

        def titled(what: str, size: int = size) -> str:
            return f"{what}, {size:,} tables"

        yield _timed(titled("the wall's first connection"), [seconds(connect)])
        again = [seconds(connect) for _ in range(max(2, scale.rounds // 6))]
        yield _timed(titled("a later connection"), again)
        asked = [seconds(lambda plain=plain: catalogs.fingerprint(plain)) for _ in again]
        yield _timed(titled("a look whether the schema has changed"), asked)
        guarded = ground.guarded(wall)
        yield _timed(titled("first sight of a statement"), list(_first_sights(guarded, len(again))))
        query = "select id, a from t1 where id = %s"
        sides: list[Callable[[], None]] = [
            lookups(conn, scale.lookups, query) for conn in (guarded, plain)
        ]
        yield compared(
            titled("a lookup seen before, beside plain psycopg"),
            *sides,
            scale,
            part="catalog",
            share=0.5,
        )


def _timed(title: str, found: list[float]) -> Figure:
    return Figure("catalog", title, spread(found).times(1e3), "ms")


def _first_sights(guarded: Any, rounds: int) -> Iterator[float]:
    guarded.execute("select id from t1")
    for at in range(rounds):
        yield seconds(lambda at=at: guarded.execute(f"select a, b as b{at} from t1").fetchall())
