"""What a service declares about itself: ``permissions.toml``.

.. code-block:: toml

    service = "inventory"
    version = "1.4.0"

    [permissions]
    "inventory.read" = "See stock levels"
    "inventory.write" = "Change stock levels"

    [roles.clerk]
    description = "Works at the counter"
    allow = ["inventory.read"]
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from .permissions import (
    EVERYTHING,
    InvalidGrant,
    InvalidPermission,
    covers,
    parse_grant,
    parse_permission,
)

__all__ = ["InvalidManifest", "Manifest", "SuggestedRole", "parse_manifest"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class InvalidManifest(ValueError):
    """A manifest does not say what it should; the message names the place."""


class SuggestedRole(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A role the service suggests; an administrator decides whether to create it."""

    description: Annotated[str, Meta(max_length=500)] = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A service's permissions and suggested roles, versioned in its repository."""

    service: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """Name of the service, and its audience unless one is given."""
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    permissions: dict[str, Annotated[str, Meta(max_length=500)]]
    """Permission name to description."""
    audience: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    """As short as a name: tokens for many services carry the audiences of all."""
    roles: dict[str, SuggestedRole] = {}


def parse_manifest(document: Any) -> Manifest:
    """Return the manifest in *document*, a mapping as TOML or JSON parsers give it.

    Raises:
        InvalidManifest: A field is missing, unknown or of the wrong type, a
            permission is malformed, or a suggested role grants something the
            manifest does not declare: a service speaks for itself alone.
    """
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise InvalidManifest(str(error)) from error
    # The pattern's "$", written for JSON Schema, lets Python accept a final line feed.
    if _NAME.fullmatch(manifest.service) is None:
        message = f"service: {manifest.service!r} is not a service name ([a-z][a-z0-9_-]*)"
        raise InvalidManifest(message)
    for name in manifest.permissions:
        try:
            parse_permission(name)
        except InvalidPermission as error:
            message = f"permissions: {name!r}: {error}"
            raise InvalidManifest(message) from error
    for role_name, role in manifest.roles.items():
        _check_role(manifest, role_name, role)
    return manifest


def _check_role(manifest: Manifest, role_name: str, role: SuggestedRole) -> None:
    if _NAME.fullmatch(role_name) is None:
        message = f"roles: {role_name!r} is not a role name ([a-z][a-z0-9_-]*)"
        raise InvalidManifest(message)
    for text in (*role.allow, *role.deny):
        try:
            grant = parse_grant(text)
        except InvalidGrant as error:
            message = f"roles.{role_name}: {text!r}: {error}"
            raise InvalidManifest(message) from error
        if grant == EVERYTHING:
            message = f"roles.{role_name}: '*' belongs to the role superuser alone"
            raise InvalidManifest(message)
        if not any(covers(grant, name) for name in manifest.permissions):
            message = f"roles.{role_name}: {grant!r} covers nothing declared under [permissions]"
            raise InvalidManifest(message)
