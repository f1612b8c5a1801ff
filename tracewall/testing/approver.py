"""Somebody who decides at once, for tests of code whose statements people have to approve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracewall.approval.desk import Case
from tracewall.approval.request import Person, Request
from tracewall.approval.verdict import Kind
from tracewall.signing import PublicKey, Signer
from tracewall.wall import Wall

__all__ = ["StaticApprover"]


class StaticApprover:
    """Decides on every request as it comes, always the same.

    Its ``key`` has to be among the policy's ``[approval] keys``.

    Args:
        groups: the groups that it decides as a member of.
        verdict: ``approve`` or ``deny``.
        subject: who it is.
        issuer: of whom it is known.
        signer: the key to sign with; by default a new one.

    Example:
        approver = StaticApprover(["leads"])
        policy.write_text(POLICY.format(key=approver.key))
        approver.serve(wall)
        conn.execute("DELETE FROM runs", wait=1)
    """

    def __init__(
        self,
        groups: Iterable[str],
        verdict: Kind = "approve",
        *,
        subject: str = "static-approver",
        issuer: str = "https://approver.test",
        signer: Signer | None = None,
    ) -> None:
        self._groups, self._verdict = frozenset(groups), verdict
        self._person = Person(issuer, subject)
        self._signer = signer or Signer.make("static-approver")

    @property
    def key(self) -> PublicKey:
        """The public key of its verdicts; `str` of it is for the policy."""
        return self._signer.public

    def serve(self, wall: Wall) -> None:
        """Decide on each request that this wall makes from now on."""

        def told(event: str, request: Request) -> Any:
            if event == "requested":
                self.decide(wall, request.id)

        wall.desk.listeners.append(told)

    def decide(self, wall: Wall, id: str) -> Case:
        """Decide on one request.

        Raises:
            NotGranted: it is not this one's to decide.
        """
        return wall.desk.decide(id, self._verdict, self._person, self._groups, self._signer)
