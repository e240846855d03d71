"""Keys of several algorithms, keys that are kept elsewhere, and the list of them all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from apostille import StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.status import UnsafeNoStatus
from apostille_contracts.claims import Algorithm
from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.keys.pairs import KeyPair, make_key_pair
from apostille_issuer.keys.schemas import KeyView
from apostille_issuer.keys.signers import LocalSigner
from apostille_issuer.problems import IssuerProblem, StartupError
from support.desk import bearer, open_desk
from support.keys import ENCRYPTION, SCHEDULE, Replica, signer_of
from support.lists import bit_in, header_of, place_of

pytestmark = [
    pytest.mark.anyio,
    # joserfc, the judge here, warns about the name of the algorithm (RFC 9864).
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
]


@pytest.fixture
async def pair(database_url: str, clock: ManualClock) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two processes on one database."""
    first, second = Replica(database_url, clock), Replica(database_url, clock)
    for replica in (first, second):
        await replica.keys.start(ENCRYPTION)
    yield first, second
    for replica in (first, second):
        await replica.database.close()


# Several algorithms.


async def test_algorithms_side_by_side_are_published_and_sign(
    database_url: str, clock: ManualClock
) -> None:
    issuer = Replica(database_url, clock, standby=("RS256",))
    await issuer.keys.start(ENCRYPTION)
    await issuer.keys.tend()
    assert sorted(key["alg"] for key in json.loads(issuer.keys.jwks())["keys"]) == [
        *("ES256", "ES256", "RS256"),
    ]
    with pytest.raises(IssuerProblem):
        await issuer.keys.sign(b"{}", algorithm="RS256")
    clock.advance(SCHEDULE.publication)
    await issuer.keys.tend()
    for algorithm in ("ES256", "RS256"):
        token = await issuer.keys.sign(b"{}", algorithm=algorithm)
        assert signer_of(token, issuer.keys.jwks(), algorithm)
    await issuer.database.close()


async def test_a_change_of_algorithm_waits_until_every_service_knows_the_new_key(
    database_url: str, clock: ManualClock, pair: tuple[Replica, Replica]
) -> None:
    old = pair[0].keys.signing_kid
    changed = Replica(database_url, clock, algorithm="EdDSA")
    await changed.keys.start(ENCRYPTION)
    await changed.keys.tend()
    assert changed.keys.signing_kid == old
    clock.advance(SCHEDULE.publication)
    await changed.keys.tend()
    assert changed.keys.signing_kid != old
    # A replica with the settings of before goes on with its own algorithm.
    await pair[0].keys.tend()
    assert pair[0].keys.signing_kid == old
    assert pair[0].keys.jwks() == changed.keys.jwks()
    await changed.database.close()


# Keys that are kept elsewhere.


class Elsewhere:
    """A key management service: it has the private keys, and gives out names."""

    def __init__(self) -> None:
        self.private: dict[bytes, bytes] = {}
        self.signatures = 0

    async def make(self, algorithm: Algorithm) -> KeyPair:
        pair = make_key_pair(algorithm)
        name = f"keys/{len(self.private)}".encode()
        self.private[name] = pair.private
        return msgspec.structs.replace(pair, private=name)

    async def signer(self, kid: str, algorithm: Algorithm, private: bytes) -> Elsewhere.Remote:
        return Elsewhere.Remote(self, LocalSigner(kid, algorithm, self.private[private]))

    class Remote:
        def __init__(self, service: Elsewhere, signer: LocalSigner) -> None:
            self.kid = signer.kid
            self.algorithm = signer.algorithm
            self._service = service
            self._signer = signer

        async def sign(self, message: bytes) -> bytes:
            await asyncio.sleep(0)
            self._service.signatures += 1
            return await self._signer.sign(message)


async def test_a_key_may_be_kept_elsewhere(database_url: str, clock: ManualClock) -> None:
    elsewhere = Elsewhere()
    issuer = Replica(database_url, clock, source=elsewhere)
    await issuer.keys.start(ENCRYPTION)
    clock.advance(SCHEDULE.lifetime)
    await issuer.keys.tend()
    token = await issuer.keys.sign(b"{}")
    assert signer_of(token, issuer.keys.jwks()) == issuer.keys.signing_kid
    assert elsewhere.signatures == 1
    assert len(elsewhere.private) == 3
    await issuer.database.close()


def test_an_issuer_whose_keys_are_kept_elsewhere(database_url: str) -> None:
    """Login, refresh, rotation, withdrawal and lists, over HTTP; services see no difference."""
    elsewhere = Elsewhere()
    with open_desk(
        database_url, key_source=elsewhere, key_check_interval=timedelta(milliseconds=100)
    ) as desk:
        issuer = desk.issuer.settings.issuer_url

        def verified(tokens: dict[str, Any]) -> str:
            keys = StaticKeys(desk.http.get("/.well-known/jwks.json").content)
            with Verifier(
                issuer, audience="apostille", keys=keys, status=UnsafeNoStatus(), clock=desk.clock
            ) as verifier:
                assert verifier.verify(tokens["access_token"]).subject
            return str(header_of(tokens["access_token"])["kid"])

        tokens = desk.tokens("root@example.com")
        first = verified(tokens)
        assert desk.http.get("/v1/me", headers=bearer(tokens)).status_code == 200
        desk.clock.advance(timedelta(minutes=11))
        rotated = desk.as_root("POST", "/v1/keys/rotate", json={})
        assert rotated.status_code == 200, rotated.text
        tokens = desk.renewed(tokens["refresh_token"])
        second = verified(tokens)
        assert desk.as_root("POST", f"/v1/keys/{second}/withdraw").status_code == 200
        renewed = desk.renewed(tokens["refresh_token"])
        assert len({first, second, verified(renewed)}) == 3
        list_id, idx = place_of(tokens["access_token"])
        assert bit_in(desk.http.get(f"/status-lists/{list_id}").text, idx) == 1
        assert elsewhere.signatures >= 4
        assert len(elsewhere.private) == 4


async def test_a_process_without_the_source_says_so_and_publishes_the_keys(
    database_url: str, clock: ManualClock
) -> None:
    theirs, ours = Replica(database_url, clock, source=Elsewhere()), Replica(database_url, clock)
    await theirs.keys.start(ENCRYPTION)
    with pytest.raises(StartupError, match="is kept elsewhere, and this process has no key source"):
        await ours.keys.start(ENCRYPTION)
    assert ours.keys.jwks() == theirs.keys.jwks()
    for replica in (theirs, ours):
        await replica.database.close()


async def test_administrators_see_public_parts_page_by_page(pair: tuple[Replica, Replica]) -> None:
    issuer = pair[0]
    for _ in range(3):
        await issuer.admin.withdraw(issuer.keys.signing_kid, COMMAND_LINE)
    seen: list[KeyView] = []
    cursor = None
    while True:
        page = await issuer.admin.page(cursor=cursor, limit=2)
        seen += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert {key.kid: key.state.value for key in seen} == await issuer.states()
    assert len(seen) == 5
    assert all("d" not in key.public_jwk for key in seen)
    with pytest.raises(IssuerProblem) as refused:
        await issuer.admin.page(cursor="bmV2ZXI", limit=2)
    assert refused.value.code is ProblemCode.VALIDATION_FAILED
