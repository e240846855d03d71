"""How many things of a kind a tenant may have, counted without races."""

from __future__ import annotations

import uuid

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = ["require_fewer"]


async def require_fewer(
    session: AsyncSession, rows: Select[uuid.UUID], most: int, *, field: str
) -> None:
    """Make sure that a tenant has room for one more.

    Args:
        session: A transaction under the policy lock, so that nobody else adds one meanwhile.
        rows: Finds those that there are.
        most: How many there may be, at least 1.
        field: What they are called in the answer.

    Raises:
        IssuerProblem: ``conflict``, naming *field* and *most*.
    """
    # Of so many the last one: nothing beyond it is counted.
    if await session.scalar(rows.offset(most - 1).limit(1)) is not None:
        error = FieldError(field, f"a tenant has at most {most:,}")
        raise IssuerProblem(ProblemCode.CONFLICT, errors=(error,))
