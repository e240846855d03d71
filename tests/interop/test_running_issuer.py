"""From a login at a running issuer to a yes or no by a service in another language."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import msgspec

from apostille import Verifier
from apostille.testing import LocalIssuer
from apostille_contracts.claims import ALGORITHMS
from apostille_contracts.problems import Problem
from interop.languages import Language, Programs
from interop.running_issuer import RunningIssuer


@contextmanager
def _service(programs: Programs, issuer: str) -> Iterator[httpx.Client]:
    """Run the example service, and yield a client of it."""
    process = subprocess.Popen(
        [*programs.service, issuer, "inventory"], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()
            with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
                yield client
        finally:
            process.terminate()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.status == status
    return problem


def test_every_library_reads_the_claims_of_a_login(
    library: str, library_programs: Programs, issuer: RunningIssuer
) -> None:
    clerk = issuer.hire(f"{library}@example.com")
    token = issuer.login(clerk.credentials, audience="inventory")["access_token"]
    policy = {
        "issuer": issuer.url,
        "audience": ["inventory"],
        "algorithms": ALGORITHMS,
        "leeway_seconds": 30,
    }
    head, _, signature = token.rpartition(".")
    forged = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    elsewhere = {**policy, "audience": ["billing"]}
    read, refused, misdirected = library_programs.answers(
        library,
        [
            {"policy": policy, "token": token},
            {"policy": policy, "token": forged},
            {"policy": elsewhere, "token": token},
        ],
    )
    assert refused["code"] == "bad_signature"
    assert misdirected["code"] == "wrong_audience"
    assert read["value"]["permissions"] == ["inventory.read"]
    with Verifier(issuer.url, audience="inventory") as verifier:
        principal = verifier.verify(token)
    assert read["value"]["sub"] == principal.subject
    assert read["value"]["sid"] == principal.session


def test_a_service_says_yes_and_no_by_permission(
    language: Language, programs: Callable[[Language], Programs], issuer: RunningIssuer
) -> None:
    clerk = issuer.hire(f"{language}@example.com")
    tokens = issuer.login(clerk.credentials, audience="inventory")
    with _service(programs(language), issuer.url) as service:
        answer = service.get("/stock")
        assert _problem(answer, 401).code == "missing_token"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="inventory"'

        reader = _bearer(tokens["access_token"])
        assert service.get("/stock", headers=reader).json() == {"bolts": 40, "nuts": 12}
        answer = service.post("/stock", headers=reader)
        problem = _problem(answer, 403)
        assert problem.code == "permission_denied"
        assert problem.missing == ("inventory.write",)
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]

        issuer.give(clerk, "keeper")
        keeper = _bearer(issuer.refresh(tokens["refresh_token"])["access_token"])
        assert service.post("/stock", headers=keeper).json() == {"accepted": True}


def test_a_service_refuses_credentials_that_prove_nothing(
    language: Language, programs: Callable[[Language], Programs]
) -> None:
    local, stranger = LocalIssuer(audience="inventory"), LocalIssuer(audience="inventory")
    with local.serve() as url, _service(programs(language), url) as service:
        good = local.token(permissions=["inventory.read"])
        for headers in (
            [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
            [("Authorization", f"Bearer {good}, Bearer {good}")],
            [("Authorization", "Basic dXNlcjpwYXNz")],
            [("Authorization", "Bearer")],
        ):
            answer = service.get("/stock", headers=headers)
            assert _problem(answer, 400).code == "invalid_request"
        assert service.get("/stock", headers=[("authorization", f"bearer {good}")]).is_success
        unused = service.get(f"/stock?access_token={good}")
        assert _problem(unused, 401).code == "missing_token"
        for token, code in (
            (local.bad_token("expired"), "expired_token"),
            (local.bad_token("alg_none"), "algorithm_not_allowed"),
            (local.bad_token("altered_claims"), "bad_signature"),
            (stranger.token(iss=url, permissions=["*"]), "unknown_key"),
        ):
            answer = service.get("/stock", headers=_bearer(token))
            assert _problem(answer, 401).code == code
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_service_that_started_before_its_issuer_recovers_by_itself(
    language: Language, programs: Callable[[Language], Programs]
) -> None:
    local = LocalIssuer(audience="inventory")
    with local.serve() as url, _service(programs(language), url) as service:
        clerk = _bearer(local.token(permissions=["inventory.read"]))
        with local.outage():
            answer = service.get("/stock", headers=clerk)
            assert _problem(answer, 503).code == "keys_unavailable"
            assert int(answer.headers["Retry-After"]) > 0
            assert "WWW-Authenticate" not in answer.headers
        for _ in range(100):  # the Go example pauses after a failed attempt
            answer = service.get("/stock", headers=clerk)
            if answer.is_success:
                break
            time.sleep(0.1)
        assert answer.json() == {"bolts": 40, "nuts": 12}
