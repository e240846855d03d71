"""Litestar: a plugin that knows the verifier, and guards that ask it.

.. code-block:: python

    from apostille import AsyncVerifier
    from apostille_adapters.litestar import ApostillePlugin, HasPermission
    from litestar import Litestar, get

    @get("/stock", guards=[HasPermission("inventory.read")])
    async def stock() -> dict[str, int]: ...

    iam = AsyncVerifier("https://iam.example.com", audience="inventory")
    app = Litestar([stock], plugins=[ApostillePlugin(iam)])

Guards work on handlers, controllers, routers and the application, for HTTP
and WebSocket alike.
"""

from ._guards import (
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
    authenticated,
)
from ._plugin import EXCLUDE_FROM_AUTH, ApostillePlugin

__all__ = [
    "EXCLUDE_FROM_AUTH",
    "ApostillePlugin",
    "CurrentPrincipal",
    "HasAnyPermission",
    "HasPermission",
    "OptionalPrincipal",
    "authenticated",
]
