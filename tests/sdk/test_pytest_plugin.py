"""The pytest plugin: there without further ado, and light where it is not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from apostille.testing import LocalIssuer

pytest_plugins = ["pytester"]

ALONE = ("-p", "_apostille_pytest")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner pytest runs load no plugin but those they name; most of this environment's are slow."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_the_fixture_is_there(apostille_issuer: LocalIssuer) -> None:
    assert isinstance(apostille_issuer, LocalIssuer)
    assert apostille_issuer.issuer == "https://issuer.test"
    assert apostille_issuer.audience == ("test-service",)


@pytest.mark.usefixtures("alone")
def test_every_test_has_an_issuer_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        kids = set()

        def test_one(apostille_issuer):
            apostille_issuer.rotate()
            kids.update(key["kid"] for key in apostille_issuer.jwks()["keys"])

        def test_two(apostille_issuer):
            (key,) = apostille_issuer.jwks()["keys"]
            assert key["kid"] not in kids
        """
    )
    pytester.runpytest_inprocess(*ALONE).assert_outcomes(passed=2)


@pytest.mark.usefixtures("alone")
def test_options_come_from_a_fixture_one_overrides(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def apostille_issuer_options():
            return {"issuer": "https://iam.example.com", "audience": "inventory"}
        """
    )
    pytester.makepyfile(
        """
        def test_options(apostille_issuer):
            claims = apostille_issuer.principal().claims
            assert (claims.iss, claims.aud) == ("https://iam.example.com", "inventory")
        """
    )
    pytester.runpytest_inprocess(*ALONE).assert_outcomes(passed=1)


@pytest.mark.usefixtures("alone")
def test_a_service_tests_itself_as_the_documentation_says(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        service="""
        from apostille import Verifier

        iam = Verifier("https://iam.example.com", audience="inventory")

        def stock(token):
            iam.verify(token).require("inventory.read")
            return 42
        """,
        test_service="""
        import datetime as dt

        import pytest
        from apostille.errors import ExpiredToken, KeysUnavailable, PermissionDenied
        from apostille.testing import BAD_TOKENS
        from apostille import InvalidToken

        import service

        @pytest.fixture
        def issuer(apostille_issuer):
            with apostille_issuer.stand_in_for(service.iam):
                yield apostille_issuer

        def test_clerk(issuer):
            assert service.stock(issuer.token(permissions=["inventory.read"])) == 42

        def test_guest(issuer):
            with pytest.raises(PermissionDenied):
                service.stock(issuer.token())

        def test_late(issuer):
            token = issuer.token(permissions=["inventory.read"])
            issuer.advance(dt.timedelta(minutes=11))
            with pytest.raises(ExpiredToken):
                service.stock(token)

        def test_outage(issuer):
            with issuer.outage(), pytest.raises(KeysUnavailable):
                service.stock(issuer.token())

        @pytest.mark.parametrize("name", BAD_TOKENS)
        def test_bad(issuer, name):
            with pytest.raises(InvalidToken):
                service.stock(issuer.bad_token(name))
        """,
    )
    result = pytester.runpytest_inprocess(*ALONE, "-W", "error")
    result.assert_outcomes(passed=4 + 34)


@pytest.mark.usefixtures("alone")
def test_pytest_runs_that_ask_for_nothing_pay_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "_apostille_pytest" in sys.modules
            for heavy in ("apostille", "cryptography", "httpcore", "msgspec"):
                assert heavy not in sys.modules
        """
    )
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


@pytest.mark.usefixtures("alone")
def test_fixtures_explain_themselves(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*ALONE, "--fixtures", "-v")
    result.stdout.fnmatch_lines(["apostille_issuer_options*", "*Options of the issuer*"])
    result.stdout.fnmatch_lines(["apostille_issuer --*", "*An issuer inside the test*"])


def test_the_plugin_can_be_switched_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(apostille_issuer): pass")
    result = pytester.runpytest_inprocess("-p", "no:apostille")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'apostille_issuer' not found*"])


def test_importing_the_plugin_imports_pytest_alone() -> None:
    program = (
        "import sys, pytest; before = set(sys.modules); import _apostille_pytest; "
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["_apostille_pytest"]
