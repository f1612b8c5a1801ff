"""The part of a policy's format that says whose tokens are accepted, and who acts for whom."""

from __future__ import annotations

from typing import get_args

from tracewall.policy.checks import dotted_claim, key_set
from tracewall.policy.issuers import Actor, Identity, Introspection, Issuer, Provider, Tokens
from tracewall.policy.kinds import (
    RULE_NAME,
    Choice,
    Duration,
    Flag,
    GroupName,
    Text,
    WantedClaims,
    Whole,
)
from tracewall.policy.sections import Key, Many, OneOrMany, Section

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""The signature algorithms that tokens are verified by (RFC 7518, 8037, 9864)."""

_SHARED = "with this algorithm whoever can check a token can also make one"
_NO_ALGORITHMS = dict.fromkeys(("HS256", "HS384", "HS512"), _SHARED) | {
    "none": "an unsigned token proves nothing"
}
_MANY_GROUPS = 10_000
_CLAIM = Text("the name of a claim", check=dotted_claim)

INTROSPECTION = Section(
    Introspection,
    "Where the issuer is asked whether a token is still active (RFC 7662).",
    {
        "url": Key(Text("a URL", check=key_set), "The https URL of its endpoint.", required=True),
        "client_id": Key(Text(), "As whom it is asked.", required=True),
        "secret_env": Key(
            Text(), "The environment variable with that client's secret.", required=True
        ),
        "lasts": Key(Duration(), "How long an answer holds; after half of that it is asked again."),
    },
)
IDENTITY = Section(
    Identity,
    "What holds for the tokens of every issuer.",
    {
        "background": Key(Flag(), "Read keys before they are due, in a thread of the wall's own."),
        "revocations": Key(Text("a path"), "The file that lists what has been revoked."),
    },
)
ISSUER = Section(
    Issuer,
    "Whose tokens are accepted, and how they are checked.",
    {
        "name": Key(RULE_NAME, "What the record calls this issuer."),
        "issuer": Key(Text(), "What the token's iss must be, to the letter.", required=True),
        "audience": Key(
            OneOrMany(Text()),
            "What must be in the token's aud; of a list, one is enough.",
            required=True,
            field="audiences",
        ),
        "provider": Key(
            Choice(get_args(Provider)),
            "Whose tokens they are: fills in what is left out, and checks what is theirs alone.",
        ),
        "tokens": Key(
            Choice(get_args(Tokens)),
            "Which tokens are accepted: access tokens (access) or ID tokens (id). By default "
            "access tokens, where the provider has them.",
        ),
        "keys": Key(
            Text("a path or a URL", check=key_set),
            "The path or the https URL of the JSON Web Key Set; without it the set is found by "
            "the issuer's own metadata.",
        ),
        "discovery": Key(
            Text("a URL", check=key_set),
            "The https URL of the issuer's metadata, where that is not at a well-known place.",
        ),
        "algorithms": Key(
            Many(Choice(ALGORITHMS, _NO_ALGORITHMS)),
            "The signature algorithms it may use; by default RS256, ES256 and EdDSA.",
        ),
        "audience_claim": Key(_CLAIM, "The claim that says whom a token is for; by default aud."),
        "subject_claim": Key(_CLAIM, "The claim that says who the caller is; by default sub."),
        "groups_claim": Key(
            OneOrMany(_CLAIM),
            "The claims that list groups; a dot leads into a nested claim, and what starts with "
            "a slash is a JSON pointer. By default groups, or what the provider has.",
            field="groups_claims",
        ),
        "groups_prefix": Key(Text(), "What is put before the name of each group."),
        "groups_limit": Key(
            Whole(_MANY_GROUPS),
            "A token with as many groups is refused, for there may be more; 0: no limit.",
        ),
        "actor_groups_claim": Key(_CLAIM, "The claim inside act that lists an actor's groups."),
        "claims": Key(Many(_CLAIM), "The claims that the principal keeps, for row filters."),
        "purpose_claim": Key(_CLAIM, "The claim that says what the access is for."),
        "require": Key(WantedClaims(), "Claims, with the value or the values that they must have."),
        "token_type": Key(
            OneOrMany(Text(blank=True)),
            "What the token's typ may be; none: there is none; an empty string: anything. By "
            "default at+jwt, or what the provider sends.",
            field="token_types",
        ),
        "leeway": Key(Duration(), "How far the clocks may be apart."),
        "max_lifetime": Key(Duration(), "The longest time from iat to exp; 0: no limit."),
        "introspection": Key(INTROSPECTION, INTROSPECTION.purpose),
    },
    exclusive=(("keys", "discovery"),),
)
ACTOR = Section(
    Actor,
    "Says which groups those belong to who act for others (RFC 8693).",
    {
        "name": Key(RULE_NAME, "What this rule is called."),
        "subjects": Key(
            Many(GroupName()), "Which actors, by their sub; * stands for any text.", required=True
        ),
        "groups": Key(
            Many(Text("the name of a group"), frozenset), "Which groups they are in.", required=True
        ),
        "issuer": Key(
            RULE_NAME,
            "The name of the issuer that vouches for the actor; left out: that of the token.",
        ),
    },
)
