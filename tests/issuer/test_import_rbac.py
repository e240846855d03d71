"""Django's groups and permissions, as Django dumps them, become roles and permissions."""

from __future__ import annotations

import asyncio
import json
import tomllib
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import Struct
from sqlalchemy import update

from apostille_issuer.access.django_dump import (
    DumpedUser,
    InvalidDump,
    PermissionKey,
    parse_dump,
)
from apostille_issuer.access.rbac_mapping import InvalidMapping, parse_mapping, plan_import
from apostille_issuer.access.schemas import ImportPlan, ImportReport
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.audit.schemas import AuditEventView, AuditFilter
from apostille_issuer.cli import main
from apostille_issuer.cli.importing_rbac import _described
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import Tenant
from support.application import KEY, quick_settings
from support.desk import Desk, bearer, problem_of
from support.django_dump import DUMPS, write_dumps
from support.readme import blocks
from support.tenants import insert_membership, insert_organization, insert_tenant

T = TypeVar("T")

MAPPING = """
service = "inventory"

[permissions]
"stock.view_item" = "inventory.read"
"stock.change_item" = ["inventory.read", "inventory.write"]
"stock.delete_item" = false

[groups]
"Guests" = false

[users]
direct = "direct-{app}-{codename}"
"""

REPORT = [
    "  + service inventory",
    "  + permission inventory.read, was stock.change_item",
    "  + permission inventory.write, was stock.change_item",
    "  + permission stock.item.add, was stock.add_item",
    "  + permission stock.item.count_stock, was stock.count_stock",
    "  + role auditors: inventory.read",
    "  + role direct-stock-count_stock: stock.item.count_stock",
    "  + role shop-clerks: inventory.read, inventory.write",
    "  + Ada is shop-clerks",
    "  + Ada is auditors",
    "  + Ada is direct-stock-count_stock",
    "without counterpart:",
]

WITHOUT = [
    "  ! permission reports.Read All: 'reports.report.Read All' cannot be a permission; map it",
    "  ! permission stock.delete_item: the mapping says so",
    "  ! group 'Auditors' holds auth.view_user: which has none",
    "  ! group 'Auditors' holds reports.Read All: which has none",
    "  ! group 'Guests': the mapping says so",
    "  ! user 'Ada' holds auth.add_user: which has none",
    "  ! user 'gone': not active",
    "  ! user 'root', a superuser: see apostille-issuer create-superuser",
    "  ! user 'bob': nobody has this login name here",
]


@pytest.fixture(scope="session")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with dumps that Django wrote."""
    pytest.importorskip("django")
    folder = tmp_path_factory.mktemp("dumps")
    write_dumps(folder)
    return folder


class House(Struct):
    """An issuer that is not running, and its command line."""

    data: Path
    database_url: str
    capsys: pytest.CaptureFixture[str]

    def do(self, act: Callable[[Issuer], Awaitable[T]]) -> T:
        """Let *act* use the services."""

        async def run() -> T:
            settings = quick_settings(self.data, self.database_url)
            async with Issuer(settings).running() as issuer:
                return await act(issuer)

        return asyncio.run(run())

    def import_rbac(
        self, dump: Path, mapping: str, *options: str, status: int = 0
    ) -> tuple[list[str], str]:
        """Run the command; return its lines and what it complains of."""
        file = self.data / "mapping.toml"
        file.write_text(mapping, encoding="utf-8")
        self.capsys.readouterr()
        assert main(["import-rbac", str(dump), "--mapping", str(file), *options]) == status
        said = self.capsys.readouterr()
        return said.out.splitlines(), said.err


@pytest.fixture
def house(
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> House:
    monkeypatch.setenv("APOSTILLE_DATA", str(tmp_path))
    monkeypatch.setenv("APOSTILLE_DATABASE_URL", database_url)
    monkeypatch.setenv("APOSTILLE_KEY_ENCRYPTION_KEY", KEY)
    return House(tmp_path, database_url, capsys)


async def events(issuer: Issuer) -> tuple[AuditEventView, ...]:
    page = await issuer.audit.events(AuditFilter(), cursor=None, limit=200)
    return page.items


@pytest.mark.parametrize("form", DUMPS)
def test_what_django_dumped_is_imported_once(house: House, dumps: Path, form: str) -> None:
    async def prepare(issuer: Issuer) -> tuple[uuid.UUID, int]:
        ada = await issuer.accounts.create(UserDraft(login="ada"), COMMAND_LINE)
        await issuer.accounts.create(UserDraft(login="nobody"), COMMAND_LINE)
        return ada.id, len(await events(issuer))

    ada, before = house.do(prepare)
    planned, _ = house.import_rbac(dumps / form, MAPPING, "--dry-run")
    assert planned[0] == "dry run: nothing is changed"
    assert planned[1 : len(REPORT) + 1] == REPORT
    without = planned[len(REPORT) + 1 :]
    assert [line for line in without if "Django's own" not in line] == WITHOUT
    assert "  ! permission auth.add_user: Django's own; map it if a service asks for it" in without
    done, _ = house.import_rbac(dumps / form, MAPPING)
    assert done == planned[1:]

    async def check(issuer: Issuer) -> tuple[AuditEventView, ...]:
        held = await issuer.access.effective_permissions(ada, ("inventory",))
        assert held.roles == ("auditors", "direct-stock-count_stock", "shop-clerks")
        assert held.permissions == (
            *("inventory.read", "inventory.write"),
            "stock.item.count_stock",
        )
        role = await issuer.access.roles.get("shop-clerks")
        assert (role.description, role.organization_id) == ("Django group Shop clerks", None)
        permission = await issuer.access.permissions.get("stock.item.count_stock")
        assert (permission.description, permission.service) == ("Can count", "inventory")
        return await events(issuer)

    after = house.do(check)
    # One for each line, so the dry run left nothing behind.
    assert len(after) - before == len(REPORT) - 1
    assert {event.tag for event in after[: len(after) - before]} == {
        *("access:service:registered", "access:permission:created"),
        *("access:role:created", "access:role:assigned"),
    }
    again, _ = house.import_rbac(dumps / form, MAPPING)
    assert again == ["nothing changed", "without counterpart:", *without]
    planned, _ = house.import_rbac(dumps / form, MAPPING, "--dry-run")
    assert planned[:2] == ["dry run: nothing is changed", "nothing would change"]
    assert house.do(events) == after
    more = MAPPING.replace('"inventory.read"\n', '["inventory.read", "inventory.look"]\n')
    corrected, _ = house.import_rbac(dumps / form, more)
    assert corrected == [
        "  + permission inventory.look, was stock.view_item",
        "  ~ role auditors: inventory.look",
        "  ~ role shop-clerks: inventory.look",
        *("without counterpart:", *without),
    ]


def test_what_went_wrong_is_one_line(house: House, dumps: Path, tmp_path: Path) -> None:
    dump = dumps / "keys.json"
    for mapping, complaint in (
        ('service = "apostille"', "service: 'apostille' is the issuer itself"),
        ("service =", "Invalid value (at end of document)"),
    ):
        _, said = house.import_rbac(dump, mapping, status=1)
        assert said == f"apostille-issuer: {tmp_path}/mapping.toml: {complaint}\n"
    _, said = house.import_rbac(tmp_path / "absent", MAPPING, status=1)
    assert said == f"apostille-issuer: cannot read {tmp_path}/absent: No such file or directory\n"
    bad = tmp_path / "bad.json"
    bad.write_text('[{"model": "auth.group", "pk": "\\u001b", "fields": {}}]')
    _, said = house.import_rbac(bad, MAPPING, status=1)
    assert said == f"apostille-issuer: {bad}: auth.group '\\x1b': no 'name'\n"
    nowhere = f'service = "inventory"\norganization = "{uuid.uuid4()}"\n'
    _, said = house.import_rbac(dump, nowhere, status=1)
    assert "organization: there is no such organization" in said
    long = tmp_path / "mapping.toml"
    long.write_bytes(b"#" * 1_048_577)
    assert main(["import-rbac", str(dump), "--mapping", str(long)]) == 1
    assert house.capsys.readouterr().err.endswith("is longer than 1,048,576 bytes\n")


# Within a running issuer: whose tokens notice, and where roles go.


def plan_of(dump: list[dict[str, Any]], **mapping: Any) -> ImportPlan:
    wanted = parse_mapping({"service": "inventory", **mapping})
    content = json.dumps(dump).encode()
    users = wanted.users
    found = parse_dump(content, user_model=users.model, login_field=users.login)
    return plan_import(found, wanted)


def group(name: str, *codenames: str, app: str = "stock") -> dict[str, Any]:
    permissions = [[f"{codename}_item", app, "item"] for codename in codenames]
    return {"model": "auth.group", "fields": {"name": name, "permissions": permissions}}


def user(login: str, *groups: str, **fields: Any) -> dict[str, Any]:
    held = {"username": login, "groups": [[name] for name in groups], **fields}
    return {"model": "auth.user", "fields": held}


def bring_in(desk: Desk, plan: ImportPlan) -> ImportReport:
    issuer = desk.issuer
    importing = issuer.access.importing
    return desk.run(importing.run(plan, COMMAND_LINE, enrolment=issuer.tenancy.enrolment))


def good(desk: Desk, tokens: dict[str, Any]) -> bool:
    answer = desk.http.get("/v1/me", headers=bearer(tokens))
    if answer.status_code == 200:
        return True
    assert problem_of(answer, 401) == "revoked_token"
    return False


def test_whose_rights_change_gets_new_tokens(desk: Desk) -> None:
    service, app = "import-a", "importa"
    fields: dict[str, Any] = {"service": service, "groups": {"Clerks": "import-a-clerk"}}
    first = plan_of([group("Clerks", "view", app=app)], **fields)
    assert bring_in(desk, first).created == {"import-a-clerk": (f"{app}.item.view",)}
    holder, new, other = desk.hire("import-a-clerk"), desk.hire(), desk.hire()
    tokens = [desk.tokens(person.login) for person in (holder, new, other)]
    given = [group("Clerks", "view", app=app), user(new.login, "Clerks")]
    desk.wait(timedelta(seconds=1))
    report = bring_in(desk, plan_of(given, **fields))
    assert report.assigned == [(new.login, "import-a-clerk")]
    assert [good(desk, held) for held in tokens] == [True, False, True]
    tokens[1] = desk.renewed(tokens[1]["refresh_token"])
    more = [group("Clerks", "view", "change", app=app), user(new.login, "Clerks")]
    report = bring_in(desk, plan_of(more, **fields))
    assert report.extended == {"import-a-clerk": (f"{app}.item.change",)}
    assert [good(desk, held) for held in tokens] == [False, False, True]
    assert desk.claims(desk.renewed(tokens[0]["refresh_token"]), service).permissions == (
        f"{app}.item.change",
        f"{app}.item.view",
    )


def test_roles_go_to_an_organization_and_users_become_members(desk: Desk) -> None:
    issuer, app = desk.issuer, "importb"
    tenant, root = desk.run(insert_tenant(issuer, "Import B"))
    works = desk.run(insert_organization(issuer, tenant, "Works", root))
    member, new = desk.hire(), desk.hire()
    desk.run(insert_membership(issuer, works, member.id))
    tokens = desk.tokens(member.login, organization=str(works))
    elsewhere = desk.tokens(member.login)
    dump = [
        group("Clerks", "view", app=app),
        group("Staff", "add", app=app),
        user(member.login.upper(), "Clerks", "Staff"),
        user(new.login, "Clerks"),
    ]
    fields: dict[str, Any] = {
        "service": "import-b",
        "organization": str(works),
        "inherited": True,
        "groups": {"Clerks": "import-b-clerk", "Staff": "staff"},
    }
    report = bring_in(desk, plan_of(dump, **fields))
    assert report.members == [new.login]
    assert [role for _, role in report.assigned] == ["import-b-clerk", "staff", "import-b-clerk"]
    assert [missed.what for missed in report.without] == [f"{app}.item.add of the role staff"]
    assert (good(desk, tokens), good(desk, elsewhere)) == (False, True)
    path = f"/v1/organizations/{works}/roles/import-b-clerk"
    role = desk.as_root("GET", path).json()
    assert (role["organization_id"], role["inherited"]) == (str(works), True)
    held = desk.as_root("GET", f"{path}/members").json()["items"]
    assert {item["login"] for item in held} == {member.login, new.login}
    claims = desk.claims(desk.tokens(new.login, organization=str(works)), "import-b")
    assert (claims.tid, claims.permissions) == (str(tenant), (f"{app}.item.view",))
    again = bring_in(desk, plan_of(dump, **fields))
    assert not again.changes()
    # The name is a role's already, further down than where this one is to be.
    taken = plan_of(dump, **{**fields, "organization": str(root)})
    with pytest.raises(
        Exception, match="role import-b-clerk: a role elsewhere is called like this"
    ):
        bring_in(desk, taken)


def test_new_members_take_seats_and_of_too_many_nobody_gets_one(desk: Desk) -> None:
    issuer, app = desk.issuer, "importg"
    tenant, root = desk.run(insert_tenant(issuer, "Import G"))

    async def seat_two() -> None:
        async with issuer.database.begin(EVERY_TENANT) as session:
            await session.execute(update(Tenant).where(Tenant.id == tenant).values(seats=2))

    desk.run(seat_two())
    people = [desk.hire() for _ in range(3)]
    fields: dict[str, Any] = {
        "service": "import-g",
        "organization": str(root),
        "groups": {"Clerks": "import-g-clerk"},
    }

    def dump(count: int) -> list[dict[str, Any]]:
        users = [user(person.login, "Clerks") for person in people[:count]]
        return [group("Clerks", "view", app=app), *users]

    with pytest.raises(IssuerProblem, match="seats_exhausted"):
        bring_in(desk, plan_of(dump(3), **fields))
    path = f"/v1/organizations/{root}/roles/import-g-clerk"
    assert problem_of(desk.as_root("GET", path), 404) == "not_found"
    assert len(bring_in(desk, plan_of(dump(2), **fields)).members) == 2


def test_what_belongs_to_somebody_else_is_left_alone(desk: Desk) -> None:
    body = {"service": "import-c", "version": "1", "permissions": {"import-c.read": "See"}}
    audience = {"service": "import-d", "audience": "import-e", "version": "1", "permissions": {}}
    for manifest in (body, audience):
        path = f"/v1/services/{manifest['service']}"
        assert desk.as_root("PUT", path, json=manifest).status_code == 201
    denying = {"name": "import-c-denied", "allow": ["import-c.*"], "deny": ["import-c.read"]}
    assert desk.as_root("POST", "/v1/roles", json=denying).status_code == 201
    boss, clerk = desk.hire("superuser"), desk.hire()
    groups = [group("Denied", "view"), user(boss.login, "Denied"), user(clerk.login, "Denied")]
    fields: dict[str, Any] = {
        "service": "import-f",
        "permissions": {"stock.view_item": ["import-c.read", "import-c.write"]},
        "groups": {"Denied": "import-c-denied"},
    }
    report = bring_in(desk, plan_of(groups, **fields))
    # On the shared desk there is one superuser.
    assert desk.as_root("DELETE", f"/v1/users/{boss.id}").status_code == 204
    assert report.services == []
    assert report.assigned == [(clerk.login, "import-c-denied")]
    assert {(missed.what, missed.why) for missed in report.without} == {
        ("permission stock.view_item", "import-c.write: its module is import-c's"),
        (f"the role import-c-denied of user {boss.login!r}", "it denies, he is a superuser"),
    }
    strange = [group("Denied"), user("two words", "Denied")]
    report = bring_in(desk, plan_of(strange, **fields))
    (missed,) = report.without[1:]  # after what the mapping names and the dump does not
    assert (missed.what, missed.why) == (
        "user 'two words'",
        "a login name must not contain spaces or control characters",
    )
    rival = plan_of([group("G", "view", app="importe")], service="import-e")
    with pytest.raises(IssuerProblem, match="import-d has the audience import-e"):
        bring_in(desk, rival)


# Files that people write, and dumps that are not whole.


def read(dump: Any) -> Any:
    content = dump if isinstance(dump, bytes) else json.dumps(dump).encode()
    return parse_dump(content, user_model="auth.User", login_field="username")


PERMISSION = {"model": "auth.permission", "pk": 1}
BAD_DUMPS: list[tuple[Any, str]] = [
    (b"[", "truncated"),
    (b"\xff", "malformed"),
    ({}, "Expected `array`"),
    ([{"model": "auth.group"}], "missing required field `fields`"),
    ([{"model": "auth.group", "fields": {"name": 1}}], "auth.group None: no 'name'"),
    ([{"model": "auth.user", "pk": 3, "fields": {}}], "auth.user 3: no 'username'"),
    (
        [{"model": "auth.group", "fields": {"name": "G", "permissions": {}}}],
        "'permissions' is no list",
    ),
    (
        [{**PERMISSION, "fields": {"name": "x", "codename": "x", "content_type": 7}}],
        "'x': content type 7 is not in the dump; dump contenttypes, too",
    ),
    (
        [{**PERMISSION, "fields": {"name": "x", "codename": "x"}}],
        "content type None is not in the dump",
    ),
]


@pytest.mark.parametrize(("dump", "complaint"), BAD_DUMPS, ids=range(len(BAD_DUMPS)))
def test_a_dump_that_is_none_is_refused(dump: Any, complaint: str) -> None:
    with pytest.raises(InvalidDump) as error:
        read(dump)
    assert complaint in str(error.value)


def test_references_that_lead_nowhere_are_told() -> None:
    dump = read(
        [
            {"model": "auth.group", "pk": 1, "fields": {"name": "G", "permissions": [9, None]}},
            user("ada", "Absent", user_permissions=[8]),
            user("bob", groups=[1, 2, [1]]),
            {"model": "shop.order", "pk": 1, "fields": {}},
        ]
    )
    assert dump.dangling == (
        "the group 'G' holds the permission 9",
        "the group 'G' holds the permission None",
        "the user 'ada' holds the permission 8",
        "the user 'ada' is in the group ['Absent']",
        "the user 'bob' is in the group 2",
        "the user 'bob' is in the group [1]",
    )
    assert dump.users[1] == DumpedUser("bob", True, False, ("G",), ())
    assert dump.others == {"shop.order": 1}
    plan = plan_import(dump, parse_mapping({"service": "inventory"}))
    assert {(missed.what, missed.why) for missed in plan.without} >= {
        ("the user 'bob' is in the group 2", "it is not in the dump"),
        ("shop.order (1)", "not looked at"),
    }


def test_a_permission_is_known_by_a_reference_alone() -> None:
    dump = read([group("G", "view")])
    assert dump.permissions == {PermissionKey("stock", "item", "view_item"): ""}
    plan = plan_import(dump, parse_mapping({"service": "inventory"}))
    assert list(plan.permissions) == ["stock.item.view"]
    assert plan.roles["g"].allow == {"stock.item.view"}


BAD_MAPPINGS: list[tuple[dict[str, Any], str]] = [
    ({"service": 1}, "Expected `str`, got `int` - at `$.service`"),
    ({"servce": "x"}, "unknown field `servce`"),
    ({"service": "X"}, "service: 'X': 1 to 63 characters"),
    ({"services": {"stock": "apostille"}}, "is the issuer itself"),
    ({"permission": "{app.__class__}.x"}, "permission: {app.__class__} is none of {action}"),
    ({"permission": "{app:>9}.x"}, "is none of"),
    ({"permission": "{app"}, "permission: expected '}' before end of string"),
    ({"permissions": {"a.b": "x"}}, "permissions.a.b: 'x': "),
    ({"permissions": {"a.b": ["a.b", "a.*"]}}, "permissions.a.b: 'a.*': "),
    ({"permissions": {"a.b": True}}, "permissions.a.b: a name, or false"),
    ({"groups": {"G": True}}, "groups.G: a name, or false"),
    ({"groups": {"G": "Big"}}, "groups.G: 'Big': 1 to 63 characters"),
    ({"groups": {"G": "superuser"}}, "groups.G: nobody is made a superuser by an import"),
    ({"users": {"direct": "{0}"}}, "users.direct: {0} is none of"),
    ({"organization": "acme"}, "Invalid UUID"),
]


@pytest.mark.parametrize(
    ("mapping", "complaint"), BAD_MAPPINGS, ids=[str(n) for n in range(len(BAD_MAPPINGS))]
)
def test_a_mapping_that_is_none_is_refused(mapping: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidMapping) as error:
        parse_mapping({"service": "inventory", **mapping})
    assert complaint in str(error.value)


def missed(plan: ImportPlan) -> dict[str, str]:
    return {missed.what: missed.why for missed in plan.without}


def test_nothing_becomes_one_by_accident() -> None:
    dump = [
        group("Clerks", "view"),
        group("clerks!", "change"),
        group("Admin", "delete"),
        group("Ärzte", "view"),
        group("日本", "view"),
        user("ada", user_permissions=[["view_item", "stock", "item"]]),
    ]
    plan = plan_of(dump)
    assert {name: role.allow for name, role in plan.roles.items()} == {
        "clerks": {"stock.item.view"},
        "rzte": {"stock.item.view"},
    }
    assert missed(plan) == {
        "group 'clerks!'": "it cannot become the role 'clerks' unasked; map it",
        "group 'Admin'": "it cannot become the role 'admin' unasked; map it",
        "group '日本'": "it cannot become the role '' unasked; map it",
        "user 'ada' holds stock.view_item directly": "users hold roles alone",
    }
    asked = plan_of(dump, groups={"Clerks": "clerk", "clerks!": "clerk", "Admin": "admin"})
    assert asked.roles["clerk"].allow == {"stock.item.view", "stock.item.change"}
    assert asked.roles["admin"].allow == {"stock.item.delete"}


@pytest.mark.parametrize("template", ["clerks", "admin", "Big {codename}", "extra"])
def test_a_role_for_one_permission_is_for_that_one_alone(template: str) -> None:
    both = [["change_item", "stock", "item"], ["view_item", "stock", "item"]]
    dump = [group("Clerks"), user("ada", user_permissions=both)]
    plan = plan_of(dump, users={"direct": template})
    expected = {"ada": ("extra",)} if template == "extra" else {}
    assert plan.assignments == expected
    told = sum("directly" in what for what in missed(plan))
    assert told == (1 if expected else 2)


def test_services_and_whole_apps_are_mapped() -> None:
    dump = [
        group("A", "view"),
        group("B", "view", app="billing"),
        group("C", "view", app="reports"),
        group("D", "view", app="auth"),
    ]
    plan = plan_of(
        dump,
        services={"billing": "money"},
        permission="{app}.{codename}",
        permissions={"reports.*": False, "auth.*": "iam.users.read", "auth.other": "a.b"},
        groups={"E": "e"},
        users={"model": "people.Person", "login": "email"},
    )
    assert {name: planned.service for name, planned in plan.permissions.items()} == {
        "stock.view_item": "inventory",
        "billing.view_item": "money",
        "iam.users.read": "inventory",
    }
    assert plan.roles["d"].allow == {"iam.users.read"}
    told = missed(plan)
    assert told["permission auth.other"] == told["group 'E'"]
    assert told["group 'C' holds reports.view_item"] == "which has none"
    person = {"model": "people.person", "fields": {"email": "ada@example.com", "groups": [["A"]]}}
    people = plan_of([group("A"), person], users={"model": "people.Person", "login": "email"})
    assert people.assignments == {"ada@example.com": ("a",)}


def test_what_cannot_be_shown_is_not_stored() -> None:
    plan = plan_of([group("A\u001b[31m" + "x" * 600)], groups={"A\u001b[31m" + "x" * 600: "a"})
    description = plan.roles["a"].description
    assert description.startswith("Django group A?[31mxxx")
    assert len(description) == 500


def test_members_and_roles_without_rights_are_told() -> None:
    report = ImportReport(members=["ada"], created={"guest": ()})
    assert list(_described(report, dry_run=False)) == [
        "  + role guest: allows nothing",
        "  + member ada",
    ]


def test_the_mapping_of_the_guide_is_one() -> None:
    (text,) = (
        block.text
        for block in blocks("docs/guides/migrating.md")
        if block.language == "toml" and "[groups]" in block.text
    )
    mapping = parse_mapping(tomllib.loads(text))
    assert (mapping.groups["Head office"], mapping.users.login) == ("keeper", "email")
