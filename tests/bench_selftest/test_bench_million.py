"""A million sessions: the bits that are measured are those that are said to be."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, func, select

from apostille_issuer.db.schema import migrate
from apostille_issuer.status.models import StatusEntry, StatusList
from bench.million import LISTS, SESSIONS, Million


def test_one_in_a_hundred_is_revoked_in_as_many_lists_as_it_takes() -> None:
    lists = Million().bits()
    assert list(lists) == list(range(1, LISTS + 1))
    revoked = sum(int.from_bytes(bits.octets).bit_count() for bits in lists.values())
    assert revoked == SESSIONS // 100


def test_good_places_are_not_revoked() -> None:
    million = Million()
    lists = million.bits()
    places = million.good_places(1_000)
    assert {number for number, _ in places} == set(lists)
    for number, index in places:
        assert not lists[number].octets[index >> 3] >> (index & 7) & 1


def test_the_database_gets_the_same_bits_and_one_more(tmp_path: Path) -> None:
    path = tmp_path / "apostille.sqlite3"
    migrate(f"sqlite:///{path}")
    million = Million()
    million.write(path)
    million.revoke_one_more(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(StatusList)) == LISTS
        entries = select(func.count()).select_from(StatusEntry)
        assert connection.scalar(entries) == SESSIONS // 100 + 1
        newest = entries.where(StatusEntry.list_id == 1, StatusEntry.revision == 2)
        assert connection.scalar(newest) == 1
    engine.dispose()
