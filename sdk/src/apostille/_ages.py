"""How old something fetched may get. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Ages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """When something was fetched and until when it may be used.

    Times are monotonic seconds. ``refresh_at <= fresh_until <= usable_until``,
    except that ``usable_until`` may come first: then it decides.
    """

    asked_at: float = -math.inf
    """When the issuer was asked for it."""
    refresh_at: float = -math.inf
    """From then on it is fetched anew in the background."""
    fresh_until: float = -math.inf
    """From then on it serves only while the issuer cannot be asked."""
    usable_until: float = -math.inf
    """From then on it does not serve."""
    recheck_at: float = -math.inf
    """Until then nothing above needs looking at; a repeated verify compares this alone."""
