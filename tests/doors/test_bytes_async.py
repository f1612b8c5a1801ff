"""``limits.bytes``: a result beyond it is withheld, whatever door it comes by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall import Wall, Withheld
from tracewall.audit.verify import records

MOST = 10_000
SMALL = "select step, repeat('x', 100) from generate_series(1, 10) step"
LARGE = "select step, repeat('x', 1000) from generate_series(1, 40) step"


@pytest.fixture
def narrow(guard: Any, tmp_path: Path) -> Iterator[Wall]:
    """Give a wall whose policy lets no result have more than MOST bytes."""
    policy = Path(guard.wall.policy.path).read_text()
    policy = policy.replace("rows = 150", f"rows = 150\nbytes = {MOST}")
    policy = policy.replace('"audit"', f'"{tmp_path.name}"')
    path = Path(guard.wall.policy.path).with_name(f"{tmp_path.name}.toml")
    path.write_text(policy)
    with Wall.load(path, password=lambda: guard.store.password) as wall:
        yield wall


async def door(conn: Any, name: str, query: str) -> int:
    """Have a query's rows by a door; give how many came."""
    cursor = conn.cursor("c") if name == "server" else conn.cursor()
    seen: list[Any] = []
    try:
        if name == "stream":
            async for row in cursor.stream(query):
                seen.append(row)
        elif name.startswith("copy"):
            form = name.partition(" ")[2]
            async with cursor.copy(f"copy ({query}) to stdout (format {form})") as copy:
                async for data in copy:
                    seen.append(data)
        elif name == "many":
            await cursor.executemany(query, [()], returning=True)
            seen = await cursor.fetchall()
        elif name == "pipeline":
            async with conn.pipeline():
                await cursor.execute(query)
                seen = await cursor.fetchall()
        else:
            await cursor.execute(query)
            while rows := await cursor.fetchmany(3):
                seen += rows
    except Withheld as withheld:
        assert "limits.bytes" in str(withheld)
        return -len(seen)
    finally:
        await cursor.close()
    return len(seen)


@pytest.mark.parametrize(
    "name",
    ["execute", "stream", "server", "copy text", "copy csv", "copy binary", "pipeline"],
)
async def test_no_door_gives_more_bytes(guard: Any, narrow: Wall, name: str) -> None:
    """What is within the limit comes whole; of more nothing, or what came before it."""
    token = guard.analyst
    async with await tracewall.AsyncConnection.connect(wall=narrow, token=token) as conn:
        assert await door(conn, name, SMALL) >= 10
        assert -MOST // 1000 <= await door(conn, name, LARGE) <= 0
        assert await (await conn.execute("select 1")).fetchone() == (1,)


async def test_each_result_of_a_batch_counts(guard: Any, narrow: Wall) -> None:
    """The results of one `executemany` are limited together: slicing gains nothing."""
    token = guard.analyst
    query = "select repeat('x', 6000) from generate_series(1, %s)"
    async with await tracewall.AsyncConnection.connect(wall=narrow, token=token) as conn:
        cursor = conn.cursor()
        with pytest.raises(Withheld, match=r"limits\.bytes"):
            await cursor.executemany(query, [(1,), (1,)], returning=True)
        decision = conn.explain(SMALL)
    assert decision.byte_limit == MOST


@pytest.mark.parametrize("name", ["execute", "stream", "server", "copy binary", "pipeline", "many"])
async def test_the_bytes_of_a_result_are_recorded(guard: Any, tmp_path: Path, name: str) -> None:
    """The outcome tells what a result had, by whatever door."""
    query = "select 'abcde'::text from generate_series(1, 4)"
    end = await ended(guard, tmp_path, name, query, exact=False)
    assert end["bytes"] == 20 if not name.startswith("copy") else end["bytes"] > 20
    assert "bytes_estimate" not in end


@pytest.mark.parametrize("exact", [False, True])
async def test_the_bytes_of_a_large_result_are_estimated(
    guard: Any, tmp_path: Path, exact: bool
) -> None:
    """What is large is told by some of its rows, and whole where ``audit.bytes`` wants it."""
    columns = ", ".join(["'abcde'::text"] * 50)
    query = f"select {columns} from generate_series(1, 100)"
    end = await ended(guard, tmp_path, "execute", query, exact=exact)
    assert (end.get("bytes"), end.get("bytes_estimate")) == (
        (25_000, None) if exact else (None, 25_000)
    )


async def ended(guard: Any, tmp_path: Path, name: str, query: str, *, exact: bool) -> Any:
    """Have a query's rows by a door; give the outcome that tells bytes."""
    policy = Path(guard.wall.policy.path)
    made = policy.with_name(f"{tmp_path.name}.toml")
    told = f'directory = "{tmp_path.name}"\nbytes = {str(exact).lower()}'
    made.write_text(policy.read_text().replace('directory = "audit"', told))
    with Wall.load(made, password=lambda: guard.store.password) as wall:
        async with await tracewall.AsyncConnection.connect(wall=wall, token=guard.analyst) as conn:
            await door(conn, name, query)
    ends = [each["ended"] for each in records(policy.with_name(tmp_path.name)) if "ended" in each]
    (end,) = [end for end in ends if end.keys() & {"bytes", "bytes_estimate"}]
    return end
