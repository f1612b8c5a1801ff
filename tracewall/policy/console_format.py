"""The format of what a policy says of the web console."""

from __future__ import annotations

from typing import Any, TypeAlias, get_args

from tracewall.policy.checks import conninfo, console_host, console_url
from tracewall.policy.console import Console, Login, LoginToken
from tracewall.policy.kinds import END, RULE_NAME, Choice, Duration, Flag, GroupName, Text
from tracewall.policy.locate import Place
from tracewall.policy.model import Policy
from tracewall.policy.reading import Reading, did_you_mean
from tracewall.policy.sections import Key, Many, Section

Raw: TypeAlias = dict[str, Any]

_DAY = 86_400
_GROUPS = Many(GroupName())

LOGIN = Section(
    Login,
    "A way to log in to the console: the authorization code flow with one of the issuers.",
    {
        "issuer": Key(RULE_NAME, "The name of the issuer.", required=True),
        "client_id": Key(Text(), "As which client the console is registered.", required=True),
        "client_secret_env": Key(
            Text(), "The environment variable with the client's secret; a public client has none."
        ),
        "client_secret_file": Key(Text("a path"), "The file with the client's secret."),
        "scopes": Key(
            Many(Text("a scope", rf"^[!#-\[\]-~]+{END}")),
            "The scopes that are asked for, besides openid.",
        ),
        "resource": Key(
            Text(), "Which resource the access token is to be for (RFC 8707; Auth0: the audience)."
        ),
        "token": Key(
            Choice(get_args(LoginToken)),
            "Which token says who has logged in: the ID token (id), or the access token (access), "
            "which is checked as the issuer's tokens are.",
        ),
    },
    exclusive=(("client_secret_env", "client_secret_file"),),
)
CONSOLE = Section(
    Console,
    "The web console: where it is reached, who logs in how, and who sees what.",
    {
        "url": Key(
            Text("a URL", check=console_url),
            "Where browsers find it: https, or http on this machine; left out: this machine only.",
        ),
        "hosts": Key(
            Many(Text("a host", check=console_host)),
            "Further hosts (with the port) that it is reached by.",
        ),
        "viewers": Key(_GROUPS, "The groups whose members see recorded sessions."),
        "auditors": Key(_GROUPS, "The groups whose members search the audit record."),
        "tokens": Key(Flag(), "Whether people may log in by pasting an access token."),
        "lasts": Key(
            Duration(_DAY), "How long a login lasts at most; it ends with the token anyway."
        ),
        "key_env": Key(
            Text(),
            "The environment variable with the key that signs decisions; none: no decisions.",
        ),
        "key_file": Key(Text("a path"), "The file with the key that signs decisions."),
        "record_conninfo": Key(
            Text("a connection string", check=conninfo),
            "Who reads a record that is in PostgreSQL, as a libpq string without a password.",
        ),
        "record_password_env": Key(
            Text(), "The environment variable with the password for record_conninfo."
        ),
        "record_password_file": Key(
            Text("a path"), "The file with the password for record_conninfo."
        ),
        "logins": Key(Many(LOGIN), LOGIN.purpose),
    },
    exclusive=(("key_env", "key_file"), ("record_password_env", "record_password_file")),
)


def complain_of_console(policy: Policy, root: Place, reading: Reading) -> None:
    """Give `reading` what is contradictory in what a policy says of the console."""
    if "console" not in root.inside:
        return
    console, inside = policy.console, root.inside["console"].inside
    if not console.lasts:
        help = "write a length of time above 0"
        reading.wrong(inside["lasts"], "nobody could stay logged in", help)
    if console.record_conninfo and not policy.audit.conninfo:
        help = "write conninfo in [audit], or leave it out"
        reading.wrong(inside["record_conninfo"], "the record is not in PostgreSQL", help)
    for key in ("record_password_env", "record_password_file"):
        if key in inside and not console.record_conninfo:
            reading.wrong(inside[key], "nobody logs in with it", "write record_conninfo beside it")
    if not console.tokens and not console.logins:
        help = "write [[console.logins]], or leave tokens out"
        reading.wrong(inside["tokens"], "nobody could log in", help)
    places = list(inside["logins"].inside.values()) if "logins" in inside else []
    known, seen = {issuer.name: issuer for issuer in policy.issuers}, set[str]()
    for login, place in zip(console.logins, places, strict=True):
        at = place.inside["issuer"]
        issuer = known.get(login.issuer)
        if issuer is None:
            help = did_you_mean(login.issuer, known, "give the name of one of the issuers")
            reading.wrong(at, f"no issuer is called '{login.issuer}'", help)
        elif "://" not in issuer.issuer:
            help = "only an issuer that is a URL has metadata that tells where to log in"
            reading.wrong(at, "nobody can log in with this issuer", help)
        elif login.issuer in seen:
            reading.wrong(at, "this issuer has a login already", "leave one of them out")
        elif login.token == "access" and issuer.tokens == "id":
            help = 'write token = "id", or leave it out'
            reading.wrong(place, "this issuer's access tokens are not accepted", help)
        seen.add(login.issuer)
