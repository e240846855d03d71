"""One million sessions, one in a hundred of them revoked: where they stand in status lists."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, insert, update

from apostille_issuer.status.bits import NO_BITS, StatusBits
from apostille_issuer.status.models import StatusEntry, StatusList
from apostille_issuer.status.schemas import LIST_SIZE

__all__ = ["LISTS", "SESSIONS", "Million"]

SESSIONS = 1_000_000
REVOKED = SESSIONS // 100
LISTS = -(-SESSIONS // LIST_SIZE)


class Million:
    """Which places are revoked; the same in every run."""

    def __init__(self) -> None:
        """Draw them."""
        self._random = random.Random(SESSIONS)
        places = self._random.sample(range(SESSIONS), REVOKED)
        self._revoked: dict[int, list[int]] = {number: [] for number in range(1, LISTS + 1)}
        for place in places:
            self._revoked[place // LIST_SIZE + 1].append(place % LIST_SIZE)

    def bits(self) -> dict[int, StatusBits]:
        """Return the lists by number."""
        return {number: NO_BITS.with_set(places) for number, places in self._revoked.items()}

    def good_places(self, count: int) -> list[tuple[int, int]]:
        """Return *count* places of all lists that are not revoked."""
        taken = {number: set(places) for number, places in self._revoked.items()}
        found: list[tuple[int, int]] = []
        while len(found) < count:
            place = self._random.randrange(SESSIONS)
            number, index = place // LIST_SIZE + 1, place % LIST_SIZE
            if index not in taken[number]:
                found.append((number, index))
        return found

    def write(self, database: Path) -> None:
        """Write lists and bits into the migrated *database* of an issuer, which is empty."""
        now = datetime.now(UTC)
        engine = create_engine(f"sqlite:///{database}")
        with engine.begin() as connection:
            connection.execute(
                insert(StatusList),
                [
                    {"id": number, "next_index": LIST_SIZE, "revision": 1, "created_at": now}
                    for number in self._revoked
                ],
            )
            drop_at = now + timedelta(minutes=70)
            connection.execute(
                insert(StatusEntry),
                [
                    {"list_id": number, "idx": index, "revision": 1, "drop_at": drop_at}
                    for number, places in self._revoked.items()
                    for index in places
                ],
            )
        engine.dispose()

    def revoke_one_more(self, database: Path) -> None:
        """Set a bit of the first list in the *database*, as an issuer does."""
        places = self._revoked[1]
        index = next(index for index in range(LIST_SIZE) if index not in places)
        places.append(index)
        engine = create_engine(f"sqlite:///{database}")
        with engine.begin() as connection:
            revision = connection.scalar(
                update(StatusList)
                .where(StatusList.id == 1)
                .values(revision=StatusList.revision + 1)
                .returning(StatusList.revision)
            )
            drop_at = datetime.now(UTC) + timedelta(minutes=70)
            entry = {"list_id": 1, "idx": index, "revision": revision, "drop_at": drop_at}
            connection.execute(insert(StatusEntry), [entry])
        engine.dispose()
