"""``apostille-issuer explain USER PERMISSION``."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Iterator
from types import MappingProxyType

import msgspec

from apostille_issuer.access.schemas import CatalogueState, Explanation, GrantSource, Reason
from apostille_issuer.access.service import Place
from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem, StartupError

__all__ = ["configure", "run"]

YES, NO, ERROR = 0, 1, 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("user", metavar="USER", help="login name or identifier")
    parser.add_argument("permission", metavar="PERMISSION", help="such as inventory.read")
    parser.add_argument(
        "--organization",
        metavar="ID",
        type=uuid.UUID,
        help="the organization he would speak for (default: none)",
    )
    parser.add_argument(
        "--audience",
        metavar="AUDIENCE",
        action="append",
        help="of the token in question; may be repeated (default: as at a login without one)",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say whether a user may do something, and which roles say so.

    Returns:
        0 for yes, 1 for no, 2 for what cannot be answered: one line on
        standard error says why.
    """

    async def explain(issuer: Issuer) -> Explanation:
        user_id = _identifier(arguments.user)
        if user_id is None:
            user_id = (await issuer.accounts.called(arguments.user)).id
        place = Place(user_id, arguments.organization)
        explanations = issuer.access.explanations
        return await explanations.explain(place, arguments.permission, arguments.audience)

    try:
        found = run_with_issuer(settings_for(arguments), explain)
    except (StartupError, IssuerProblem) as error:
        sys.stderr.write(f"apostille-issuer: {error}\n")
        return ERROR
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(_described(arguments.user, found)))
    return YES if found.allowed else NO


def _identifier(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


_WHY: MappingProxyType[Reason, str] = MappingProxyType(
    {
        "allowed": "allowed by his roles",
        "denied": "a role denies it",
        "not_granted": "none of his roles allows it",
        "not_in_audience": "allowed by his roles, but no token for this audience carries it",
        "not_a_member": "he is no member of that organization, or it is not active",
        "user_disabled": "the account is disabled",
    }
)

_CATALOGUE: MappingProxyType[CatalogueState, str] = MappingProxyType(
    {
        "declared": "",
        "elsewhere": "another service declares this permission, none of this audience",
        "deprecated": "its service does not declare this permission any more",
        "unowned": "no service declares this permission yet",
        "unknown": "this permission is not in the catalogue",
    }
)


def _described(user: str, found: Explanation) -> Iterator[str]:
    answer = "yes" if found.allowed else "no"
    yield f"{answer}: {user} {found.permission}: {_WHY[found.reason]}"
    for source in found.sources:
        verb = "allows" if source.effect == "allow" else "denies"
        yield f"  role {source.role} {verb} {source.grant}: {_whence(source)}"
    if note := _CATALOGUE[found.catalogue]:
        yield f"  {note}"


def _whence(source: GrantSource) -> str:
    if source.organization_id is None:
        return "held everywhere"
    how = "inherited from the membership in" if source.inherited else "by membership in"
    return f"{how} {source.organization_id}"
