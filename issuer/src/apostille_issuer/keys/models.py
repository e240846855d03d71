"""Tables of the keys domain: signing keys, and secrets that live beside them.

Imported by this domain alone, and by the migrations' metadata.
"""

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from apostille_issuer.db.types import Base

__all__ = ["Secret", "SigningKey"]


class SigningKey(Base):
    """A key pair: ``next`` is published, ``active`` signs, ``retiring`` verifies."""

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint("state IN ('next', 'active', 'retiring', 'retired')", name="state"),
        # One signer per algorithm: replicas that race to make the first key
        # agree on the one that came first.
        Index(
            "uq_signing_keys_active",
            "algorithm",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    """RFC 7638 SHA-256 thumbprint of the public key."""
    algorithm: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    public_jwk: Mapped[dict[str, Any]]
    """As published, with ``kid``, ``alg`` and ``use``."""
    encrypted_private: Mapped[bytes] = mapped_column(LargeBinary)
    """PKCS #8 DER, sealed by the key-encryption key ``kek_id``."""
    kek_id: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[dt.datetime]
    activates_at: Mapped[dt.datetime]
    """Signs from here on; at least a publication period after ``created_at``."""
    retires_at: Mapped[dt.datetime | None]
    """Signs until here; ``NULL`` while no successor is planned."""
    expires_at: Mapped[dt.datetime | None]
    """Published until here: its last token has expired by then."""


class Secret(Base):
    """A symmetric secret of the issuer; the highest version is the one in use."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    encrypted_value: Mapped[bytes] = mapped_column(LargeBinary)
    kek_id: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[dt.datetime]
