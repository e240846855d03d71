"""The same check of the same token by others: signature, issuer, audience, times."""

from __future__ import annotations

import http.server
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from bench.tokens import AUDIENCE, ISSUER, Mint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Authlib recommends joserfc, which is measured too
    from authlib.jose import (  # type: ignore[import-untyped]  # ships no types
        JsonWebKey,
        JsonWebToken,
    )

__all__ = ["BARE", "PYJWT", "bare_checks", "peers", "serving"]

Verify = Callable[[str], object]

BARE = "cryptography, the signature alone"
PYJWT = "PyJWT, key in hand"


def bare_checks(mint: Mint, tokens: list[str]) -> list[Callable[[], object]]:
    """Return one function per token that checks its signature and does nothing else."""
    return [_bare_check(mint, token) for token in tokens]


def _bare_check(mint: Mint, token: str) -> Callable[[], object]:
    message, _, encoded = token.encode().rpartition(b".")
    signature = pyjwt.utils.base64url_decode(encoded)
    key = mint.key.private_key.public_key()
    digest = hashes.SHA256()
    if isinstance(key, ec.EllipticCurvePublicKey):
        der = utils.encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        scheme = ec.ECDSA(digest)
        return lambda: key.verify(der, message, scheme)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return lambda: key.verify(signature, message)
    assert isinstance(key, rsa.RSAPublicKey)
    if mint.key.algorithm == "PS256":
        salted = padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
        return lambda: key.verify(signature, message, salted, digest)
    plain = padding.PKCS1v15()
    return lambda: key.verify(signature, message, plain, digest)


def peers(mint: Mint, jwks_address: str) -> dict[str, Verify]:
    """Return the peers' verifiers, each set up the way its documentation says."""
    algorithm: str = mint.key.algorithm
    public = mint.key.private_key.public_key()
    client = pyjwt.PyJWKClient(jwks_address, lifespan=86_400)

    def with_key(token: str) -> object:
        return pyjwt.decode(token, public, [algorithm], audience=AUDIENCE, issuer=ISSUER)

    def with_client(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return pyjwt.decode(token, key, [algorithm], audience=AUDIENCE, issuer=ISSUER)

    return {
        PYJWT: with_key,
        "PyJWT with PyJWKClient": with_client,
        "joserfc": _joserfc(mint),
        "Authlib": _authlib(mint),
    }


def _joserfc(mint: Mint) -> Verify:
    keys = joserfc_jwk.KeySet.import_key_set({"keys": [{**mint.jwk}]})
    rules = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )
    algorithm: str = mint.key.algorithm

    # joserfc warns at every token that EdDSA has a newer name (RFC 9864).
    warnings.filterwarnings("ignore", module=r"joserfc\.")

    def verify(token: str) -> object:
        decoded = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
        rules.validate(decoded.claims)
        return decoded

    return verify


def _authlib(mint: Mint) -> Verify:
    decoder: Any = JsonWebToken([mint.key.algorithm])
    keys: Any = JsonWebKey.import_key_set({"keys": [mint.jwk]})
    rules = {
        "iss": {"essential": True, "value": ISSUER},
        "aud": {"essential": True, "value": AUDIENCE},
        "exp": {"essential": True},
    }

    def verify(token: str) -> object:
        claims = decoder.decode(token, keys, claims_options=rules)
        claims.validate()
        return claims

    return verify


@contextmanager
def serving(documents: dict[str, object]) -> Iterator[str]:
    """Serve JSON *documents* by path on a free loopback port; yields the address."""

    class Documents(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Documents) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
