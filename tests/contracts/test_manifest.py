"""What a service may declare in permissions.toml, and what is refused with its place named."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from apostille_contracts.manifest import InvalidManifest, SuggestedRole, parse_manifest

GOOD = """
service = "inventory"
version = "1.4.0"

[permissions]
"inventory.read" = "See stock levels"
"inventory.stock.write" = "Change stock levels"

[roles.clerk]
description = "Works at the counter"
allow = ["inventory.read"]

[roles.keeper]
allow = ["inventory.*"]
deny = ["inventory.stock.write"]
"""


def good(**changes: Any) -> dict[str, Any]:
    return {**tomllib.loads(GOOD), **changes}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in good().items() if key != name}


def test_a_manifest_in_toml_is_read() -> None:
    manifest = parse_manifest(tomllib.loads(GOOD))
    assert manifest.service == "inventory"
    assert manifest.version == "1.4.0"
    assert manifest.audience is None
    assert list(manifest.permissions) == ["inventory.read", "inventory.stock.write"]
    assert manifest.roles["clerk"] == SuggestedRole("Works at the counter", ("inventory.read",))
    assert manifest.roles["keeper"].deny == ("inventory.stock.write",)


def test_roles_and_audience_are_optional() -> None:
    document = {"service": "s", "version": "1", "permissions": {}, "audience": "https://s.test"}
    manifest = parse_manifest(document)
    assert (manifest.audience, manifest.roles) == ("https://s.test", {})


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "object"),
        (without("service"), "service"),
        (without("version"), "version"),
        (without("permissions"), "permissions"),
        (good(surprise=1), "surprise"),
        (good(service="Inventory"), "service"),
        (good(service="inventory\n"), "service"),
        (good(service=""), "service"),
        (good(service="x" * 64), "service"),
        (good(version=""), "version"),
        (good(version=1.4), "version"),
        (good(audience=""), "audience"),
        (good(audience="x" * 64), "audience"),
        (good(permissions=["inventory.read"]), "permissions"),
        (good(permissions={"inventory": ""}), "permissions: 'inventory'"),
        (good(permissions={"inventory.*": ""}), "never required"),
        (good(permissions={"inventory.read": 1}), "permissions"),
        (good(roles={"Clerk": {}}), "roles: 'Clerk'"),
        (good(roles={"clerk\n": {}}), "roles: "),
        (good(roles={"clerk": {"grants": []}}), "grants"),
        (good(roles={"clerk": {"allow": ["inventory"]}}), "roles.clerk: 'inventory'"),
        (good(roles={"clerk": {"deny": ["billing.read"]}}), "roles.clerk: 'billing.read'"),
        (good(roles={"clerk": {"allow": ["billing.*"]}}), "roles.clerk: 'billing.*'"),
        (good(roles={"clerk": {"allow": ["*"]}}), "superuser"),
    ],
)
def test_a_wrong_manifest_is_refused_and_the_place_named(document: object, place: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(document)
    assert place in str(caught.value)
