"""From a policy to the verifier that enforces it: policy and identity do not see each other."""

from __future__ import annotations

from collections.abc import Callable

from tracewall.errors import PolicyError
from tracewall.identity.introspection import Introspection
from tracewall.identity.issuers import ActorRights, TrustedIssuer
from tracewall.identity.principal import Principal
from tracewall.identity.profiles import trusted
from tracewall.identity.revocation import RevocationList
from tracewall.identity.tokens import Verifier
from tracewall.places import beside
from tracewall.policy.model import Actor, Issuer, Policy
from tracewall.policy.rows import claims_of


def verifier_of(policy: Policy, revoked: Callable[[Principal], bool] | None = None) -> Verifier:
    """Make the verifier of a policy's issuers; nothing is read yet.

    Args:
        policy: whose issuers, actors and revocations count.
        revoked: asked of each principal at each statement, besides the policy's own list.

    Raises:
        PolicyError: an issuer can't be checked as the policy says.
    """
    rights = [_rights(actor, policy) for actor in policy.actors]
    named = policy.identity.revocations
    listed = RevocationList(str(beside(policy, named))) if named else None
    issuers = [trusted_issuer(issuer, policy) for issuer in policy.issuers]
    try:
        return Verifier(issuers, actors=rights, revocations=listed, revoked=revoked)
    except ValueError as ex:
        raise PolicyError(str(ex), path=policy.path) from None


def check_files(policy: Policy, verifier: Verifier) -> None:
    """Raise PolicyError for a file of keys or revocations that can't be read.

    A URL may be out of reach for a while; a file that is missing is a mistake.
    """
    problems = verifier.problems()
    if policy.identity.revocations and "revocations" in problems:
        raise PolicyError(
            f"the list of what is revoked {problems['revocations']}",
            path=policy.path,
            help="revocations = the path of a TOML file; an empty one revokes nothing",
        )
    for issuer in policy.issuers:
        if issuer.name in problems and issuer.keys and "://" not in issuer.keys:
            raise PolicyError(
                f"the keys of issuer {issuer.name!r} can't be had: {problems[issuer.name]}",
                path=policy.path,
                line=issuer.line,
                help="keys = the path of a JSON Web Key Set, relative to this file, or a URL",
            )


def trusted_issuer(issuer: Issuer, policy: Policy) -> TrustedIssuer:
    """Give an issuer with what its provider's profile fills in.

    Raises:
        PolicyError: it can't be checked as the policy says.
    """
    is_file = issuer.keys and "://" not in issuer.keys
    try:
        return trusted(
            issuer.provider,
            tokens=issuer.tokens or "",
            name=issuer.name,
            issuer=issuer.issuer,
            audiences=issuer.audiences,
            keys=str(beside(policy, issuer.keys)) if is_file else issuer.keys,
            discovery=issuer.discovery or None,
            algorithms=issuer.algorithms,
            token_types=issuer.token_types,
            audience_claim=issuer.audience_claim,
            subject_claim=issuer.subject_claim,
            groups_claims=issuer.groups_claims,
            groups_prefix=issuer.groups_prefix,
            groups_limit=issuer.groups_limit,
            actor_groups_claim=issuer.actor_groups_claim,
            claims=tuple(dict.fromkeys((*issuer.claims, *claims_of(policy)))),
            purpose_claim=issuer.purpose_claim,
            require=issuer.require,
            leeway=issuer.leeway,
            max_lifetime=issuer.max_lifetime,
            introspection=_introspection(issuer),
        )
    except ValueError as ex:
        raise PolicyError(str(ex), path=policy.path, line=issuer.line) from None


def _introspection(issuer: Issuer) -> Introspection | None:
    asked = issuer.introspection
    if asked is None:
        return None
    return Introspection(asked.url, asked.client_id, asked.secret_env, asked.lasts)


def _rights(actor: Actor, policy: Policy) -> ActorRights:
    urls = {issuer.name: issuer.issuer for issuer in policy.issuers}
    globs = actor.subjects
    return ActorRights(
        lambda subject: any(glob.matches(subject) for glob in globs),
        actor.groups,
        urls[actor.issuer] if actor.issuer else "",
    )
