"""Keys and tokens: those of known issuers, JSON Web Tokens, PEM private keys.

Their prefixes are so distinctive that other letters may touch them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tracewall.masking import confirm
from tracewall.masking.shape import DIGITS, SPACE, Shape, Verdict, plain

_AWS = rb"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16,}"
# A secret key often follows its id, in a table or a CSV file.
_AWS_PAIR = _AWS + rb"(?:[\s,:;|\"'/\\]{1,4}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?"
_AZURE = (
    rb"(?i:AccountKey|SharedAccessKey|SharedSecretKey)S{0,2}=S{0,2}[A-Za-z0-9+/%]{20,}"
).replace(b"S{", SPACE + b"{")
_AZURE_VALUE = re.sub(rb"(\[A-Za-z0-9\+/%\].*)", rb"(\1={0,2})", _AZURE)
_ENTRA = rb"[0-9]Q~[\w~.-]{31,34}"
_SAS = rb"[?&;]sig=[A-Za-z0-9%+/_-]{20,}"
_SAS_VALUE = rb"[?&;]sig=([A-Za-z0-9%+/_-]{20,}={0,2})"
_GCP = rb"AIza[\w-]{35,}|GOCSPX-[\w-]{20,}"
_GITHUB = rb"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}"
_SLACK = rb"xox[abceoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Z0-9]{6,}-[A-Za-z0-9-]{10,}"
_SLACK_HOOK = rb"hooks\.slack\.com/[a-z]{4,10}/[A-Za-z0-9+/]{8,}"
_STRIPE = rb"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{24,}"
_OPENAI = rb"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}"
_OPENAI_BARE = rb"sk-[A-Za-z0-9]{20,}"
_ANTHROPIC = rb"sk-ant-[\w-]{16,}"
_TOKEN = (
    rb"gl(?:pat|dt|rt|ft|soat|cbt)-[\w-]{20,}|gsk_[A-Za-z0-9]{30,}"  # GitLab, Groq
    rb"|npm_[A-Za-z0-9]{30,}|pypi-AgE[\w-]{40,}|hf_[A-Za-z]{30,}"  # npm, PyPI, Hugging Face
    rb"|pplx-[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{40,}|lsv2_[ps][tk]_[\w-]{20,}"
    rb"|sk-(?:lf|or-v1)-[\w-]{20,}"  # Langfuse, OpenRouter
    rb"|SG\.[\w-]{16,40}\.[\w-]{16,}|ya29\.[\w-]{20,}"  # SendGrid, Google OAuth
    rb"|do[opr]_v1_[a-f0-9]{64}|dapi[a-f0-9]{32}"  # DigitalOcean, Databricks
    rb"|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"  # Shopify
)
_FURTHER = (
    rb"hv[sbr]\.[\w-]{24,}|AGE-SECRET-KEY-1[A-Z0-9]{50,}|tskey-[a-z]{2,8}-[\w-]{20,}"  # Vault, age
    rb"|lin_api_[A-Za-z0-9]{32,}|ntn_[A-Za-z0-9]{40,}|fig[dou]_[\w-]{32,}|nfp_[A-Za-z0-9]{36,}"
    rb"|ATATT3[\w=-]{40,}|dp\.(?:pt|st|ct|sa)\.[\w.-]{40,}|dckr_[po]at_[\w-]{20,}"  # Atlassian
    rb"|r8_[A-Za-z0-9]{36,}|NRAK-[A-Z0-9]{24,}|sq0(?:atp|csp)-[\w-]{20,}|pul-[a-f0-9]{40}"
    rb"|glsa_\w{32,}|sntry[su]_[\w=+/-]{30,}|PMAK-[a-f0-9]{24}-[a-f0-9]{30,}"
    rb"|pat[A-Za-z0-9]{14}\.[a-f0-9]{64}|sbp_[a-f0-9]{40}|rubygems_[a-f0-9]{40,}|tvly-[\w-]{20,}"
    rb"|key-[a-f0-9]{32}|SK[a-f0-9]{32}|[0-9]{8,10}:AA[\w-]{33}"  # Mailgun, Twilio, Telegram
)

_BARE_KEY = re.compile(_OPENAI_BARE)


def _bare_openai(data: bytes, start: int, floor: int) -> Verdict:
    hit = _BARE_KEY.match(data, start)
    if hit is None:
        return None
    body = hit[0][3:]
    # "task-" and "disk-" end in the prefix: after them only what can be no hex id counts.
    glued = start > floor and data[start - 1 : start].isalnum()
    capitals = body.upper() != body != body.lower()
    if b"T3BlbkFJ" in body or (confirm.mixed(body) and (capitals or not glued)):
        return start, hit.end(), "openai"
    return start + 3


_JWT_HEAD = rb"eyJ[0-9a-z][\w-]{3}iOi"
_JWT_BODY = rb"\.eyJ[\w-]{5}"
_JWT = re.compile(rb"([\w-]{11,2000})\.[\w-]{4,}(?:\.[\w-]*){0,3}")
_JWT_LIMIT = 2048
_BACKWARDS = re.compile(rb"[\w-]+")


def _jwt(data: bytes, start: int, floor: int) -> Verdict:
    if not data.startswith(b"eyJ", start) or data.find(b".", start, start + _JWT_LIMIT) < 0:
        return None
    return _whole_jwt(data, start) or start + 3


def _jwt_by_body(data: bytes, start: int, floor: int) -> Verdict:
    """Judge a payload whose header begins in an unusual way."""
    if not data.startswith(b".eyJ", start):
        return None
    header = _BACKWARDS.match(data[max(floor, start - _JWT_LIMIT) : start][::-1])
    return (_whole_jwt(data, start - header.end()) if header else None) or start + 1


def _whole_jwt(data: bytes, start: int) -> Verdict:
    hit = _JWT.match(data, start)
    return (start, hit.end(), "jwt") if hit and confirm.jose_header(hit[1]) else None


_PEM = rb"-----(?:BEGIN|END) (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_EDGE = re.compile(_PEM)
_PEM_LIMIT = 1 << 15
_BREAK = rb"(?:\s|\\+[nrt])"
_PEM_CUT = re.compile(
    rb"(?:B{1,8}[A-Za-z-]{3,20}: [^\n\\]{1,80})*".replace(b"B", _BREAK, 1)
    + rb"(?:B{0,64}[A-Za-z0-9+/=]{16,})*".replace(b"B", _BREAK, 1)
    + rb"B{0,64}[A-Za-z0-9+/]{0,80}={0,2}".replace(b"B", _BREAK, 1)
)
_GAP = re.compile(rb"(?:\s|[nrt]\\+){0,64}")
# Read backwards; a letter before a backslash is the end of an escape.
_PEM_TAIL = re.compile(
    rb"={0,2}B{1,80}(?:(?:\s|[nrt]\\+){1,64}B{32,})*".replace(
        b"B", rb"(?:(?![nrt]\\)[A-Za-z0-9+/])"
    )
)


def _pem(data: bytes, start: int, floor: int) -> Verdict:
    edge = _PEM_EDGE.match(data, start)
    if edge is None:
        return None
    if data.startswith(b"END", start + 5):
        return _pem_start(data, start, floor), edge.end(), "pem"
    following = data.find(b"-----", edge.end(), edge.end() + _PEM_LIMIT)
    closing = _PEM_EDGE.match(data, following) if following >= 0 else None
    if closing and data.startswith(b"END", following + 5):
        return start, closing.end(), "pem"
    cut = _PEM_CUT.match(data, edge.end())
    return start, cut.end() if cut else edge.end(), "pem"


_DER = rb"MII[A-Za-z0-9+/]{3}IBA(?:DANBgkqhki|AKC[AB])[A-Za-z0-9+/]{12}|MHcCAQEE[A-Za-z0-9+/]{20}"
_PUTTY = rb"Private-Lines: [0-9]{1,3}(?:\r?\n|\\+n)"
_LINES = rb"[A-Za-z0-9+/]{20,}={0,2}(?:B{1,64}[A-Za-z0-9+/=]{4,})*".replace(b"B", _BREAK)
_DER_VALUE = re.compile(
    rb"(?="
    + _DER
    + rb")"
    + _LINES
    + rb"(?:B{0,64}".replace(b"B", _BREAK)
    + _PEM.replace(b"BEGIN|", b"")
    + rb")?"
)
_PUTTY_VALUE = re.compile(_PUTTY + rb"(?P<text>" + _LINES + rb")")


def _der(data: bytes, start: int, floor: int) -> Verdict:
    """Judge a private key's body that has lost its first line."""
    hit = _DER_VALUE.match(data, start, start + _PEM_LIMIT)
    return (start, hit.end(), "pem") if hit else None


def _putty(data: bytes, start: int, floor: int) -> Verdict:
    hit = _PUTTY_VALUE.match(data, start, start + _PEM_LIMIT)
    return (*hit.span("text"), "pem") if hit else None


def _pem_start(data: bytes, end: int, floor: int) -> int:
    """Go back from a closing line over the lines of base64 before it."""
    before = data[max(floor, end - _PEM_LIMIT) : end][::-1]
    gap = _GAP.match(before)
    tail = _PEM_TAIL.match(before, gap.end()) if gap else None
    return end - tail.end() if tail else end


_TOKEN_ANCHORS = (
    b"glpat- gldt- glrt- glft- glsoat- glcbt- gsk_ npm_ pypi-age hf_ pplx- xai- lsv2_ sk-"
    b" sg. ya29. _v1_ dapi shpat_ shpca_ shppa_ shpss_"
)
_FURTHER_ANCHORS = (
    b"hvs. hvb. hvr. age-secret-key-1 tskey- lin_api_ ntn_ figd_ figo_ figu_ nfp_ atatt3 dp. dckr_"
    b" r8_ nrak- sq0 pul- glsa_ sntrys_ sntryu_ pmak- pat sbp_ rubygems_ tvly- key- sk :aa"
)


def _bounded(pattern: bytes) -> bytes:
    """Make of a pattern a trigger: to know where a key starts its least length will do."""
    return re.sub(rb"(\{[0-9]+),\}", rb"\1}", pattern)


def _shape(
    name: str, pattern: bytes, starts: bytes, anchors: bytes, *, reach: int = 0, value: bytes = b""
) -> Shape:
    judge = plain(name, value or pattern)
    return Shape(_bounded(pattern), starts, judge, tuple(anchors.split()), reach)


SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(
    {
        "jwt": (
            Shape(_JWT_HEAD, b"e", _jwt, (b"eyj",)),
            Shape(_JWT_BODY, b".", _jwt_by_body, (b".eyj",)),
        ),
        "pem": (
            Shape(_PEM, b"-", _pem, (b"-----begin ", b"-----end ")),
            Shape(_DER, b"M", _der, (b"mii", b"mhccaqee")),
            Shape(_PUTTY, b"P", _putty, (b"private-lines: ",)),
        ),
        "aws": (_shape("aws", _AWS, b"A", b"akia asia abia acca", value=_AWS_PAIR),),
        "gcp": (_shape("gcp", _GCP, b"AG", b"aiza gocspx-"),),
        "azure": (
            _shape("azure", _AZURE, b"aAsS", b"accountkey shareda shareds", value=_AZURE_VALUE),
            _shape("azure", _SAS, b"?&;", b"sig=", reach=1, value=_SAS_VALUE),
            Shape(_ENTRA, DIGITS, plain("azure", _ENTRA, back=3), (b"q~",), 1),
        ),
        "github": (_shape("github", _GITHUB, b"g", b"ghp_ gho_ ghu_ ghs_ ghr_ github_pat_"),),
        "slack": (
            _shape("slack", _SLACK, b"x", b"xox xapp-"),
            _shape("slack", _SLACK_HOOK, b"h", b"hooks.slack.com/"),
        ),
        "stripe": (_shape("stripe", _STRIPE, b"rsw", b"k_live_ k_test_ whsec_", reach=1),),
        "anthropic": (_shape("anthropic", _ANTHROPIC, b"s", b"sk-"),),
        "openai": (
            _shape("openai", _OPENAI, b"s", b"sk-"),
            Shape(_bounded(_OPENAI_BARE), b"s", _bare_openai, (b"sk-",)),
        ),
        "token": (
            _shape("token", _TOKEN, b"gnphxlsSyd", _TOKEN_ANCHORS, reach=3),
            _shape("token", _FURTHER, b"hAtlnfdrNsgPpkS" + DIGITS, _FURTHER_ANCHORS, reach=10),
        ),
    }
)
"""The shapes of each detector of keys and tokens."""
