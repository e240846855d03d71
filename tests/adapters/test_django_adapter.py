"""What is Django's own: middleware, users, class-based views, settings, system checks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.core.checks import run_checks
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from apostille import AsyncVerifier, Verifier, http
from apostille.errors import (
    ConfigurationError,
    ExpiredToken,
    MissingToken,
    PermissionDenied,
)
from apostille.http import TokenCookie
from apostille.testing import SUBJECT, LocalIssuer
from apostille_adapters.django import (
    Anonymous,
    ApostilleMiddleware,
    HasAnyPermission,
    HasPermission,
    HasPermissionMixin,
    PrincipalUser,
    authenticated,
    has_any_permission,
    has_permission,
    optional_principal,
    public,
)
from apostille_adapters.django._settings import Configuration, configuration

MIDDLEWARE = "apostille_adapters.django.ApostilleMiddleware"
GIVEN = {"ISSUER": "https://issuer.test", "AUDIENCE": "inventory"}


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture
def apostille(issuer: LocalIssuer) -> Iterator[Callable[..., Any]]:
    """Trust the issuer; call it to change settings."""
    given = {"VERIFIER": issuer.verifier(), "ASYNC_VERIFIER": issuer.async_verifier()}
    with override_settings(APOSTILLE=given, ROOT_URLCONF=__name__):
        yield lambda **more: override_settings(APOSTILLE={**given, **more})


def body(error: http.Refusal) -> bytes:
    return http.answer(error, realm="inventory").body


# -- views -------------------------------------------------------------------------------


def whoami(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, PrincipalUser | Anonymous)
    return HttpResponse(str(request.user))


async def awhoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.auser()))


@public
def health(request: HttpRequest) -> HttpResponse:
    return whoami(request)


@method_decorator(public, name="dispatch")
class PublicView(View):
    def get(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse("fine")


@permission_required("inventory.read", raise_exception=True)
def django_guarded(request: HttpRequest) -> HttpResponse:
    return whoami(request)


@permission_required(["inventory.read", "inventory.write"], raise_exception=True)
async def async_django_guarded(request: HttpRequest) -> HttpResponse:
    return await awhoami(request)


class DjangoGuardedView(PermissionRequiredMixin, View):
    permission_required = "inventory.read"
    raise_exception = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return whoami(request)


class OrganizationView(HasPermissionMixin, View):
    required = HasPermission("inventory.read", organization="organization")

    def get(self, _: HttpRequest, organization: str) -> HttpResponse:
        return HttpResponse(organization)


def raises(_: HttpRequest) -> HttpResponse:
    raise PermissionDenied(("inventory.write",))


def breaks(_: HttpRequest) -> HttpResponse:
    raise LookupError


urlpatterns = [
    path("whoami", whoami),
    path("awhoami", awhoami),
    path("health", health),
    path("public", PublicView.as_view()),
    path("guarded", has_permission("inventory.read")(whoami)),
    path("django-guarded", django_guarded),
    path("async-django-guarded", async_django_guarded),
    path("django-guarded-view", DjangoGuardedView.as_view()),
    path("organizations/<organization>", OrganizationView.as_view()),
    path("raises", raises),
    path("breaks", breaks),
]


# -- the middleware ----------------------------------------------------------------------


@pytest.mark.usefixtures("apostille")
def test_the_user_of_every_view_is_the_principal(issuer: LocalIssuer) -> None:
    client = Client()
    assert client.get("/whoami").content == b"anonymous"
    assert client.get("/whoami", headers=issuer.headers()).content == SUBJECT.encode()
    expired = {"Authorization": f"Bearer {issuer.bad_token('expired')}"}
    assert client.get("/whoami", headers=expired).content == body(ExpiredToken())
    assert client.get("/health", headers=expired).content == b"anonymous"
    assert client.get("/public", headers=expired).content == b"fine"


@pytest.mark.usefixtures("apostille")
def test_async_views_have_their_user_too(issuer: LocalIssuer) -> None:
    async def ask() -> None:
        client = AsyncClient()
        assert (await client.get("/awhoami")).content == b"anonymous"
        token = issuer.token()
        reply = await client.get("/awhoami", headers={"Authorization": f"Bearer {token}"})
        assert reply.content == SUBJECT.encode()
        bad = issuer.bad_token("expired")
        reply = await client.get("/whoami", headers={"Authorization": f"Bearer {bad}"})
        assert reply.content == body(ExpiredToken())
        reply = await client.get("/health", headers={"Authorization": f"Bearer {bad}"})
        assert reply.content == b"anonymous"

    asyncio.run(ask())


def test_every_view_needs_a_token_but_the_public_ones(
    issuer: LocalIssuer, apostille: Callable[..., Any]
) -> None:
    with apostille(AUTHENTICATE_ALL=True):
        client = Client()
        assert client.get("/whoami").content == body(MissingToken())
        assert client.get("/health").content == b"anonymous"
        assert client.get("/nowhere").status_code == 404
        assert client.get("/whoami", headers=issuer.headers()).content == SUBJECT.encode()


@pytest.mark.usefixtures("apostille")
def test_refusals_of_any_view_are_answered_and_other_errors_are_not() -> None:
    client = Client()
    assert client.get("/raises").content == body(PermissionDenied(("inventory.write",)))
    with pytest.raises(LookupError):
        client.get("/breaks")


@pytest.mark.usefixtures("apostille")
def test_a_user_somebody_else_found_stays_where_there_is_no_token(issuer: LocalIssuer) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        middleware.process_view(request, whoami, (), {})
        return HttpResponse(str(request.user))

    middleware = ApostilleMiddleware(respond)
    request = RequestFactory().get("/")
    request.user = "somebody"  # type: ignore[assignment]
    assert middleware(request).content == b"somebody"  # type: ignore[union-attr]
    request = RequestFactory().get("/", headers=issuer.headers())
    request.user = "somebody"  # type: ignore[assignment]
    assert middleware(request).content == SUBJECT.encode()  # type: ignore[union-attr]


def test_the_middleware_is_async_where_the_next_one_is() -> None:
    async def later(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(await request.auser()))

    assert iscoroutinefunction(ApostilleMiddleware(later))
    assert not iscoroutinefunction(ApostilleMiddleware(whoami))


@pytest.mark.usefixtures("apostille")
def test_the_token_is_verified_once_per_request(
    issuer: LocalIssuer, apostille: Callable[..., Any]
) -> None:
    seen: list[object] = []
    verifiers = {
        "VERIFIER": issuer.verifier(on_event=seen.append),
        "ASYNC_VERIFIER": issuer.async_verifier(on_event=seen.append),
    }
    with apostille(**verifiers):
        headers = issuer.headers(permissions=["inventory.read"])
        assert Client().get("/guarded", headers=headers).content == SUBJECT.encode()
    assert len(seen) == 1


# -- decorators and class-based views ----------------------------------------------------


@pytest.mark.usefixtures("apostille")
def test_decorators_work_without_the_middleware(issuer: LocalIssuer) -> None:
    with override_settings(MIDDLEWARE=[]):
        client = Client()
        assert client.get("/guarded").content == body(MissingToken())
        headers = issuer.headers(permissions=["inventory.read"])
        assert client.get("/guarded", headers=headers).content == SUBJECT.encode()


def test_the_decorators_have_the_names_python_gives_decorators() -> None:
    assert has_permission is HasPermission
    assert has_any_permission is HasAnyPermission
    assert has_permission("a.b")(whoami).__name__ == "whoami"
    assert iscoroutinefunction(authenticated(awhoami))
    assert not iscoroutinefunction(authenticated(whoami))


@pytest.mark.usefixtures("apostille")
def test_a_class_based_view_checks_the_organization_in_its_path(issuer: LocalIssuer) -> None:
    headers = issuer.headers(permissions=["inventory.read"], organization="acme")
    assert Client().get("/organizations/acme", headers=headers).content == b"acme"
    assert Client().get("/organizations/globex", headers=headers).status_code == 403


def test_a_class_based_view_without_requirement_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match=r"Forgotten.required"):

        class Forgotten(HasPermissionMixin, View):
            pass

    with pytest.raises(ConfigurationError, match=r"Misspelt.required"):

        class Misspelt(HasPermissionMixin, View):
            required = "inventory.read"  # type: ignore[assignment]


@pytest.mark.usefixtures("apostille")
@pytest.mark.parametrize("view", ["/django-guarded", "/django-guarded-view"])
def test_djangos_own_decorators_ask_the_token(issuer: LocalIssuer, view: str) -> None:
    client = Client()
    headers = issuer.headers(permissions=["inventory.*"])
    assert client.get(view, headers=headers).content == SUBJECT.encode()
    assert client.get(view, headers=issuer.headers()).status_code == 403
    assert client.get(view).status_code == 403


@pytest.mark.usefixtures("apostille")
def test_djangos_own_decorators_ask_the_token_of_async_views(issuer: LocalIssuer) -> None:
    async def ask() -> None:
        for permissions, status in ((["inventory.*"], 200), (["inventory.read"], 403), ([], 403)):
            headers = issuer.headers(permissions=permissions)
            reply = await AsyncClient().get("/async-django-guarded", headers=headers)
            assert reply.status_code == status
        assert (await AsyncClient().get("/async-django-guarded")).status_code == 403

    asyncio.run(ask())


@pytest.mark.usefixtures("apostille")
def test_the_optional_principal_is_what_the_middleware_found(issuer: LocalIssuer) -> None:
    request = RequestFactory().get("/", headers=issuer.headers())
    assert optional_principal(request) is None
    ApostilleMiddleware(whoami).process_view(request, whoami, (), {})
    principal = optional_principal(request)
    assert principal is not None
    assert principal == request.user


# -- the user ----------------------------------------------------------------------------


@pytest.fixture
def user(issuer: LocalIssuer) -> PrincipalUser:
    grants = ["inventory.stock.*", "billing.invoices.read"]
    return PrincipalUser(issuer.principal(permissions=grants).claims)


def test_the_user_is_a_principal_with_what_django_asks_of_users(user: PrincipalUser) -> None:
    assert (user.is_authenticated, user.is_anonymous, user.is_active) == (True, False, True)
    assert user.pk == user.id == user.username == user.get_username() == str(user) == SUBJECT
    assert user.has("inventory.stock.read")


def test_roles_open_no_doors_in_django(issuer: LocalIssuer) -> None:
    claims = issuer.principal(roles=["staff", "superuser", "admin"]).claims
    assert not PrincipalUser(claims).is_staff
    assert not PrincipalUser(claims).is_superuser


@pytest.mark.parametrize(
    ("perm", "held"),
    [
        ("inventory.stock.read", True),
        ("billing.invoices.read", True),
        ("billing.invoices.write", False),
        ("inventory.stock.*", False),
        ("*", False),
        ("Inventory.Stock", False),
        ("inventory", False),
    ],
)
def test_permissions_are_answered_from_the_token(
    user: PrincipalUser, perm: str, *, held: bool
) -> None:
    assert user.has_perm(perm) is held
    assert asyncio.run(user.ahas_perm(perm)) is held
    assert user.has_perms([perm, "billing.invoices.read"]) is held
    assert asyncio.run(user.ahas_perms([perm])) is held


def test_tokens_do_not_speak_of_objects(user: PrincipalUser) -> None:
    assert not user.has_perm("billing.invoices.read", obj=object())


@pytest.mark.parametrize("perms", [[], "inventory.stock.read"])
def test_an_empty_or_misread_list_of_permissions_is_an_error(
    user: PrincipalUser, perms: list[str] | str
) -> None:
    with pytest.raises(ConfigurationError, match="has_perms"):
        user.has_perms(perms)


def test_module_permissions_are_answered_by_the_first_segment(
    user: PrincipalUser, issuer: LocalIssuer
) -> None:
    assert user.has_module_perms("inventory")
    assert user.has_module_perms("billing")
    assert not user.has_module_perms("invent")
    assert asyncio.run(user.ahas_module_perms("billing"))
    everything = PrincipalUser(issuer.principal(permissions=["*"]).claims)
    assert everything.has_module_perms("anything")


def test_nobody_has_no_permissions() -> None:
    nobody = Anonymous()
    assert (nobody.is_authenticated, nobody.is_anonymous, nobody.is_active) == (False, True, False)
    assert (nobody.pk, nobody.get_username(), str(nobody)) == (None, "", "anonymous")
    assert not nobody.has_perm("a.b")
    assert not nobody.has_perms(["a.b"])
    assert not nobody.has_module_perms("a")
    assert not asyncio.run(nobody.ahas_perms(["a.b"]))


# -- settings ----------------------------------------------------------------------------


def test_verifiers_are_built_from_the_settings_and_kept() -> None:
    given = Configuration({**GIVEN, "OPTIONS": {"cache_size": 7}, "REALM": "warehouse"})
    assert isinstance(given.verifier, Verifier)
    assert isinstance(given.async_verifier, AsyncVerifier)
    assert given.verifier is given.verifier
    assert given.async_verifier is given.async_verifier
    assert given.async_verifier.audience == given.verifier.audience == ("inventory",)
    assert given.space == http.ProtectionSpace("warehouse")


def test_one_ready_verifier_names_the_other_kind_missing(issuer: LocalIssuer) -> None:
    given = Configuration({"ASYNC_VERIFIER": issuer.async_verifier()})
    assert given.space.realm == "inventory"
    with pytest.raises(ConfigurationError, match=r"APOSTILLE\['ISSUER'\] is missing"):
        _ = given.verifier


def test_a_verifier_may_be_named_by_its_path() -> None:
    given = Configuration({"VERIFIER": f"{__name__}.NAMED"})
    assert given.verifier is NAMED


NAMED = LocalIssuer(audience="inventory").verifier()


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [(None, None), ("token", TokenCookie("token")), (TokenCookie("t"), TokenCookie("t"))],
)
def test_a_cookie_is_a_name_or_a_token_cookie(
    cookie: str | TokenCookie | None, expected: TokenCookie | None
) -> None:
    assert Configuration({**GIVEN, "COOKIE": cookie}).space.cookie == expected


MISTAKES: list[tuple[Any, str]] = [
    (None, "the setting APOSTILLE, a dictionary, is missing"),
    ([], "the setting APOSTILLE, a dictionary, is missing"),
    ({}, r"APOSTILLE\['ISSUER'\] is missing"),
    ({"ISSUER": "https://issuer.test"}, r"APOSTILLE\['AUDIENCE'\] is missing"),
    ({**GIVEN, "ISUER": ""}, r"APOSTILLE\['ISUER'\] is unknown; known are ASYNC_VERIFIER, "),
    ({**GIVEN, "ISSUER": "http://iam.example.com"}, "http"),
    ({**GIVEN, "OPTIONS": {"leway": 1}}, r"APOSTILLE\['OPTIONS'\]: .*leway"),
    ({**GIVEN, "COOKIE": "a b"}, "cookie name"),
    ({"VERIFIER": "no.such.path"}, r"APOSTILLE\['VERIFIER'\]: No module named"),
    ({"ASYNC_VERIFIER": NAMED}, r"APOSTILLE\['ASYNC_VERIFIER'\] is not an AsyncVerifier"),
]


@pytest.mark.parametrize(("given", "message"), MISTAKES)
def test_mistakes_are_named_by_a_system_check(given: Any, message: str) -> None:
    with override_settings(APOSTILLE=given):
        with pytest.raises(ConfigurationError, match=message):
            configuration()
        [found] = [check for check in run_checks() if check.id == "apostille.E001"]
        assert found.is_serious()


def checks() -> list[str | None]:
    return [check.id for check in run_checks(tags=["apostille"])]


def test_good_settings_pass_all_checks() -> None:
    assert run_checks() == []
    with override_settings(LANGUAGE_CODE="de"):  # a setting that is none of ours
        assert run_checks() == []


def test_protecting_everything_without_the_middleware_is_an_error() -> None:
    given = {**GIVEN, "AUTHENTICATE_ALL": True}
    with override_settings(APOSTILLE=given):
        assert checks() == []
        with override_settings(MIDDLEWARE=[]):
            assert checks() == ["apostille.E002"]


def test_rest_framework_with_words_of_its_own_is_worth_a_warning() -> None:
    framework = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": None}
    with override_settings(REST_FRAMEWORK=framework):
        assert checks() == ["apostille.W003"]
    with override_settings(REST_FRAMEWORK={**framework, "EXCEPTION_HANDLER": "theirs"}):
        assert checks() == []


def test_rest_framework_without_an_anonymous_user_is_an_error() -> None:
    framework = {"EXCEPTION_HANDLER": "apostille_adapters.django.drf.exception_handler"}
    installed = ["rest_framework", "apostille_adapters.django"]
    with override_settings(REST_FRAMEWORK=framework):
        assert checks() == []
        with override_settings(INSTALLED_APPS=installed):
            assert checks() == ["apostille.E004"]
    with override_settings(INSTALLED_APPS=["apostille_adapters.django"], MIDDLEWARE=[]):
        assert checks() == []


# -- no database -------------------------------------------------------------------------


def test_no_database_is_configured() -> None:
    assert connections.settings["default"]["ENGINE"] == "django.db.backends.dummy"


WITHOUT_USERS = """
import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="urls",
    INSTALLED_APPS=["rest_framework", "apostille_adapters.django"],
    MIDDLEWARE=["apostille_adapters.django.ApostilleMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["apostille_adapters.django.drf.ApostilleAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "EXCEPTION_HANDLER": "apostille_adapters.django.drf.exception_handler",
        "UNAUTHENTICATED_USER": "apostille_adapters.django.Anonymous",
    },
    APOSTILLE={"VERIFIER": "urls.VERIFIER"},
)
django.setup()

import sys, types
from apostille.testing import LocalIssuer
urls = sys.modules["urls"] = types.ModuleType("urls")
issuer = LocalIssuer()
urls.VERIFIER = issuer.verifier()

from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from rest_framework.views import APIView
from apostille_adapters.django import has_permission
from apostille_adapters.django.drf import HasPermission

class StockView(APIView):
    permission_classes = [HasPermission("inventory.read")]
    def get(self, request):
        return HttpResponse(request.user)

plain = has_permission("inventory.read")(lambda request: HttpResponse(request.user))
urls.urlpatterns = [path("rest", StockView.as_view()), path("plain", plain)]

assert run_checks() == []
for url in ("/rest", "/plain"):
    assert Client().get(url).status_code == 401
    assert Client().get(url, headers=issuer.headers()).status_code == 403
    headers = issuer.headers(permissions=["inventory.read"])
    assert Client().get(url, headers=headers).status_code == 200
assert "django.contrib.auth.models" not in sys.modules
assert "django.contrib.contenttypes" not in sys.modules
"""


def test_nothing_of_djangos_users_is_needed() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_USERS], check=True, timeout=60)
