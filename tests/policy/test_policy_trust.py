"""What a policy says of issuers and actors is read whole, and complained of where it can't hold."""

from __future__ import annotations

import pytest

from tracewall.errors import PolicyError
from tracewall.policy.issuers import Identity, Introspection
from tracewall.policy.load import loads
from tracewall.policy.model import Policy
from tracewall.trust import verifier_of

HEAD = 'version = 1\n[[issuers]]\nissuer = "https://i.test"\naudience = "a"\n'


def issuer(text: str) -> Policy:
    """Read a policy of one issuer with more keys."""
    return loads(HEAD + text)


def test_every_key_of_an_issuer_is_kept() -> None:
    """Each key comes to the model under its name; what is left out stays the provider's."""
    (found,) = issuer(
        """
        provider = "okta"
        tokens = "id"
        discovery = "https://i.test/metadata"
        token_type = ["JWT", "none"]
        audience_claim = "client_id"
        subject_claim = "oid"
        groups_claim = ["roles", "/resource_access/my.client/roles"]
        groups_prefix = "okta:"
        groups_limit = 7
        actor_groups_claim = "groups"
        claims = ["tenant", "org.id"]
        purpose_claim = "purpose"
        require = { tenant = ["a", "b"], email_verified = true, level = 3 }
        introspection.url = "https://i.test/i"
        introspection.client_id = "c"
        introspection.secret_env = "S"
        introspection.lasts = "5s"
        """
    ).issuers
    assert (found.provider, found.tokens, found.keys) == ("okta", "id", "")
    assert found.discovery == "https://i.test/metadata"
    assert found.token_types == ("JWT", "none")
    assert (found.audience_claim, found.subject_claim) == ("client_id", "oid")
    assert found.groups_claims == ("roles", "/resource_access/my.client/roles")
    assert (found.groups_prefix, found.groups_limit) == ("okta:", 7)
    assert found.actor_groups_claim == "groups"
    assert (found.claims, found.purpose_claim) == (("tenant", "org.id"), "purpose")
    wanted = (("email_verified", (True,)), ("level", (3,)), ("tenant", ("a", "b")))
    assert found.require == wanted
    assert found.introspection == Introspection("https://i.test/i", "c", "S", 5.0)
    assert found.algorithms is None


def test_identity_is_read() -> None:
    """Both keys, and what holds without them."""
    text = 'version = 1\n[identity]\nbackground = false\nrevocations = "r.toml"'
    assert loads(text).identity == Identity(False, "r.toml")
    assert loads("version = 1").identity == Identity(True, "")


def test_actors_are_read() -> None:
    """An actor's rule knows its subjects, its groups and its issuer."""
    (rule,) = issuer(
        'name = "x"\n[[actors]]\nsubjects = ["agent-*"]\ngroups = ["g"]\nissuer = "x"'
    ).actors
    assert rule.name == "actors[0]"
    assert rule.subjects[0].matches("agent-1.2")
    assert (rule.groups, rule.issuer) == (frozenset({"g"}), "x")


ACTOR = '[[actors]]\nsubjects = ["a"]\ngroups = ["g"]\n'
BROKEN = {
    'provider = "octa"': "did you mean 'okta'",
    'provider = "spiffe"': "'keys' is missing",
    'tokens = "refresh"': "expected 'access' or 'id'",
    'keys = "k"\ndiscovery = "https://i.test"': "exclude each other",
    'discovery = "http://i.test"': "plain http",
    "token_type = []": "empty list",
    "require = {}": "at least one claim",
    "require = 'x'": "expected a table",
    "require = { a = [] }": "expected a text",
    "require = { a = 1.5 }": "expected a text",
    "require = { a = [[1]] }": "expected a text",
    "groups_claim = ['a..b']": "path is empty",
    "groups_claim = '/a//b'": "path is empty",
    "groups_limit = -1": "from 0 to",
    "claims = ['a', 'a']": "twice",
    "introspection = { url = 'https://i.test' }": "'client_id' is missing",
    "introspection = { url = 'http://i.test', client_id = 'c', secret_env = 'S' }": "plain http",
    "group_claim = 'g'": "did you mean 'groups_claim'",
    ACTOR + "issuer = 'nobody'": "no issuer is called 'nobody'",
    "[[actors]]\nsubjects = ['a']": "'groups' is missing",
    "[[actors]]\nsubjects = []\ngroups = ['g']": "empty list",
    ACTOR + "name = 'x'\n" + ACTOR + "name = 'x'": "is taken",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_cannot_hold_is_told_with_its_place(text: str) -> None:
    """Each mistake is a PolicyError with its line, and says what was meant."""
    with pytest.raises(PolicyError) as caught:
        issuer(text)
    assert BROKEN[text] in f"{caught.value.message} {caught.value.help}"
    assert caught.value.line >= 2


@pytest.mark.parametrize("name", ["urn:x", "http://i.test", "spiffe://example.org"])
def test_an_issuer_whose_keys_nobody_can_find_is_a_mistake(name: str) -> None:
    """Without ``keys`` the issuer must be an https URL."""
    with pytest.raises(PolicyError, match=r"keys"):
        loads(HEAD.replace("https://i.test", name))


def test_what_only_a_provider_knows_is_told_with_the_line_of_its_issuer() -> None:
    """An issuer that can't be the provider's is found when the wall is made."""
    policy = issuer('provider = "entra"')
    with pytest.raises(PolicyError, match="one tenant") as caught:
        verifier_of(policy)
    assert caught.value.line == 2


def test_a_verifier_can_be_made_of_every_key() -> None:
    """Introspection and actors reach the verifier."""
    policy = issuer(
        "introspection = { url = 'https://i.test/i', client_id = 'c', secret_env = 'S' }\n" + ACTOR
    )
    assert verifier_of(policy).needs_refresh()
