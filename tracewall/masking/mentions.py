"""Passwords that no sign assigns: in commands, SQL, calls, headers, password files and prose.

What stands around tells them: the command before an option, a call's name, a word and a
quote. Where prose alone says it, the value has to look like no word.
"""

from __future__ import annotations

import re

from tracewall.masking import confirm
from tracewall.masking.credentials import harmless
from tracewall.masking.shape import Judge, Shape, Verdict

_QUOTES = rb"[\"'`]"
_NAMES = rb"(?i:passwor[dt]|passwd|passphrase|secret|identified[ ]by)"
_NAME_ANCHORS = (b"passwor", b"passwd", b"passphrase", b"secret", b"identified by")
_FIRST = b"pPsSiI"

# Beside a name, in quotes, in a call, or bare

_BESIDE = (
    _NAMES
    + rb"[\"'`*)]{0,3}(?i: to)?(?:[ \t]{1,3}|\(|,[ ]?)(?:"
    + _QUOTES
    + rb"|[0-9A-Za-z!@#$%^&*_-]{6})"
)
_BESIDE_VALUE = re.compile(
    rb"(?P<name>" + _NAMES + rb")[\"'`*)]{0,3}(?i: to)?(?P<gap>[ \t]{1,3}|\(|,[ ]?)"
    rb"(?:(?P<quote>\\?[\"'`])(?P<text>[^\"'`\n\\]{3,128})(?P=quote)|(?P<bare>[^\s\"'`]{6,128}))"
)
_SQL_BEFORE = re.compile(rb"(?i:with|encrypted|user|role|set)[ \t]+\Z")
_COMMAND_BEFORE = re.compile(
    rb"(?:(?:\A|[\s\"'`])(?:ENV|ARG|set|setx)[ \t]+\w{0,40}|\b(?:login|user)[ \t]+[^\s]{1,64}\s+)\Z"
)
_CAPITAL, _SMALL = re.compile(rb"[A-Z]"), re.compile(rb"[a-z]")
_FIGURE, _SIGN = re.compile(rb"[0-9]"), re.compile(rb"[^\w.,:;/()\[\]-]")


def _beside(data: bytes, start: int, floor: int) -> Verdict:
    hit = _BESIDE_VALUE.match(data, start)
    if hit is None:
        return None
    before = data[max(floor, start - 112) : start]
    if hit["bare"]:
        good = hit["gap"][:1] in b" \t" and bool(_COMMAND_BEFORE.search(before))
        found = hit.span("bare")
    else:
        good, found = _said(hit, before), hit.span("text")
    return (*found, "password") if good and not harmless(data[slice(*found)]) else None


def _said(hit: re.Match[bytes], before: bytes) -> bool:
    """Tell whether a quoted text after a name is its value."""
    text, name = hit["text"], hit["name"]
    if hit["quote"] == b"'" and hit["gap"][:1] in b" \t":
        # As SQL says it.
        told = name.lower().startswith(b"identified") or _SQL_BEFORE.search(before)
        if told or name == b"PASSWORD":
            return True
    if b" " in text or len(text) < 4:
        return False
    if hit["gap"] == b"(":
        return bool(_FIGURE.search(text) or _SIGN.search(text))
    return len(text) >= 6 and _random(text)


def _random(text: bytes) -> bool:
    """Tell whether a text is no word, no name and no number."""
    letters = _CAPITAL.search(text) and _SMALL.search(text)
    return bool(_FIGURE.search(text) and (letters or _SIGN.search(text)))


# In the line after its name

_LABEL = rb"(?i:passwor[dt]|passphrase|api[ _-]?key|token)[\"'`*\])]{0,4}:[* \t]{0,4}\r?\n"
_LABELLED = re.compile(
    _LABEL + rb"(?:[ \t>]{0,8}(?:```\w{0,10})?\r?\n){0,2}[ \t>]{0,8}[\"'`]?"
    rb"(?P<text>[^\s\"'`]{6,256})[\"'`]?[ \t]{0,8}(?:\r?\n|\Z)"
)


def _labelled(data: bytes, start: int, floor: int) -> Verdict:
    hit = _LABELLED.match(data, start)
    if hit is None or hit["text"][-1:] in b":{[(," or harmless(hit["text"]):
        return None
    good = confirm.mixed(hit["text"]) or _random(hit["text"])
    return (*hit.span("text"), "password") if good else None


# Beside a name, as its value

_VALUED = (
    rb"(?i:passwor[dt]|passwd|secret|token|api[ _-]?key)[\"'`,]{0,3}(?:[ \t]|\r?\n){1,16}"
    rb"[\"']?(?i:value)[\"']?[ \t]{0,2}[:=]"
)
_VALUED_TEXT = re.compile(_VALUED + rb"[ \t]{0,4}[\"'`]?(?P<text>[^\s\"'`<>]{4,512})")


def _valued(data: bytes, start: int, floor: int) -> Verdict:
    hit = _VALUED_TEXT.match(data, start)
    if hit is None or harmless(hit["text"]):
        return None
    good = data[start : start + 1] in b"pPsS" or confirm.mixed(hit["text"])
    return (*hit.span("text"), "password") if good else None


# Options of commands

_OPTION = rb"[ \t]-(?:-user|-proxy-user|[uUpPawk])[ \t=]?[\"']?[^\t-\r \"'-][^\t-\r \"']{3}"
_OPTION_VALUE = re.compile(
    rb"[ \t]-(?P<name>-user|-proxy-user|[uUpPawk])(?P<gap>[ \t=]?)[\"']?"
    rb"(?P<text>[^\s\"'-][^\s\"']{3,256})"
)
_USER_AND = re.compile(rb"[^\s:%]{1,64}[:%](?P<text>[^\s/:][^\s]{3,256})")
_CLIENTS = re.compile(rb"\b(?:curl|wget|https?|xh|lftp|smbclient|ldapsearch)\b[^\n|;]*\Z")
_GLUED = re.compile(rb"\b(?:mysql\w*|mariadb[\w-]*|sshpass|7z|zip|unzip|rar)\b[^\n|;]*\Z")
_SPACED = re.compile(
    rb"\b(?:sshpass|(?:docker|podman|skopeo|helm|npm|az|oc)\b[^\n|;]*\blogin|zip|unzip"
    rb"|redis-cli|ldap(?:search|modify|add|passwd)|openssl)\b[^\n|;]*\Z"
)


def _option(data: bytes, start: int, floor: int) -> Verdict:
    hit = _OPTION_VALUE.match(data, start)
    if hit is None:
        return None
    before = data[max(floor, start - 256) : start]
    found = hit.span("text")
    if len(hit["name"]) == 1 and hit["name"] not in b"uU":
        command = _GLUED if not hit["gap"] else _SPACED
        good = command.search(before) is not None
    else:
        both = _USER_AND.match(data, *found)
        good = both is not None and _CLIENTS.search(before) is not None
        found = both.span("text") if both else found
    return (*found, "password") if good and not harmless(data[slice(*found)]) else start + 1


# Headers and password files

_COOKIE = rb"(?i:cookie)[\"']?:[ \t]?[\"']?[A-Za-z_]"
_COOKIE_VALUE = re.compile(rb"(?i:cookie)[\"']?:[ \t]?[\"']?(?P<text>[^\n\r\"'`\\<>]{12,4096})")
_SESSION = re.compile(rb"=([A-Za-z0-9%._~+/-]{12,})")


def _cookie(data: bytes, start: int, floor: int) -> Verdict:
    hit = _COOKIE_VALUE.match(data, start)
    if hit is None or not any(map(confirm.mixed, _SESSION.findall(hit["text"]))):
        return None
    return (*hit.span("text"), "password")


_PGPASS = rb":54[0-9]{2}:[^\t-\r :]{1,63}:[^\t-\r :]{1,63}:[^\t-\r :]{4}"
_PGPASS_VALUE = re.compile(rb":54[0-9]{2}:[^\s:]{1,63}:[^\s:]{1,63}:(?P<text>[^\s:\"'`]{4,128})")


# As OpenSSL takes passwords: openssl-passphrase-options(1)

_PASSED = rb"-pass(?:in|out)?[ \t=]{1,2}[\"']?pass:[^\t-\r \"']{4}"
_PASSED_TEXT = re.compile(rb"-pass(?:in|out)?[ \t=]{1,2}[\"']?pass:(?P<text>[^\s\"']{4,512})")


def _text_of(pattern: re.Pattern[bytes]) -> Judge:
    """Judge by a pattern alone: its ``text`` is the password, unless that only holds a place."""

    def judge(data: bytes, start: int, floor: int) -> Verdict:
        hit = pattern.match(data, start)
        return (*hit.span("text"), "password") if hit and not harmless(hit["text"]) else None

    return judge


SHAPES: tuple[Shape, ...] = (
    Shape(_PASSED, b"-", _text_of(_PASSED_TEXT), (b"-pass",)),
    Shape(_BESIDE, _FIRST, _beside, _NAME_ANCHORS),
    Shape(_LABEL, b"pPaAtT", _labelled, (b"passwor", b"passphrase", b"api", b"token")),
    Shape(_VALUED, b"pPsStTaA", _valued, (b"passwor", b"passwd", b"secret", b"token", b"api")),
    Shape(_OPTION, b" \t", _option, (b" -", b"\t-")),
    Shape(_COOKIE, b"cC", _cookie, (b"cookie",)),
    Shape(_PGPASS, b":", _text_of(_PGPASS_VALUE), (b":54",)),
)
"""Further shapes of the detector of passwords."""
