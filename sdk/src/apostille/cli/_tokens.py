"""``inspect``, ``verify`` and ``explain``."""

from __future__ import annotations

import difflib
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Never

import msgspec

from apostille import StaticKeys, Verifier
from apostille._claims import ClaimsPolicy
from apostille._json import Malformed, decode_base64url, decode_text
from apostille._token import MAX_TOKEN_CHARACTERS, UnverifiedToken, read_header, split
from apostille.clock import SYSTEM_CLOCK
from apostille.errors import InvalidClaim, InvalidToken, MalformedToken, Unavailable
from apostille.principal import Principal
from apostille.status import UnsafeNoStatus
from apostille_contracts.claims import ALGORITHMS
from apostille_contracts.permissions import (
    InvalidGrant,
    InvalidPermission,
    covers,
    parse_grant,
    parse_permission,
)

from ._answer import Answer, Failure, Status, aligned, moment, shown

__all__ = ["explain", "inspect", "verify"]

_TIMES = frozenset({"exp", "iat", "nbf", "auth_time"})

_NOT_VERIFIED = "Not verified: anybody can write a token like this one."


def inspect(options: Namespace) -> Answer:
    """Show what a token says, trusting nothing of it."""
    token = _read(options.token)
    try:
        parts, header, claims = _decoded(token)
    except InvalidToken as error:
        return _refused(error, verified=False)
    objections = [_fault(error) for error in _objections(parts, claims)]
    now = SYSTEM_CLOCK.time()
    sizes = f"{len(token):,} characters, signature of {len(parts.signature)} bytes"
    lines = [
        _NOT_VERIFIED,
        "",
        "header",
        *aligned((_label(name), shown(value)) for name, value in header.items()),
        "claims",
        *aligned(_claim_rows(claims, now)),
        "size",
        f"  {sizes}",
    ]
    if objections:
        lines += ["refused anywhere, whatever its signature"]
        lines += [f"  {fault['code']}: {fault['detail']}" for fault in objections]
    document = {
        "verified": False,
        "header": header,
        "claims": claims,
        "characters": len(token),
        "signature_bytes": len(parts.signature),
        "objections": objections,
    }
    return Answer(Status.YES, lines, document)


def verify(options: Namespace) -> Answer:
    """Say whether a token is good."""
    try:
        principal = _principal(options)
    except InvalidToken as error:
        return _refused(error, verified=True)
    except Unavailable as error:
        return _unavailable(error)
    now = SYSTEM_CLOCK.time()
    claims = _claims(principal)
    lines = [f"Good: verified with the keys of {options.issuer}.", ""]
    lines += aligned(_claim_rows(claims, now))
    return Answer(Status.YES, lines, {"valid": True, "claims": claims})


def explain(options: Namespace) -> Answer:
    """Say why a token grants a permission, or why not."""
    try:
        name = parse_permission(options.permission)
    except InvalidPermission as error:
        # Without quoting it: it may be the token, in the wrong place.
        raise Failure(f"PERMISSION: {error}") from error
    verified = options.issuer is not None
    try:
        if verified:
            claims = _claims(_principal(options))
        else:
            _, _, claims = _decoded(_read(options.token))
    except InvalidToken as error:
        return _refused(error, verified=verified)
    except Unavailable as error:
        return _unavailable(error)
    held, broken = _grants(claims.get("permissions", []))
    reasons = [grant for grant in held if covers(grant, name)]
    lines = [] if verified else [_NOT_VERIFIED, ""]
    lines += _yes(name, reasons) if reasons else _no(name, held, claims)
    if broken:
        lines.append(f"No grants, and so without effect: {', '.join(map(shown, broken))}")
    document = {
        "verified": verified,
        "permission": name,
        "allowed": bool(reasons),
        "granted_by": reasons,
        "held": held,
        "malformed": broken,
    }
    return Answer(Status.YES if reasons else Status.NO, lines, document)


def _read(argument: str) -> str:
    """Return the token of the command line, or of standard input for ``-``."""
    text = argument
    if argument == "-":
        # A little more than the limit, so that too much is still too much.
        text = sys.stdin.read(MAX_TOKEN_CHARACTERS + 1024)
    words = text.split()
    if words and words[0].lower() == "bearer":
        del words[0]  # straight out of a request
    if not words:
        raise Failure("there is no token")
    return " ".join(words)


def _decoded(token: str) -> tuple[UnverifiedToken, dict[str, Any], dict[str, Any]]:
    """Return the parts of *token* with its header and claims, of which nothing is proven."""
    parts = split(token)
    try:
        header = _object(decode_base64url(parts.header_segment))
        return parts, header, _object(parts.payload)
    except Malformed:
        raise MalformedToken from None


def _object(octets: bytes) -> dict[str, Any]:
    try:
        value = json.loads(decode_text(octets), parse_constant=_not_json)
    except ValueError:
        raise Malformed from None
    if not isinstance(value, dict):
        raise Malformed
    return value


def _not_json(_constant: str) -> Never:
    raise Malformed


def _objections(parts: UnverifiedToken, claims: Mapping[str, Any]) -> Iterator[InvalidToken]:
    """Yield what every verifier finds wrong, whatever its keys, issuer and audience."""
    try:
        read_header(parts.header_segment, frozenset(ALGORITHMS))
    except InvalidToken as error:
        yield error
    audience = claims.get("aud")
    names = audience if isinstance(audience, list) else [audience]
    policy = ClaimsPolicy(
        str(claims.get("iss")), frozenset(name for name in names if isinstance(name, str)), 0.0
    )
    try:
        policy.accept(parts.payload, SYSTEM_CLOCK.time())
    except InvalidToken as error:
        yield error


def _principal(options: Namespace) -> Principal:
    if not options.audience:
        raise Failure("name the --audience: a token for any service is a token for none")
    keys = None if options.jwks is None else StaticKeys(_document(options.jwks))
    with Verifier(
        options.issuer,
        audience=options.audience,
        keys=keys,
        # Who brings the keys wants no request to be made.
        status=None if keys is None else UnsafeNoStatus(),
        algorithms=options.algorithm or ALGORITHMS,
        leeway=timedelta(seconds=options.leeway),
        allow_insecure_http=options.allow_insecure_http,
    ) as verifier:
        return verifier.verify(_read(options.token))


def _claims(principal: Principal) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(msgspec.json.encode(principal.claims))
    return claims


def _document(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


def _fault(error: InvalidToken) -> dict[str, Any]:
    fault = {"code": error.code.value, "detail": str(error)}
    return {**fault, "claim": error.claim} if isinstance(error, InvalidClaim) else fault


def _refused(error: InvalidToken, *, verified: bool) -> Answer:
    fault = _fault(error)
    lines = [f"Refused: {fault['detail']} [{fault['code']}]"]
    return Answer(Status.NO, lines, {"valid": False, "verified": verified, **fault})


def _unavailable(error: Unavailable) -> Answer:
    document = {"valid": None, "code": error.code.value, "detail": str(error)}
    return Answer(Status.UNAVAILABLE, [f"Neither good nor bad: {error} [{error.code}]"], document)


def _claim_rows(claims: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
    for name, value in claims.items():
        if name in _TIMES:
            yield name, moment(value, now)
        elif name == "permissions" and isinstance(value, list) and value:
            for position, grant in enumerate(value):
                yield ("" if position else name), shown(grant)
        else:
            yield _label(name), shown(value)


def _label(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else shown(name)


def _grants(permissions: object) -> tuple[list[str], list[object]]:
    """Return the grants among *permissions*, and what only stands where a grant should."""
    listed: list[object] = permissions if isinstance(permissions, list) else [permissions]
    held = [text for text in listed if _is_grant(text)]
    return [str(grant) for grant in held], [text for text in listed if text not in held]


def _is_grant(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(parse_grant(text))
    except InvalidGrant:
        return False


def _yes(name: str, reasons: Sequence[str]) -> list[str]:
    return [
        f"Yes: {grant} is granted." if grant == name else f"Yes: {grant} covers {name}."
        for grant in reasons
    ]


def _no(name: str, held: Sequence[str], claims: Mapping[str, Any]) -> list[str]:
    module = name.split(".", 1)[0]
    near = [grant for grant in held if grant.split(".", 1)[0] == module]
    similar = difflib.get_close_matches(name, set(held) - set(near), n=3, cutoff=0.8)
    lines = [f"No: none of its {len(held)} grants covers {name}."]
    if near:
        lines.append(f"Of the module {module} it holds: {', '.join(near)}")
    if similar:
        lines.append(f"Similar: {', '.join(similar)}")
    lines.append(
        f"It is for {shown(claims.get('aud'))}: a token carries only permissions that its audience "
        "declares, and rights that changed after it was issued show in the next one."
    )
    return lines
