"""Verify Apostille access tokens offline, and ask what their subject may do.

.. code-block:: python

    from apostille import Verifier

    iam = Verifier("https://iam.example.com", audience="inventory")
    principal = iam.verify(token)            # raises InvalidToken, or returns a Principal
    principal.require("inventory.write")     # raises PermissionDenied; has() -> bool
"""

from __future__ import annotations

from ._async import AsyncVerifier
from ._sync import Verifier
from .errors import ApostilleError, ConfigurationError, InvalidToken, PermissionDenied, Unavailable
from .keys import KeySource, StaticKeys
from .policy import HasAnyPermission, HasPermission
from .principal import Principal

__all__ = [
    "ApostilleError",
    "AsyncVerifier",
    "ConfigurationError",
    "HasAnyPermission",
    "HasPermission",
    "InvalidToken",
    "KeySource",
    "PermissionDenied",
    "Principal",
    "StaticKeys",
    "Unavailable",
    "Verifier",
]
