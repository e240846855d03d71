"""The closure of the tree of organizations against a naive tree, over any history of acts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct
from sqlalchemy import select

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.db.schema import migrate
from apostille_issuer.http.context import COMMAND_LINE, RequestContext
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.models import MAX_DEPTH, Organization, OrganizationLineage
from apostille_issuer.tenancy.schemas.organizations import OrganizationDraft, OrganizationPatch
from support.desk import settings_for
from support.tenants import insert_tenant

Line: TypeAlias = tuple[uuid.UUID, uuid.UUID, int, str]
"""What is in what, how far above it that is, and the name of the former."""

NAMES = st.sampled_from(["North", "NORTH", "South", "Works", "Mill", "Straße", "strasse"])


class Company(Struct, eq=False):
    """An organization as it should be: it knows its parent, and that is all."""

    id: uuid.UUID
    parent: Company | None
    name: str
    deleted: bool = False

    def path(self) -> list[Company]:
        """Return it and all that it is in."""
        return [self, *(self.parent.path() if self.parent else [])]


class World:
    """One issuer for all histories; each history has a tenant of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, issuer: Issuer, root: uuid.UUID) -> None:
        self.loop = loop
        self.issuer = issuer
        self.context = RequestContext(request_id="test", actor_id=root)
        self.organizations = issuer.tenancy.organizations

    def begin(self) -> tuple[uuid.UUID, uuid.UUID]:
        return self.loop.run_until_complete(insert_tenant(self.issuer))

    def create(self, parent: Company, name: str) -> uuid.UUID:
        draft = OrganizationDraft(parent_id=parent.id, name=name)
        return self.loop.run_until_complete(self.organizations.create(draft, self.context)).id

    def move(self, company: Company, parent: Company) -> None:
        self.loop.run_until_complete(self.organizations.move(company.id, parent.id, self.context))

    def rename(self, company: Company, name: str) -> None:
        patch = OrganizationPatch(name=name)
        self.loop.run_until_complete(self.organizations.update(company.id, patch, self.context))

    def delete(self, company: Company, *, subtree: bool) -> None:
        self.loop.run_until_complete(
            self.organizations.delete(company.id, self.context, subtree=subtree)
        )

    def rows(self, tenant_id: uuid.UUID) -> tuple[list[Organization], set[Line]]:
        """Return the organizations of a tenant, and their lineage."""

        async def look() -> tuple[list[Organization], set[Line]]:
            tree = OrganizationLineage
            async with self.issuer.database.read(EVERY_TENANT) as session:
                own = select(Organization).where(Organization.tenant_id == tenant_id)
                organizations = list(await session.scalars(own))
                lineage = await session.scalars(select(tree).where(tree.tenant_id == tenant_id))
                return organizations, {
                    (row.organization_id, row.ancestor_id, row.distance, row.name_key)
                    for row in lineage
                }

        return self.loop.run_until_complete(look())


class OrganizationTree(RuleBasedStateMachine):
    """Any company may be created, moved, renamed and deleted, wherever it is."""

    world: World
    companies = Bundle("companies")

    @initialize(target=companies)
    def begin(self) -> Company:
        self.tenant_id, root = self.world.begin()
        self.all = [Company(root, None, "Acme")]
        return self.all[0]

    @rule(target=companies, parent=companies, name=NAMES)
    def create(self, parent: Company, name: str) -> Company:
        expected = ProblemCode.NOT_FOUND if parent.deleted else None
        if len(parent.path()) == MAX_DEPTH:
            expected = expected or ProblemCode.ORGANIZATION_TOO_DEEP
        if not self._is_free(parent, name):
            expected = expected or ProblemCode.NAME_TAKEN
        if self._refused(expected, lambda: self._add(parent, name)):
            return parent
        return self.all[-1]

    @rule(target=companies, parent=companies)
    def create_a_chain(self, parent: Company) -> Company:
        """Depth is what chance alone hardly reaches."""
        while not parent.deleted and len(parent.path()) < MAX_DEPTH:
            self._add(parent, f"Level {len(self.all)}")
            parent = self.all[-1]
        return parent

    @rule(company=companies, parent=companies)
    def move(self, company: Company, parent: Company) -> None:
        stays = company.parent is parent
        expected = self._why_not_moved(company, parent)
        if not self._refused(expected, lambda: self.world.move(company, parent)) and not stays:
            company.parent = parent

    @rule(company=companies, name=NAMES)
    def rename(self, company: Company, name: str) -> None:
        expected = ProblemCode.NOT_FOUND if company.deleted else None
        if company.parent and not self._is_free(company.parent, name, but=company):
            expected = expected or ProblemCode.NAME_TAKEN
        if not self._refused(expected, lambda: self.world.rename(company, name)):
            company.name = name

    @rule(company=companies, subtree=st.booleans())
    def delete(self, company: Company, *, subtree: bool) -> None:
        doomed = [each for each in self.all if company in each.path() and not each.deleted]
        expected = None
        if company.deleted:
            expected = ProblemCode.NOT_FOUND
        elif company.parent is None:
            expected = ProblemCode.PROTECTED
        elif len(doomed) > 1 and not subtree:
            expected = ProblemCode.IN_USE
        if not self._refused(expected, lambda: self.world.delete(company, subtree=subtree)):
            for each in doomed:
                each.deleted = True

    @invariant()
    def the_closure_is_the_trees(self) -> None:
        if not hasattr(self, "all"):
            return
        organizations, lineage = self.world.rows(self.tenant_id)
        assert {
            (row.id, row.parent_id, row.name, row.depth, row.state == "deleted")
            for row in organizations
        } == {
            (
                each.id,
                each.parent and each.parent.id,
                each.name,
                len(each.path()),
                each.deleted,
            )
            for each in self.all
        }
        keys = {row.id: row.name_key for row in organizations}
        assert lineage == {
            (each.id, above.id, distance, keys[each.id])
            for each in self.all
            for distance, above in enumerate(each.path())
        }

    def _add(self, parent: Company, name: str) -> None:
        self.all.append(Company(self.world.create(parent, name), parent, name))

    def _refused(self, expected: ProblemCode | None, act: Callable[[], None]) -> bool:
        """Do *act*, which must be refused as *expected*, and say whether it was."""
        if expected is None:
            act()
            return False
        with pytest.raises(IssuerProblem) as refused:
            act()
        assert refused.value.code is expected
        return True

    def _why_not_moved(self, company: Company, parent: Company) -> ProblemCode | None:
        if company.deleted or (parent.deleted and company.parent is not None):
            return ProblemCode.NOT_FOUND
        if company.parent is None or company in parent.path():
            return ProblemCode.ORGANIZATION_CYCLE
        living = [each for each in self.all if company in each.path() and not each.deleted]
        height = max(len(each.path()) for each in living) - len(company.path()) + 1
        if company.parent is not parent and len(parent.path()) + height > MAX_DEPTH:
            return ProblemCode.ORGANIZATION_TOO_DEEP
        if not self._is_free(parent, company.name, but=company):
            return ProblemCode.NAME_TAKEN
        return None

    def _is_free(self, parent: Company, name: str, but: Company | None = None) -> bool:
        return not any(
            each.parent is parent
            and each is not but
            and not each.deleted
            and each.name.casefold() == name.casefold()
            for each in self.all
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "apostille.sqlite3"
    migrate(f"sqlite:///{path}")
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    loop = asyncio.new_event_loop()
    issuer = Issuer(settings_for(f"sqlite:///{path}"), clock=clock.now)
    running = issuer.running()
    loop.run_until_complete(running.__aenter__())
    draft = UserDraft(login="root")
    root = loop.run_until_complete(issuer.accounts.create(draft, COMMAND_LINE, superuser=True))
    yield World(loop, issuer, root.id)
    loop.run_until_complete(running.__aexit__(None, None, None))
    loop.close()


def test_the_tree_keeps_to_its_model(world: World) -> None:
    machine = type("OrganizationTreeHere", (OrganizationTree,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
