"""Names and texts as SQL: nothing in them ends a quote, nor hides or steers where people read."""

from __future__ import annotations

_IN_IDENTIFIER = "\\+{:06x}"
_IN_LITERAL = "\\U{:08x}"


# What can't be seen is spelt, so that who reads a script reads all of it.
def quoted(*names: str) -> str:
    """Give an identifier, of one name or of several with dots between them."""
    return ".".join(map(_quoted, names))


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    if name.isprintable():
        return f'"{doubled}"'
    return f'U&"{_visible(doubled.replace(chr(92), chr(92) * 2), _IN_IDENTIFIER)}"'


def verbatim(*names: str) -> str:
    """Give an identifier as our own reader takes it, which knows no U&: for SQL that nobody reads.

    The server's regclass takes it, too.
    """
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """Give a text as a literal."""
    doubled = text.replace("'", "''")
    if text.isprintable() and "\\" not in text:
        return f"'{doubled}'"
    return f" E'{_visible(doubled.replace(chr(92), chr(92) * 2), _IN_LITERAL)}'"


def comment(text: str) -> str:
    """Give what may stand behind ``--`` on one line."""
    return _visible(" ".join(text.split()), _IN_LITERAL)


def done(block: str) -> str:
    """Let the server do a block, within a quote that no name in it can end."""
    tag = "$tracewall$"
    while tag in block:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}\n{block}\n{tag};"


def _visible(text: str, spelt: str) -> str:
    return "".join(char if char.isprintable() else spelt.format(ord(char)) for char in text)
