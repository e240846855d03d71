"""Transactions that PostgreSQL gives up for the sake of others are tried again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from apostille_issuer.problems import IssuerProblem

__all__ = ["ATTEMPTS", "until_it_holds"]

ATTEMPTS: Final = 5

_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK_DETECTED: Final = "40P01"

T = TypeVar("T")


async def until_it_holds(transact: Callable[[], Awaitable[T]]) -> T:
    """Return what *transact* does, :data:`ATTEMPTS` times if it has to give way so often.

    Args:
        transact: One transaction from beginning to end, and nothing beside it
            that must not be done twice.

    Raises:
        IssuerProblem: What *transact* raises; ``database_unavailable`` if it
            had to give way every time.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await transact()
        except IssuerProblem as problem:
            if not _gave_way(problem):
                raise
    return await transact()


def _gave_way(problem: IssuerProblem) -> bool:
    """Say whether the transaction was given up for another one's sake: trying again helps."""
    cause = problem.__cause__
    state = getattr(cause.orig, "sqlstate", None) if isinstance(cause, DBAPIError) else None
    return state in (_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED)
