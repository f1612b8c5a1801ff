"""An incident, from a record to what another policy would have said.

Run it by hand:

    pip install "pgtracewall[demo]"
    python examples/replay.py

A session is recorded after masking. Later somebody asks what Ana saw: the recording is
proved, replayed, and judged by a stricter policy.
"""

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, name text, email text);
insert into people values (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.org');
create role service login password 'for-the-example-only';
grant select on people to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[[issuers]]
issuer = "https://issuer.test"
audience = "people"
keys = "jwks.json"

[[recordings]]
name = "staff"
groups = ["staff"]

[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select"]
tables = ["public.people"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"
"""

STRICTER = """
[[masks]]
name = "names"
columns = ["public.people.name"]
method = "redact"
"""


def sessions(*arguments: object) -> None:
    """Run the command on recordings, and print what it says."""
    line = [sys.executable, "-m", "tracewall", "sessions", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True)
    for text in (done.stdout + done.stderr).splitlines():
        print(f"  {text}")


def main() -> None:
    """Record a session, and look into it."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)
        folder = Path(name)
        policy = folder / "policy.toml"
        policy.write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("ana", ["staff"], audience="people")
        password = "for-the-example-only"  # in earnest: password_file under [database]
        with (
            tracewall.Wall.load(policy, password=lambda: password) as wall,
            tracewall.connect(wall=wall, token=token, autocommit=True) as conn,
        ):
            conn.execute("select name, email from people order by id").fetchall()
            with suppress(tracewall.Forbidden):  # recorded, as all that is asked
                conn.execute("delete from people")

        recordings = folder / "recordings"
        print("the recording is whole, and what the audit log says of it holds:")
        sessions("verify", recordings, "--audit", folder / "audit")
        print("what was seen:")
        sessions("show", recordings, "2")  # ids begin with the year; `replay` plays it in time
        print("a stricter policy would have said:")
        stricter = folder / "stricter.toml"
        stricter.write_text(policy.read_text() + STRICTER)
        sessions("judge", recordings, "--policy", stricter, "--dsn", server.conninfo)


if __name__ == "__main__":
    main()
