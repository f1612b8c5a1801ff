"""``tracewall audit``: prove an audit log, and make keys for it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from tracewall.audit.notary import SCHEMA
from tracewall.audit.notes import BadKey, BadNote, PublicKey, Signer, notes, opened
from tracewall.audit.record import Head
from tracewall.audit.record import plain as ascii_json
from tracewall.audit.verify import FileReport, Report
from tracewall.audit.verify import verify as verified
from tracewall.cli.audit_database import anchored, fetch, is_uri, log_path, migration, prune
from tracewall.cli.audit_read import erase, export, search, tail
from tracewall.cli.groups import Group
from tracewall.cli.options import FILE, JSON
from tracewall.cli.screen import Missing, Refused, answer, console, plain, safe, several


class _Remembered(msgspec.Struct):
    """What an earlier run of ``verify --json`` printed, as far as it is needed."""

    heads: list[Head]


class _Kept(click.Path):
    """The path of a file of checkpoints, or the URI of the database that they are in."""

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Give the path, or the URI as it is."""
        return value if is_uri(str(value)) else super().convert(value, param, context)


@click.group(cls=Group)
def audit() -> None:
    """Prove an audit log, or read it."""


@audit.command()
@log_path
@click.option(
    "--heads",
    type=FILE,
    help="What an earlier `verify --json` printed: nothing of that may be missing now.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="The public key that signs checkpoints (NAME+HASH+KEY), or the path of a file with it: "
    "every checkpoint must be signed by it. May be given several times.",
)
@click.option(
    "--anchor",
    "anchors",
    type=_Kept(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Checkpoints that were kept elsewhere, in a file or a database (its URI): nothing they "
    "vouch for may be missing. Needs --key.",
)
@click.option(
    "--anchor-schema", default=SCHEMA, show_default=True, help="The schema of those in a database."
)
@JSON
def verify(
    path: Path,
    heads: Path | None,
    keys: tuple[str, ...],
    anchors: tuple[Path | str, ...],
    anchor_schema: str,
    as_json: bool,
) -> None:
    """Check that no record of a log was changed, moved, added or taken out.

    PATH is the log's directory, one of its files, or the URI of its database. The exit code
    is 1 when something is wrong, and the first fault is printed. That the end of the newest
    file was cut off shows only with --anchor or --heads: keep checkpoints, or what --json
    prints, where the log's writers can't write.
    """
    known = [_key(key) for key in keys]
    remembered = [*_heads(heads), *_anchored(anchors, anchor_schema, known)]
    try:
        report = verified(path, head=remembered, keys=known)
    except OSError as error:
        raise Missing(
            f"the log can't be read: {error.strerror}", str(error.filename or "")
        ) from None
    if as_json:
        plain(_json(report))
        raise click.exceptions.Exit(_code(report))
    _tell(report, path)


@audit.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The new file for the private key, for its owner alone; without it: standard output.",
)
@JSON
def keygen(name: str, out: Path | None, as_json: bool) -> None:
    """Make a key that signs checkpoints, or approvers' decisions.

    NAME stands in each signature, as in audit.example.org. The public key is printed to
    standard error.

    For checkpoints, put the private key where the policy's signing_key_env or
    signing_key_file says, and give the public key to `verify --key`. For decisions, put the
    private key into TRACEWALL_APPROVAL_KEY, and the public key among the policy's keys under
    [approval].
    """
    try:
        signer = Signer.make(name)
    except BadKey as error:
        raise Missing(str(error)) from None
    if out is not None:
        _write_new(out, signer.secret() + "\n")
    if as_json:
        secret = "" if out else signer.secret()
        told = {"path": str(out or ""), "private_key": secret, "public_key": str(signer.public)}
        answer(told)
        return
    if out is None:
        plain(signer.secret())
    click.echo(f"public key: {signer.public}", err=True)


for command in (erase, export, fetch, migration, prune, search, tail):
    audit.add_command(command)


def _heads(path: Path | None) -> list[Head]:
    if path is None:
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Remembered).heads
    except (OSError, ValueError, RecursionError):
        raise Missing(f"{path} is not what `verify --json` prints") from None


def _write_new(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Missing(f"the key can't be written: {error.strerror}", str(path)) from None
    with open(fd, "w", encoding="ascii") as stream:
        stream.write(text)


def _key(text: str) -> PublicKey:
    try:
        if "+" not in text or Path(text).is_file():
            text = Path(text).read_text("utf-8")
        return PublicKey.parse(text)
    except (BadKey, ValueError) as error:
        raise Missing(f"--key: {error}", "`tracewall audit keygen` prints the public key") from None
    except OSError as error:
        raise Missing(f"--key: {error.strerror}", text) from None


def _anchored(places: tuple[Path | str, ...], schema: str, keys: list[PublicKey]) -> list[Head]:
    """Give the heads that kept checkpoints vouch for; the last one of each file is enough."""
    if places and not keys:
        raise Missing("--anchor needs --key", "whose signature counts?")
    found: dict[str, Head] = {}
    for place in places:
        # A URI may hold a password.
        name = str(place) if isinstance(place, Path) else "the anchor's database"
        try:
            heads = [opened(note, keys) for note in _notes(place, schema)]
        except BadNote as error:
            raise Refused(f"{name}: {error}") from None
        except (OSError, ValueError):
            raise Missing(f"{name} can't be read as checkpoints") from None
        for head in heads:
            if head.file not in found or found[head.file].n < head.n:
                found[head.file] = head
    return list(found.values())


def _notes(place: Path | str, schema: str) -> Iterable[str]:
    return notes(place.read_text("utf-8")) if isinstance(place, Path) else anchored(place, schema)


def _code(report: Report) -> int:
    # Whoever deletes every file must not get away with it.
    return 0 if report.ok and report.files else 1


def _json(report: Report) -> str:
    heads = [file.head for file in report.files if file.head is not None]
    told = {
        "ok": _code(report) == 0,
        "records": report.records,
        "heads": heads,
        "files": [
            {"file": file.file, "ok": file.ok, "records": file.records, "closed": file.closed}
            | {
                "signed": file.signed,
                "found": file.found,
                "torn": file.torn,
                "open_intents": file.open_intents,
                "fault": file.fault,
            }
            for file in report.files
        ],
    }
    return ascii_json(told).decode()


def _tell(report: Report, path: Path) -> None:
    """Say what holds; raise with the first fault."""
    out = console()
    for file in report.files:
        out.print(_line(file), soft_wrap=True)
    if not report.files:
        raise Refused(f"there is no audit log in {path}", "was it moved, or deleted?")
    faulty = [file for file in report.files if file.fault]
    if faulty and (fault := faulty[0].fault):
        where = f"{faulty[0].file}:{fault.line}" if fault.line else faulty[0].file
        more = f" ({len(faulty)} files have faults)" if len(faulty) > 1 else ""
        raise Refused(
            f"{where}: {fault.what}{more}",
            "records before that line hold; keep the file as it is, for it is evidence",
        )
    out.print(Text(f"{several(report.records, 'record')} hold together", "bold green"))


def _line(file: FileReport) -> Text:
    told = Text.assemble(
        ("ok    " if file.ok else "FAULT ", "green" if file.ok else "bold red"),
        f"{safe(file.file)}  {several(file.records, 'record')}",
    )
    if file.open_intents:
        told.append(f", {len(file.open_intents)} without an outcome", "yellow")
    if file.signed:
        told.append(f", {file.signed} signed for")
    if file.found:
        told.append(f", {file.found} of them as they were found after a crash", "yellow")
    if file.torn:
        told.append(f", {file.torn} bytes of an unfinished record at the end", "yellow")
    if not file.closed and file.ok:
        told.append(", not closed: in use, or its process died", "dim")
    return told
