"""Passwords and secrets that are known by what stands before them.

Values assigned to a telling name (environment files, JSON, YAML, code, connection strings,
command lines, XML), credentials in URLs, and those after ``Bearer`` and ``Basic``. Only the
value is masked, so that a reader still sees what it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tracewall.masking import confirm
from tracewall.masking.config import DETECTORS
from tracewall.masking.shape import SPACE, Shape, Verdict

_STRONG = rb"passwor[dt]s?|passwd|pwd|passphrase|passcode|credentials?|secret"
_WEAK = (
    rb"token|(?:api|access|secret|private|account|signing|encryption|auth)[ _-]?key|authorization"
)
_TAIL = rb"[\"'`*\\\])?]{0,4}"
_OPERATOR = rb"[:=]{1,3}>?|[-=]?>|(?i:is|was|ist|lautet)" + SPACE
_ASSIGNED = (
    rb"(?:(?i:" + _STRONG + rb"|" + _WEAK + rb")|_(?i:pass|pw))" + _TAIL + SPACE + rb"{0,8}(?:"
    + _OPERATOR + rb")"
)  # fmt: skip
_KEY = re.compile(
    rb"(?i:(?P<weak>" + _WEAK + rb")|" + _STRONG + rb"|pass|pw)(?P<tail>" + _TAIL + rb")"
    rb"(?P<space>\s{0,8})(?P<op>" + _OPERATOR + rb")"
)
_QUOTE = re.compile(rb"[ \t*]{0,8}[bBrRfFuU]{0,2}(\\*[\"'`])")
# In code a type may come first, as in `password: str = "…"`.
_TYPE = re.compile(rb"[ \t]{0,3}[A-Za-z][\w.]{0,30}(?:\[\w{1,30}\])?\s{0,3}=")
_BLANKS = re.compile(rb"[ \t*]{0,8}")
_SCHEME_WORD = re.compile(rb"(?i:bearer|basic|token|digest|apikey)\s{1,4}")
_SCHEME_LETTERS = b"bBtTdDaA"
_BARE = re.compile(rb"[^\s\"'`,;&<>\\]+")
_HEAD = re.compile(rb"[^\s\"'`,;&<>\\]{1,64}")
_CLOSING = b").]}:!?"
_LINE = re.compile(rb"[^\s\"'`\\]+")
_LONGEST = 4096

# Only marks that masks are known to leave: a password may well stand in brackets.
_MARK = (
    rb"\[(?:"
    + "|".join((*DETECTORS, "secret", "redacted", "masked", "oversized")).encode()
    + rb")\]"
)
_HARMLESS = re.compile(
    _MARK + rb"[).\]}:!?]*|<[^>]*>|\$?\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|%\(?\w*\)?s|\$\w+"
    rb"|[.*xX_-]+|(?i:string|str|none|null|nil|true|false|undefined|required|optional|boolean|bool"
    rb"|text|password|passwd|secret|token|bearer|basic|redacted|hidden|env|your[-_ ].*|.*[-_]here)"
)
_CODE = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CALL = re.compile(rb"[A-Za-z_][\w.]*[(\[{]")
_WORD = re.compile(rb"[A-Za-z_]+")
_DIGIT = re.compile(rb"[0-9]")
# What stands before a key, read backwards.
_ENVIRONMENT = re.compile(rb"[A-Z0-9_]*(?:[\s\"'`\\]|n\\|\Z)")
_PAIR_BEFORE = re.compile(rb"[\w.-]*(?:[\s?&;]|\Z)")
_YAML_BEFORE = re.compile(rb"[\w.-]*[ \t-]*(?:\n|\Z)")
_PAIR_AFTER = re.compile(rb"[\s&;]|\Z")
_YAML_AFTER = re.compile(rb"[ \t]*(?:\r?\n|\Z|#|\\n)")
_AWS_KEY = re.compile(rb"secret[ _-]?(?:access[ _-]?)?key|access[ _-]?key", re.IGNORECASE)
_AWS_VALUE = re.compile(rb"[A-Za-z0-9/+]{40}")

Span = tuple[int, int]


def _assigned(data: bytes, start: int, floor: int) -> Verdict:
    key = _KEY.match(data, start)
    if key is None:
        return None
    value = _value(data, key, floor)
    return (*value, "password") if value else key.start("op")


def _assigned_to_aws(data: bytes, start: int, floor: int) -> Verdict:
    key = _KEY.match(data, start) if _AWS_KEY.match(data, start) else None
    if key is None:
        return None
    value = _value(data, key, floor)
    good = value and _AWS_VALUE.fullmatch(data, *value)
    return (*value, "aws") if value and good else None


def _value(data: bytes, key: re.Match[bytes], floor: int) -> Span | None:
    """Give where the value assigned to `key` stands, or None where there is no secret."""
    if key["op"] == b">":
        return _element(data, key)
    before = data[max(floor, key.start() - 48) : key.start()][::-1]
    if before[:1] == b"[" and b"]" in key["tail"]:
        return None  # what a mask left, or an index
    quote = _QUOTE.match(data, key.end()) or _typed(data, key)
    if quote:
        return _quoted(data, key, quote)
    if before[:1] == b"/" and key[0][:6] == b"passwd":
        return None  # the file /etc/passwd
    return _unquoted(data, key, before)


def _typed(data: bytes, key: re.Match[bytes]) -> re.Match[bytes] | None:
    typed = _TYPE.match(data, key.end()) if key["op"] == b":" else None
    return _QUOTE.match(data, typed.end()) if typed else None


def _after_scheme(data: bytes, first: int) -> int:
    """Skip the name of a scheme, as in `Bearer …`; else give `first`."""
    scheme = _SCHEME_WORD.match(data, first) if data[first : first + 1] in _SCHEME_LETTERS else None
    return scheme.end() if scheme else first


def _element(data: bytes, key: re.Match[bytes]) -> Span | None:
    """Read an XML element's text."""
    end = data.find(b"<", key.end(), key.end() + _LONGEST)
    text = data[key.end() : end] if end >= 0 else b""
    if len(text) < 3 or not data.startswith(b"</", end) or harmless(text):
        return None
    return key.end(), end


def _quoted(data: bytes, key: re.Match[bytes], quote: re.Match[bytes]) -> Span | None:
    first = _after_scheme(data, quote.end())
    end = _closing(data, first, quote[1])
    text = data[first:end]
    if harmless(text):
        return None
    words = len(text.split(None, 6))
    if first > quote.end():
        good = len(text) >= 8
    elif key["weak"]:
        good = len(text) >= 8 and words == 1 and _tokenlike(text)
    else:
        good = len(text) >= 3 and words <= 6
    return (first, end) if good else None


def _closing(data: bytes, first: int, quote: bytes) -> int:
    """Find the quote that closes what `quote`, with its backslashes, opened.

    Each level of escaping doubles the backslashes. Where no quote closes, the rest of the
    line is the value.
    """
    slashes = len(quote) - 1
    end = first - 1
    for _ in range(64):
        end = data.find(quote[-1:], end + 1, first + _LONGEST)
        if end < 0:
            break
        before = data[first:end]
        count = len(before) - len(before.rstrip(b"\\"))
        if count % (2 * slashes + 2) == slashes:
            return end - slashes
    rest = _LINE.match(data, first)
    return rest.end() if rest else first


def harmless(text: bytes) -> bool:
    """Tell whether a value only holds a place: a marker, a variable, a word for nothing."""
    return not text or (len(text) <= 64 and _HARMLESS.fullmatch(text) is not None)


def _tokenlike(text: bytes) -> bool:
    if _DIGIT.search(text):
        return not text.isdigit()
    return len(text) >= 16 and not _WORD.fullmatch(text)


def _unquoted(data: bytes, key: re.Match[bytes], before: bytes) -> Span | None:
    blanks = _BLANKS.match(data, key.end())
    start = blanks.end() if blanks else key.end()
    first = _after_scheme(data, start)
    head = _HEAD.match(data, first)
    text = head[0].rstrip(_CLOSING) if head else b""
    name = key[0][: key.start("tail") - key.start()]
    environment = (
        name.isupper() and _tight(key) and first == key.end() and _ENVIRONMENT.match(before)
    )
    if first > start:
        good = len(text) >= 8
    else:
        good = bool(environment) or _convincing(data, first, key, before, text)
    run = (_LINE if environment else _BARE).match(data, first) if good else None
    whole = run[0] if run else b""
    if harmless(whole) or (name.lower() == b"pwd" and whole[:1] in b"/~."):
        return None  # nothing, or the working directory
    return first, first + len(whole if environment else whole.rstrip(_CLOSING))


def _tight(key: re.Match[bytes]) -> bool:
    return key["op"] == b"=" and not key["space"]


def _convincing(data: bytes, first: int, key: re.Match[bytes], before: bytes, text: bytes) -> bool:
    """Tell by its first characters whether a bare value is a secret, and no piece of code."""
    if len(text) < (12 if key["weak"] else 4) or key["op"][:2] == b"==":
        return False
    end = first + len(text)
    if _is_code(text, data[end : end + 1]):
        return _plain_word(data[end : end + 64], key, before, text)
    return _secretive(key, text)


def _is_code(text: bytes, after: bytes) -> bool:
    """Tell whether `text` reads as a name, an attribute or a call."""
    if _CALL.match(text + after):
        return True
    return bool(_CODE.fullmatch(text)) and not _DIGIT.search(text)


def _plain_word(after: bytes, key: re.Match[bytes], before: bytes, text: bytes) -> bool:
    """Tell whether a bare word is a value: in a connection string, a query, a line of YAML."""
    if key["weak"] or len(text) < 6 or not _WORD.fullmatch(text):
        return False
    if _tight(key):
        return bool(_PAIR_BEFORE.match(before) and _PAIR_AFTER.match(after))
    yaml = key["op"] == b":" and _YAML_BEFORE.match(before)
    return bool(yaml and _YAML_AFTER.match(after))


def _secretive(key: re.Match[bytes], text: bytes) -> bool:
    """Tell whether a bare value that is no word is a secret's."""
    if key["weak"]:
        return confirm.mixed(text)
    return not key["op"][-1:].isspace() or (len(text) >= 6 and _tokenlike(text))


# Credentials in URLs, and after the name of a scheme

_URL = rb"://[^\t-\r /:@?#\"'<>\\]{0,64}:[^\t-\r /:@]"
_USER = re.compile(rb"://[^\s/:@?#\"'<>\\]{0,64}:")
_PORT = re.compile(rb"[0-9]{1,5}(?:[/?#\s\"'<>\\),;]|\Z)")
_SECRET = re.compile(rb"[^\s\"'<>`\\]{1,512}(?=@)")
_URL_LIMIT = 640


def _url(data: bytes, start: int, floor: int) -> Verdict:
    user = _USER.match(data, start)
    if user is None:
        return None
    first = user.end()
    # The user may be a secret too: go on right after the slashes.
    if data.find(b"@", first, first + _URL_LIMIT) < 0 or _PORT.match(data, first):
        return start + 3
    # To the last at-sign: a password may hold some.
    secret = _SECRET.match(data, first)
    if secret is None or harmless(secret[0]):
        return start + 3
    return first, secret.end(), "password"


_SCHEME = rb"(?i:bearer|basic)" + SPACE + rb"{1,4}[A-Za-z0-9._~+/=-]{12}"
_SCHEME_VALUE = re.compile(rb"(?i:(bearer)|basic)\s{1,4}([A-Za-z0-9._~+/=-]{12,})")


def _scheme(data: bytes, start: int, floor: int) -> Verdict:
    hit = _SCHEME_VALUE.match(data, start)
    if hit is None:
        return None
    text = hit[2]
    good = len(text) >= 16 and confirm.mixed(text) if hit[1] else confirm.basic(text)
    return (hit.start(2), hit.end(2), "password") if good else hit.start(2)


_OPTION = rb"--(?i:password|passwd|token|api-key|secret|client-secret|access-key)[ =]"
_OPTION_VALUE = re.compile(_OPTION + rb"[\"']?([^\s\"'`-][^\s\"'`]{3,})")


def _option(data: bytes, start: int, floor: int) -> Verdict:
    hit = _OPTION_VALUE.match(data, start)
    if hit is None:
        return None
    if harmless(hit[1]):
        return start + 2
    return hit.start(1), hit.end(1), "password"


_NAMES = b"pPcCsStTaAeE"
_NAME_ANCHORS = tuple(
    b"pass pwd _pw credential secret token api access private account signing encryption"
    b" auth".split()
)

SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {
        "aws": (Shape(_ASSIGNED, _NAMES, _assigned_to_aws, _NAME_ANCHORS, 1),),
        "password": (
            Shape(_ASSIGNED, _NAMES, _assigned, _NAME_ANCHORS, 1),
            Shape(_URL, b":", _url, (b"://",)),
            Shape(_SCHEME, b"bB", _scheme, (b"bearer", b"basic")),
            Shape(_OPTION, b"-", _option, (b"--",)),
        ),
    }
)
"""The shapes of the detector of passwords."""
