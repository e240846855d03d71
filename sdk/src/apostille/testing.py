"""An issuer inside your test process: real keys, real tokens, no network.

.. code-block:: python

    from apostille.testing import LocalIssuer

    issuer = LocalIssuer(audience="inventory")
    verifier = issuer.verifier()  # hand it to your application

    principal = verifier.verify(issuer.token(permissions=["inventory.read"]))
    assert principal.has("inventory.read")

A service that has made its verifier already keeps it:

.. code-block:: python

    with issuer.stand_in_for(service.iam):
        client = issuer.sign_in(TestClient(service.app), permissions=["inventory.read"])
        assert client.get("/stock").status_code == 200

With pytest the fixture ``apostille_issuer`` gives one to each test. Nothing is
mocked: tokens are signed and verified as they are in production.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar

from apostille_contracts.claims import ACCESS_TOKEN_TYPE, Algorithm
from apostille_contracts.key_sets import key_set_thumbprint

from ._async import AsyncVerifier
from ._engine import Engine
from ._forgeries import BAD_TOKENS, BadTokenName, Draft, forge
from ._issued_status import IssuedStatus, session_of
from ._loopback import Document, loopback_server
from ._minting import grants, on_the_wire, several
from ._signing import SigningKey, compact_json
from ._supply import GivenKeys
from ._sync import Verifier
from ._test_clients import carry
from .clock import ManualClock
from .errors import ConfigurationError
from .keys import StaticKeys
from .principal import Principal
from .status import StaticStatus, UnsafeNoStatus

__all__ = ["BAD_TOKENS", "LIFETIME", "SUBJECT", "BadTokenName", "LocalIssuer", "ManualClock"]

SUBJECT = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
"""Whom tokens speak for unless told otherwise (the example of RFC 9562 appendix A.6)."""

LIFETIME = timedelta(minutes=10)
"""How long tokens live unless told otherwise; what Apostille's issuer does too."""

_METADATA_PATHS = {
    "/.well-known/oauth-authorization-server",  # RFC 8414 section 3
    "/.well-known/openid-configuration",  # OpenID Connect Discovery 1.0 section 4
}
_JWKS_PATH = "/.well-known/jwks.json"

_Client = TypeVar("_Client")


class LocalIssuer:
    """Mints real tokens and publishes the keys to verify them.

    Time stands still until :meth:`advance` turns it; verifiers made here
    share this clock.

    Args:
        issuer: The identifier that tokens carry as ``iss``.
        audience: The service, or services, that tokens are for unless told
            otherwise; :meth:`verifier` expects these.
        algorithm: What tokens are signed with.
        now: Where the clock starts, with a time zone; the present by default.

    Raises:
        ConfigurationError: The algorithm is not one of contract v1, there is
            no audience, or *now* has no time zone.
    """

    def __init__(
        self,
        issuer: str = "https://issuer.test",
        audience: str | Sequence[str] = "test-service",
        *,
        algorithm: Algorithm = "ES256",
        now: datetime | None = None,
    ) -> None:
        self.issuer = issuer
        self.audience = (audience,) if isinstance(audience, str) else tuple(audience)
        if not self.audience:
            raise ConfigurationError("name at least one audience")
        if now is not None and now.tzinfo is None:
            raise ConfigurationError("now carries a time zone")
        # On a whole second, like the times in tokens, so that boundaries can be hit exactly.
        self.clock = ManualClock((now or datetime.now(UTC)).replace(microsecond=0))
        self._algorithm = algorithm
        self._keys = (SigningKey.generate(algorithm),)
        self._source = StaticKeys(self.jwks())
        self._session = str(uuid.uuid4())
        self._sessions = IssuedStatus()
        self._status = StaticStatus()
        self._served = False
        self._down = False

    def token(  # noqa: PLR0913 - the claims that tests name most, all by keyword
        self,
        *,
        subject: str = SUBJECT,
        permissions: Iterable[str] = (),
        roles: Iterable[str] = (),
        scope: str | Iterable[str] = "",
        audience: str | Sequence[str] | None = None,
        expires_in: timedelta = LIFETIME,
        actor: str | None = None,
        revocable: bool = False,
        **claims: Any,
    ) -> str:
        """Return a signed access token (RFC 9068).

        Args:
            subject: ``sub``.
            permissions: Grants, wildcards allowed; each is checked, since a
                misspelt one would make a test pass for the wrong reason.
            roles: Role names.
            scope: OAuth scopes, one text or several.
            audience: ``aud``; the issuer's own by default.
            expires_in: Lifetime from now; negative for one that is over.
            actor: Who acts for the subject.
            revocable: Let the token say where its session stands in a status
                list, so that :meth:`revoke` reaches it.
            **claims: Any other claim, by its name on the wire or a
                principal's (``tenant``, ``organization``, ``session``,
                ``client``); ``None`` leaves a claim out.

        Raises:
            ConfigurationError: A permission is no grant, or a text stands
                where a list belongs.
        """
        chosen = {
            "sub": subject,
            "aud": self._aud(audience),
            "roles": several("roles", roles) or None,
            "permissions": grants(permissions) or None,
            "scope": (scope if isinstance(scope, str) else " ".join(scope)) or None,
            "act": None if actor is None else {"sub": actor},
            **on_the_wire(claims),
        }
        draft = self._draft(expires_in).with_claims(**chosen)
        if revocable:
            reference = self._sessions.reference(self.issuer, draft.claims.get("sid"))
            draft = draft.with_claims(status={"status_list": reference})
            self._publish()
        return draft.signed()

    def revoke(self, token_or_session: str) -> None:
        """End a session: every revocable token it has so far is refused from now on.

        Verifiers made here refuse at once; a service that fetches its list
        from :meth:`serve` does so within two seconds. A token that is minted
        for the session later is good again, as after a change of rights.

        Args:
            token_or_session: A token minted here with ``revocable=True``, or
                a session by the name its tokens have.

        Raises:
            ConfigurationError: No revocable token of that session was minted.
        """
        session = session_of(token_or_session) or token_or_session
        if not self._sessions.revoke(session):
            raise ConfigurationError("mint a token of that session with revocable=True first")
        self._publish()

    def bad_token(self, name: BadTokenName) -> str:
        """Return a token that must be refused, and with the code ``BAD_TOKENS[name]``.

        Raises:
            ConfigurationError: There is no bad token of that name.
        """
        if name not in BAD_TOKENS:
            raise ConfigurationError(f"the bad tokens are: {', '.join(BAD_TOKENS)}")
        return forge(name, self._draft())

    def headers(self, **claims: Any) -> dict[str, str]:
        """Return request headers that carry a new token; arguments as for :meth:`token`."""
        return {"Authorization": f"Bearer {self.token(**claims)}"}

    def sign_in(self, client: _Client, **claims: Any) -> _Client:
        """Let every request of the test *client* carry a new token, and return the client.

        Knows Django's ``Client`` and ``RequestFactory``, REST framework's
        ``APIClient``, Flask's test client and everything with httpx' or
        requests' ``headers``: the test clients of FastAPI, Starlette and
        Litestar. Arguments as for :meth:`token`.

        Raises:
            ConfigurationError: It is none of these.
        """
        carry(client, self.headers(**claims)["Authorization"])
        return client

    def verifier(self, **options: Any) -> Verifier:
        """Return a verifier of this issuer's tokens.

        It follows :meth:`rotate`, :meth:`revoke` and :meth:`outage` at once, and this clock.

        Args:
            **options: As for :class:`apostille.Verifier`, to override what it
                is made with.
        """
        return Verifier(**self._options(options))

    def async_verifier(self, **options: Any) -> AsyncVerifier:
        """Return an asynchronous verifier; otherwise as :meth:`verifier`."""
        return AsyncVerifier(**self._options(options))

    def principal(self, **claims: Any) -> Principal:
        """Return the principal of a new token; arguments as for :meth:`token`.

        For code that takes a principal, such as a dependency to override.
        Works during an outage, too.

        Raises:
            InvalidToken: The claims make no good token.
        """
        audience = claims.get("audience") or self.audience
        verifier = self.verifier(
            audience=audience, keys=StaticKeys(self.jwks()), status=UnsafeNoStatus()
        )
        return verifier.verify(self.token(**claims))

    @contextmanager
    def stand_in_for(self, verifier: Verifier | AsyncVerifier) -> Iterator[None]:
        """Let *verifier* take this issuer for its own inside the ``with`` block.

        For a service that made its verifier when it was imported. The verifier
        keeps its options, but has this issuer's keys and clock; tokens minted
        meanwhile carry the verifier's issuer and audience.

        Args:
            verifier: The service's own; of ``Verifier.of(...)`` one of those
                it was made of.

        Raises:
            ConfigurationError: It is no single verifier.
        """
        if type(verifier) not in {Verifier, AsyncVerifier}:
            raise ConfigurationError("stand in for one Verifier or AsyncVerifier at a time")
        options = replace(verifier._engine.options, clock=self.clock)  # noqa: SLF001 - our own
        engine, supply = Engine(options), GivenKeys(options, self._source)
        engine.supply, engine.statuses = supply, self._status
        before = verifier._engine, verifier._supply, self.issuer, self.audience  # noqa: SLF001
        verifier._engine, verifier._supply = engine, supply  # noqa: SLF001
        self.issuer, self.audience = verifier.issuer, verifier.audience
        try:
            yield
        finally:
            verifier._engine, verifier._supply, self.issuer, self.audience = before  # noqa: SLF001

    def _options(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        usual = {
            "issuer": self.issuer,
            "audience": self.audience,
            "keys": self._source,
            "status": self._status,
            "clock": self.clock,
        }
        return {**usual, **changes}

    def advance(self, step: timedelta) -> None:
        """Turn the clock forward by *step*, for this issuer and its verifiers.

        Raises:
            ConfigurationError: *step* is negative.
        """
        if step < timedelta(0):
            raise ConfigurationError("time runs forward; mint with expires_in or iat instead")
        self.clock.advance(step)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as the issuer publishes them (RFC 7517 section 5)."""
        return {"keys": [key.public_jwk() for key in self._keys]}

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with a new key from now on; the old ones stay published.

        Args:
            withdraw: Withdraw the old keys as well, as after a theft: tokens
                signed with them are refused from now on.
        """
        retiring = () if withdraw else self._keys
        self._keys = (SigningKey.generate(self._algorithm), *retiring)
        self._publish()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let the issuer be unreachable inside the ``with`` block.

        Verifiers made here raise ``KeysUnavailable``, as one does that
        started during the outage or outlived ``stale_if_error``; an issuer
        that is served answers 503.
        """
        self._down = True
        self._publish()
        try:
            yield
        finally:
            self._down = False
            self._publish()

    def _publish(self) -> None:
        # No keys at all is what a verifier has that never reached its issuer.
        self._source.replace({"keys": []} if self._down else self.jwks())
        self._status.replace({} if self._down else self._sessions.lists())

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve metadata, keys and status lists on 127.0.0.1, and yield the address.

        For a service that is configured by URL. Inside the block this address
        is the issuer's identifier, and tokens are minted no earlier than the
        present, since the service reads the clock of the machine.
        """
        before = self.issuer
        with loopback_server(self._document) as origin:
            self.issuer, self._served = origin, True
            try:
                yield origin
            finally:
                self.issuer, self._served = before, False

    def _document(self, path: str) -> Document | None:
        if self._down:
            return Document("text/plain", b"", HTTPStatus.SERVICE_UNAVAILABLE)
        if path in _METADATA_PATHS:
            metadata = {"issuer": self.issuer, "jwks_uri": self.issuer + _JWKS_PATH}
            return Document("application/json", compact_json(metadata))
        if path == _JWKS_PATH:
            return Document("application/jwk-set+json", compact_json(self.jwks()))
        issued = int(self._now().timestamp())
        key_set = key_set_thumbprint(self.jwks()["keys"])
        token = self._sessions.signed(self.issuer + path, self._keys[0], issued, key_set)
        return None if token is None else Document("application/statuslist+jwt", token)

    def _now(self) -> datetime:
        return max(self.clock.now(), datetime.now(UTC)) if self._served else self.clock.now()

    def _draft(self, lifetime: timedelta = LIFETIME) -> Draft:
        key = self._keys[0]
        issued = int(self._now().timestamp())
        expires = issued + lifetime.total_seconds()
        header = {"typ": ACCESS_TOKEN_TYPE, "alg": key.algorithm, "kid": key.kid}
        claims = {
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": self._aud(None),
            "client_id": "test-client",
            "exp": int(expires) if expires.is_integer() else expires,
            "iat": issued,
            "jti": str(uuid.uuid4()),
            "auth_time": issued,
            "sid": self._session,
        }
        return Draft(header, claims, key)

    def _aud(self, audience: str | Sequence[str] | None) -> str | list[str]:
        chosen = self.audience if audience is None else audience
        if isinstance(chosen, str):
            return chosen
        return chosen[0] if len(chosen) == 1 else list(chosen)
