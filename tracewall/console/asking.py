"""What a page is asked, and what it may answer with besides a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tracewall.console.visits import Visit

DOCTOR: Final = "On the server, `tracewall doctor` says why."
"""What whoever is told that something is out of reach can do about it."""

_MOST_FIELDS: Final = 32
_ROOT: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_PAGE: Final = re.compile(
    r"/(?:requests(?:/[A-Za-z0-9_]{1,64})?|sessions(?:/[A-Za-z0-9_-]{1,63}/[A-Za-z0-9_.-]{1,128})?"
    r"|audit)"
)


class Refused(Exception):
    """A page is not given: the status, and words for whoever asked for it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Ask:
    """What a request asks for.

    ``root`` is the path that the console is below, ``path`` the page's own. Of ``query`` and
    ``form`` each name has one value. ``followed`` is true where another site's link led here.
    """

    root: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    params: Mapping[str, str]
    cookies: Mapping[str, str] = field(repr=False)
    followed: bool = False
    visit: Visit | None = None

    @classmethod
    def of(cls, request: Request, body: bytes) -> Ask:
        """Take a request apart.

        Raises:
            Refused: it is not as browsers send them.
        """
        root = root_of(request)
        if root is None:
            raise Refused(404, "There is no such page.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/x-www-form-urlencoded":
            raise Refused(415, "This was not sent by a form of the console.")
        site = request.headers.get("sec-fetch-site", "none")
        return cls(
            root,
            request.url.path.removeprefix(root),
            _single(request.scope.get("query_string", b"")),
            _single(body),
            {name: str(value) for name, value in request.path_params.items()},
            request.cookies,
            site not in ("same-origin", "none"),
        )

    @property
    def own_visit(self) -> Visit:
        """The visit of who asks; pages that anybody may open must not look at it."""
        assert self.visit is not None, "the application lets nobody else through"
        return self.visit

    @property
    def page(self) -> int:
        """Which page of many is asked for, from 1."""
        text = self.query.get("page", "1")
        return int(text) if re.fullmatch(r"[1-9][0-9]{0,3}", text) else 1

    def to(self, path: str) -> Response:
        """Lead to another page of ours."""
        return RedirectResponse(f"{self.root}{path}", status_code=303)


def root_of(request: Request) -> str | None:
    """Give the path that the console is below, with no slash at its end; None: it is none."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return root if _ROOT.fullmatch(root) else None


def nobody(root: str) -> Ask:
    """Give what is asked by nobody who is known, and holds nothing that was sent."""
    return Ask(root, "", {}, {}, {}, {})


Handler: TypeAlias = Callable[[Ask], Response]

Page: TypeAlias = Callable[..., Response]
"""Renders a page for who asks, as `Console.page` does."""


def own_page(path: str) -> str:
    """Give a path back if it is one of our own pages, else that of the first one."""
    return path if _PAGE.fullmatch(path) else "/requests"


def _single(encoded: bytes) -> dict[str, str]:
    try:
        text = encoded.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise Refused(
            400, "The address, or the form, can't be read. Load the page again."
        ) from None
    return _once(pairs)


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            # What reads the first and what reads the last would not agree.
            raise Refused(
                400, "The address, or the form, says something twice. Load the page again."
            )
        found[name] = value
    return found
