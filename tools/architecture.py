"""Draws docs/assets/architecture.svg from what the rooms really import, and lists all rooms.

    python tools/architecture.py            write the picture, and the list into the page
    python tools/architecture.py --check    tell whether both are up to date

Storeys are those of the import contracts in pyproject.toml. An arrow goes from a room to
one that it imports; those that follow from others are left out, and so are `version` and
`_clash`. Below a room's name are the libraries that it imports, but for msgspec. The list has
each room's storey, and the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tracewall"
PICTURE = ROOT / "docs/assets/architecture.svg"
PAGE = ROOT / "docs/explanation/architecture.md"
LIST = re.compile(
    r"(?<=<!-- rooms: python tools/architecture.py -->\n).*(?=<!-- end of rooms -->)", re.DOTALL
)
FRONT = "import tracewall"
DOORS = "doors"
LEFT_OUT = frozenset({"version", "_clash", "_command", "__main__"})
EVERYWHERE = frozenset({"msgspec"})

_WIDTH, _ROW, _BOX, _HEIGHT = 960, 92, 226, 50
_STYLE = (
    "text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#1f2933}"
    ".lib{font-size:9px;fill:#616e7c}"
    "rect{fill:#f5f7fa;stroke:#52606d;rx:6}"
    "line{stroke:#9aa5b1;stroke-width:1.2;marker-end:url(#tip)}"
)


@dataclass
class Room:
    """A box of the picture: what it imports from the house, and from outside."""

    storey: int
    rooms: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)


def storeys() -> dict[str, int]:
    """Give each module of the contract its storey, counted from the top."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "storeys")
    return {name: at for at, row in enumerate(layers, 1) for name in re.findall(r"\w+", row)}


def house() -> dict[str, Room]:
    """Read every module of the package; modules of the doors' storey are one room."""
    levels = storeys()
    doors = {name for name, level in levels.items() if level == levels["connection"]}
    rooms: dict[str, Room] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = _room(path.relative_to(PACKAGE).with_suffix("").parts[0], doors)
        if name in LEFT_OUT:
            continue
        room = rooms.setdefault(name, Room(levels["connection"] if name == DOORS else 0))
        room.storey = room.storey or levels.get(name, 0)
        for module in _imports(ast.parse(path.read_text("utf-8"))):
            _note(module.split("."), room, doors)
    for name, room in rooms.items():
        room.rooms &= rooms.keys() - {name}
    rooms[FRONT].storey = levels["testing"]
    return rooms


def _room(module: str, doors: set[str]) -> str:
    if module == "__init__":
        return FRONT
    return DOORS if module in doors else module


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "tracewall":
            yield from (f"tracewall.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _note(parts: list[str], room: Room, doors: set[str]) -> None:
    if parts[0] != "tracewall":
        if parts[0] not in sys.stdlib_module_names | EVERYWHERE:
            room.libraries.add(parts[0])
    elif len(parts) == 1 or not _is_module(parts[1]):
        room.rooms.add(FRONT)
    else:
        room.rooms.add(_room(parts[1], doors))


def _is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def arrows(rooms: dict[str, Room]) -> list[tuple[str, str]]:
    """Give the imports that do not follow from others."""
    return [
        (name, target)
        for name, room in sorted(rooms.items())
        for target in sorted(room.rooms)
        if not any(target in _reached(rooms, other) for other in room.rooms - {target})
    ]


def _reached(rooms: dict[str, Room], start: str) -> set[str]:
    found, queue = set[str](), [start]
    while queue:
        fresh = rooms[queue.pop()].rooms - found
        found |= fresh
        queue += fresh
    return found


def picture() -> str:
    """Give the picture as SVG."""
    rooms = house()
    rows = sorted({room.storey for room in rooms.values()})
    places: dict[str, tuple[int, int]] = {}
    for at, storey in enumerate(rows):
        here = (name for name, room in rooms.items() if room.storey == storey)
        # `testing` imports a room on the left: the front door is told last.
        names = sorted(here, key=lambda name: (name == FRONT, name))
        for column, name in enumerate(names):
            places[name] = (round(_WIDTH * (column + 0.5) / len(names)), 40 + at * _ROW)
    lines = [_arrow(places[source], places[target]) for source, target in arrows(rooms)]
    boxes = [_box(name, rooms[name], place) for name, place in places.items()]
    height = 80 + (len(rows) - 1) * _ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            "<title>The rooms of tracewall, and what they import</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#9aa5b1"/></marker>'
            "</defs>",
            f'<rect width="{_WIDTH}" height="{height}" style="fill:#fff;stroke:none"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = source, target
    return f'<line x1="{x1}" y1="{y1 + _HEIGHT // 2}" x2="{x2}" y2="{y2 - _HEIGHT // 2}"/>'


def _box(name: str, room: Room, place: tuple[int, int]) -> str:
    x, y = place
    left, top = x - _BOX // 2, y - _HEIGHT // 2
    libraries = escape(", ".join(sorted(room.libraries)))
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX}" height="{_HEIGHT}"/>'
        f'<text x="{x}" y="{y - 2 if libraries else y + 5}">{escape(name)}</text>'
        f'<text class="lib" x="{x}" y="{y + 15}">{libraries}</text>'
    )


def rooms_listed() -> str:
    """Give the list of rooms as a table, from the top storey down."""
    rows = []
    for name, storey in storeys().items():
        # A base or an asynchronous source says what its storey's other colours are, too.
        place = PACKAGE / f"{name}.py"
        place = place if place.is_file() else PACKAGE / name / "__init__.py"
        if not name.endswith("_async") and name not in LEFT_OUT:
            told = (ast.get_docstring(ast.parse(place.read_text("utf-8"))) or "").splitlines()[0]
            rows.append(f"| {storey} | `{name}` | {told} |\n")
    return "\n| Storey | Room | What it is |\n|---|---|---|\n" + "".join(rows) + "\n"


def main(arguments: list[str]) -> str | None:
    """Write picture and list, or with ``--check`` compare them; return what is wrong."""
    listed = rooms_listed()
    made = {
        PICTURE: picture(),
        PAGE: LIST.sub(lambda _: listed, PAGE.read_text("utf-8")),
    }
    if arguments == ["--check"]:
        same = all(
            path.is_file() and path.read_text("utf-8") == text for path, text in made.items()
        )
        return None if same else "picture or list is out of date: run python tools/architecture.py"
    if arguments:
        return "usage: python tools/architecture.py [--check]"
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    for path, text in made.items():
        path.write_text(text, "utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
