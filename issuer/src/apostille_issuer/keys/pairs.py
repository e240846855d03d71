"""Where keys come from: made and kept here, or elsewhere.

Making a pair and its public form are joserfc's.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import Struct

from apostille_contracts.claims import Algorithm
from apostille_issuer.keys.signers import LocalSigner, Signer
from apostille_issuer.problems import StartupError

__all__ = ["KeyPair", "KeySource", "LocalKeys", "make_key_pair"]

RSA_BITS = 3_072
"""128 bits of strength (SP 800-57 part 1 section 5.6.1); RFC 7518 asks for 2,048."""


class KeyPair(Struct, frozen=True, kw_only=True):
    """A fresh key pair, in the forms it is stored in."""

    kid: str
    algorithm: Algorithm
    public_jwk: dict[str, Any]
    private: bytes
    """What its source makes a signer from: the local one PKCS #8 in DER, not
    encrypted, a key management service the name of the key. Stored sealed."""

    def __repr__(self) -> str:
        """Show no private key in any log."""
        return f"KeyPair(kid={self.kid!r}, algorithm={self.algorithm!r})"


def make_key_pair(algorithm: Algorithm) -> KeyPair:
    """Return a fresh key pair for *algorithm*, and for no other (RFC 8725 section 3.1)."""
    key: ECKey | RSAKey | OKPKey
    match algorithm:
        case "ES256":
            key = ECKey.generate_key("P-256", auto_kid=False)
        case "RS256" | "PS256":
            key = RSAKey.generate_key(RSA_BITS, auto_kid=False)
        case "EdDSA" | "Ed25519":
            key = OKPKey.generate_key("Ed25519", auto_kid=False)
    kid = key.thumbprint()
    private = key.private_key
    assert private is not None  # noqa: S101 - it was generated three lines above
    return KeyPair(
        kid=kid,
        algorithm=algorithm,
        public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm},
        private=private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    )


class KeySource(Protocol):
    """Makes key pairs, and signers for those it made.

    Rotation, publication and encryption at rest know nothing more of a key, so
    one that a key management service keeps is handled like a local one.
    """

    async def make(self, algorithm: Algorithm) -> KeyPair:
        """Return a fresh pair for *algorithm*, and for no other.

        Raises:
            IssuerProblem: ``keys_unavailable``: the service cannot be reached.
        """

    async def signer(self, kid: str, algorithm: Algorithm, private: bytes) -> Signer:
        """Return what signs with the pair whose :attr:`KeyPair.private` this is.

        Raises:
            StartupError: This source has no such key; the others are used.
        """


class LocalKeys:
    """Keys that are made here and sign in this process."""

    async def make(self, algorithm: Algorithm) -> KeyPair:
        """Return a fresh pair; RSA takes up to a second, so not on the event loop."""
        return await asyncio.to_thread(make_key_pair, algorithm)

    async def signer(self, kid: str, algorithm: Algorithm, private: bytes) -> Signer:
        """Return a signer that holds the private key.

        Raises:
            StartupError: What is stored is no private key: another source made it.
        """
        try:
            return LocalSigner(kid, algorithm, private)
        except ValueError as error:
            raise StartupError(
                f"signing key {kid} is kept elsewhere, and this process has no key source for it"
            ) from error
