"""Letters: addresses, messages, the folder, SMTP, and the outbox that sends them."""

from __future__ import annotations

import asyncio
import logging
import re
import stat
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from html import escape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from apostille.clock import ManualClock
from apostille_contracts.problems import ProblemCode
from apostille_issuer.db.engine import Database
from apostille_issuer.notifications import outbox as outbox_module
from apostille_issuer.notifications.addresses import InvalidAddress, is_address, parse_address
from apostille_issuer.notifications.folder import FolderMailer
from apostille_issuer.notifications.mail import (
    Letter,
    MailError,
    MailRefused,
    MailUnavailable,
    Sender,
    message_of,
    one_line,
    parse_sender,
    sender_at,
)
from apostille_issuer.notifications.models import OutgoingMail
from apostille_issuer.notifications.outbox import (
    FIRST_PAUSE,
    LEASE,
    LONGEST_PAUSE,
    MAX_ATTEMPTS,
    Delivery,
    Outbox,
)
from apostille_issuer.notifications.smtp import SmtpMailer, parse_mail_url
from apostille_issuer.problems import IssuerProblem, SettingsError
from apostille_issuer.settings import Settings
from support.desk import Desk
from support.firm import Firm
from support.invitations import Letters
from support.policy import refused
from support.smtp_server import mail_server
from support.tls import Authority

SENDER = Sender(Address("Acme", "noreply", "acme.test"), "iam.acme.test")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LETTER = Letter(
    to="ada@example.com",
    subject="Invitation to Søylen",
    text="Hello.\n\nhttps://iam.acme.test/#token=apo_in_x\n.\nBye.\n",
    html="<p>Hello.</p>",
    reference="invitation-1-0",
)


def now() -> datetime:
    return NOW


def body(message: EmailMessage, form: str) -> str:
    """Return a letter's text in that form."""
    part = message.get_body((form,))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")


# Addresses.


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "Ada.Lovelace+apostille@mail.example.co.uk",
        "o'hara!#$%&*=?^_`{|}~@example.com",
        f"{'a' * 64}@{'b' * 63}.com",
        "jörg@münchen.example",
        "иван@почта.рф",
    ],
)
def test_what_letters_can_be_sent_to(text: str) -> None:
    assert parse_address(text).text == text
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@localhost",
        "ada@example..com",
        "ada@example.com.",
        ".ada@example.com",
        "ada.@example.com",
        "a..b@example.com",
        "ada@-example.com",
        "ada@example-.com",
        "a b@example.com",
        "ada@example.com\r\nbcc: eve@example.com",
        "ada@example.com\n",
        "ada@example.com\x00",
        "ada,eve@example.com",
        "ada@eve@example.com",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        '"ada"@example.com',
        "ada(comment)@example.com",
        "ada@[127.0.0.1]",
        "ada@exa_mple.com",
        f"{'a' * 65}@example.com",
        f"{'ä' * 33}@example.com",
        f"a@{'b' * 64}.com",
        f"a@{'b.' * 125}com",
        "a@" + ".".join(["ä" * 40] * 4),
        "а@example.com",  # noqa: RUF001 - a Cyrillic letter in a Latin address
        "ada@example.com\u200b",
    ],
)
def test_what_they_cannot(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(InvalidAddress) as raised:
        parse_address(text)
    assert "eve" not in str(raised.value)


# Settings.


def test_a_mail_url_says_how_to_speak_to_the_server() -> None:
    secure = parse_mail_url("smtps://us%40er:p%3Aw%2F@mail.example.com?timeout=30")
    assert (secure.host, secure.port, secure.tls) == ("mail.example.com", 465, "implicit")
    assert (secure.user, secure.password, secure.timeout_seconds) == ("us@er", "p:w/", 30)
    assert "p:w/" not in repr(secure)
    started = parse_mail_url("smtp://mail.example.com/")
    assert (started.port, started.tls, started.timeout_seconds) == (587, "starttls", 10)
    assert parse_mail_url("smtp://u:p@127.0.0.1").tls == "starttls"
    plain = parse_mail_url("smtp://127.0.0.1")
    assert (plain.port, plain.tls) == (25, "off")
    assert parse_mail_url("smtp://mailhog:1025?tls=off").tls == "off"
    assert parse_mail_url("smtp://[::1]:2525?ca=/etc/ca.pem").ca == "/etc/ca.pem"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail:0",
        "smtp://mail:port",
        "smtp://[::1",
        "smtp://mail/path",
        "smtp://mail#fragment",
        "smtp://mail?tls=on",
        "smtps://mail?tls=off",
        "smtp://mail?unknown=1",
        "smtp://mail?nonsense",
        "smtp://hunter2@mail",
        "smtp://user:hunter2@mail?tls=off",
        "smtp://mail?timeout=0",
        "smtp://mail?timeout=31",
        "smtp://mail?timeout=x",
    ],
)
def test_a_mail_url_that_names_no_server_or_risks_the_password_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^APOSTILLE_MAIL_URL ") as raised:
        Settings(mail_url=url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "/join",
        "ftp://app.example.com",
        "https://",
        "https://app.example.com/#x",
        "https://u@app.example.com/",
        "https://app.example.com/a b",
        "https://[::1",
        "https://app.example.com/\u00fc",
    ],
)
def test_the_page_of_invitations_is_one_that_browsers_open(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^APOSTILLE_INVITATION_URL "):
        Settings(invitation_url=url)


@pytest.mark.parametrize(
    "text", ["", "Acme", "acme.test", "a\n <a@acme.test>", "@acme.test", "ä@acme.test", "a@"]
)
def test_a_sender_is_an_address(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^APOSTILLE_MAIL_SENDER "):
        Settings(mail_sender=text)


def test_letters_come_from_the_issuers_host_unless_it_is_said() -> None:
    assert str(sender_at("iam.acme.test", None).address) == "Apostille <noreply@iam.acme.test>"
    for host in ("127.0.0.1", "::1"):
        assert sender_at(host, None).address.addr_spec == "noreply@localhost"
    said = sender_at("iam.acme.test", "Søylen <post@acme.test>")
    assert (said.address.display_name, said.address.addr_spec) == ("Søylen", "post@acme.test")
    assert parse_sender("post@acme.test").display_name == ""
    Settings(
        mail_sender="Acme <post@acme.test>",
        mail_url="smtps://mail",
        invitation_url="https://app.acme.test/join?x=1",
    )


# Messages.


def test_a_message_has_both_forms_and_says_that_it_is_automatic() -> None:
    message = message_of(LETTER, SENDER, NOW)
    parsed = message_from_bytes(message.as_bytes(), policy=default)
    assert parsed["from"] == "Acme <noreply@acme.test>"
    assert parsed["to"] == "ada@example.com"
    assert parsed["subject"] == "Invitation to Søylen"
    assert parsed["date"].datetime == NOW
    assert parsed["message-id"] == "<invitation-1-0@iam.acme.test>"
    assert parsed["auto-submitted"] == "auto-generated"
    assert body(parsed, "plain") == LETTER.text
    assert body(parsed, "html") == f"{LETTER.html}\n"
    bare = message_of(Letter(to="a@b.test", subject="x", text="y\n", reference="z"), SENDER, NOW)
    assert bare.get_content_type() == "text/plain"


@pytest.mark.parametrize(
    ("to", "subject"),
    [
        ("ada@example.com\r\nBcc: eve@example.com", "x"),
        ("ada@example.com", "x\r\nBcc: eve@example.com"),
        ("ada@example.com", "x\nBcc: eve@example.com"),
    ],
)
def test_nothing_gets_into_the_header_of_a_letter(to: str, subject: str) -> None:
    letter = Letter(to=to, subject=subject, text="y\n", reference="z")
    with pytest.raises(MailRefused) as raised:
        message_of(letter, SENDER, NOW)
    assert "eve" not in str(raised.value)


def test_names_are_made_fit_for_a_line() -> None:
    assert one_line("  A\r\nb\u202e\u200bc\td  ") == "A b c d"


def test_a_letter_shows_no_secret() -> None:
    assert repr(LETTER) == "Letter(reference='invitation-1-0')"


# The folder.


@pytest.mark.anyio
async def test_the_folder_holds_letters_that_only_the_operator_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data" / "mail"
    mailer = FolderMailer(folder, SENDER, now)
    with caplog.at_level(logging.INFO, "apostille_issuer.mail"):
        await mailer.send(LETTER)
        await mailer.send(LETTER)
    (path,) = folder.iterdir()
    assert path.name == "invitation-1-0.eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert b"apo_in_x" in path.read_bytes()
    assert str(path) in caplog.text
    assert "apo_in_x" not in caplog.text
    assert "ada@" not in caplog.text


@pytest.mark.anyio
async def test_the_folder_keeps_the_newest_letters(tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path, SENDER, now, most=2)
    for number in range(4):
        letter = Letter(to="jörg@b.test", subject="x", text="y\n", reference=f"letter-{number}")
        await mailer.send(letter)
    kept = await asyncio.to_thread(lambda: sorted(tmp_path.iterdir()))
    assert [path.name for path in kept] == ["letter-2.eml", "letter-3.eml"]
    assert "To: jörg@b.test".encode() in kept[-1].read_bytes()


@pytest.mark.anyio
async def test_two_processes_make_room_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, real = tmp_path / "gone.eml", Path.glob

    def glob(folder: Path, pattern: str) -> list[Path]:
        return [*real(folder, pattern), gone]

    monkeypatch.setattr(Path, "glob", glob)
    await FolderMailer(tmp_path, SENDER, now, most=1).send(LETTER)
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))] == [
        "invitation-1-0.eml"
    ]


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")
    with pytest.raises(MailUnavailable):
        await FolderMailer(tmp_path / "mail", SENDER, now).send(LETTER)


# SMTP.


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate)
    return f"ca={path}&timeout=5"


def mailer_at(url: str) -> SmtpMailer:
    return SmtpMailer(parse_mail_url(url), SENDER, now)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["smtp", "smtps"])
async def test_letters_and_passwords_go_over_tls(authority: Authority, ca: str, kind: str) -> None:
    context = authority.server_context()
    with mail_server(context, implicit=kind == "smtps") as server:
        await mailer_at(f"{kind}://user:pw%20word@127.0.0.1:{server.port}?{ca}").send(LETTER)
    (taken,) = server.letters
    assert taken.encrypted
    assert server.users == ["\0user\0pw word"]
    assert (taken.sender, taken.recipients) == ("noreply@acme.test", ["ada@example.com"])
    assert taken.message["subject"] == LETTER.subject
    assert body(taken.message, "plain") == LETTER.text
    assert server.verbs[-1] == "QUIT"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["smtp", "smtps"])
async def test_a_server_that_does_not_prove_itself_gets_nothing(
    authority: Authority, kind: str
) -> None:
    context = authority.server_context()
    with (
        mail_server(context, implicit=kind == "smtps") as server,
        pytest.raises(MailUnavailable, match="no good TLS"),
    ):
        await mailer_at(f"{kind}://u:p@127.0.0.1:{server.port}?timeout=5").send(LETTER)
    assert not server.letters
    assert not server.users


@pytest.mark.anyio
async def test_a_server_without_tls_gets_no_password() -> None:
    with mail_server() as server, pytest.raises(MailUnavailable):
        await mailer_at(f"smtp://u:p@127.0.0.1:{server.port}?timeout=5").send(LETTER)
    assert not server.letters
    assert not server.users


@pytest.mark.anyio
async def test_on_loopback_letters_go_in_the_clear() -> None:
    with mail_server() as server:
        await mailer_at(f"smtp://127.0.0.1:{server.port}").send(LETTER)
        letter = Letter(to="jörg@münchen.test", subject="x", text="y\n", reference="z")
        await mailer_at(f"smtp://127.0.0.1:{server.port}").send(letter)
    assert [taken.recipients for taken in server.letters] == [[LETTER.to], [letter.to]]
    assert "SMTPUTF8" in server.letters[1].options.upper()


@pytest.mark.anyio
async def test_what_goes_wrong_after_a_letter_was_taken_does_not_matter() -> None:
    with mail_server(replies={"QUIT": ""}) as server:
        await mailer_at(f"smtp://127.0.0.1:{server.port}").send(LETTER)
    assert len(server.letters) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("replies", "error", "said"),
    [
        ({"RCPT": "550 no such user"}, MailRefused, "550"),
        ({"RCPT": "450 greylisted"}, MailUnavailable, "450"),
        ({"LETTER": "554 spam"}, MailRefused, "554"),
        ({"LETTER": "451 later"}, MailUnavailable, "451"),
        ({"DATA": "421 closing"}, MailUnavailable, "421"),
        ({"MAIL": "553 not you"}, MailUnavailable, "553"),
        ({"EHLO": "", "HELO": ""}, MailUnavailable, "SMTPServerDisconnected"),
        ({"RCPT": ""}, MailUnavailable, "SMTPServerDisconnected"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
async def test_what_a_server_says_of_one_letter_and_what_of_us(
    replies: dict[str, str], error: type[MailError], said: str
) -> None:
    with mail_server(replies=replies) as server, pytest.raises(error, match=said) as raised:
        await mailer_at(f"smtp://127.0.0.1:{server.port}?timeout=5").send(LETTER)
    assert type(raised.value) is error
    assert "ada" not in str(raised.value)
    assert "no such user" not in str(raised.value)


@pytest.mark.anyio
async def test_an_address_that_the_server_cannot_take_is_refused() -> None:
    letter = Letter(to="jörg@b.test", subject="x", text="y\n", reference="z")
    with mail_server() as server:
        server.features = ()
        with pytest.raises(MailRefused, match="not ASCII"):
            await mailer_at(f"smtp://127.0.0.1:{server.port}").send(letter)


@pytest.mark.anyio
async def test_no_server_at_all_is_tried_again() -> None:
    with mail_server() as server:
        port = server.port
    with pytest.raises(MailUnavailable, match="ConnectionRefusedError"):
        await mailer_at(f"smtp://127.0.0.1:{port}").send(LETTER)


# The outbox.


class Recorder:
    """A mailer that keeps letters, or raises what it is told to."""

    def __init__(self) -> None:
        self.sent: list[Letter] = []
        self.fault: Exception | None = None
        self.before: Callable[[], Awaitable[None]] | None = None

    async def send(self, letter: Letter) -> None:
        if self.before is not None:
            await self.before()
        if self.fault is not None:
            raise self.fault
        self.sent.append(letter)


class Source:
    """Writes letters that name their subject."""

    def __init__(self) -> None:
        self.settlements: list[tuple[uuid.UUID, int, Delivery]] = []
        self.unwanted: set[uuid.UUID] = set()
        self.fault: Exception | None = None

    async def letter(self, subject_id: uuid.UUID, generation: int) -> Letter | None:
        if self.fault is not None:
            raise self.fault
        if subject_id in self.unwanted:
            return None
        reference = f"letter-{subject_id}-{generation}"
        return Letter(to="ada@example.com", subject="x", text="y\n", reference=reference)

    async def settled(
        self, _session: AsyncSession, subject_id: uuid.UUID, generation: int, delivery: Delivery
    ) -> None:
        self.settlements.append((subject_id, generation, delivery))


class Desktop:
    """An outbox with both ends in the hands of a test."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.mailer, self.source = Recorder(), Source()
        self.outbox = Outbox(database, clock.now, self.mailer)
        self.outbox.register("test", self.source)

    def twin(self) -> Desktop:
        """Return another process's."""
        return Desktop(self.database, self.clock)

    async def queue(self, kind: str = "test") -> uuid.UUID:
        subject_id = uuid.uuid4()
        async with self.database.begin() as session:
            self.outbox.queue(session, kind, subject_id)
        return subject_id

    async def rows(self) -> list[OutgoingMail]:
        async with self.database.read() as session:
            return list(await session.scalars(select(OutgoingMail)))


@pytest.fixture
def desktop(database: Database, clock: ManualClock) -> Desktop:
    return Desktop(database, clock)


@pytest.mark.anyio
async def test_letters_are_sent_once_and_forgotten(desktop: Desktop) -> None:
    subjects = [await desktop.queue() for _ in range(10)]
    assert await desktop.outbox.deliver() == 10
    assert sorted(letter.reference for letter in desktop.mailer.sent) == sorted(
        f"letter-{subject}-0" for subject in subjects
    )
    assert sorted(desktop.source.settlements) == sorted((s, 0, "sent") for s in subjects)
    assert await desktop.rows() == []
    assert await desktop.outbox.deliver() == 0


@pytest.mark.anyio
async def test_what_is_rolled_back_is_told_to_nobody(desktop: Desktop) -> None:
    with suppress(LookupError):
        async with desktop.database.begin() as session:
            desktop.outbox.queue(session, "test", uuid.uuid4())
            await session.flush()
            raise LookupError
    assert not desktop.outbox._due.is_set()
    assert await desktop.outbox.deliver() == 0


@pytest.mark.anyio
async def test_what_nobody_wants_any_more_is_forgotten(desktop: Desktop) -> None:
    desktop.source.unwanted.add(await desktop.queue())
    assert await desktop.outbox.deliver() == 1
    assert not desktop.mailer.sent
    assert not desktop.source.settlements
    assert not await desktop.rows()


@pytest.mark.anyio
async def test_kinds_of_a_newer_release_wait_for_it(desktop: Desktop) -> None:
    await desktop.queue("newer")
    assert await desktop.outbox.deliver() == 0
    assert len(await desktop.rows()) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["mailer", "source"])
async def test_a_letter_that_cannot_be_sent_waits_longer_each_time_and_is_given_up(
    desktop: Desktop, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if where == "mailer":
        desktop.mailer.fault = MailUnavailable("away")
    else:
        desktop.source.fault = IssuerProblem(ProblemCode.KEYS_UNAVAILABLE)
    subject = await desktop.queue()
    pauses = []
    for _ in range(MAX_ATTEMPTS - 1):
        assert await desktop.outbox.deliver() == 1
        assert await desktop.outbox.deliver() == 0
        (row,) = await desktop.rows()
        pauses.append(row.due_at - desktop.clock.now())
        desktop.clock.advance(pauses[-1])
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert sum(pauses, timedelta()) > timedelta(days=4)
    assert await desktop.outbox.deliver() == 1
    assert desktop.source.settlements == [(subject, 0, "failed")]
    assert await desktop.rows() == []
    assert f"gave up a letter about test {subject}" in caplog.text


@pytest.mark.anyio
async def test_a_letter_that_is_refused_is_not_tried_again(desktop: Desktop) -> None:
    desktop.mailer.fault = MailRefused("the mail server answered 550")
    subject = await desktop.queue()
    assert await desktop.outbox.deliver() == 1
    assert desktop.source.settlements == [(subject, 0, "failed")]
    assert await desktop.rows() == []


@pytest.mark.anyio
async def test_a_fault_of_ours_costs_an_attempt_and_harms_no_other_letter(
    desktop: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    subject = await desktop.queue()
    desktop.mailer.fault = ValueError("a fault")
    for attempt in range(MAX_ATTEMPTS):
        assert await desktop.outbox.deliver() == 1, attempt
        desktop.clock.advance(LEASE)
    assert desktop.source.settlements == [(subject, 0, "failed")]
    assert "a fault" in caplog.text


@pytest.mark.anyio
async def test_a_database_that_is_away_cuts_no_other_letter_off(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [await desktop.queue() for _ in range(3)]
    real = desktop.outbox._settle

    async def settle(claim: outbox_module._Claim, *rest: Any) -> None:
        if claim.subject_id == subjects[0]:
            raise IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE)
        await asyncio.sleep(0)
        await real(claim, *rest)

    monkeypatch.setattr(desktop.outbox, "_settle", settle)
    with refused(ProblemCode.DATABASE_UNAVAILABLE):
        await desktop.outbox.deliver()
    assert len(desktop.mailer.sent) == 3
    assert [row.subject_id for row in await desktop.rows()] == subjects[:1]


@pytest.mark.anyio
async def test_what_a_dead_process_left_is_sent_by_another_later(desktop: Desktop) -> None:
    other = desktop.twin()
    await desktop.queue()
    assert len(await desktop.outbox._claim()) == 1  # and then it dies
    assert await other.outbox.deliver() == 0
    desktop.clock.advance(LEASE)
    assert await other.outbox.deliver() == 1
    assert len(other.mailer.sent) == 1


@pytest.mark.anyio
async def test_who_comes_too_late_says_nothing_of_what_became_of_a_letter(
    desktop: Desktop,
) -> None:
    other = desktop.twin()
    subject = await desktop.queue()

    async def taken_over() -> None:
        desktop.clock.advance(LEASE)
        assert await other.outbox.deliver() == 1

    desktop.mailer.before = taken_over
    desktop.mailer.fault = MailUnavailable("late")
    assert await desktop.outbox.deliver() == 1
    assert other.source.settlements == [(subject, 0, "sent")]
    assert not desktop.source.settlements
    assert not await desktop.rows()


@pytest.mark.anyio
async def test_two_processes_share_the_letters(desktop: Desktop) -> None:
    other = desktop.twin()
    subjects = {await desktop.queue() for _ in range(20)}
    await asyncio.gather(desktop.outbox.deliver(), other.outbox.deliver())
    sent = [letter.reference for letter in desktop.mailer.sent + other.mailer.sent]
    assert sorted(sent) == sorted(f"letter-{subject}-0" for subject in subjects)


@pytest.mark.anyio
async def test_a_letter_is_sent_as_soon_as_it_is_committed(desktop: Desktop) -> None:
    """Long before the next look, which is seconds away."""
    sent = asyncio.Event()

    async def note() -> None:
        sent.set()

    desktop.mailer.before = note
    async with desktop.outbox.delivering():
        await desktop.queue()
        await asyncio.wait_for(sent.wait(), 30)
    assert len(desktop.mailer.sent) == 1
    assert await desktop.rows() == []


@pytest.mark.anyio
async def test_what_is_being_sent_when_the_process_ends_is_finished(desktop: Desktop) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    desktop.mailer.before = wait
    async with desktop.outbox.delivering():
        await desktop.queue()
        await begun.wait()

        async def once_it_is_to_end() -> None:
            await desktop.outbox._due.wait()
            go_on.set()

        ending = asyncio.create_task(once_it_is_to_end())
    await ending
    assert await desktop.rows() == []


@pytest.mark.anyio
async def test_what_takes_too_long_then_is_left_to_others(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "GRACE", timedelta(0))
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    desktop.mailer.before = hang
    async with desktop.outbox.delivering():
        await desktop.queue()
        await begun.wait()
    assert [row.attempts for row in await desktop.rows()] == [1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault", [IssuerProblem(ProblemCode.DATABASE_UNAVAILABLE), ValueError("a fault")]
)
async def test_the_outbox_goes_on_after_a_fault(
    desktop: Desktop, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "POLL", timedelta(milliseconds=10))
    real, faults, sent = desktop.outbox._claim, [fault], asyncio.Event()

    async def claim() -> list[outbox_module._Claim]:
        if faults:
            raise faults.pop()
        return await real()

    async def note() -> None:
        sent.set()

    desktop.mailer.before = note
    monkeypatch.setattr(desktop.outbox, "_claim", claim)
    async with desktop.outbox.delivering():
        await desktop.queue()
        await asyncio.wait_for(sent.wait(), 30)
    assert faults == []


# From an act to the letter, over HTTP.


def arrived(desk: Desk, name: str) -> bytes:
    """Return the letter once it is there."""
    path = desk.issuer.settings.data / "mail" / name
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{name} did not arrive"
        time.sleep(0.01)
    return path.read_bytes()


def test_an_invitation_arrives_and_its_link_opens_the_door(desk: Desk) -> None:
    letters = Letters(Firm(desk))
    made = letters.send()
    content = arrived(desk, f"invitation-{made['id']}-0.eml")
    message = message_from_bytes(content, policy=default)
    assert message["to"] == made["email"]
    assert message["subject"] == 'Invitation to "Acme"'
    plain, html = body(message, "plain"), body(message, "html")
    page = r"http://127\.0\.0\.1:8000/invitations/accept"
    (link,) = re.findall(rf"^{page}#token=(\S+)$", plain, re.MULTILINE)
    assert f"#token={link}".encode() in content  # for who reads the file as it is
    assert f'href="http://127.0.0.1:8000/invitations/accept#token={link}"' in html
    assert link == letters.token(made)
    assert "2026" in plain
    assert letters.accept(link).status_code == 200


def test_a_letter_that_was_sent_says_so(desk: Desk) -> None:
    letters = Letters(Firm(desk))
    made = letters.send()
    arrived(desk, f"invitation-{made['id']}-0.eml")
    shown = letters.settled(made)
    assert (shown["delivery"], shown["sent_at"]) == ("sent", made["created_at"])


def test_a_name_with_markup_harms_no_letter(desk: Desk) -> None:
    firm = Firm(desk)
    below = firm.put("<b>A & Co</b>\r\nBcc: eve@example.com")
    made = Letters(firm).send(to=below)
    content = arrived(desk, f"invitation-{made['id']}-0.eml")
    message = message_from_bytes(content, policy=default)
    assert message["bcc"] is None
    assert message["subject"] == 'Invitation to "<b>A & Co</b> Bcc: eve@ example. com"'
    assert "&lt;b&gt;A &amp; Co&lt;/b&gt;" in body(message, "html")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Acme Inc. 2.0", "Acme Inc. 2.0"),
        ("Win! https://evil.test/a?b", "Win! https: //evil. test/a?b"),
        ("www.evil.test", "www. evil. test"),
        (
            "evil\u3002test \uff0e\uff0eevil\uff61test",
            "evil\u3002 test \uff0e\uff0e evil\uff61 test",
        ),
        ('Acme". Call \u201cEve\u201d', "Acme'. Call 'Eve'"),
        ("A\u202ec\u200bme\r\n", "A c me"),
    ],
    ids=["plain", "scheme", "host", "dots", "quotes", "invisible"],
)
def test_a_customers_name_is_nothing_but_a_name(desk: Desk, name: str, shown: str) -> None:
    firm = Firm(desk)
    made = Letters(firm).send(to=firm.put(name))
    content = arrived(desk, f"invitation-{made['id']}-0.eml")
    message = message_from_bytes(content, policy=default)
    assert message["subject"] == f'Invitation to "{shown}"'
    plain = body(message, "plain")
    assert f'You are invited to join "{shown}" ("Acme").' in plain
    (link,) = re.findall(r"\S*://\S*", plain)
    assert link.startswith("http://127.0.0.1:8000/invitations/accept#token=")
    assert f'"{escape(shown)}"' in body(message, "html").replace("&quot;", '"')


def test_a_stolen_refresh_token_is_told_by_letter(desk: Desk) -> None:
    ada = desk.hire()
    tokens = desk.tokens(ada.login)
    desk.renewed(tokens["refresh_token"])
    desk.wait(timedelta(seconds=11))
    desk.http.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    headers = {"authorization": f"Bearer {desk.tokens(ada.login)['access_token']}"}
    (told,) = desk.http.get("/v1/me/notifications", headers=headers).json()["items"]
    content = arrived(desk, f"notification-{told['id']}.eml").decode()
    assert f"To: {ada.login}" in content
    assert "Subject: A session of yours was ended" in content
    assert "127.0.0.1" in content
    assert "apo_" not in content
