"""Django REST framework: who is asking, and whether he may.

.. code-block:: python

    # settings.py
    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["apostille_adapters.django.drf.ApostilleAuthentication"],
        "EXCEPTION_HANDLER": "apostille_adapters.django.drf.exception_handler",
        "UNAUTHENTICATED_USER": "apostille_adapters.django.Anonymous",
    }

    # views.py
    class StockView(APIView):
        permission_classes = [HasPermission("inventory.read")]

``request.user`` is the principal as Django likes users, ``request.auth`` the
principal itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.permissions import BasePermission, OperandHolder
from rest_framework.request import Request
from rest_framework.response import Response

from apostille import Principal, policy
from apostille.errors import MissingToken, PermissionDenied
from apostille.http import REFUSALS, Refusal

from ._authentication import authenticate, refused
from ._users import PrincipalUser

if TYPE_CHECKING:
    from rest_framework.views import APIView

__all__ = [
    "ApostilleAuthentication",
    "HasAnyPermission",
    "HasPermission",
    "Refused",
    "exception_handler",
]


class Refused(APIException):
    """A refusal in the form REST framework expects of errors while it renders and recovers.

    :func:`exception_handler` answers it as every Apostille service does. Any other
    handler sees the right status, and REST framework's own adds the headers.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(detail=str(refusal), code=refusal.code)
        self.refusal = refusal
        answer = refused(refusal)
        self.status_code = answer.status_code
        self.auth_header = answer.get("WWW-Authenticate")
        self.wait = int(answer.get("Retry-After", "0"))


class ApostilleAuthentication(BaseAuthentication):
    """Authenticates by access token; without one, others may try."""

    def authenticate(self, request: Request) -> tuple[PrincipalUser, Principal] | None:
        """Return user and principal, or ``None`` if there is no token at all.

        Raises:
            Refused: There is a token that must not be accepted, it is not
                clear which, or the issuer could not be asked.
        """
        try:
            principal = authenticate(request._request)  # noqa: SLF001 - REST framework's own way
        except MissingToken:
            return None
        except REFUSALS as refusal:
            raise Refused(refusal) from refusal
        return PrincipalUser(principal.claims), principal

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - REST framework's signature
        """Return the challenge that makes a refusal of REST framework's own a 401."""
        return refused(MissingToken())["WWW-Authenticate"]


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | Response | None:
    """Answer refusals as every Apostille service does, and leave the rest to REST framework."""
    # REST framework imports this module while it imports that one.
    from rest_framework.views import exception_handler as rest_of_them  # noqa: PLC0415

    if isinstance(error, Refused):
        return refused(error.refusal)
    if isinstance(error, REFUSALS):
        return refused(error)
    if isinstance(error, NotAuthenticated):
        return refused(MissingToken())
    return rest_of_them(error, context)


def _principal_of(request: Request) -> Principal:
    """Return whom a requirement judges, who is never another than ``request.user``.

    Raises:
        MissingToken: Nobody is authenticated, or by another authentication
            class: whatever token is sent along speaks for somebody else.
        ApostilleError: The token must not be accepted.
    """
    if isinstance(request.auth, Principal):
        return request.auth
    # ``None`` after no class found anybody; then the token decides, if there is one.
    theirs = None if request.successful_authenticator is None else request.user
    if isinstance(theirs, Principal):  # what ApostilleMiddleware found, by SessionAuthentication
        return theirs
    if theirs is not None:
        raise MissingToken
    return authenticate(request._request)  # noqa: SLF001 - as above


class _Asked(BasePermission):
    """One requirement, asked for one request.

    Returns a boolean, so that REST framework's own ``|`` and ``~`` can go on
    with a "no". Standing alone, it explains itself: after a "no" REST
    framework reads :attr:`message`, and there the refusal is raised.
    """

    def __init__(self, requirement: policy.Requirement) -> None:
        self._requirement = requirement
        self._refusal: Refusal | None = None

    def has_permission(self, request: Request, view: APIView) -> bool:
        try:
            principal = _principal_of(request)
            self._requirement.check(principal, parameters=view.kwargs, request=request)
        except (MissingToken, PermissionDenied) as refusal:
            self._refusal = refusal
            return False
        except REFUSALS as refusal:
            raise Refused(refusal) from refusal
        return True

    @property
    def message(self) -> str | None:
        if self._refusal is not None:
            raise Refused(self._refusal)
        return None


class _Requirement(policy.Requirement, OperandHolder):  # type: ignore[misc]  # & | ~ are ours
    """A requirement in the place of a permission class; REST framework calls it to get one."""

    def __call__(self, *_: object, **__: object) -> _Asked:
        return _Asked(self)


class HasPermission(_Requirement, policy.HasPermission):  # type: ignore[misc]  # & | ~ are ours
    """Permission class: all the named permissions are held."""


class HasAnyPermission(_Requirement, policy.HasAnyPermission):  # type: ignore[misc]  # the same
    """Permission class: at least one of the named permissions is held."""
