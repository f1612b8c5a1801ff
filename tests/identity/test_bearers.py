"""Identities stay where they were put: with tasks, threads, executors, generators, in any order."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from tracewall.bearer import Acting, Bearer, acting

WALL, OTHER = object(), object()


def under(token: str, wall: object = WALL) -> Acting:
    """Act under a token."""
    return Acting(Bearer(wall, token))


def now(wall: object = WALL) -> str:
    """Return the token that is acted under, empty for none."""
    bearer = acting(wall)
    return bearer.token if bearer else ""


def test_blocks_nest() -> None:
    """The innermost block counts, and the outer one again after it, errors or not."""
    with under("a"):
        with under("b"):
            assert now() == "b"
        assert now() == "a"
        try:
            with under("c"):
                raise LookupError
        except LookupError:
            assert now() == "a"
    assert now() == ""


def test_walls_are_apart() -> None:
    """What is acted under at one wall says nothing at another, in whatever order."""
    with under("a"), under("b", OTHER):
        assert (now(), now(OTHER)) == ("a", "b")
        with under("c"):
            assert (now(), now(OTHER)) == ("c", "b")
    assert (now(), now(OTHER)) == ("", "")


def test_a_bearer_does_not_show_its_token() -> None:
    """A bearer's repr keeps the token to itself."""
    assert "secret" not in repr(Bearer(WALL, "secret", "support"))


def test_one_block_can_be_entered_again() -> None:
    """One object may be entered inside itself, and left as often."""
    block = under("a")
    with block, under("b"), block:
        assert now() == "a"
    assert now() == ""


async def test_tasks_are_apart() -> None:
    """Tasks that act under different tokens at a time never see each other's."""

    async def act(name: str) -> None:
        for turn in range(20):
            with under(f"{name}{turn}"):
                await asyncio.sleep(0)
                assert now() == f"{name}{turn}"
                await asyncio.sleep(0)
            assert now() == ""

    await asyncio.gather(*(act(name) for name in "abcdef"))
    assert now() == ""


async def test_one_block_in_several_tasks() -> None:
    """One object entered by several tasks at a time holds for each until that one leaves."""
    block, left = under("a"), asyncio.Event()

    async def leave_first() -> None:
        with block:
            await asyncio.sleep(0)
        left.set()
        assert now() == ""

    async def leave_last() -> None:
        with block:
            await left.wait()
            assert now() == "a"
        assert now() == ""

    await asyncio.gather(leave_last(), leave_first())


async def test_a_task_starts_with_its_makers_identity_and_changes_nobodys() -> None:
    """A task acts under what it was made under, also when that block has ended."""
    seen: list[str] = []
    ended = asyncio.Event()

    async def work() -> None:
        seen.append(now())
        with under("own"):
            await ended.wait()
            seen.append(now())
        seen.append(now())

    with under("maker"):
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert now() == "maker"
    assert now() == ""
    ended.set()
    await task
    assert seen == ["maker", "own", "maker"]


async def test_task_groups_inherit_and_keep_apart() -> None:
    """Members of a TaskGroup act under the group's token unless under their own."""
    seen: dict[str, str] = {}

    async def member(name: str, token: str) -> None:
        if token:
            with under(token):
                await asyncio.sleep(0)
                seen[name] = now()
        else:
            await asyncio.sleep(0)
            seen[name] = now()

    with under("group"):
        async with asyncio.TaskGroup() as group:
            for name, token in {"one": "", "two": "own", "three": ""}.items():
                group.create_task(member(name, token))
    assert seen == {"one": "group", "two": "own", "three": "group"}


def test_threads_start_as_nobody() -> None:
    """A thread acts as nobody, whoever started it."""
    seen: list[str] = []
    with under("a"):
        thread = threading.Thread(target=lambda: seen.append(now()))
        thread.start()
        thread.join()
    assert seen == [""]


async def test_executors_keep_nothing_between_calls() -> None:
    """A worker of a pool acts under what it was handed for one call, and then as nobody."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:

        def act(token: str) -> str:
            with under(token):
                return now()

        assert await loop.run_in_executor(pool, act, "a") == "a"
        assert await loop.run_in_executor(pool, now) == ""
        with under("b"):
            assert await loop.run_in_executor(pool, now) == ""
            context = contextvars.copy_context()
            assert await loop.run_in_executor(pool, context.run, now) == "b"
            assert await asyncio.to_thread(now) == "b"
        assert await loop.run_in_executor(pool, now) == ""


def steps(token: str) -> Iterator[str]:
    """Yield twice inside a block."""
    with under(token):
        yield now()
        yield now()


def test_generators_that_end_out_of_order_bring_nothing_back() -> None:
    """Blocks of suspended generators, left in any order, leave the others as they are."""
    with under("outer"):
        first, second = steps("a"), steps("b")
        assert (next(first), next(second)) == ("a", "b")
        first.close()
        # The second one still is inside its block, and acts under its own token.
        assert next(second) == "b"
        second.close()
        assert now() == "outer"
    assert now() == ""


async def test_async_generators_that_end_out_of_order_bring_nothing_back() -> None:
    """The same holds for asynchronous generators."""

    async def ticks(token: str) -> AsyncIterator[str]:
        with under(token):
            yield now()
            await asyncio.sleep(0)
            yield now()

    first, second = ticks("a"), ticks("b")
    assert [await anext(first), await anext(second)] == ["a", "b"]
    await first.aclose()  # type: ignore[attr-defined]
    assert await anext(second) == "b"
    await second.aclose()  # type: ignore[attr-defined]
    assert now() == ""


def test_a_generator_in_a_context_of_its_own_leaks_nothing() -> None:
    """What a generator acts under shows outside between its steps, unless it has a context."""
    context, generator = contextvars.copy_context(), steps("a")
    assert context.run(next, generator) == "a"
    assert now() == ""
    context.run(generator.close)


def test_leaving_in_another_context_changes_nothing() -> None:
    """A block that is left where it was not entered takes nothing away there."""
    block = under("a")
    contextvars.copy_context().run(block.__enter__)
    with under("b"):
        block.__exit__(None, None, None)
        assert now() == "b"


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_no_order_of_entering_and_leaving_brings_back_what_ended(
    moves: list[tuple[int, bool]],
) -> None:
    """Whatever the order, only what was entered and not left counts, the last first."""

    def run() -> None:
        blocks = [under(str(at)) for at in range(5)]
        held: list[int] = []
        for at, enter in moves:
            if enter:
                blocks[at].__enter__()
                held.append(at)
            else:
                blocks[at].__exit__(None, None, None)
                if at in held:
                    last = len(held) - 1 - held[::-1].index(at)
                    del held[last]
            assert now() == (str(held[-1]) if held else "")

    contextvars.Context().run(run)
