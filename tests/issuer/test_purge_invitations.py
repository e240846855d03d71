"""Invitations go thirty days after their answer, or else their end, to the second."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from apostille_issuer.db.reach import EVERY_TENANT
from support.desk import Desk, open_desk, problem_of
from support.firm import Firm
from support.invitations import Letters
from support.purging import (
    DAY,
    RETENTION,
    SECOND,
    purged,
    rows,
)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    """An issuer of its own: its clock goes on by months, and it has no other sessions."""
    with open_desk(database_url) as opened:
        yield opened


@pytest.fixture
def letters(desk: Desk) -> Letters:
    return Letters(Firm(desk))


def revoke(letters: Letters, made: dict[str, Any]) -> None:
    headers = letters.desk.root()
    assert letters.firm.ask("DELETE", letters.at(made), headers=headers).status_code == 204


def resend(letters: Letters, made: dict[str, Any]) -> int:
    path = f"{letters.at(made)}/resend"
    return letters.firm.ask("POST", path, headers=letters.desk.root()).status_code


def test_an_invitation_goes_thirty_days_after_its_answer_or_else_its_end(letters: Letters) -> None:
    desk = letters.desk
    accepted, refused, expired = (letters.send() for _ in range(3))
    for made in (accepted, refused, expired):
        letters.settled(made)
    letters.accepted(accepted)
    revoke(letters, refused)
    token = letters.token(accepted)
    trail = desk.events(target=f"invitation:{accepted['id']}")
    assert {event["tag"] for event in trail} >= {
        "tenancy:invitation:sent",
        "tenancy:invitation:accepted",
    }
    desk.wait(RETENTION - SECOND)
    purged(desk)
    idents = [uuid.UUID(made["id"]) for made in (accepted, refused, expired)]
    assert rows(desk, "invitations") == set(idents)
    assert problem_of(letters.show(token), 410) == "invitation_ended"
    desk.wait(SECOND)
    assert purged(desk)["invitations"] == 2
    # A week later, when it expired.
    assert rows(desk, "invitations") == {idents[2]}
    assert problem_of(letters.show(token), 422) == "invalid_invitation"
    assert desk.events(target=f"invitation:{accepted['id']}") == trail
    desk.wait(7 * DAY - SECOND)
    assert purged(desk)["invitations"] == 0
    assert problem_of(letters.show(letters.token(expired)), 410) == "invitation_expired"
    desk.wait(SECOND)
    assert purged(desk)["invitations"] == 1
    assert problem_of(letters.show(letters.token(expired)), 422) == "invalid_invitation"
    assert rows(desk, "invitations") == set()
    assert resend(letters, expired) == 404
    # Who was a member by it is one still; who was not can be invited again.
    path = f"{letters.firm.root}/members"
    members = letters.firm.ask("GET", path, headers=desk.root()).json()["items"]
    assert accepted["email"] in {member["login"] for member in members}
    again = letters.ask(expired["email"], headers=desk.root())
    assert again.status_code == 201, again.text


def test_an_invitation_that_was_sent_again_is_kept_from_there(letters: Letters) -> None:
    desk = letters.desk
    made = letters.send()
    desk.wait(7 * DAY + RETENTION - SECOND)
    assert resend(letters, made) == 200
    desk.wait(SECOND)
    assert purged(desk)["invitations"] == 0
    assert letters.shown(made)["state"] == "pending"
    desk.wait(7 * DAY + RETENTION - 2 * SECOND)
    assert purged(desk)["invitations"] == 0
    desk.wait(SECOND)
    assert purged(desk)["invitations"] == 1


def test_letters_of_today_count_however_short_invitations_are_kept(database_url: str) -> None:
    """Revoking and inviting again is no way around five letters a day."""
    with open_desk(database_url, invitation_retention=DAY) as desk:
        letters = Letters(Firm(desk))
        email = letters.address()
        for _ in range(5):
            revoke(letters, letters.send(email, headers=desk.root()))
        desk.wait(DAY - SECOND)
        assert purged(desk)["invitations"] == 0
        refused = letters.ask(email, headers=desk.root())
        assert problem_of(refused, 429) == "rate_limited"
        desk.wait(SECOND)
        assert purged(desk)["invitations"] == 5
        letters.send(email, headers=desk.root())


def test_a_letter_whose_invitation_is_gone_is_not_sent(letters: Letters) -> None:
    desk = letters.desk

    async def queue() -> None:
        async with desk.issuer.database.begin(EVERY_TENANT) as session:
            desk.issuer.outbox.queue(session, "invitation", uuid.UUID(made["id"]))

    made = letters.send()
    letters.settled(made)
    desk.wait(7 * DAY + RETENTION)
    assert purged(desk)["invitations"] == 1
    desk.run(queue())
    while rows(desk, "outgoing_mail"):
        pass
