"""Flask: an extension that knows the verifier, and decorators that ask it.

.. code-block:: python

    from apostille import Verifier
    from apostille_adapters.flask import Apostille, current_principal, has_permission
    from flask import Flask

    app = Flask(__name__)
    Apostille(Verifier("https://iam.example.com", audience="inventory")).init_app(app)

    @app.get("/stock")
    @has_permission("inventory.read")
    def stock() -> dict[str, int]: ...

    @app.get("/me")
    def me() -> str:
        return current_principal.subject  # without a token: 401

Decorators go below the route; plain and async views alike.
"""

from ._extension import Apostille, current_principal, optional_principal
from ._views import (
    HasAnyPermission,
    HasPermission,
    authenticated,
    has_any_permission,
    has_permission,
    public,
)

__all__ = [
    "Apostille",
    "HasAnyPermission",
    "HasPermission",
    "authenticated",
    "current_principal",
    "has_any_permission",
    "has_permission",
    "optional_principal",
    "public",
]
