"""A connection whose token comes from a function: asked in time, never while judging."""

from __future__ import annotations

from typing import Any

import pytest

import tracewall
from tracewall import AsyncConnection

if True:  # ASYNC
    import asyncio

QUERY = "select count(*) from traces.runs"


class Provider:
    """Gives tokens, counts how often it is asked, and fails when told to."""

    def __init__(self, guard: Any, subject: str = "someone", lifetime: float = 300) -> None:
        self.guard, self.subject, self.lifetime = guard, subject, lifetime
        self.asked = 0
        self.failing: Any = None

    def token(self) -> Any:
        """Mint a token, or fail."""
        self.asked += 1
        if isinstance(self.failing, Exception):
            raise self.failing
        if self.failing is not None:
            return self.failing()
        issuer = self.guard.issuer
        return issuer.mint(self.subject, ["analysts"], audience="traces", lifetime=self.lifetime)

    async def __call__(self) -> Any:
        return self.token()


async def run(conn: Any) -> Any:
    """Run a statement."""
    cursor = await conn.execute(QUERY)
    return await cursor.fetchone()


async def test_a_provider_is_asked_once_for_many_statements(guard: Any) -> None:
    """A token that lasts is not asked for again."""
    provider = Provider(guard)
    async with await AsyncConnection.connect(wall=guard.wall, token=provider) as conn:
        for _ in range(5):
            assert await run(conn)
    assert provider.asked == 1


async def test_a_provider_is_asked_again_before_its_token_expires(
    guard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shortly before the end another token takes over, in the middle of a transaction too."""
    provider = Provider(guard)
    async with await AsyncConnection.connect(wall=guard.wall, token=provider) as conn:
        assert await run(conn)
        _hurry(conn)
        later = guard.wall.clock() + 250
        monkeypatch.setattr(tracewall.caller, "is_due", _at(later))
        assert await run(conn)
        assert provider.asked == 2
        assert await run(conn)
        assert provider.asked == 2


def _at(now: float) -> Any:
    from tracewall.identity.provider import is_due

    return lambda found, _: is_due(found, now)


async def test_a_failing_provider_is_no_way_in(guard: Any) -> None:
    """At log-in it refuses; nothing of what it raised shows."""
    provider = Provider(guard)
    provider.failing = RuntimeError("canary")
    with pytest.raises(tracewall.TokenRejected) as caught:
        await AsyncConnection.connect(wall=guard.wall, token=provider)
    assert caught.value.reason == "provider_failed"
    assert "RuntimeError" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("given", [None, b"token", 7, ["token"]])
async def test_what_is_no_text_is_no_token(guard: Any, given: Any) -> None:
    """A provider must give a str."""
    provider = Provider(guard)
    provider.failing = lambda: given
    with pytest.raises(tracewall.TokenRejected) as caught:
        await AsyncConnection.connect(wall=guard.wall, token=provider)
    assert caught.value.reason == "provider_failed"


async def test_a_bad_token_of_a_provider_is_refused_for_what_it_is(guard: Any) -> None:
    """The reason is the token's own."""
    provider = Provider(guard, lifetime=-60)
    with pytest.raises(tracewall.TokenRejected) as caught:
        await AsyncConnection.connect(wall=guard.wall, token=provider)
    assert caught.value.reason == "expired"


async def test_a_provider_must_stay_one_persons(guard: Any) -> None:
    """A token of another subject never takes over a connection."""
    provider = Provider(guard)
    async with await AsyncConnection.connect(wall=guard.wall, token=provider) as conn:
        assert await run(conn)
        provider.subject = "somebody else"
        _forget(conn, guard)
        with pytest.raises(tracewall.TokenRejected) as caught:
            await run(conn)
        assert caught.value.reason == "another_subject"


def _hurry(conn: Any) -> None:
    """Have the second between two looks be over."""
    caller = conn._session.caller
    caller._look_again = caller._ask_again = 0.0


def _forget(conn: Any, guard: Any) -> None:
    """Have the connection's token be refused from here on, as if it had expired."""
    conn._session.caller._own = guard.wall.bearer("worn out")
    _hurry(conn)


async def test_the_token_there_is_goes_on_while_the_provider_fails(
    guard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that is down costs nothing until the token has expired."""
    provider = Provider(guard)
    async with await AsyncConnection.connect(wall=guard.wall, token=provider) as conn:
        provider.failing = RuntimeError("down")
        _hurry(conn)
        monkeypatch.setattr(tracewall.caller, "is_due", _at(guard.wall.clock() + 250))
        assert await run(conn)
        assert provider.asked == 2
        _forget(conn, guard)
        with pytest.raises(tracewall.TokenRejected) as caught:
            await run(conn)
        assert caught.value.reason == "provider_failed"


async def test_a_providers_connection_never_acts_under_the_context(guard: Any) -> None:
    """Where the provider gives nothing, nobody acts, whoever the context says."""
    provider = Provider(guard)
    provider.failing = RuntimeError("down")
    with guard.wall.acting_as(guard.operator), pytest.raises(tracewall.TokenRejected):
        await AsyncConnection.connect(wall=guard.wall, token=provider)


if True:  # ASYNC

    async def test_a_plain_function_will_do_and_does_not_block_the_loop(guard: Any) -> None:
        """A synchronous provider runs beside the loop, one that gives an awaitable is awaited."""
        provider = Provider(guard)
        conn = await AsyncConnection.connect(wall=guard.wall, token=provider.token)
        async with conn:
            assert await run(conn)
        seen: list[bool] = []

        def gives_awaitable() -> Any:
            try:
                asyncio.get_running_loop()
                seen.append(True)
            except RuntimeError:
                seen.append(False)
            return provider()

        conn = await AsyncConnection.connect(wall=guard.wall, token=gives_awaitable)
        async with conn:
            assert await run(conn)
        assert seen == [False]

else:

    def test_a_coroutine_function_is_for_asynchronous_connections(guard: Any) -> None:
        """A synchronous connection can't await; it refuses, and leaves no coroutine behind."""
        source = "async" + " def give():\n    return 'token'\n"
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        with pytest.raises(tracewall.TokenRejected) as caught:
            AsyncConnection.connect(wall=guard.wall, token=namespace["give"])
        assert caught.value.reason == "provider_failed"
