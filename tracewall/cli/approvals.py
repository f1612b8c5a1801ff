"""``tracewall approvals``: see what waits for approval, and decide on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

import click
from rich.text import Text

from tracewall.approval.desk import Case, Desk, NotGranted
from tracewall.approval.facts import facts, value
from tracewall.approval.migration import migration
from tracewall.approval.store import StoreSilent, StoreUnavailable
from tracewall.approval.verdict import Kind
from tracewall.cli.groups import Group
from tracewall.cli.options import CONFIG, FILE, json_option
from tracewall.cli.reading import complaint, read
from tracewall.cli.screen import Missing, Refused, Unanswered, answer, console, either, safe
from tracewall.counter import desk_of
from tracewall.deciding import decide
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.events import Incident
from tracewall.identity.principal import Principal, Rejection
from tracewall.logbook import plain_log
from tracewall.policy.model import Policy
from tracewall.signing import BadKey, Signer
from tracewall.trust import verifier_of

Answer = TypeVar("Answer")

TOKEN_VARIABLE = "TRACEWALL_TOKEN"
KEY_VARIABLE = "TRACEWALL_APPROVAL_KEY"
_STYLES = {"pending": "bold yellow", "approved": "green", "done": "green", "unknown": "bold red"}
_LOOK_SECONDS = 1.0
_UNKNOWN = ("keys_unavailable", "introspection_unavailable")
"""Reasons of tokens of which nothing is known, for their issuer gave no answer."""

_JSON = json_option("Print JSON.")


@click.group(cls=Group)
def approvals() -> None:
    """See what waits for approval, and decide on it."""


@approvals.command("list")
@CONFIG
@_JSON
@click.option("--all", "every", is_flag=True, help="Those that are decided or over, too.")
def list_(policy: Path, as_json: bool, every: bool) -> None:
    """List requests, newest first: those that wait, are approved, or are to be reviewed."""
    desk = _desk(read(policy))
    cases = [case for case in _asked(desk.cases) if every or _matters(case)]
    if as_json:
        answer([_as_json(case) for case in cases])
        return
    for case in cases:
        console().print(_line(case), soft_wrap=True)
    if not cases:
        console().print("there are no requests" if every else "nothing waits for approval")


@approvals.command()
@click.argument("id")
@CONFIG
@_JSON
def show(id: str, policy: Path, as_json: bool) -> None:
    """Show a request: the statement, its parameters, what it touches, who asks and why."""
    case = _case(_desk(read(policy)), id)
    if as_json:
        answer(_as_json(case))
        return
    for line in _page(case):
        console().print(line, soft_wrap=True)


@approvals.command()
@CONFIG
@_JSON
@click.option("--timeout", type=float, default=0.0, help="End after so many seconds; 0: never.")
def watch(policy: Path, as_json: bool, timeout: float) -> None:
    """Print each request that comes to wait, until Ctrl-C."""
    desk = _desk(read(policy))
    with suppress(KeyboardInterrupt):
        _watch(desk, timeout, as_json)


def _watch(desk: Desk, timeout: float, as_json: bool) -> None:
    seen, started = set[str](), time.monotonic()
    while not timeout or time.monotonic() - started < timeout:
        for case in reversed(_asked(desk.cases)):
            if case.state == "pending" and case.request.id not in seen:
                seen.add(case.request.id)
                if as_json:
                    answer(_as_json(case))
                else:
                    console().print(_line(case), soft_wrap=True)
        time.sleep(min(_LOOK_SECONDS, timeout or _LOOK_SECONDS))


@approvals.command()
@CONFIG
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=None,
    help="For how many days they have been over; else as the policy says.",
)
@_JSON
def prune(policy: Path, older_than: float | None, as_json: bool) -> None:
    """Delete requests that have been over for long; what waits for review stays."""
    found = read(policy)
    desk = _desk(found)
    older = None if older_than is None else older_than * 86_400
    try:
        with closing(plain_log(found)) as log:
            deleted = _asked(lambda: desk.prune(older))
            told = Incident(kind="approvals_pruned", detail=f"{deleted}", policy=found.hash)
            log.incident(told)
    except AuditUnavailable:
        raise Refused("it can't be recorded what is deleted") from None
    either(as_json, {"deleted": deleted}, f"{deleted} requests deleted")


@approvals.command("migration")
@click.option("--asking", required=True, help="The role that walls log in as to the store.")
@click.option("--deciding", default="", help="The role of approvers' tools.")
@_JSON
def migration_(asking: str, deciding: str, as_json: bool) -> None:
    """Print the SQL that makes the store of requests in PostgreSQL, for its owner to run."""
    sql = migration(asking, deciding)
    either(as_json, {"sql": sql}, sql)


def _verdict(kind: Kind, help: str) -> None:
    @click.argument("id")
    @CONFIG
    @_JSON
    @click.option("--reason", default="", help="Why; it is kept with the verdict.")
    @click.option("--token-file", type=FILE, help=f"Your token; else it is in {TOKEN_VARIABLE}.")
    @click.option(
        "--key-file", type=FILE, help=f"The key to sign with; else it is in {KEY_VARIABLE}."
    )
    def command(
        id: str,
        policy: Path,
        as_json: bool,
        reason: str,
        token_file: Path | None,
        key_file: Path | None,
    ) -> None:
        found = read(policy)
        who = _approver(found, _secret(token_file, "--token-file", TOKEN_VARIABLE, "your token"))
        signer = _signer(_secret(key_file, "--key-file", KEY_VARIABLE, "the key to sign with"))
        case = _decided(found, id, kind, who, signer, reason)
        if as_json:
            answer(_as_json(case))
        else:
            console().print(_line(case), soft_wrap=True)

    approvals.command(kind, help=help)(command)


_verdict("approve", "Approve of a request, by your own token.")
_verdict("deny", "Deny a request, by your own token: one denial ends it.")
_verdict("revoke", "Take an approval or a request back, before it is used.")
_verdict("review", "Close the review of what somebody did alone.")


def _decided(
    policy: Policy, id: str, kind: Kind, who: Principal, signer: Signer, reason: str
) -> Case:
    desk = _desk(policy)
    case = _case(desk, id)
    try:
        return _asked(lambda: decide(policy, desk, case, kind, who, signer, reason))
    except AuditUnavailable:
        raise Refused("the decision can't be recorded, so it was not made") from None
    except NotGranted as error:
        raise Refused(str(error)) from None


def _desk(policy: Policy) -> Desk:
    try:
        desk = _asked(lambda: desk_of(policy, None, time.time))
    except PolicyError as error:
        raise complaint(error) from None
    click.get_current_context().call_on_close(desk.close)
    return desk


def _asked(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except StoreUnavailable as error:
        kind = Unanswered if isinstance(error, StoreSilent) else Missing
        raise kind(f"requests are out of reach: {error}") from None


def _case(desk: Desk, id: str) -> Case:
    found = _asked(lambda: desk.case(id))
    if found is None:
        raise Refused(
            "there is no request of this id", "`tracewall approvals list --all` has their ids"
        )
    return found


def _secret(file: Path | None, option: str, variable: str, what: str) -> str:
    try:
        found = (file.read_text("utf-8") if file else os.environ.get(variable, "")).strip()
    except (OSError, ValueError):
        raise Missing(f"{what} can't be read", str(file)) from None
    if not found:
        raise Missing(f"{what} is missing", f"put it into {variable}, or name its file by {option}")
    return found


def _approver(policy: Policy, token: str) -> Principal:
    verifier = verifier_of(policy, None)
    verifier.refresh()
    found = verifier.verify(token, time.time())
    if isinstance(found, Rejection):
        if found.reason in _UNKNOWN:
            raise Unanswered(f"your token can't be verified: {found.message}")
        raise Refused(f"your token is refused: {found.message}")
    return found


def _signer(text: str) -> Signer:
    try:
        return Signer.parse(text)
    except BadKey as error:
        raise Missing(f"the key to sign with can't be used: {error}") from None


def _matters(case: Case) -> bool:
    return case.state in ("pending", "approved") or case.kept.review == "open"


def _line(case: Case) -> Text:
    request, review = case.request, case.kept.review == "open"
    return Text.assemble(
        (request.id, "bold"),
        "  ",
        (case.state, _STYLES.get(case.state, "")),
        ("  to be reviewed" if review else "", "bold red"),
        f"  {safe(request.act.subject)}  {safe(request.shown.summary)}",
        (f"  {safe(request.reason)}" if request.reason else "", "dim"),
    )


def _page(case: Case) -> list[Text]:
    request, act = case.request, case.request.act
    lines = [Text(request.id, "bold")]
    lines += [
        Text.assemble((f"  {name}: ", "bold"), safe(told))
        for name, told in facts(case).items()
        if told
    ]
    lines.append(Text("  any statement of this shape" if act.shape else "  statement", "bold"))
    lines += [Text(f"    {line}") for line in safe(request.statement, lines=True).split("\n")]
    lines += [
        Text(f"    ${at} = {safe(value(each))}") for at, each in enumerate(act.parameters, start=1)
    ]
    return lines


def _as_json(case: Case) -> dict[str, object]:
    request = json.loads(case.request.encoded())[2]
    return {
        "state": case.state,
        "until": case.standing.until,
        "approved_by": [person.subject for person in case.standing.approved_by],
        "lacking": dict(case.standing.lacking),
        "review": case.kept.review,
        "binding": case.request.binding,
        "request": request,
    }
