"""Requirements as Flask decorators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from flask import current_app, request

from apostille import policy

from ._extension import mark_public, request_principal

__all__ = [
    "HasAnyPermission",
    "HasPermission",
    "authenticated",
    "has_any_permission",
    "has_permission",
    "public",
]

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def _after(
    check: Callable[[], object], view: Callable[_Arguments, _Answer]
) -> Callable[_Arguments, _Answer]:
    @functools.wraps(view)
    def guarded(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        check()
        # An async view runs to its end here, as Flask does with undecorated ones.
        return cast("_Answer", current_app.ensure_sync(view)(*args, **kwargs))

    return guarded


class _Requirement(policy.Requirement):
    """A requirement that decorates views."""

    __slots__ = ()

    def __call__(self, view: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
        """Return *view* behind the requirement."""
        return _after(self.enforce, view)

    def enforce(self) -> None:
        """Check the request at hand; ``blueprint.before_request(requirement.enforce)``."""
        parameters = request.view_args or {}
        self.check(request_principal(), parameters=parameters, request=request)


class HasPermission(_Requirement, policy.HasPermission):
    """Decorator: all the named permissions are held."""

    __slots__ = ()


class HasAnyPermission(_Requirement, policy.HasAnyPermission):
    """Decorator: at least one of the named permissions is held."""

    __slots__ = ()


has_permission = HasPermission
has_any_permission = HasAnyPermission


def authenticated(view: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """Return *view* behind a valid token, whatever it permits."""
    return _after(request_principal, view)


def public(view: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """Exempt *view* from ``authenticate_all``; put it below the route decorator."""
    return mark_public(view)
