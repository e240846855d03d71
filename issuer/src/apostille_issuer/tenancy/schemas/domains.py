"""What goes in and out about the host names of tenants."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["DnsRecord", "DomainDraft", "DomainView"]


class DnsRecord(Struct, frozen=True, kw_only=True):
    """What the owner of a host name writes into the DNS to show that it is his."""

    name: str
    """Of a record of type TXT."""
    value: str


class DomainView(Struct, frozen=True, kw_only=True):
    """A host name that a tenant says is his."""

    id: uuid.UUID
    host: str
    """In lower case; other letters than ASCII as the DNS has them (IDNA)."""
    record: DnsRecord
    """May go once the host name is verified."""
    created_at: datetime
    verified_at: datetime | None
    """Since when it is his, and nobody else's; ``null`` if he did not show it yet."""


class DomainDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host name to be added."""

    host: Annotated[
        str,
        Meta(
            max_length=253,
            description="A name with at least two labels, without port. In any case; letters "
            "other than ASCII as they are, or IDNA-encoded.",
            examples=["login.acme.example"],
        ),
    ]
