"""The command ``apostille``: look into tokens, verify them, explain them, check a manifest.

Exit status: 0 yes, 1 no, 2 the command was used wrongly, 3 the issuer could
not be asked. A whole token is never printed.
"""

from __future__ import annotations

from ._main import main

__all__ = ["main"]
