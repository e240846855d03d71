"""Transactions that PostgreSQL gives up for another one's sake, for tests."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

__all__ = ["given_up"]


class _GivenUp(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def given_up(sqlstate: str) -> OperationalError:
    """Return the error of a transaction that was given up."""
    return OperationalError("UPDATE", {}, _GivenUp(sqlstate))
