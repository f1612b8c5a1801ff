"""A FastAPI service: each request acts under the bearer token that it brings.

Run it by hand:

    pip install "pgtracewall[demo,pool]" fastapi httpx2
    python examples/fastapi_service.py

The service has one pool and no rights of its own. Its middleware verifies the token of each
request; whatever the request sends to the database is judged for whoever that is. Refusals
become problem documents (RFC 9457) that say what to do, and never what there is.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

import tracewall
from tracewall.asgi import BearerMiddleware
from tracewall.demo.server import embedded_server
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, name text, email text);
insert into people values (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.org');
create role service login password 'for-the-example-only';
grant select, delete on people to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[[issuers]]
issuer = "https://issuer.test"
audience = "people"
keys = "jwks.json"

[[grants]]
name = "staff"
groups = ["staff", "admins"]
actions = ["select"]
tables = ["public.people"]

[[grants]]
name = "admins"
groups = ["admins"]
actions = ["delete"]
tables = ["public.people"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"

[approval]
keys = ["{key}"]

[[approvals]]
name = "deleting"
actions = ["delete"]
approvers = ["leads"]
"""


def service(wall: tracewall.Wall) -> FastAPI:
    """Make the application behind a wall."""
    pool = AsyncConnectionPool(
        connection_class=tracewall.AsyncConnection,
        kwargs={"wall": wall, "row_factory": dict_row},
        open=False,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)
    # 401 with a challenge (RFC 6750) for requests without a good token; they end here.
    app.add_middleware(BearerMiddleware, wall=wall, realm="people")

    @app.get("/people/{number}")
    async def person(number: int) -> Any:
        async with pool.connection() as conn:
            cursor = await conn.execute("select * from people where id = %s", (number,))
            found = await cursor.fetchone()
        if found is None:
            raise HTTPException(404, "Nobody has this number")
        return found

    @app.delete("/people/{number}")
    async def forget(number: int) -> Any:
        async with pool.connection() as conn:
            cursor = await conn.execute("delete from people where id = %s", (number,))
            return {"deleted": cursor.rowcount}

    # The more special class first: an error goes to the handler of its nearest class.
    @app.exception_handler(tracewall.ApprovalRequired)
    async def waits(request: Request, error: tracewall.ApprovalRequired) -> JSONResponse:
        more = {"request": error.request_id, "expires": error.expires_at}
        return problem(403, "This has to be approved of first", error, **more)

    @app.exception_handler(tracewall.Forbidden)
    async def forbidden(request: Request, error: tracewall.Forbidden) -> JSONResponse:
        return problem(403, "This is not for you", error)

    @app.exception_handler(tracewall.TokenRejected)
    async def rejected(request: Request, error: tracewall.TokenRejected) -> JSONResponse:
        # The token was good when the request came in, and has expired since.
        answer = problem(401, "Log in again", error)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="people", error="invalid_token"'
        return answer

    @app.exception_handler(tracewall.OperationalError)
    async def unavailable(request: Request, error: tracewall.OperationalError) -> JSONResponse:
        # The database, or the record, is out of reach; without a record nothing is sent.
        return problem(503, "Try again later", error)

    return app


def problem(status: int, title: str, error: tracewall.Error, **more: Any) -> JSONResponse:
    """Give a problem document; rule and reason hold names, and never a value."""
    decision = getattr(error, "decision", None)
    told = {"title": title, "status": status, **more}
    if decision is not None and decision.reason:
        told |= {"rule": decision.rule, "detail": decision.reason}
    elif isinstance(error, tracewall.Forbidden):
        # It was allowed, and its rows were withheld: the message says by which rule.
        told["detail"] = str(error)
    return JSONResponse(told, status, media_type="application/problem+json")


def main() -> None:
    """Start everything, and be some clients."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)
        folder, key = Path(name), Signer.make("leads")
        policy = POLICY.format(host=server.directory, key=key.public)
        (folder / "policy.toml").write_text(policy)
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        tokens = {
            "ana": issuer.mint("ana", ["staff"], audience="people"),
            "root": issuer.mint("root", ["admins"], audience="people"),
            "eve": issuer.mint("eve", ["strangers"], audience="people"),
            "late": issuer.mint("ana", ["staff"], audience="people", lifetime=-60),
            "nobody": "",
        }
        password = "for-the-example-only"  # in earnest: password_file under [database]
        with (
            tracewall.Wall.load(folder / "policy.toml", password=lambda: password) as wall,
            TestClient(service(wall)) as client,
        ):
            for who, method in (
                *(("ana", "GET"), ("eve", "GET"), ("ana", "DELETE"), ("root", "DELETE")),
                *(("late", "GET"), ("nobody", "GET")),
            ):
                headers = {"Authorization": f"Bearer {tokens[who]}"} if tokens[who] else {}
                answer = client.request(method, "/people/1", headers=headers)
                told = answer.json() if answer.content else answer.headers["WWW-Authenticate"]
                if isinstance(told, dict):
                    told = {k: v for k, v in told.items() if k not in ("request", "expires")}
                print(f"{who}: {method} {answer.status_code} {told}")


if __name__ == "__main__":
    main()
