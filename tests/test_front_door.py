"""The front door: all of psycopg's public names, and what loading a wall needs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall import Wall
from tracewall.errors import ApprovalRequired, AuditUnavailable, Forbidden, Unreadable, Withheld
from tracewall.testing import TokenIssuer
from tracewall.waist import check, drift

POLICY = """
version = 1

[database]
conninfo = "dbname=nowhere"
{database}

[[issuers]]
issuer = "https://idp.test"
audience = "traces"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["traces.*"]
{rules}
"""


def wall_in(folder: Path, *, database: str = "", rules: str = "", **options: Any) -> Wall:
    """Load a wall from a policy written into a folder."""
    TokenIssuer("https://idp.test").write_jwks(folder / "jwks.json")
    path = folder / "tracewall.toml"
    path.write_text(POLICY.format(database=database, rules=rules))
    return Wall.load(path, **options)


def test_every_public_name_of_psycopg_is_here() -> None:
    """A program may say `import tracewall as psycopg` and find all it imports from there."""
    missing = [name for name in psycopg.__all__ if not hasattr(tracewall, name)]
    modules = ["rows", "sql", "errors", "types", "adapt", "abc", "conninfo", "pq", "postgres"]
    missing += [name for name in modules if not hasattr(tracewall, name)]
    assert missing == []


def test_what_sends_statements_is_ours() -> None:
    """Connections and cursors under psycopg's names are the guarded ones, and psycopg's too."""
    for name in psycopg.__all__:
        ours, theirs = getattr(tracewall, name), getattr(psycopg, name)
        if name.endswith("Cursor") or name in ("Connection", "AsyncConnection"):
            assert ours is not theirs and issubclass(ours, theirs)
    assert tracewall.connect == tracewall.Connection.connect


@pytest.mark.parametrize("module", ["rows", "sql", "errors"])
def test_modules_named_alike_have_psycopgs_names(module: str) -> None:
    """Our rooms that share a name with a module of psycopg's offer its public names too."""
    ours, theirs = getattr(tracewall, module), getattr(psycopg, module)
    public = [
        name
        for name, value in vars(theirs).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("psycopg")
    ]
    assert len(public) > 5
    wanted = [name for name in public if getattr(theirs, name).__module__ == theirs.__name__]
    assert [name for name in wanted if not hasattr(ours, name)] == []


def test_errors_fit_psycopgs_tree() -> None:
    """Programs that catch psycopg's errors catch ours, with the right SQLSTATE."""
    for kind in (Forbidden, Unreadable, Withheld, ApprovalRequired):
        assert issubclass(kind, psycopg.errors.InsufficientPrivilege)
        assert kind("x").sqlstate == "42501"
    assert issubclass(tracewall.TokenRejected, psycopg.errors.InvalidAuthorizationSpecification)
    assert tracewall.TokenRejected("x").sqlstate == "28000"
    assert issubclass(AuditUnavailable, psycopg.OperationalError)


def test_errors_can_be_pickled() -> None:
    """Errors cross processes, with their reason and place."""
    rejected = pickle.loads(pickle.dumps(tracewall.TokenRejected("no", reason="expired")))
    assert (str(rejected), rejected.reason) == ("no", "expired")
    wrong = tracewall.PolicyError("no", path="p.toml", line=3, column=4, help="do so")
    again = pickle.loads(pickle.dumps(wrong))
    assert str(again) == str(wrong) and (again.line, again.column) == (3, 4)
    assert str(pickle.loads(pickle.dumps(Forbidden("no")))) == "no"


def test_psycopg_is_as_the_doors_expect() -> None:
    """The private places of psycopg that the doors hook are where they were."""
    assert drift() == []


def test_drift_stops_the_import() -> None:
    """Should psycopg move one of them, the import fails rather than guard nothing."""
    with pytest.raises(ImportError, match=r"BaseCursor\._execute_send"):
        check(["BaseCursor._execute_send"])


def test_the_wall_is_loaded_once_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRACEWALL_CONFIG names the policy; a process loads it once."""
    wall_in(tmp_path).close()
    monkeypatch.setenv("TRACEWALL_CONFIG", str(tmp_path / "tracewall.toml"))
    first = Wall.from_environment()
    assert Wall.from_environment() is first
    first.close()


def test_a_policy_behind_a_link_goes_by_what_is_beside_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the link points to may be replaced and go (as Kubernetes does); the link stays."""
    (tmp_path / "release").mkdir()
    wall_in(tmp_path / "release").close()
    for name in ("tracewall.toml", "jwks.json"):
        (tmp_path / name).symlink_to(tmp_path / "release" / name)
    monkeypatch.setenv("TRACEWALL_CONFIG", str(tmp_path / "tracewall.toml"))
    with Wall.from_environment() as wall:
        assert Path(wall.policy.path) == tmp_path / "tracewall.toml"


def test_the_password_comes_from_where_the_policy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable, a file beside the policy, or a callable give the credential."""
    monkeypatch.setenv("THE_PASSWORD", "from the environment")
    (tmp_path / "secret").write_text("from a file\n")
    with wall_in(tmp_path, database='password_env = "THE_PASSWORD"') as wall:
        assert wall._credential() == "from the environment"
    with wall_in(tmp_path, database='password_file = "secret"') as wall:
        assert wall._credential() == "from a file"
    with wall_in(tmp_path, password=lambda: "from a callable") as wall:
        assert wall._credential() == "from a callable"
    with wall_in(tmp_path) as wall:
        assert wall._credential() == ""


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ('password_env = "NOT_SET"', "NOT_SET"),
        ('password_file = "gone"', "gone"),
        ('password_file = "nothing"', "nothing: the database password is missing"),
        ('password_file = "latin"', "latin: the database password is no text in UTF-8"),
    ],
)
def test_a_missing_password_is_told(tmp_path: Path, database: str, said: str) -> None:
    """When the place that the policy names holds no password, the error says which place."""
    (tmp_path / "nothing").write_bytes(b"\n")
    (tmp_path / "latin").write_bytes("Zürich".encode("latin-1"))
    with wall_in(tmp_path, database=database) as wall:
        with pytest.raises(tracewall.PolicyError, match=said):
            wall._credential()


def test_the_wall_shows_no_secret(tmp_path: Path) -> None:
    """The wall's repr holds neither the password's source, the mask key, nor a token."""
    with wall_in(tmp_path, password=lambda: "SECRET", mask_key=b"KEY-CANARY-0123456789") as wall:
        acting = wall.acting_as("TOKEN-CANARY")
        with acting:
            assert "CANARY" not in repr(wall) + repr(acting) + repr(wall.acting())


HASH = """
[[masks]]
name = "people"
columns = ["traces.runs.user_id"]
method = "hash"
"""


def test_a_hash_mask_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy with a keyed mask isn't loaded without a key, or with a short one."""
    monkeypatch.delenv("TRACEWALL_MASK_KEY", raising=False)
    for key in (None, b"short"):
        with pytest.raises(tracewall.PolicyError, match="needs a key"):
            wall_in(tmp_path, rules=HASH, mask_key=key)
    monkeypatch.setenv("TRACEWALL_MASK_KEY", "long enough to be a key")
    wall_in(tmp_path, rules=HASH).close()


def test_a_missing_key_file_is_told(tmp_path: Path) -> None:
    """A policy whose key set is not there isn't loaded; the error says where it is named."""
    wall_in(tmp_path).close()
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(tracewall.PolicyError, match="keys of issuer") as wrong:
        Wall.load(tmp_path / "tracewall.toml")
    assert wrong.value.line > 0 and wrong.value.help


def test_acting_nests_and_ends(tmp_path: Path) -> None:
    """`acting_as` holds for its block, the inner one first, and only on its own wall."""
    other = tmp_path / "other"
    other.mkdir()
    with wall_in(tmp_path) as wall, wall_in(other) as another:
        assert wall.acting() is None
        with wall.acting_as("outer", purpose="one"):
            with wall.acting_as("inner"):
                found = wall.acting()
                assert found is not None and found.token == "inner"
            found = wall.acting()
            assert found is not None and (found.token, found.purpose) == ("outer", "one")
            assert another.acting() is None
        assert wall.acting() is None
