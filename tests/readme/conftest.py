"""An issuer on loopback, for snippets that are configured by address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apostille.testing import LocalIssuer


@pytest.fixture(scope="module")
def served_issuer() -> Iterator[LocalIssuer]:
    issuer = LocalIssuer(audience="inventory")
    with issuer.serve():
        yield issuer
