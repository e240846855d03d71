"""Keys: made once, kept encrypted, published, and used for what they are for."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from sqlalchemy import select

from apostille import StaticKeys
from apostille.clock import ManualClock
from apostille_contracts.claims import Algorithm
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.models import AuditEvent
from apostille_issuer.db.engine import Database
from apostille_issuer.keys.encryption import KeyEncryptionKey, KeyEncryptionKeys
from apostille_issuer.keys.models import Secret, SigningKey
from apostille_issuer.keys.pairs import KeyPair, make_key_pair
from apostille_issuer.keys.service import KeyService
from apostille_issuer.keys.signers import LocalSigner
from apostille_issuer.problems import IssuerProblem, StartupError
from support.keys import ENCRYPTION, KEY, SCHEDULE, key_service

pytestmark = [
    pytest.mark.anyio,
    # joserfc, the judge here, warns about the name of the algorithm (RFC 9864).
    pytest.mark.filterwarnings("ignore:EdDSA is deprecated"),
]

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256", "PS256", "EdDSA", "Ed25519")
CLAIMS = b'{"sub":"01912345"}'


def service(database: Database, clock: ManualClock, algorithm: Algorithm = "ES256") -> KeyService:
    return key_service(database, clock, algorithm=algorithm)


@pytest.fixture
async def keys(database: Database, clock: ManualClock) -> KeyService:
    started = service(database, clock)
    await started.start(ENCRYPTION)
    return started


async def stored(database: Database) -> tuple[list[SigningKey], list[Secret]]:
    async with database.read() as session:
        return (
            list(await session.scalars(select(SigningKey))),
            list(await session.scalars(select(Secret))),
        )


async def test_the_first_start_makes_a_key_its_successor_and_a_secret(
    database: Database, keys: KeyService, clock: ManualClock
) -> None:
    rows, (secret,) = await stored(database)
    active, upcoming = sorted(rows, key=lambda row: row.state)
    assert (active.algorithm, active.state) == ("ES256", "active")
    assert active.created_at == active.activates_at == clock.now()
    assert (upcoming.algorithm, upcoming.state) == ("ES256", "next")
    assert upcoming.activates_at == clock.now() + SCHEDULE.lifetime
    assert (secret.name, secret.version) == ("refresh-mac", 1)
    assert keys.started


async def test_what_was_made_is_recorded_once(
    database: Database, keys: KeyService, clock: ManualClock
) -> None:
    await service(database, clock).start(ENCRYPTION)
    rows, _ = await stored(database)
    active, upcoming = sorted(rows, key=lambda row: row.state)
    async with database.read() as session:
        events = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    assert [(event.tag, event.target) for event in events] == [
        ("keys:key:created", f"key:{active.kid}"),
        ("keys:key:created", f"key:{upcoming.kid}"),
        ("keys:key:created", "secret:refresh-mac/1"),
    ]
    assert keys.started


async def test_a_later_start_finds_the_same(
    database: Database, keys: KeyService, clock: ManualClock
) -> None:
    again = service(database, clock)
    await again.start(ENCRYPTION)
    assert again.jwks() == keys.jwks()
    assert again.refresh_macs(b"x") == keys.refresh_macs(b"x")


async def test_replicas_that_start_at_once_agree(database: Database, clock: ManualClock) -> None:
    replicas = [service(database, clock) for _ in range(5)]
    await asyncio.gather(*(replica.start(ENCRYPTION) for replica in replicas))
    assert len({replica.jwks() for replica in replicas}) == 1
    assert len({replica.refresh_macs(b"x") for replica in replicas}) == 1
    rows, secrets = await stored(database)
    assert (len(rows), len(secrets)) == (2, 1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_what_is_signed_verifies_with_what_is_published(
    algorithm: Algorithm, database: Database, clock: ManualClock
) -> None:
    keys = service(database, clock, algorithm)
    await keys.start(ENCRYPTION)
    token = await keys.sign(CLAIMS)
    published = KeySet.import_key_set(json.loads(keys.jwks()))
    verified = jws.deserialize_compact(token, published, algorithms=[algorithm])
    assert verified.payload == CLAIMS
    kids = [key.thumbprint() for key in published.keys]
    assert keys.signing_kid in kids
    assert verified.headers() == {"typ": "at+jwt", "alg": algorithm, "kid": keys.signing_kid}


async def test_a_status_list_token_says_that_it_is_one(keys: KeyService) -> None:
    token = await keys.sign(b"{}", typ="statuslist+jwt")
    published = KeySet.import_key_set(json.loads(keys.jwks()))
    headers = jws.deserialize_compact(token, published, algorithms=["ES256"]).headers()
    assert headers == {"typ": "statuslist+jwt", "alg": "ES256", "kid": keys.signing_kid}


async def test_only_public_members_are_published(keys: KeyService) -> None:
    for key in json.loads(keys.jwks())["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["use"], key["alg"]) == ("sig", "ES256")


async def test_the_refresh_mac_is_hmac_sha256_of_a_secret_that_is_stored_sealed(
    database: Database, keys: KeyService
) -> None:
    _, (secret,) = await stored(database)
    value = KEY.open(secret.encrypted_value, "secret refresh-mac version 1")
    assert len(value) == 32
    assert keys.refresh_macs(b"message")[0] == hmac.new(value, b"message", hashlib.sha256).digest()
    assert value not in secret.encrypted_value


async def test_private_keys_are_stored_sealed(database: Database, keys: KeyService) -> None:
    rows, _ = await stored(database)
    key = rows[0]
    private = KEY.open(key.encrypted_private, f"signing key {key.kid}")
    assert private not in key.encrypted_private
    assert key.kek_id == KEY.id
    assert keys.started


async def test_the_wrong_key_encryption_key_is_one_clear_line(
    database: Database, keys: KeyService, clock: ManualClock
) -> None:
    assert keys.started
    with pytest.raises(StartupError) as refused:
        await service(database, clock).start(KeyEncryptionKeys(KeyEncryptionKey(bytes(32))))
    assert "the key-encryption key is not the one" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_nothing_works_before_the_start(database: Database, clock: ManualClock) -> None:
    keys = service(database, clock)
    assert not keys.started
    for use in (keys.jwks, lambda: keys.refresh_macs(b"x")):
        with pytest.raises(IssuerProblem) as refused:
            use()
        assert refused.value.code is ProblemCode.KEYS_UNAVAILABLE
    for act in (lambda: keys.sign(CLAIMS), keys.tend):
        with pytest.raises(IssuerProblem):
            await act()


async def test_the_verifier_of_this_process_gets_the_published_keys(keys: KeyService) -> None:
    assert isinstance(keys.static_keys, StaticKeys)
    assert len(keys.static_keys.keyring) == 2


def test_a_key_signs_with_its_own_algorithm_alone() -> None:
    pair = make_key_pair("ES256")
    with pytest.raises(ValueError, match="does not fit RS256"):
        LocalSigner(pair.kid, "RS256", pair.private)


def test_a_key_pair_shows_no_private_key() -> None:
    pair = KeyPair(kid="k", algorithm="ES256", public_jwk={}, private=b"hunter2")
    assert "hunter2" not in repr(pair)


def test_keys_on_disk_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key-encryption.key"
    first = KeyEncryptionKeys.from_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyEncryptionKeys.from_file(path).current.id == first.current.id
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
