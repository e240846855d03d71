"""Whose address a request comes from, behind proxies and behind liars."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from apostille_issuer.http.proxies import TrustedProxies

PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))


def client(peer: str | None, *forwarded: str) -> str | None:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return PROXIES.client(peer, [(b"host", b"x"), *headers])


def test_without_listed_proxies_nobody_is_believed() -> None:
    nobody = TrustedProxies(())
    assert nobody.client("10.0.0.1", [(b"x-forwarded-for", b"203.0.113.9")]) == "10.0.0.1"
    assert not nobody.trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.5", ["198.51.100.1"], "203.0.113.5", id="a stranger says"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy says nothing"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="a proxy says"),
        pytest.param("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1", id="client invents"),
        pytest.param("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1", id="two proxies"),
        pytest.param("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1", id="two headers"),
        pytest.param("10.0.0.1", ["10.9.9.9, 10.0.0.2"], "10.9.9.9", id="proxies all the way"),
        pytest.param("10.0.0.1", ["1.2.3.4, unknown"], "10.0.0.1", id="no address"),
        pytest.param("10.0.0.1", ["1.2.3.4, , 10.0.0.2"], "10.0.0.2", id="a gap"),
        pytest.param("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1", id="a port"),
        pytest.param("10.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::1", id="IPv6 and port"),
        pytest.param("10.0.0.1", ["2001:db9::1"], "2001:db9::1", id="IPv6"),
        pytest.param("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="mapped peer"),
        pytest.param("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="mapped client"),
        pytest.param("2001:db8::7", ["198.51.100.1"], "198.51.100.1", id="IPv6 proxy"),
        pytest.param("10.0.0.1", ["fe80::1%\r\nx"], "10.0.0.1", id="IPv6 with a zone"),
        pytest.param("10.0.0.1", ["[fe80::1%eth0]:80"], "10.0.0.1", id="zone and port"),
        pytest.param("10.0.0.1", ["\xff\x00"], "10.0.0.1", id="garbage"),
        pytest.param(None, ["198.51.100.1"], None, id="no peer address"),
    ],
)
def test_the_last_address_no_listed_proxy_has(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert client(peer, *forwarded) == expected


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        pytest.param("203.0.113.5", {"host": "IAM.Acme.example"}, "iam.acme.example", id="plain"),
        pytest.param(
            "203.0.113.5", {"host": "iam.acme.example.:8443"}, "iam.acme.example", id="dot"
        ),
        pytest.param("203.0.113.5", {"host": "[::1]:80"}, "[::1]", id="IPv6 and port"),
        pytest.param("203.0.113.5", {"host": "[::1]"}, "[::1]", id="IPv6"),
        pytest.param("203.0.113.5", {"host": "8080"}, "8080", id="digits"),
        pytest.param("203.0.113.5", {}, None, id="none"),
        pytest.param(
            "203.0.113.5", {"host": "a", "x-forwarded-host": "b"}, "a", id="a stranger says"
        ),
        pytest.param("10.0.0.1", {"host": "a", "x-forwarded-host": "b"}, "b", id="a proxy says"),
        pytest.param("10.0.0.1", {"x-forwarded-host": "b", "host": "a"}, "b", id="in any order"),
        pytest.param("10.0.0.1", {"host": "a", "x-forwarded-host": "x, b:1"}, "b", id="its own"),
    ],
)
def test_the_host_that_was_asked_for(
    peer: str, headers: dict[str, str], expected: str | None
) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert PROXIES.host(peer, encoded) == expected


def test_a_long_header_is_read_from_its_end() -> None:
    assert client("10.0.0.1", "1.1.1.1, " * 10_000 + "198.51.100.1") == "198.51.100.1"
