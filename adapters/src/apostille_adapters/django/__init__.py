"""Django without a user table: views ask the token, nothing asks a database.

.. code-block:: python

    # settings.py
    INSTALLED_APPS = ["apostille_adapters.django"]
    MIDDLEWARE = ["apostille_adapters.django.ApostilleMiddleware"]
    APOSTILLE = {"ISSUER": "https://iam.example.com", "AUDIENCE": "inventory"}

    # views.py
    from apostille_adapters.django import has_permission

    @has_permission("inventory.read")
    def stock(request): ...  # request.user is the principal

Plain and async views; class-based views take :class:`HasPermissionMixin`. For
REST framework see :mod:`apostille_adapters.django.drf`.
"""

from ._authentication import ApostilleMiddleware, optional_principal
from ._users import Anonymous, PrincipalUser
from ._views import (
    HasAnyPermission,
    HasPermission,
    HasPermissionMixin,
    authenticated,
    has_any_permission,
    has_permission,
    public,
)

__all__ = [
    "Anonymous",
    "ApostilleMiddleware",
    "HasAnyPermission",
    "HasPermission",
    "HasPermissionMixin",
    "PrincipalUser",
    "authenticated",
    "has_any_permission",
    "has_permission",
    "optional_principal",
    "public",
]
