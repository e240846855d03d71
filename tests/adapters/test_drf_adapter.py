"""What is REST framework's own: authentication and permission classes, viewsets, its operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from apostille import Principal, http
from apostille.errors import ExpiredToken, MissingToken, PermissionDenied
from apostille.testing import SUBJECT, LocalIssuer
from apostille_adapters.django import PrincipalUser
from apostille_adapters.django.drf import (
    ApostilleAuthentication,
    HasAnyPermission,
    HasPermission,
    Refused,
)

READ = HasPermission("inventory.read")


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture(autouse=True)
def apostille(issuer: LocalIssuer) -> Iterator[None]:
    given = {"VERIFIER": issuer.verifier()}
    # Without the middleware: the exception handler alone must do.
    with override_settings(APOSTILLE=given, ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield


class LocalUsers(BasePermission):
    """A permission of the service's own."""

    def has_permission(self, request: Request, _: APIView) -> bool:
        return request.headers.get("X-Local") == "yes"


class StockViewSet(ViewSet):
    def get_permissions(self) -> Any:
        needed = {"create": HasPermission("inventory.write")}
        return [needed.get(self.action or "", READ)()]

    def list(self, request: Request) -> Response:
        assert isinstance(request.auth, Principal)
        return Response(str(request.user))

    def create(self, _: Request) -> Response:
        return Response("created")


class AuditedViewSet(ViewSet):
    permission_classes = (READ,)

    @action(detail=False, permission_classes=[HasAnyPermission("inventory.admin")])
    def audit(self, _: Request) -> Response:
        return Response("audit")


def view(*permissions: Any, **attributes: Any) -> Callable[..., Any]:
    def get(_: APIView, request: Request) -> HttpResponse:
        return HttpResponse(str(request.user))

    members = {"permission_classes": permissions, "get": get, **attributes}
    return type("SomeView", (APIView,), members).as_view()  # type: ignore[attr-defined, no-any-return]


def invalid(_: APIView, __: Request) -> HttpResponse:
    raise ValidationError({"quantity": ["too many"]})


def listed(_: APIView, __: Request) -> Response:
    return Response({"stock": "apples"})


def changed(_: APIView, __: Request) -> Response:
    raise AssertionError("nobody was to get as far as this")


router = SimpleRouter()
router.register("stock", StockViewSet, basename="stock")
router.register("audited", AuditedViewSet, basename="audited")

urlpatterns = [
    path("", include(router.urls)),
    path("read", view(READ)),
    path("open", view(AllowAny)),
    path("authenticated", view(IsAuthenticated)),
    path("either", view(READ | LocalUsers)),
    path("either-way", view(LocalUsers | READ)),
    path("both", view(LocalUsers & READ)),
    path("unless", view(READ & ~LocalUsers)),
    path("elsewhere", view(READ, authentication_classes=[])),
    path("by-session", view(READ, authentication_classes=[SessionAuthentication])),
    path("invalid", view(AllowAny, get=invalid)),
]


@pytest.fixture
def client() -> APIClient:
    return APIClient()


def body(error: http.Refusal) -> bytes:
    return http.answer(error, realm="inventory").body


def test_viewsets_require_by_action(client: APIClient, issuer: LocalIssuer) -> None:
    issuer.sign_in(client, permissions=["inventory.read"])
    assert client.get("/stock/").data == SUBJECT
    denied = client.post("/stock/")
    assert denied.content == body(PermissionDenied(("inventory.write",)))
    issuer.sign_in(client, permissions=["inventory.*"])
    assert client.post("/stock/").data == "created"


def test_extra_actions_carry_their_own_requirement(client: APIClient, issuer: LocalIssuer) -> None:
    issuer.sign_in(client, permissions=["inventory.read"])
    denied = client.get("/audited/audit/")
    assert denied.content == body(PermissionDenied(("inventory.admin",)))
    issuer.sign_in(client, permissions=["inventory.admin"])
    assert client.get("/audited/audit/").data == "audit"


def test_a_view_without_requirement_takes_anybody_but_bad_tokens(
    client: APIClient, issuer: LocalIssuer
) -> None:
    assert client.get("/open").content == b"anonymous"
    reply = client.get("/open", headers={"Authorization": f"Bearer {issuer.bad_token('expired')}"})
    assert reply.content == body(ExpiredToken())


def test_rest_frameworks_own_refusals_of_nobody_look_the_same(
    client: APIClient, issuer: LocalIssuer
) -> None:
    reply = client.get("/authenticated")
    assert (reply.status_code, reply.content) == (401, body(MissingToken()))
    assert reply["WWW-Authenticate"] == 'Bearer realm="inventory"'
    assert client.get("/authenticated", headers=issuer.headers()).status_code == 200


def test_other_errors_stay_rest_frameworks(client: APIClient) -> None:
    reply = client.get("/invalid")
    assert (reply.status_code, reply.data) == (400, {"quantity": ["too many"]})


THEIRS = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apostille_adapters.django.drf.ApostilleAuthentication"],
    "EXCEPTION_HANDLER": "rest_framework.views.exception_handler",
}


def test_without_our_exception_handler_status_and_headers_are_still_right(
    client: APIClient, issuer: LocalIssuer
) -> None:
    with override_settings(REST_FRAMEWORK=THEIRS):
        for path in ("/authenticated", "/read"):
            reply = client.get(path)
            assert reply.status_code == 401
            assert reply["WWW-Authenticate"] == 'Bearer realm="inventory"'
        denied = client.get("/read", headers=issuer.headers())
        assert denied.status_code == 403
        assert denied["WWW-Authenticate"].endswith('scope="inventory.read"')
        with issuer.outage():
            reply = client.get("/read", headers=issuer.headers())
        assert reply.status_code == 503
        assert int(reply["Retry-After"]) >= 1


PAGE = override_settings(
    STATIC_URL="/static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
)


def test_the_page_for_browsers_is_shown_to_who_may_only_read(issuer: LocalIssuer) -> None:
    # It asks for each form whether the user may send it: a "no" there is no error.
    page = view(
        READ, renderer_classes=[BrowsableAPIRenderer, JSONRenderer], post=changed, get=listed
    )
    page.cls.get_permissions = lambda self: [  # type: ignore[attr-defined]
        (READ if self.request.method == "GET" else HasPermission("inventory.write"))()
    ]
    with PAGE:
        for permissions, writable in ((["inventory.read"], False), (["inventory.*"], True)):
            headers = issuer.headers(permissions=permissions)
            reply = page(APIRequestFactory().get("/", headers=headers)).render()
            assert reply.status_code == 200
            assert b"apples" in reply.content
            assert (b"Make a POST request" in reply.content) is writable
        bad = {"Authorization": f"Bearer {issuer.bad_token('expired')}"}
        assert page(APIRequestFactory().get("/", headers=bad)).content == body(ExpiredToken())


@pytest.mark.parametrize(
    ("path", "granted", "local", "status"),
    [
        ("/either", True, False, 200),
        ("/either", False, True, 200),
        ("/either", False, False, 403),
        ("/either-way", True, False, 200),
        ("/either-way", False, True, 200),
        ("/either-way", False, False, 403),
        ("/both", True, True, 200),
        ("/both", True, False, 403),
        ("/both", False, True, 403),
        ("/unless", True, False, 200),
        ("/unless", True, True, 403),
    ],
)
def test_requirements_compose_with_rest_frameworks_permissions(
    client: APIClient, issuer: LocalIssuer, *, path: str, granted: bool, local: bool, status: int
) -> None:
    headers = issuer.headers(permissions=["inventory.read"] if granted else [])
    headers["X-Local"] = "yes" if local else "no"
    assert client.get(path, headers=headers).status_code == status


def test_an_alternative_helps_nobody_with_a_bad_token(
    client: APIClient, issuer: LocalIssuer
) -> None:
    headers = {"Authorization": f"Bearer {issuer.bad_token('expired')}", "X-Local": "yes"}
    assert client.get("/either", headers=headers).content == body(ExpiredToken())


def test_a_requirement_asks_the_token_whatever_else_authenticates(
    client: APIClient, issuer: LocalIssuer
) -> None:
    headers = issuer.headers(permissions=["inventory.read"])
    assert client.get("/elsewhere", headers=headers).status_code == 200
    assert client.get("/elsewhere").content == body(MissingToken())
    expired = {"Authorization": f"Bearer {issuer.bad_token('expired')}"}
    assert client.get("/elsewhere", headers=expired).content == body(ExpiredToken())


class LocalSessions(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[str, str] | None:
        return ("somebody", "session") if "X-Session" in request.headers else None


def test_who_is_judged_is_who_the_user_is(issuer: LocalIssuer) -> None:
    session = {"X-Session": "1"}
    both = {**session, **issuer.headers(permissions=["inventory.read"], subject="reader")}
    factory = APIRequestFactory()
    sessions_first = [LocalSessions, ApostilleAuthentication]
    for classes in ([LocalSessions], sessions_first):
        guarded = view(READ, authentication_classes=classes)
        for headers in (session, both):  # the token is somebody else's than request.user
            assert guarded(factory.get("/", headers=headers)).content == body(MissingToken())
    token_first = view(READ, authentication_classes=sessions_first[::-1])
    assert token_first(factory.get("/", headers=both)).content == b"reader"
    assert token_first(factory.get("/", headers=session)).content == body(MissingToken())
    either = view(READ | LocalUsers, authentication_classes=sessions_first)
    request = factory.get("/", headers={**both, "X-Local": "yes"})
    assert either(request).content == b"somebody"


def test_the_user_of_the_middleware_is_judged_as_rest_framework_hands_him_on(
    client: APIClient, issuer: LocalIssuer
) -> None:
    with override_settings(MIDDLEWARE=["apostille_adapters.django.ApostilleMiddleware"]):
        reader = issuer.headers(permissions=["inventory.read"])
        assert client.get("/by-session", headers=reader).content == SUBJECT.encode()
        denied = client.get("/by-session", headers=issuer.headers())
        assert denied.content == body(PermissionDenied(("inventory.read",)))
        assert client.get("/by-session").content == body(MissingToken())


def test_a_forced_principal_is_asked_in_tests(issuer: LocalIssuer) -> None:
    principal = issuer.principal(permissions=["inventory.read"], subject="reader")
    request = APIRequestFactory().get("/")
    force_authenticate(request, PrincipalUser(principal.claims), principal)  # type: ignore[arg-type]
    assert view(READ)(request).content == b"reader"


def test_two_requests_at_once_do_not_share_an_answer() -> None:
    first, second = READ(), READ()
    request = Request(HttpRequest())
    request.authenticators = [ApostilleAuthentication()]
    assert not first.has_permission(request, APIView())
    with pytest.raises(Refused) as refused:
        _ = first.message
    assert isinstance(refused.value.refusal, MissingToken)
    assert second.message is None


def test_a_requirement_composed_of_requirements_explains_itself(issuer: LocalIssuer) -> None:
    guarded = view(READ & ~HasPermission("inventory.frozen"))
    request = APIRequestFactory().get("/", headers=issuer.headers())
    assert guarded(request).content == body(PermissionDenied(("inventory.read",)))
