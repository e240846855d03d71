"""The load generator against a real server: what counts as an answer, and who gets asked."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from bench.load import Conversation, Order, Refused, run
from support.http_server import IssuerServer, document, status


def _order(server: IssuerServer) -> Order:
    port = urlsplit(server.origin).port
    assert port is not None
    return Order(port=port, conversations="", seconds=0.0)


@pytest.mark.parametrize("code", [204, 304])
def test_an_answer_without_a_body_counts(code: int) -> None:
    with IssuerServer() as server:
        server.behaviours["/x"] = status(code)
        assert run(_order(server), [Conversation(path="/x")]).answers == 1


@pytest.mark.parametrize("code", [302, 404, 503])
def test_any_other_ends_the_run(code: int) -> None:
    with IssuerServer() as server:
        server.behaviours["/x"] = status(code)
        with pytest.raises(Refused, match=f" {code} "):
            run(_order(server), [Conversation(path="/x")])


def test_a_conversation_may_have_a_server_of_its_own() -> None:
    with IssuerServer() as one, IssuerServer() as other:
        other.behaviours["/x"] = document({})
        elsewhere = Conversation(path="/x", port=_order(other).port)
        assert run(_order(one), [elsewhere]).answers == 1
        assert (one.requests, other.requests) == ([], ["/x"])
