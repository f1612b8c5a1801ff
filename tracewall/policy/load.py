"""Reads a policy file. Every complaint says where it is, what was expected, what was meant.

What is wrong with a value in itself comes first, in the order of the file; what its
parts say against each other comes after that.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import tomllib
from dataclasses import replace
from typing import Any

from tracewall.errors import PolicyError
from tracewall.policy.contradictions import complain_of_contradictions
from tracewall.policy.format import POLICY
from tracewall.policy.locate import Lines, Place, locate
from tracewall.policy.meaning import digest
from tracewall.policy.model import Policy
from tracewall.policy.reading import Fault, Reading

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
# Python turns no longer run of digits into a number (sys.int_info.default_max_str_digits).
_LONG_NUMBER = re.compile(r"(?<!\w)[+-]?[0-9][0-9_]{4299}")

_LARGEST = 16 << 20
_PATIENCE = 5.0  # Seconds without a byte.
# tomllib copies a key for each of its parts; no key of ours has more than five. No text's
# own quotes are looked for: a value that looks like such a key is no value of ours either.
_DEEP_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}""")


def load(path: str | os.PathLike[str]) -> Policy:
    """Read the policy in the file `path`.

    The policy's own ``path`` is absolute, so that it still holds when the process
    changes its directory. Raises PolicyError, also when the file can't be read.
    """
    name = os.fspath(path)
    return of_text(text_of(name), name)


def of_text(text: str, name: str) -> Policy:
    """Make the policy of what the file `name` says. Raises PolicyError."""
    return replace(loads(text, name), path=os.path.abspath(name))


def text_of(name: str, what: str = "the policy") -> str:
    """Read the text of the file `name`. Raises PolicyError."""
    try:
        content = _content(name)
        if len(content) <= _LARGEST:
            return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise _unreadable(name, error, what) from None
    raise PolicyError(f"{what} is larger than {_LARGEST >> 20} MiB", path=name)


def _content(name: str) -> bytes:
    """Read a file, a little more than the largest that is taken; a pipe, as long as it comes."""
    with open(name, "rb", buffering=0, opener=_opened) as file:
        found = bytearray()
        while len(found) <= _LARGEST:
            _wait(file.fileno())
            part = file.read(_LARGEST + 1 - len(found))
            if part == b"":
                break
            found += part or b""
        return bytes(found)


def _opened(name: str, flags: int) -> int:
    # A pipe that nobody writes to would keep whoever opens it for ever.
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _wait(file: int) -> None:
    """Wait until there is something to read of a file. Raises TimeoutError."""
    if stat.S_ISREG(os.fstat(file).st_mode) or not hasattr(select, "poll"):
        return
    ready = select.poll()
    ready.register(file, select.POLLIN)
    if not ready.poll(_PATIENCE * 1000):
        raise TimeoutError(errno.ETIMEDOUT, "it is no plain file, and nothing comes from it")


def loads(text: str, path: str = "") -> Policy:
    """Read the policy in `text`; `path` is only told in complaints and kept in the policy.

    Raises PolicyError, and nothing else whatever the text is.
    """
    raw, root, reading = located(text, path)
    return _read(raw, root, reading, path)


def located(text: str, path: str) -> tuple[dict[str, Any], Place, Reading]:
    """Return what a TOML text says, where, and what complaints about it go into.

    Raises PolicyError: it is not TOML.
    """
    lines = Lines(text)
    try:
        raw, root = _decode(text)
    except RecursionError:
        raise PolicyError("values are nested too deeply", path=path) from None
    except ValueError as error:
        raise _not_toml(text, lines, path, error) from None
    return raw, root, Reading(lines)


def _decode(text: str) -> tuple[dict[str, Any], Place]:
    """Return what `text` says and where. Raises ValueError or RecursionError."""
    text.encode()
    if _DEEP_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text), locate(text)


def _read(raw: dict[str, Any], root: Place, reading: Reading, path: str) -> Policy:
    """Make the policy. Raises PolicyError with the first complaint."""
    values = POLICY.read(raw, root, reading)
    complain(reading, path)
    unhashed = Policy(hash="", path=path, **values)
    policy = replace(unhashed, hash=digest(unhashed))
    complain_of_contradictions(policy, raw, root, reading)
    complain(reading, path)
    return policy


def complain(reading: Reading, path: str) -> None:
    """Raise PolicyError with the first complaint, if there is any."""
    if not reading.faults:
        return
    fault: Fault = min(reading.faults, key=lambda fault: fault.offset)
    line, column = reading.at(fault.offset)
    raise PolicyError(fault.message, path=path, line=line, column=column, help=fault.help)


def _not_toml(text: str, lines: Lines, path: str, error: ValueError) -> PolicyError:
    """Turn what tomllib complains of into a PolicyError with its position."""
    if isinstance(error, UnicodeEncodeError):
        line, column = lines.at(error.start)
        return PolicyError(
            "half of a surrogate pair is no character", path=path, line=line, column=column
        )
    message = str(error)
    if found := _WHERE.search(message):
        at_end = found[1] is None
        line, column = lines.at(len(text)) if at_end else (int(found[1]), int(found[2]))
        message = message[: found.start()]
    elif long_number := _LONG_NUMBER.search(text):
        line, column = lines.at(long_number.start())
        message = "this number is too long"
    else:
        line, column = 0, 0
    message = f"this is not TOML: {message[:1].lower()}{message[1:]}"
    return PolicyError(message, path=path, line=line, column=column, help=_TOML_HELP)


_TOML_HELP = "see https://toml.io; texts need quotes, lists need brackets"


def _unreadable(path: str, error: OSError | ValueError, what: str) -> PolicyError:
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        help = "save the file as UTF-8"
        return PolicyError("this is not UTF-8", path=path, line=line, column=column, help=help)
    why = error.strerror if isinstance(error, OSError) and error.strerror else "no such path"
    return PolicyError(f"{what} can't be read: {why}", path=path)
