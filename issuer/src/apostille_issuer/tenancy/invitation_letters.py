"""The letter that invites somebody: the one place where its token is written."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from html import escape
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.notifications.mail import Letter, one_line
from apostille_issuer.notifications.outbox import Delivery
from apostille_issuer.tenancy.invitation_tokens import InvitationTokens
from apostille_issuer.tenancy.models import Invitation, Organization, Tenant

__all__ = ["InvitationLetters"]


class InvitationLetters:
    """Writes invitations when they are sent, and notes what became of them."""

    def __init__(
        self, database: Database, clock: Clock, tokens: InvitationTokens, *, page: str
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the invitations.
            clock: Tells whether one has expired, and when it was sent.
            tokens: Makes their tokens.
            page: The address that the link leads to; the token goes into the
                fragment, which no browser sends to any server.
        """
        self._database = database
        self._clock = clock
        self._tokens = tokens
        self._page = page

    async def letter(self, subject_id: uuid.UUID, generation: int) -> Letter | None:
        """Return the letter; ``None`` once it is answered, sent anew, or expired.

        Raises:
            IssuerProblem: ``keys_unavailable``, ``database_unavailable``.
        """
        statement = (
            select(Invitation, Organization.name.label("organization"), Tenant.name.label("tenant"))
            .join(Organization, Organization.id == Invitation.organization_id)
            .join(Tenant, Tenant.id == Invitation.tenant_id)
            .where(
                Invitation.id == subject_id,
                Invitation.generation == generation,
                Invitation.state == "pending",
                Invitation.expires_at > self._clock(),
            )
        )
        async with self._database.read(EVERY_TENANT) as session:
            found = (await session.execute(statement)).one_or_none()
        if found is None:
            return None
        row: Invitation = found.Invitation
        link = f"{self._page}#token={self._tokens.make(row.id, generation)}"
        return _written(row, _quoted(found.organization), _quoted(found.tenant), link)

    async def settled(
        self, session: AsyncSession, subject_id: uuid.UUID, generation: int, delivery: Delivery
    ) -> None:
        """Note what became of a letter, unless a newer one has taken its place."""
        await session.execute(
            update(Invitation)
            .where(Invitation.id == subject_id, Invitation.generation == generation)
            .values(delivery=delivery, sent_at=self._clock() if delivery == "sent" else None)
            .execution_options(synchronize_session=False)
        )


def _written(row: Invitation, organization: str, tenant: str, link: str) -> Letter:
    whose = organization if organization == tenant else f"{organization} ({tenant})"
    until = _moment(row.expires_at)
    invited = f"You are invited to join {whose}."
    accept = f"To accept, open this link until {until}. It works once."
    warning = (
        "The link is for you alone: whoever has it can join in your place. "
        "If you do not know why you get this letter, ignore it."
    )
    return Letter(
        to=row.email,
        subject=f"Invitation to {organization}",
        text=f"{invited}\n\n{accept}\n\n{link}\n\n{warning}\n",
        html=(
            f"<p>{escape(invited)}</p>\n"
            f'<p>{escape(accept)}</p>\n<p><a href="{escape(link)}">Accept the invitation</a></p>\n'
            f"<p>{escape(warning)}</p>\n"
        ),
        reference=f"invitation-{row.id}-{row.generation}",
    )


# What mail programs make links of, even in plain text: a scheme, a host name, an
# address. The other three are dots to them as well (RFC 3490 section 3.1).
_LINKS: Final = re.compile(r"(?<=:)(?=//)|(?<=[.\u3002\uff0e\uff61])(?=[^\W\d_])|(?<=@)(?=\S)")

_QUOTES: Final = dict.fromkeys(map(ord, '"\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02'), "'")


def _quoted(name: str) -> str:
    """Return a customer's name for itself as nothing but a name.

    He chose it, and the letter goes to strangers in our name: it is one line,
    in quotes that it cannot close, without invisible characters, and none of it
    becomes a link.
    """
    return f'"{_LINKS.sub(" ", one_line(name).translate(_QUOTES))}"'


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
