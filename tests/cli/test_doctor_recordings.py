"""``tracewall doctor`` on the URL that recordings are shipped to."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracewall.cli import doctor_recordings

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402  # it may be missing


class Store(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store where something is forbidden, whose errors tell a secret."""

    protocol = ("tried",)
    cachable = False
    forbidden: tuple[str, ...] = ()
    error: type[Exception] = PermissionError
    seconds = 0.0
    store: dict[str, Any] = {}  # noqa: RUF012  # as the parent has it
    pseudo_dirs = [""]  # noqa: RUF012  # as the parent has it

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("tried://", "memory://")))

    def _may(self, what: str) -> None:
        if what in self.forbidden:
            time.sleep(self.seconds)
            raise self.error("CANARY-credential")

    def find(self, *a: Any, **k: Any) -> Any:
        """List."""
        self._may("listed")
        return super().find(*a, **k)

    def pipe_file(self, *a: Any, **k: Any) -> Any:
        """Write."""
        self._may("written")
        return super().pipe_file(*a, **k)

    def cat_file(self, *a: Any, **k: Any) -> Any:
        """Read."""
        self._may("read")
        found = super().cat_file(*a, **k)
        return b"garbled" if "garbled" in self.forbidden else found

    def mv(self, *a: Any, **k: Any) -> Any:
        """Rename."""
        self._may("renamed")
        return super().mv(*a, **k)

    def rm_file(self, *a: Any, **k: Any) -> Any:
        """Delete."""
        self._may("deleted")
        return super().rm_file(*a, **k)


@pytest.fixture
def shipped(place: Any) -> Iterator[type[Store]]:
    """A policy whose recordings go to a store of which a test forbids a part."""
    fsspec.register_implementation("tried", Store, clobber=True)
    made: Any = Store()
    made.makedirs("/bucket", exist_ok=True)
    write(place, "tried://bucket")
    yield Store
    made.store.clear()


def write(place: Any, url: str) -> None:
    recordings = str(place.home / "recordings")
    place.write(f'[recording]\ndirectory = "{recordings}"\nurl = "{url}"\n[[recordings]]\n'
                'name = "r"\ngroups = ["a"]\n')  # fmt: skip


def of_url(place: Any) -> list[dict[str, Any]]:
    return [each for each in place.findings() if each["check"] == "recording.url"]


def test_a_url_where_all_may_be_done_is_sound(place: Any, shipped: Any) -> None:
    """Nothing is found, and nothing is left there."""
    assert of_url(place) == []
    assert shipped.store == {}


@pytest.mark.parametrize("forbidden", ["listed", "written", "read", "renamed", "deleted"])
@pytest.mark.parametrize("error", [PermissionError, ValueError])
def test_what_may_not_be_done_is_found(
    place: Any, shipped: Any, monkeypatch: Any, forbidden: str, error: Any
) -> None:
    """Each right that shipping needs is missed by name; no word of the store's is told."""
    monkeypatch.setattr(shipped, "forbidden", (forbidden,))
    monkeypatch.setattr(shipped, "error", error)
    (found,) = of_url(place)
    assert found["severity"] == "error" and found["remedy"]
    # A store renames by copying and deleting.
    missed = "renamed" if forbidden == "deleted" else forbidden
    assert f"can't be {missed} at their url" in found["message"]
    assert bool(shipped.store) == (forbidden == "deleted")
    assert missed != "renamed" or "doctor-*.part" in found["remedy"]
    assert all(name.endswith(".part") for name in shipped.store)


def test_what_is_garbled_on_the_way_is_found(place: Any, shipped: Any, monkeypatch: Any) -> None:
    """A store that gives back something else is no place for a record."""
    monkeypatch.setattr(shipped, "forbidden", ("garbled",))
    (found,) = of_url(place)
    assert "it is not what was written" in found["message"] and shipped.store == {}


def test_a_store_that_hangs_is_given_up(place: Any, shipped: Any, monkeypatch: Any) -> None:
    """doctor comes to its end, whatever a store's library waits for."""
    monkeypatch.setattr(doctor_recordings, "_PATIENCE", 0.1)
    monkeypatch.setattr(shipped, "forbidden", ("listed",))
    monkeypatch.setattr(shipped, "seconds", 3.0)
    (found,) = of_url(place)
    assert "no answer within" in found["message"]


def test_what_is_not_installed_is_told(place: Any, monkeypatch: Any) -> None:
    """Without fsspec, or without a store's own library, the finding says what to install."""
    write(place, "nowhere://bucket")
    (found,) = of_url(place)
    assert "nowhere" in found["message"]
    monkeypatch.setitem(sys.modules, "fsspec", None)
    (found,) = of_url(place)
    assert 'pip install "pgtracewall[fsspec]"' in found["message"]


def test_a_directory_by_its_url_is_looked_at(place: Any, tmp_path: Path) -> None:
    """One that is not there is a note and is not made; one that everybody may read is found."""
    folder = tmp_path / "shipped"
    write(place, f"file://{folder}")
    (found,) = of_url(place)
    assert found["severity"] == "note" and not folder.exists()
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    assert of_url(place) == [] and not list(folder.iterdir())
    assert "recording.mode" in place.checks()
    folder.chmod(0o700)
    assert "recording.mode" not in place.checks()
    folder.rmdir()
    folder.write_text("")
    (found,) = of_url(place)
    assert found["severity"] == "error" and "can't be written" in found["message"]
