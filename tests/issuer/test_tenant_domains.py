"""Custom domains: what a host name is, what the DNS says, and whose it is then."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from typing import Any

import dns.asyncresolver
import httpx
import pytest
from msgspec import UNSET, Struct

from apostille_contracts.problems import ProblemCode
from apostille_issuer.http.context import RequestContext
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy import domains as module
from apostille_issuer.tenancy import resolver as resolver_module
from apostille_issuer.tenancy.hosts import check_host
from apostille_issuer.tenancy.resolver import MOST_AT_ONCE, MOST_OF_ONE_TENANT, DnsResolver
from support.desk import Desk, Person, bearer, open_desk, problem_of
from support.dns_server import DnsServer, dns_server
from support.tenants import insert_membership

from .conftest import DIALECTS, migrated_copy

ISSUER = "https://iam.example.com"

_numbers = count(1)


def new_host() -> str:
    """Return a host name that no tenant of these tests has."""
    return f"login{next(_numbers)}.acme.example"


# What a host name is.

GOOD = {
    "as it is": ("login.acme.example", "login.acme.example"),
    "in any case": ("LOGIN.Acme.Example", "login.acme.example"),
    "with the root's dot": ("acme.example.", "acme.example"),
    "with umlauts": ("Straße.Müller.example", "xn--strae-oqa.xn--mller-kva.example"),
    "encoded": ("XN--Mller-KVA.example", "xn--mller-kva.example"),
    "with a wide dot": ("acme\u3002example", "acme.example"),
    "in full-width letters": ("\uff41cme.example", "acme.example"),
    "with a number": ("4.acme.example", "4.acme.example"),
    "beside the issuer": ("acme.iam.example.com", "acme.iam.example.com"),
    "as long as can be": (f"{'a.' * 117}aexample", f"{'a.' * 117}aexample"),
}
BAD = {
    "nothing": "",
    "a dot": ".",
    "an empty label": "acme..example",
    "two dots at the end": "acme.example..",
    "a single label": "localhost",
    "a public suffix alone": "com",
    "a port": "acme.example:443",
    "a URL": "https://acme.example",
    "a path": "acme.example/login",
    "a user": "me@acme.example",
    "a wildcard": "*.acme.example",
    "a space": "acme .example",
    "a line": "acme.example\n",
    "a NUL": "acme\0.example",
    "an underscore": "_dmarc.acme.example",
    "a dash at an end": "acme-.example",
    "a long label": f"{'a' * 64}.example",
    "too long for the challenge": f"{'a.' * 118}example",
    "too long for anything": "a." * 500 + "example",
    "IPv4": "192.0.2.7",
    "IPv4, short": "127.1",
    "IPv4 in hexadecimal": "acme.0x7f",
    "IPv6": "::1",
    "IPv6 in brackets": "[2001:db8::1]",
    "broken Punycode": "xn--a.example",
    "a letter nobody knows": "a\u0378.example",
    "the issuer": "IAM.example.com.",
}


@pytest.mark.parametrize(("text", "host"), GOOD.values(), ids=GOOD)
def test_a_host_name_is_written_as_in_the_dns(text: str, host: str) -> None:
    assert check_host("host", text, issuer_url=ISSUER) == host
    assert check_host("host", host, issuer_url=ISSUER) == host


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_host_name_of_a_tenant_is_refused(text: str) -> None:
    with pytest.raises(IssuerProblem) as refused:
        check_host("host", text, issuer_url=f"{ISSUER}/auth")
    assert refused.value.code is ProblemCode.VALIDATION_FAILED
    (error,) = refused.value.errors
    assert error.field == "host"
    assert not text or text not in error.detail


# What the DNS says.


@pytest.fixture(scope="module")
def dns_names() -> Iterator[DnsServer]:
    with dns_server() as server:
        yield server


def ask(server: DnsServer, name: str) -> list[str]:
    return asyncio.run(DnsResolver((server.address,)).txt(name, tenant_id=uuid.uuid4()))


def test_texts_are_read_as_they_were_written(dns_names: DnsServer) -> None:
    name = f"_apostille.{new_host()}"
    dns_names.texts[name] = ['"v=spf1 -all"', '"a" "b c" "d"', f'"{"x" * 255}" "y"']
    assert sorted(ask(dns_names, name)) == ["ab cd", "v=spf1 -all", "x" * 255 + "y"]


def test_no_name_and_no_record_are_no_texts(dns_names: DnsServer) -> None:
    name = f"_apostille.{new_host()}"
    assert ask(dns_names, name) == []
    dns_names.texts[name] = []
    assert ask(dns_names, name) == []


def test_a_server_that_cannot_tell_is_not_one_that_says_no(
    dns_names: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_names, "failing", True)
    with pytest.raises(IssuerProblem) as refused:
        ask(dns_names, f"_apostille.{new_host()}")
    assert refused.value.code is ProblemCode.DNS_UNAVAILABLE
    assert refused.value.retry_after


def test_without_name_servers_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver.Resolver, "read_resolv_conf", read)
    with pytest.raises(IssuerProblem) as refused:
        asyncio.run(DnsResolver().txt("_apostille.acme.example", tenant_id=uuid.uuid4()))
    assert refused.value.code is ProblemCode.DNS_UNAVAILABLE


def test_by_default_those_are_asked_whom_the_system_asks(
    dns_names: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(resolver: dns.asyncresolver.Resolver, _: object) -> None:
        server = dns_names.address
        resolver.nameservers = [str(server.address)]
        resolver.port = server.port

    monkeypatch.setattr(dns.asyncresolver.Resolver, "read_resolv_conf", read)
    name = f"_apostille.{new_host()}"
    dns_names.texts[name] = ['"here"']
    assert asyncio.run(DnsResolver().txt(name, tenant_id=uuid.uuid4())) == ["here"]


def test_so_many_ask_at_once_and_no_more() -> None:
    async def crowd(server: DnsServer) -> None:
        resolver = DnsResolver((server.address,))
        names = [f"n{number}.example" for number in range(MOST_AT_ONCE)]
        server.texts |= {name: [] for name in names}
        server.holding = True
        asking = [asyncio.create_task(resolver.txt(name, tenant_id=uuid.uuid4())) for name in names]
        await asyncio.to_thread(server.wait_asked, MOST_AT_ONCE)
        with pytest.raises(IssuerProblem) as refused:
            await resolver.txt("one.more.example", tenant_id=uuid.uuid4())
        assert refused.value.code is ProblemCode.OVERLOADED
        server.release()
        assert await asyncio.gather(*asking) == [[]] * MOST_AT_ONCE
        assert await resolver.txt("one.more.example", tenant_id=uuid.uuid4()) == []

    with dns_server() as server:
        asyncio.run(crowd(server))


def test_who_never_asks_does_not_load_what_asks() -> None:
    program = (
        "import sys; from apostille_issuer.app import create_app;"
        "from apostille_issuer.settings import Settings; create_app(Settings());"
        "print(*sys.modules.keys() & {'dns', 'idna'})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.decode().split() == []


# Over HTTP.


@pytest.fixture(scope="module", params=DIALECTS)
def desk(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    dns_names: DnsServer,
) -> Iterator[Desk]:
    """A running issuer that asks the server above."""
    folder = tmp_path_factory.mktemp("desk")
    with (
        migrated_copy(request.param, folder, request) as url,
        open_desk(url, dns_servers=(dns_names.address,)) as opened,
    ):
        yield opened


class Firm(Struct):
    """A tenant whose administrator adds host names."""

    desk: Desk
    id: uuid.UUID
    root: uuid.UUID
    admin: Person

    @property
    def path(self) -> str:
        return f"/v1/tenants/{self.id}/domains"

    def ask(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        """Make a request as the tenant's administrator."""
        headers = bearer(self.desk.tokens(self.admin.login, organization=str(self.root)))
        return self.desk.http.request(method, f"{self.path}{path}", headers=headers, **options)

    def add(self, host: str | None = None) -> dict[str, Any]:
        answer = self.ask("POST", json={"host": host or new_host()})
        assert answer.status_code == 201, answer.text
        domain: dict[str, Any] = answer.json()
        return domain

    def verify(self, domain: dict[str, Any]) -> httpx.Response:
        return self.ask("POST", f"/{domain['id']}/verify")


def found_firm(desk: Desk) -> Firm:
    tenant = desk.as_root("POST", "/v1/tenants", json={"name": f"Firm {next(_numbers)}"}).json()
    root = uuid.UUID(tenant["root_organization_id"])
    admin = desk.hire()
    desk.run(insert_membership(desk.issuer, root, admin.id, "admin"))
    return Firm(desk, uuid.UUID(tenant["id"]), root, admin)


@pytest.fixture
def firm(desk: Desk) -> Firm:
    return found_firm(desk)


def publish(server: DnsServer, *domains: dict[str, Any]) -> None:
    """Write what they ask for into the DNS, beside something else."""
    for domain in domains:
        record = domain["record"]
        server.texts.setdefault(record["name"], ['"something else"']).append(f'"{record["value"]}"')


def test_a_host_name_is_added_shown_and_verified(firm: Firm, dns_names: DnsServer) -> None:
    desk, host = firm.desk, new_host()
    answer = firm.ask("POST", json={"host": host.upper()})
    assert answer.status_code == 201
    domain = answer.json()
    assert answer.headers["location"] == f"{firm.path}/{domain['id']}"
    assert (domain["host"], domain["verified_at"]) == (host, None)
    assert domain["record"]["name"] == f"_apostille.{host}"
    assert domain["record"]["value"].startswith("apostille-verification=")
    assert firm.ask("GET", f"/{domain['id']}").json() == domain

    assert problem_of(firm.verify(domain), 409) == "domain_unverified"
    dns_names.texts[domain["record"]["name"]] = ['"apostille-verification=other"']
    assert problem_of(firm.verify(domain), 409) == "domain_unverified"
    publish(dns_names, domain)
    verified = firm.verify(domain)
    assert verified.status_code == 200
    assert verified.json()["verified_at"] is not None
    assert verified.json() == domain | {"verified_at": verified.json()["verified_at"]}

    # It stays his, whatever becomes of the record, and nobody is asked again.
    del dns_names.texts[domain["record"]["name"]]
    desk.wait(timedelta(minutes=1))
    asked = len(dns_names.asked)
    assert firm.verify(domain).json() == verified.json()
    assert len(dns_names.asked) == asked
    assert firm.ask("GET").json() == {"items": [verified.json()], "next_cursor": None}

    assert firm.ask("DELETE", f"/{domain['id']}").status_code == 204
    assert firm.ask("GET").json()["items"] == []
    events = desk.events(target=f"tenant:{firm.id}")
    assert [(each["tag"], each["before"], each["after"]) for each in events[:3]] == [
        ("tenancy:domain:removed", {"host": host}, None),
        ("tenancy:domain:verified", None, {"host": host}),
        ("tenancy:domain:added", None, {"host": host}),
    ]
    assert {each["actor_id"] for each in events[:3]} == {str(firm.admin.id)}


def test_people_log_in_to_the_tenant_at_its_host(firm: Firm, dns_names: DnsServer) -> None:
    desk, domain = firm.desk, firm.add()

    def claims() -> Any:
        body = {"login": firm.admin.login, "password": firm.admin.password}
        answer = desk.http.post("/v1/auth/login", json=body, headers={"host": domain["host"]})
        return desk.claims(answer.json())

    assert claims().tid is UNSET
    publish(dns_names, domain)
    firm.verify(domain)
    assert (claims().tid, claims().org) == (str(firm.id), str(firm.root))
    firm.ask("DELETE", f"/{domain['id']}")
    assert claims().tid is UNSET


def test_host_names_are_listed_in_alphabetical_order(firm: Firm) -> None:
    hosts = [firm.add(f"{letter}{next(_numbers)}.acme.example")["host"] for letter in "cab"]
    first = firm.ask("GET", params={"limit": 2}).json()
    rest = firm.ask("GET", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [each["host"] for each in first["items"] + rest["items"]] == sorted(hosts)
    assert rest["next_cursor"] is None
    assert problem_of(firm.ask("GET", params={"cursor": "!"}), 422) == "validation_failed"


def test_what_is_there_or_no_host_name_is_not_added(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = firm.add()
    again = firm.ask("POST", json={"host": domain["host"].upper()})
    assert problem_of(again, 409) == "name_taken"
    for host in ("acme.example:1", "127.0.0.1", "x" * 254):
        refused = firm.ask("POST", json={"host": host})
        assert problem_of(refused, 422) == "validation_failed"
        assert [error["field"] for error in refused.json()["errors"]] == ["host"]
    monkeypatch.setattr(module, "MAX_DOMAINS", 1)
    refused = firm.ask("POST", json={"host": new_host()})
    assert problem_of(refused, 422) == "validation_failed"


def test_a_verified_host_name_is_nobody_elses(firm: Firm, dns_names: DnsServer) -> None:
    other = found_firm(firm.desk)
    mine = firm.add()
    his = other.add(mine["host"])
    assert his["record"]["value"] != mine["record"]["value"]
    publish(dns_names, mine)
    assert firm.verify(mine).status_code == 200
    # That it is taken is told to whoever shows that it is his, and to nobody else.
    assert problem_of(other.verify(his), 409) == "domain_unverified"
    publish(dns_names, his)
    assert problem_of(other.verify(his), 409) == "domain_taken"
    assert other.ask("GET", f"/{his['id']}").json() == his
    firm.ask("DELETE", f"/{mine['id']}")
    assert other.verify(his).status_code == 200


def test_of_many_who_verify_one_host_name_at_once_one_has_it(
    desk: Desk, dns_names: DnsServer
) -> None:
    firms = [found_firm(desk) for _ in range(4)]
    host = new_host()
    domains = [each.add(host) for each in firms]
    publish(dns_names, *domains)
    with ThreadPoolExecutor(8) as pool:
        pairs = [*zip(firms, domains, strict=True)] * 2
        answers = list(pool.map(lambda pair: pair[0].verify(pair[1]), pairs))
    won = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    lost = [answer for answer in answers if answer.status_code != 200]
    assert len(won) == 1
    assert [problem_of(answer, 409) for answer in lost] == ["domain_taken"] * len(lost)
    assert len(lost) >= 6


def test_a_purged_tenants_host_name_is_free_again(firm: Firm, dns_names: DnsServer) -> None:
    desk, other = firm.desk, found_firm(firm.desk)
    mine = firm.add()
    his = other.add(mine["host"])
    publish(dns_names, mine, his)
    firm.verify(mine)
    desk.as_root("DELETE", f"/v1/tenants/{firm.id}")
    assert problem_of(other.verify(his), 409) == "domain_taken"
    desk.wait(timedelta(days=30))
    desk.run(desk.issuer.tenancy.purge.purge_due())
    assert other.verify(his).status_code == 200


def test_if_the_dns_cannot_be_asked_that_is_said(
    firm: Firm, dns_names: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = firm.add()
    publish(dns_names, domain)
    with monkeypatch.context() as patch:
        patch.setattr(dns_names, "failing", True)
        refused = firm.verify(domain)
    assert problem_of(refused, 503) == "dns_unavailable"
    assert int(refused.headers["retry-after"]) > 0
    assert firm.verify(domain).status_code == 200


def test_a_tenant_whose_name_servers_are_slow_is_in_nobody_elses_way(
    firm: Firm, dns_names: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "LIFETIME_SECONDS", 60.0)
    other = found_firm(firm.desk)
    domains = [firm.add() for _ in range(MOST_OF_ONE_TENANT + 1)]
    his = other.add()
    publish(dns_names, *domains, his)
    dns_names.holding = True
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        try:
            waiting = [pool.submit(firm.verify, domain) for domain in domains[:-1]]
            dns_names.wait_asked_for([domain["record"]["name"] for domain in domains[:-1]])
            refused = firm.verify(domains[-1])
            assert problem_of(refused, 503) == "overloaded"
            assert int(refused.headers["retry-after"]) > 0
            waiting.append(pool.submit(other.verify, his))
            dns_names.wait_asked_for([his["record"]["name"]])
        finally:
            dns_names.release()
    assert [each.result().status_code for each in waiting] == [200] * len(waiting)
    assert firm.verify(domains[-1]).status_code == 200


def test_what_another_tenant_has_cannot_be_seen_or_touched(firm: Firm) -> None:
    other = found_firm(firm.desk)
    his = other.add()
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{his['id']}"),
        ("POST", f"/{his['id']}/verify"),
        ("DELETE", f"/{his['id']}"),
    ):
        headers = bearer(firm.desk.tokens(firm.admin.login, organization=str(firm.root)))
        body: Any = {"json": {"host": new_host()}} if (method, path) == ("POST", "") else {}
        there = firm.desk.http.request(method, f"{other.path}{path}", headers=headers, **body)
        assert problem_of(there, 404) == "not_found"
        if path:
            mixed = firm.ask(method, path)
            assert problem_of(mixed, 404) == "not_found"
    assert other.ask("GET").json()["items"] == [his]


def test_a_deleted_tenants_host_names_stay_as_they_are(firm: Firm) -> None:
    desk, domain = firm.desk, firm.add()
    desk.as_root("DELETE", f"/v1/tenants/{firm.id}")
    assert desk.as_root("GET", firm.path).json()["items"] == [domain]
    for method, path in (("POST", ""), ("DELETE", f"/{domain['id']}")):
        answer = desk.as_root(method, f"{firm.path}{path}", json={"host": new_host()})
        assert problem_of(answer, 409) == "conflict"


def test_who_lost_his_rights_while_the_dns_was_asked_verifies_nothing(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, domain = firm.desk, firm.add()

    me = uuid.UUID(desk.as_root("GET", "/v1/me").json()["id"])

    async def txt(_name: str, *, tenant_id: uuid.UUID) -> list[str]:
        assert tenant_id == firm.id
        by_root = RequestContext(request_id="test", actor_id=me)
        await desk.issuer.tenancy.tenants.delete(firm.id, by_root)
        return [domain["record"]["value"]]

    monkeypatch.setattr(desk.issuer.tenancy.domains._checker, "txt", txt)
    assert problem_of(firm.verify(domain), 404) == "not_found"
    shown = desk.as_root("GET", f"{firm.path}/{domain['id']}").json()
    assert shown["verified_at"] is None
