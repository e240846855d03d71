"""FastAPI: dependencies that authenticate and require permissions.

.. code-block:: python

    from apostille import AsyncVerifier
    from apostille_adapters.fastapi import Apostille, CurrentPrincipal, HasPermission
    from fastapi import Depends, FastAPI

    app = FastAPI()
    Apostille(AsyncVerifier("https://iam.example.com", audience="inventory")).init_app(app)

    @app.get("/stock", dependencies=[Depends(HasPermission("inventory.read"))])
    async def stock() -> dict[str, int]: ...

    @app.get("/me")
    async def me(principal: CurrentPrincipal) -> str:
        return principal.subject

Dependencies work on routes, routers and the application, for HTTP and
WebSocket, and in mounted sub-applications.
"""

from ._application import Apostille
from ._dependencies import (
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
    authenticated,
    current_principal,
    optional_principal,
    public,
)

__all__ = [
    "Apostille",
    "CurrentPrincipal",
    "HasAnyPermission",
    "HasPermission",
    "OptionalPrincipal",
    "authenticated",
    "current_principal",
    "optional_principal",
    "public",
]
