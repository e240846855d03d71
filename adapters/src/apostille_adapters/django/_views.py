"""Requirements as decorators of views, and as a mixin for class-based ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apostille import Principal, policy
from apostille.errors import ConfigurationError
from apostille.http import REFUSALS

from ._authentication import (
    aauthenticate,
    mark_public,
    refused,
)
from ._authentication import (
    authenticate as authenticate_request,
)

__all__ = [
    "HasAnyPermission",
    "HasPermission",
    "HasPermissionMixin",
    "authenticated",
    "has_any_permission",
    "has_permission",
    "public",
]

_View = TypeVar("_View", bound=Callable[..., Any])
_Check = Callable[[Principal, HttpRequest, dict[str, Any]], None]


def _after(check: _Check, view: _View) -> _View:
    if iscoroutinefunction(view):

        @wraps(view)
        async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return await _aguarded(check, view, request, args, kwargs)

    else:

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            return _guarded(check, view, request, args, kwargs)

    return cast("_View", guarded)


def _guarded(
    check: _Check, view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: dict[str, Any]
) -> Any:
    try:
        check(authenticate_request(request), request, kwargs)
        return view(request, *args, **kwargs)
    except REFUSALS as refusal:
        return refused(refusal)


async def _aguarded(
    check: _Check, view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: dict[str, Any]
) -> Any:
    try:
        check(await aauthenticate(request), request, kwargs)
        return await view(request, *args, **kwargs)
    except REFUSALS as refusal:
        return refused(refusal)


class _Requirement(policy.Requirement):
    """A requirement that decorates views, plain and async."""

    __slots__ = ()

    def __call__(self, view: _View) -> _View:
        """Return *view* behind the requirement."""
        return _after(self._check, view)

    def _check(self, principal: Principal, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        self.check(principal, parameters=kwargs, request=request)


class HasPermission(_Requirement, policy.HasPermission):
    """Decorator: all the named permissions are held."""

    __slots__ = ()


class HasAnyPermission(_Requirement, policy.HasAnyPermission):
    """Decorator: at least one of the named permissions is held."""

    __slots__ = ()


has_permission = HasPermission
has_any_permission = HasAnyPermission


def authenticated(view: _View) -> _View:
    """Return *view* behind a valid token, whatever it permits."""
    return _after(lambda *_: None, view)


def public(view: _View) -> _View:
    """Exempt *view* from the middleware: its token is not even looked at."""
    mark_public(view)
    return view


class HasPermissionMixin:
    """A class-based view behind :attr:`required`; put it before ``View``.

    Works with sync and async handlers.
    """

    required: ClassVar[policy.Requirement]
    """Checked before any handler is called."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(getattr(cls, "required", None), policy.Requirement):
            raise ConfigurationError(f"{cls.__name__}.required = HasPermission(…) is missing")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Check the requirement, then let the view choose its handler."""
        view: Any = super()
        run = _aguarded if getattr(self, "view_is_async", False) else _guarded
        # An awaitable where the handlers are async, as in Django's own dispatch.
        return cast("HttpResponseBase", run(self._check, view.dispatch, request, args, kwargs))

    def _check(self, principal: Principal, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        self.required.check(principal, parameters=kwargs, request=request)
