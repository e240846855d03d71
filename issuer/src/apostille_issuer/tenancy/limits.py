"""How long names and plans may be: known to tables and to what goes in and out."""

from __future__ import annotations

from typing import Final

__all__ = ["NAME_LENGTH", "PLAN_LENGTH"]

NAME_LENGTH: Final = 100
"""Longest name of a tenant or an organization, in characters."""

PLAN_LENGTH: Final = 63
"""Longest name of a plan, in characters."""
