"""pytest plugin of Apostille, active wherever ``apostille`` and pytest are installed.

A module beside the package and not in it, because every pytest run of every
service imports it: importing anything below ``apostille`` would bring in
cryptography and start the package before a coverage tool looks. Whatever
costs time is imported by the fixture that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from apostille.testing import LocalIssuer


@pytest.fixture
def apostille_issuer_options() -> Mapping[str, Any]:
    """Options of the issuer that the fixture ``apostille_issuer`` gives.

    Override it in ``conftest.py`` to name your service's issuer and audience::

        @pytest.fixture
        def apostille_issuer_options():
            return {"issuer": "https://iam.example.com", "audience": "inventory"}
    """
    return {}


@pytest.fixture
def apostille_issuer(apostille_issuer_options: Mapping[str, Any]) -> LocalIssuer:
    """An issuer inside the test: real keys, real tokens, no network; see ``apostille.testing``.

    A new one for each test: rotation, outage and time travel end with it.
    """
    from apostille.testing import LocalIssuer  # noqa: PLC0415 - only who asks pays

    return LocalIssuer(**apostille_issuer_options)
