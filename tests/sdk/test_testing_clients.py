"""One line signs a framework's test client in; every framework is asked, none is imitated."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from apostille.errors import ConfigurationError
from apostille.testing import LocalIssuer

pytest_plugins = ["pytester"]


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


def subject_of(issuer: LocalIssuer, authorization: str | None) -> str:
    """Verify what arrived at the application."""
    assert authorization is not None
    scheme, token = authorization.split(" ")
    assert scheme == "Bearer"
    return issuer.verifier().verify(token).subject


def test_flask(issuer: LocalIssuer) -> None:
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    app = flask.Flask(__name__)

    @app.get("/echo")  # type: ignore[untyped-decorator] # Flask is optional here
    def echo() -> Any:
        return {"authorization": flask.request.headers.get("Authorization")}

    client = issuer.sign_in(app.test_client(), subject="somebody")
    assert subject_of(issuer, client.get("/echo").json["authorization"]) == "somebody"


def test_starlette_and_fastapi(issuer: LocalIssuer) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    with warnings.catch_warnings():
        # Starlette would have its test client run on another fork of httpx.
        warnings.simplefilter("ignore")
        from fastapi import FastAPI, Request
        from fastapi.testclient import TestClient

    app = FastAPI()

    # Annotations that FastAPI reads would have to be global.
    def echo(request) -> dict[str, str | None]:  # type: ignore[no-untyped-def]
        return {"authorization": request.headers.get("Authorization")}

    echo.__annotations__ = {"request": Request}
    app.get("/echo")(echo)
    client = issuer.sign_in(TestClient(app), subject="somebody")
    assert subject_of(issuer, client.get("/echo").json()["authorization"]) == "somebody"


def test_litestar(issuer: LocalIssuer) -> None:
    pytest.importorskip("litestar", reason="Litestar is not installed")
    from litestar import Litestar, Request, get
    from litestar.testing import TestClient

    async def echo(request) -> dict[str, str | None]:  # type: ignore[no-untyped-def]
        return {"authorization": request.headers.get("Authorization")}

    echo.__annotations__ = {"request": Request, "return": dict[str, str | None]}
    with TestClient(Litestar([get("/echo")(echo)])) as client:
        issuer.sign_in(client, subject="somebody")
        assert subject_of(issuer, client.get("/echo").json()["authorization"]) == "somebody"


def test_httpx_in_both_kinds(issuer: LocalIssuer) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    with issuer.sign_in(httpx.Client(), subject="somebody") as client:
        request = client.build_request("GET", "https://service.test/echo")
        assert subject_of(issuer, request.headers["Authorization"]) == "somebody"

    async def story() -> None:
        async with issuer.sign_in(httpx.AsyncClient(), subject="another") as client:
            request = client.build_request("GET", "https://service.test/echo")
            assert subject_of(issuer, request.headers["Authorization"]) == "another"

    asyncio.run(story())


def test_signing_in_again_changes_the_person(issuer: LocalIssuer) -> None:
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    with httpx.Client() as client:
        issuer.sign_in(client, subject="first")
        issuer.sign_in(client, subject="second")
        assert subject_of(issuer, client.headers["Authorization"]) == "second"


@pytest.mark.parametrize("client", [object(), None, {"headers": {}}])
def test_what_is_no_test_client_is_refused(issuer: LocalIssuer, client: object) -> None:
    with pytest.raises(ConfigurationError, match="no test client"):
        issuer.sign_in(client)


DJANGO = """
import django
import pytest
from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"])
django.setup()

import asyncio

from django.http import JsonResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path


def echo(request):
    return JsonResponse({"authorization": request.headers.get("Authorization")})


urlpatterns = [path("echo", echo)]


def subject(issuer, authorization):
    return issuer.verifier().verify(authorization.removeprefix("Bearer ")).subject


def test_client(apostille_issuer):
    client = apostille_issuer.sign_in(Client(), subject="somebody")
    assert subject(apostille_issuer, client.get("/echo").json()["authorization"]) == "somebody"


def test_async_client(apostille_issuer):
    client = apostille_issuer.sign_in(AsyncClient(), subject="somebody")
    answer = asyncio.run(client.get("/echo"))
    assert subject(apostille_issuer, answer.json()["authorization"]) == "somebody"


def test_request_factory(apostille_issuer):
    request = apostille_issuer.sign_in(RequestFactory(), subject="somebody").get("/echo")
    assert subject(apostille_issuer, request.headers["Authorization"]) == "somebody"


def test_rest_framework(apostille_issuer):
    client_class = pytest.importorskip("rest_framework.test").APIClient
    client = apostille_issuer.sign_in(client_class(), subject="somebody")
    assert subject(apostille_issuer, client.get("/echo").json()["authorization"]) == "somebody"
"""


def test_django_and_rest_framework(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, since Django is configured once for a whole process."""
    pytest.importorskip("django", reason="Django is not installed")
    pytest.importorskip("rest_framework", reason="Django REST framework is not installed")
    pytester.makepyfile(DJANGO)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_subprocess("-p", "_apostille_pytest", "-W", "error")
    result.assert_outcomes(passed=4)
