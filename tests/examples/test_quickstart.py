"""examples/quickstart.py, run as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "quickstart.py"
SHOWN = """\
> select * from people order by id
    (1, 'Ada', 'a***@example.com', 'Her number is [phone].')
    (2, 'Bob', 'b***@example.org', 'Met him at the fair.')
> select name from people where email = 'bob@example.org'
    ('Bob',)
> select upper(email) from people
    Forbidden - public.people.email is masked, and an expression over it would show more \
(rule masks.emails)
HINT:  select the column itself: it comes back masked
> drop table people
    Unreadable - the statement is refused: DROP is not among the statements that may be sent \
(rule unreadable)
HINT:  this needs a grant of "ddl"
> select name from people
    Forbidden - relation "people" does not exist or is not granted to you for select (rule default)
> select name from people
    TokenRejected - The token has expired.
28 records, verified
"""


def test_the_quickstart_shows_what_it_says(tmp_path: Path) -> None:
    """The example runs anywhere, prints masked rows, refusals and a verified record, no more."""
    place = str(Path(str(files("tracewall"))).parent)
    environment = os.environ | {"PYTHONPATH": place, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SHOWN
    assert list(tmp_path.iterdir()) == []
