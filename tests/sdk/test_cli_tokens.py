"""``apostille inspect``, ``verify`` and ``explain``: readable, scriptable, never a whole token."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apostille._signing import SigningKey, b64url
from apostille.cli import main
from apostille.testing import BAD_TOKENS, BadTokenName, LocalIssuer

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; return its exit status and everything it said."""

    def run(*arguments: str) -> tuple[int, str]:
        try:
            status = main(arguments)
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.fixture
def policy(issuer: LocalIssuer, tmp_path: Path) -> tuple[str, ...]:
    """Options that make a verifier of *issuer* without any network."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(issuer.jwks()))
    return ("--issuer", issuer.issuer, "--audience", "inventory", "--jwks", str(jwks))


def in_json(run: Run, *arguments: str) -> tuple[int, dict[str, Any]]:
    status, said = run(*arguments, "--json")
    return status, json.loads(said)


# inspect


def test_inspect_shows_header_and_claims_and_says_they_are_not_verified(
    run: Run, issuer: LocalIssuer
) -> None:
    token = issuer.token(permissions=["inventory.read", "billing.*"], plan="pro")
    status, said = run("inspect", token)
    assert status == 0
    assert said.startswith("Not verified")
    for part in ('typ  "at+jwt"', '"inventory.read"', '"billing.*"', '"pro"', ", in 9 minutes"):
        assert part in said
    assert "signature of 64 bytes" in said


def test_inspect_in_json(run: Run, issuer: LocalIssuer) -> None:
    token = issuer.token()
    status, document = in_json(run, "inspect", token)
    assert status == 0
    assert document["verified"] is False
    assert document["header"]["alg"] == "ES256"
    assert document["claims"]["aud"] == "inventory"
    assert document["characters"] == len(token)
    assert document["objections"] == []


def test_inspect_tells_what_every_verifier_refuses(run: Run, issuer: LocalIssuer) -> None:
    _, document = in_json(run, "inspect", issuer.bad_token("alg_none"))
    assert [fault["code"] for fault in document["objections"]] == ["algorithm_not_allowed"]
    _, document = in_json(run, "inspect", issuer.bad_token("exp_as_text"))
    assert document["objections"] == [
        {
            "code": "invalid_claim",
            "detail": "A claim of the access token is missing or invalid. (exp)",
            "claim": "exp",
        }
    ]
    status, said = run("inspect", issuer.bad_token("expired"))
    assert status == 0
    assert "expired_token: The access token has expired." in said
    assert "60 minutes ago" in said


@pytest.mark.parametrize("aud", [[], ["inventory", "billing"], None, 7])
def test_inspect_does_not_stumble_over_an_audience(
    run: Run, issuer: LocalIssuer, aud: object
) -> None:
    status, document = in_json(run, "inspect", issuer._draft().with_claims(aud=aud).signed())
    assert status == 0
    assert bool(document["objections"]) == (not isinstance(aud, list) or not aud)


@pytest.mark.parametrize("exp", [True, "soon", -1, 1e300, None, [1]])
def test_inspect_shows_times_that_are_none(run: Run, issuer: LocalIssuer, exp: object) -> None:
    header = issuer._draft().header
    token = SigningKey.generate("ES256").token(header, {"exp": exp})
    status, said = run("inspect", token)
    assert status == 0
    assert f"exp  {json.dumps(exp)}" in said


def test_distances_have_a_unit_that_fits(run: Run, issuer: LocalIssuer) -> None:
    for distance, unit in (
        (timedelta(days=3), "in 2 days"),
        (timedelta(hours=3), "in 2 hours"),
        (timedelta(minutes=3), "in 2 minutes"),
    ):
        _, said = run("inspect", issuer.token(expires_in=distance - timedelta(seconds=1)))
        assert unit in said
    _, said = run("inspect", issuer.token(expires_in=timedelta(seconds=-30)))
    assert " s ago" in said


def test_inspect_escapes_what_could_play_with_the_terminal(run: Run, issuer: LocalIssuer) -> None:
    evil = "\x1b[2J\u202egnp.exe\x9b\n"
    claims = {evil: "name", "permissions": [evil], "roles": [evil]}
    token = issuer._draft().with_claims(**claims).signed()
    status, said = run("inspect", token)
    assert status == 0
    assert said.isascii()
    assert said.isprintable() or set(said) - {"\n"} <= {c for c in said if c.isprintable()}
    assert "\\u001b[2J\\u202egnp" in said


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b"[]", b"{}"),
        (b"{}", b"{"),
        (b"{}", b"null"),
        (b"{}", b'{"a":NaN}'),
        (b"{}", b'{"a":' + b"9" * 5000 + b"}"),
        (b"{}", b"[" * 5000),
        (b"{}", b"\xff"),
    ],
)
def test_inspect_refuses_what_holds_no_objects(run: Run, header: bytes, payload: bytes) -> None:
    status, document = in_json(run, "inspect", f"{b64url(header)}.{b64url(payload)}.AAAA")
    assert (status, document["code"], document["verified"]) == (1, "malformed_token", False)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("not-a-token", "malformed_token"),
        ("e30=.e30.AAAA", "malformed_token"),
        ("x" * 16_385, "token_too_large"),
    ],
)
def test_inspect_refuses_what_is_no_token(run: Run, token: str, code: str) -> None:
    status, said = run("inspect", token)
    assert status == 1
    assert said.endswith(f"[{code}]\n")


# verify


def test_verify_says_yes(run: Run, issuer: LocalIssuer, policy: tuple[str, ...]) -> None:
    token = issuer.token(permissions=["inventory.read"])
    status, said = run("verify", token, *policy)
    assert status == 0
    assert said.startswith("Good: verified with the keys of https://issuer.test.")
    status, document = in_json(run, "verify", token, *policy)
    assert status == 0
    assert document["valid"] is True
    assert document["claims"]["permissions"] == ["inventory.read"]


@pytest.mark.parametrize("name", [name for name in BAD_TOKENS if name != "empty"])
def test_verify_says_no_and_why(
    run: Run, issuer: LocalIssuer, policy: tuple[str, ...], name: BadTokenName
) -> None:
    status, said = run("verify", issuer.bad_token(name), *policy)
    assert status == 1
    assert said.startswith("Refused: ")
    assert said.endswith(f"[{BAD_TOKENS[name]}]\n")


def test_verify_names_the_claim_in_json(
    run: Run, issuer: LocalIssuer, policy: tuple[str, ...]
) -> None:
    status, document = in_json(run, "verify", issuer.bad_token("missing_sub"), *policy)
    assert status == 1
    assert document["valid"] is False
    assert (document["code"], document["claim"]) == ("invalid_claim", "sub")


def test_verify_asks_the_issuer_for_its_keys(run: Run, issuer: LocalIssuer) -> None:
    with issuer.serve() as address:
        token = issuer.token()
        assert run("verify", token, "--issuer", address, "--audience", "inventory")[0] == 0


def test_an_issuer_out_of_reach_is_neither_yes_nor_no(run: Run, issuer: LocalIssuer) -> None:
    with issuer.serve() as address, issuer.outage():
        command = ("verify", issuer.token(), "--issuer", address, "--audience", "inventory")
        status, said = run(*command)
        assert status == 3
        assert said.startswith("Neither good nor bad")
        status, document = in_json(run, *command)
    assert (status, document["valid"], document["code"]) == (3, None, "keys_unavailable")


def test_verify_takes_leeway_and_algorithms(
    run: Run, issuer: LocalIssuer, policy: tuple[str, ...]
) -> None:
    late = issuer.token(expires_in=timedelta(seconds=-60))
    assert run("verify", late, *policy)[0] == 1
    assert run("verify", late, *policy, "--leeway", "200")[0] == 0
    good = issuer.token()
    assert run("verify", good, *policy, "--algorithm", "ES256")[0] == 0
    status, said = run("verify", good, *policy, "--algorithm", "EdDSA", "--algorithm", "PS256")
    assert (status, "algorithm_not_allowed" in said) == (1, True)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (("--issuer", "http://iam.example.com"), "https"),
        (("--leeway", "1000"), "leeway"),
        (("--leeway", "soon"), "invalid float"),
        (("--algorithm", "HS256"), "invalid choice"),
    ],
)
def test_wrong_options_are_named(
    run: Run, issuer: LocalIssuer, changes: tuple[str, ...], complaint: str
) -> None:
    usual = ("--issuer", "https://issuer.test", "--audience", "inventory")
    status, said = run("verify", issuer.token(), *usual, *changes)
    assert status == 2
    assert complaint in said
    assert "Traceback" not in said


@pytest.mark.parametrize("content", [None, "no JSON", '{"keys": [{"kty": "oct"}]}'])
def test_an_unusable_key_file_is_named(
    run: Run, issuer: LocalIssuer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    usual = ("--issuer", "https://issuer.test", "--audience", "inventory", "--jwks", str(path))
    status, said = run("verify", issuer.token(), *usual)
    assert status == 2
    assert len(said.splitlines()) == 1


# explain


def test_explain_names_the_grants_that_cover(run: Run, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=["inventory.*", "inventory.read", "billing.read"])
    status, said = run("explain", token, "inventory.read")
    assert status == 0
    assert said.startswith("Not verified")
    assert "Yes: inventory.* covers inventory.read." in said
    assert "Yes: inventory.read is granted." in said
    status, document = in_json(run, "explain", token, "inventory.read")
    assert document["granted_by"] == ["inventory.*", "inventory.read"]


def test_explain_says_why_not(run: Run, issuer: LocalIssuer) -> None:
    token = issuer.token(permissions=["inventory.read", "inventry.write"])
    status, said = run("explain", token, "inventory.write")
    assert status == 1
    assert "No: none of its 2 grants covers inventory.write." in said
    assert "Of the module inventory it holds: inventory.read" in said
    assert "Similar: inventry.write" in said
    assert 'It is for "inventory"' in said


def test_explain_a_token_without_permissions(run: Run, issuer: LocalIssuer) -> None:
    status, said = run("explain", issuer.token(), "inventory.write")
    assert status == 1
    assert "No: none of its 0 grants" in said
    assert "Similar" not in said
    assert "Of the module" not in said


@pytest.mark.parametrize("permissions", ["inventory.read", ["inventory.re*", 7, None], {"a": 1}])
def test_explain_shows_what_is_no_grant(run: Run, issuer: LocalIssuer, permissions: object) -> None:
    token = issuer._draft().with_claims(permissions=permissions).signed()
    status, document = in_json(run, "explain", token, "billing.read")
    assert status == 1
    listed = permissions if isinstance(permissions, list) else [permissions]
    assert document["held"] + document["malformed"] == listed


def test_explain_names_grants_without_effect(run: Run, issuer: LocalIssuer) -> None:
    token = issuer._draft().with_claims(permissions=["inventory.re*"]).signed()
    _, said = run("explain", token, "inventory.read")
    assert 'without effect: "inventory.re*"' in said


def test_explain_verifies_where_it_can(
    run: Run, issuer: LocalIssuer, policy: tuple[str, ...]
) -> None:
    token = issuer.token(permissions=["inventory.read"])
    status, said = run("explain", token, "inventory.read", *policy)
    assert (status, "Not verified" in said) == (0, False)
    status, document = in_json(run, "explain", token, "inventory.write", *policy)
    assert (status, document["verified"], document["allowed"]) == (1, True, False)
    status, said = run("explain", issuer.bad_token("bad_signature"), "inventory.read", *policy)
    assert (status, "bad_signature" in said) == (1, True)


def test_explain_during_an_outage(run: Run, issuer: LocalIssuer) -> None:
    with issuer.serve() as address, issuer.outage():
        policy = ("--issuer", address, "--audience", "inventory")
        assert run("explain", issuer.token(), "inventory.read", *policy)[0] == 3


def test_explain_with_an_issuer_wants_an_audience(run: Run, issuer: LocalIssuer) -> None:
    status, said = run("explain", issuer.token(), "a.b", "--issuer", "https://issuer.test")
    assert (status, "--audience" in said) == (2, True)


@pytest.mark.parametrize("permission", ["inventory", "inventory.*", "Inventory.read"])
def test_explain_wants_a_permission(run: Run, issuer: LocalIssuer, permission: str) -> None:
    status, said = run("explain", issuer.token(), permission)
    assert (status, "never required" in said) == (2, True)


# Reading and writing


def test_a_token_is_read_from_standard_input(
    run: Run, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(permissions=["inventory.read"])
    for text in (token, f"{token}\n", f"Bearer {token}\r\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert run("explain", "-", "inventory.read")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 20_000))
    assert "token_too_large" in run("inspect", "-")[1]


@pytest.mark.parametrize("text", ["", " \n", "Bearer "])
def test_no_token_is_a_mistake(run: Run, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run("inspect", "-") == (2, "apostille: there is no token\n")


@pytest.mark.parametrize("position", range(5))
def test_a_token_is_never_printed_not_even_where_it_does_not_belong(
    run: Run, issuer: LocalIssuer, policy: tuple[str, ...], position: int
) -> None:
    token = issuer.token()
    for words in (["inspect"], ["explain", "a.b"], ["verify", *policy], ["manifest", "check"]):
        words.insert(position, token)
        for arguments in (words, [*words, "--json"], [*words, "superfluous"]):
            _, said = run(*arguments)
            assert token not in said
            assert token.rpartition(".")[2] not in said


def test_usage_is_explained(run: Run) -> None:
    status, said = run("--help")
    assert status == 0
    assert "exit status: 0 yes, 1 no, 2 used wrongly" in said
    for command in ("inspect", "verify", "explain"):
        assert run(command, "--help")[0] == 0
    assert run()[0] == 2


def test_the_version_is_told(run: Run) -> None:
    status, said = run("--version")
    assert status == 0
    assert said.count(".") == 2


def test_control_c_ends_it_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def read(self, _size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert run("inspect", "-") == (130, "")


def test_a_reader_that_leaves_early_sees_no_traceback(issuer: LocalIssuer) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from apostille.cli import main; sys.exit(main(sys.argv[1:]))"
    with os.fdopen(writing, "wb") as pipe:
        run = subprocess.run(
            [sys.executable, "-c", program, "inspect", issuer.token()],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (run.returncode, run.stderr) == (0, b"")


def test_it_is_installed_as_a_command(issuer: LocalIssuer) -> None:
    command = Path(sys.executable).with_name("apostille")
    run = subprocess.run(
        [str(command), "inspect", "-"],
        input=issuer.token().encode(),
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.startswith(b"Not verified")
