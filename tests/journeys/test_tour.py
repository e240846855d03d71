"""The tour: every step on real processes goes as said, or the exit status says no."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from apostille_issuer.tour import run as tour
from apostille_issuer.tour.journey import with_all_permissions
from apostille_issuer.tour.processes import ProcessFailed, free_port, running
from apostille_issuer.tour.transcript import StepFailed, Transcript


@pytest.mark.journey
def test_the_tour_goes_as_said() -> None:
    printed = io.StringIO()
    assert tour.run(stream=printed) == 0, printed.getvalue()
    text = printed.getvalue()
    assert "steps went as said" in text
    for name in tour.SERVICES:
        assert f"{name}: the clerk writes the stock" in text
    assert "403 permission_denied inventory.write" in text
    assert "401 refresh_token_reused" in text
    assert "401 expired_token" in text
    assert text.count("401 revoked_token") == len(tour.SERVICES)


def test_the_tour_says_which_extra_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tour, "NEEDED", ("a_framework_that_is_not_here",))
    assert tour.run() == 1
    assert 'pip install "apostille-issuer[tour]"' in capsys.readouterr().err


def test_the_tour_leaves_a_folder_that_exists_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tour.run(tmp_path) == 1
    assert "exists" in capsys.readouterr().err


def _answer(status: int, **body: object) -> httpx.Response:
    request = httpx.Request("GET", "http://127.0.0.1")
    kind = "application/problem+json" if "code" in body else "application/json"
    response = httpx.Response(status, json=body, headers={"content-type": kind}, request=request)
    response.elapsed = timedelta(0)
    return response


@pytest.mark.parametrize(
    ("status", "body", "code", "detail"),
    [
        (200, {}, None, ""),
        (403, {"code": "csrf_failed"}, "permission_denied", ""),
        (403, {"code": "permission_denied"}, "permission_denied", "inventory.write"),
    ],
)
def test_a_step_that_goes_otherwise_stops_the_tour(
    status: int, body: dict[str, object], code: str | None, detail: str
) -> None:
    with pytest.raises(StepFailed):
        Transcript(io.StringIO()).expect("a step", _answer(status, **body), 403, code, detail)


def test_a_process_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        pytest.raises(ProcessFailed, match="ended with status 1"),
        running(["no_such_module_anywhere"], ready_url=url, log=tmp_path / "log"),
    ):
        pass


def test_a_forger_keeps_the_signature() -> None:
    token = "e30.eyJwZXJtaXNzaW9ucyI6W119.c2ln"
    forged = with_all_permissions(token)
    assert forged.split(".")[::2] == token.split(".")[::2]
    assert forged != token
