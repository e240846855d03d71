from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille.errors import ConfigurationError, PermissionDenied
from apostille.policy import HasAnyPermission, HasPermission, Requirement
from apostille_contracts.permissions import PermissionSet

READ = HasPermission("inventory.read")
WRITE = HasPermission("inventory.write")
FROZEN = HasPermission("inventory.frozen")
IN_ORGANIZATION = HasPermission("inventory.read", organization="organization_id")


@dataclass
class Caller:
    grants: tuple[str, ...] = ()
    organization: str | None = None
    asked: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        self.asked += names
        return all(PermissionSet(self.grants).covers(name) for name in names)


def caller(*grants: str, organization: str | None = None) -> Caller:
    return Caller(grants, organization)


# -- what is written -------------------------------------------------------------


@pytest.mark.parametrize("kind", [HasPermission, HasAnyPermission])
def test_no_names_is_an_error_not_everyone(kind: type[HasPermission | HasAnyPermission]) -> None:
    with pytest.raises(ConfigurationError, match="at least one permission"):
        kind()


@pytest.mark.parametrize("kind", [HasPermission, HasAnyPermission])
@pytest.mark.parametrize(
    "name",
    ["inventory.*", "*", "inventory", "Inventory.read", "inventory.read ", "", "a.b.c.d.e.f"],
)
def test_wildcards_and_malformed_names_are_refused_where_they_are_written(
    kind: type[HasPermission | HasAnyPermission], name: str
) -> None:
    with pytest.raises(ConfigurationError, match="two to five lower-case segments"):
        kind("inventory.read", name)


def test_a_list_in_place_of_names_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="named by texts"):
        HasPermission(["inventory.read"])  # type: ignore[arg-type]


def test_requirements_are_immutable() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        READ._rule = WRITE._rule
    with pytest.raises(AttributeError, match="immutable"):
        del READ._rule


def test_requirements_that_say_the_same_are_equal_and_hash_alike() -> None:
    pairs = [
        (HasPermission("a.b"), HasAnyPermission("a.b")),
        (HasPermission("a.b", "c.d"), HasPermission("c.d", "a.b")),
        (HasPermission("a.b", "c.d"), HasPermission("a.b") & HasPermission("c.d")),
        (HasAnyPermission("a.b", "c.d"), HasPermission("a.b") | HasPermission("c.d")),
        (READ & READ, READ),
        (~~READ, READ),
        (IN_ORGANIZATION, HasPermission("inventory.read", organization="organization_id")),
        (~(READ & WRITE), ~HasPermission("inventory.write", "inventory.read")),
    ]
    for one, other in pairs:
        assert one == other
        assert hash(one) == hash(other)


def test_requirements_that_say_something_else_differ() -> None:
    rules = [READ, WRITE, ~READ, READ & WRITE, READ | WRITE, READ & ~WRITE, IN_ORGANIZATION]
    assert len(set(rules)) == len(rules)
    assert READ != "inventory.read"
    assert HasPermission("a.b", organization=str) != HasPermission("a.b", organization="str")


def test_a_copy_is_the_requirement_itself() -> None:
    rule = READ & ~WRITE
    assert copy.copy(rule) is rule
    assert copy.deepcopy(rule) is rule


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (READ, "inventory.read"),
        (HasPermission("a.b", "c.d"), "a.b and c.d"),
        (HasAnyPermission("a.b", "c.d"), "a.b or c.d"),
        (READ & ~FROZEN, "inventory.read and not inventory.frozen"),
        ((READ | WRITE) & ~FROZEN, "(inventory.read or inventory.write) and not inventory.frozen"),
        (READ | (WRITE & FROZEN), "inventory.read or (inventory.write and inventory.frozen)"),
        (~(READ | WRITE), "not (inventory.read or inventory.write)"),
        (READ & WRITE & FROZEN, "inventory.read and inventory.write and inventory.frozen"),
        (READ & (WRITE & FROZEN), "inventory.read and inventory.write and inventory.frozen"),
        (IN_ORGANIZATION, "inventory.read and organization is {organization_id}"),
        (HasPermission("a.b", organization=str), "a.b and organization is str(request)"),
    ],
)
def test_a_requirement_reads_in_words(requirement: Requirement, words: str) -> None:
    assert requirement.describe() == words
    assert repr(requirement) == f"<requires {words}>"


def test_all_permissions_mentioned_are_listed_once_in_order() -> None:
    rule = (WRITE | READ) & ~FROZEN & HasPermission("inventory.read", organization="id")
    assert rule.permissions == ("inventory.write", "inventory.read", "inventory.frozen")


def test_composing_keeps_the_type_of_the_left_operand() -> None:
    class Guard(HasPermission):
        def enter(self) -> bool:
            return True

    for rule in (Guard("a.b") & ~HasPermission("c.d"), Guard("a.b") | READ, ~Guard("a.b")):
        assert rule.enter()


def test_only_requirements_can_be_composed() -> None:
    with pytest.raises(TypeError):
        READ & "inventory.write"  # type: ignore[operator]
    with pytest.raises(TypeError):
        READ | None  # type: ignore[operator]


# -- what is decided -------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "grants", "missing"),
    [
        (HasPermission("a.b", "c.d"), (), ("a.b", "c.d")),
        (HasPermission("a.b", "c.d"), ("c.d",), ("a.b",)),
        (HasAnyPermission("a.b", "c.d"), ("e.f",), ("a.b", "c.d")),
        (READ & (WRITE | FROZEN), (), ("inventory.read", "inventory.write", "inventory.frozen")),
        (READ & (READ | WRITE), (), ("inventory.read", "inventory.write")),
        # No permission helps somebody who holds what he must not.
        (READ & ~FROZEN, ("inventory.frozen",), ()),
        (~READ, ("inventory.*",), ()),
        (~READ | WRITE, ("inventory.read",), ("inventory.write",)),
    ],
)
def test_refusal_names_the_permissions_that_would_help(
    requirement: Requirement, grants: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    assert not requirement.allows(caller(*grants))
    assert requirement.missing(caller(*grants)) == missing
    with pytest.raises(PermissionDenied) as refusal:
        requirement.check(caller(*grants))
    assert refusal.value.missing == missing


@pytest.mark.parametrize(
    ("requirement", "grants"),
    [
        (HasPermission("a.b", "c.d"), ("a.b", "c.d")),
        (HasPermission("a.b", "a.c.d"), ("a.*",)),
        (HasAnyPermission("a.b", "c.d"), ("c.d",)),
        (READ & ~FROZEN, ("inventory.read",)),
        (READ | WRITE, ("*",)),
        (~READ, ()),
    ],
)
def test_who_holds_what_is_asked_may_pass(
    requirement: Requirement, grants: tuple[str, ...]
) -> None:
    assert requirement.allows(caller(*grants))
    assert requirement.missing(caller(*grants)) == ()
    requirement.check(caller(*grants))


def test_alternatives_are_asked_only_as_far_as_needed() -> None:
    somebody = caller("a.b")
    assert HasAnyPermission("a.b", "c.d").allows(somebody)
    assert somebody.asked == ["a.b"]


# -- organization-scoped -----------------------------------------------------------


def test_the_active_organization_must_be_the_one_the_request_is_about() -> None:
    clerk = caller("inventory.read", organization="acme")
    IN_ORGANIZATION.check(clerk, parameters={"organization_id": "acme"})
    with pytest.raises(PermissionDenied) as refusal:
        IN_ORGANIZATION.check(clerk, parameters={"organization_id": "globex"})
    assert refusal.value.missing == ()


def test_another_organization_is_refused_even_to_who_holds_everything() -> None:
    superuser = caller("*", organization="acme")
    assert not IN_ORGANIZATION.allows(superuser, parameters={"organization_id": "globex"})


def test_the_permission_is_named_only_if_it_alone_would_help() -> None:
    nobody = caller(organization="acme")
    assert IN_ORGANIZATION.missing(nobody, parameters={"organization_id": "acme"}) == (
        "inventory.read",
    )
    assert IN_ORGANIZATION.missing(nobody, parameters={"organization_id": "globex"}) == ()


@pytest.mark.parametrize("organization", [None, "", "None"])
@pytest.mark.parametrize("asked", [None, ""])
def test_no_organization_never_equals_no_organization(
    organization: str | None, asked: str | None
) -> None:
    somebody = caller("inventory.read", organization=organization)
    assert not IN_ORGANIZATION.allows(somebody, parameters={"organization_id": asked})


def test_a_path_converter_may_yield_a_uuid() -> None:
    identifier = uuid.uuid4()
    clerk = caller("inventory.read", organization=str(identifier))
    assert IN_ORGANIZATION.allows(clerk, parameters={"organization_id": identifier})


def test_a_function_reads_the_organization_from_the_request() -> None:
    rule = HasPermission("a.b", organization=lambda request: request["owner"])
    assert rule.allows(caller("a.b", organization="acme"), request={"owner": "acme"})
    assert not rule.allows(caller("a.b", organization="acme"), request={"owner": "globex"})
    assert not rule.allows(caller("a.b", organization="acme"), request={"owner": None})


def test_scoped_requirements_compose_each_with_its_own_scope() -> None:
    rule = IN_ORGANIZATION | HasAnyPermission("platform.admin")
    elsewhere = {"organization_id": "globex"}
    assert rule.allows(caller("platform.admin", organization="acme"), parameters=elsewhere)
    assert rule.missing(caller("inventory.read", organization="acme"), parameters=elsewhere) == (
        "platform.admin",
    )


def test_a_path_parameter_the_route_does_not_have_is_a_programming_error() -> None:
    with pytest.raises(ConfigurationError, match="'organization_id' names no path parameter"):
        IN_ORGANIZATION.allows(caller("inventory.read", organization="acme"))


async def _later(_: object) -> str:
    return "acme"


@pytest.mark.parametrize("organization", ["", 7, _later])
def test_an_unusable_organization_selector_is_refused_where_it_is_written(
    organization: object,
) -> None:
    with pytest.raises(ConfigurationError, match="organization="):
        HasPermission("a.b", organization=organization)  # type: ignore[arg-type]


# -- the algebra ---------------------------------------------------------------------

NAMES = ("a.b", "a.c", "b.c", "c.d")
requirements = st.recursive(
    st.sampled_from(NAMES).map(HasPermission),
    lambda inner: st.one_of(
        inner.map(lambda rule: ~rule),
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
    ),
    max_leaves=8,
)
grants = st.frozensets(st.sampled_from([*NAMES, "a.*", "*"])).map(tuple)


@given(requirements, requirements, grants)
def test_and_or_not_mean_and_or_not(
    one: HasPermission, other: HasPermission, held: tuple[str, ...]
) -> None:
    holder = caller(*held)
    assert (one & other).allows(holder) == (one.allows(holder) and other.allows(holder))
    assert (one | other).allows(holder) == (one.allows(holder) or other.allows(holder))
    assert (~one).allows(holder) != one.allows(holder)
    assert (~(one & other)).allows(holder) == (~one | ~other).allows(holder)


@given(requirements, grants)
def test_what_is_missing_is_neither_held_nor_named_in_vain(
    rule: HasPermission, held: tuple[str, ...]
) -> None:
    holder = caller(*held)
    missing = rule.missing(holder)
    assert set(missing) <= set(rule.permissions)
    assert not any(holder.has(name) for name in missing)
    if rule.allows(holder):
        assert missing == ()


@given(requirements)
def test_every_requirement_has_words_and_a_hash(rule: HasPermission) -> None:
    assert set(rule.permissions) <= set(NAMES)
    assert all(name in rule.describe() for name in rule.permissions)
    assert {rule: 1}[rule] == 1
