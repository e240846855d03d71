"""JSON as strictly as it can be read. Pure.

Errors are raised ``from None``: what Python's own errors carry along (the
text that could not be read) may be a token.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Never

import msgspec

__all__ = [
    "AMBIGUOUS",
    "MAX_DEPTH",
    "Malformed",
    "decode_base64url",
    "decode_text",
    "load",
    "load_distinct",
]

MAX_DEPTH = 32
"""Deepest nesting of arrays and objects; contract v1 needs four, chains of actors a few more.

Both JSON decoders in use recurse, so depth is bounded before they run
(msgspec raises ``RecursionError`` on some thousand brackets).
"""

_BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BASE64 = _BASE64URL[:-2] + b"+/"
# Base64url to base64; every other octet, padding among them, becomes one
# that no decoder of either takes (RFC 7515 section 2).
_TO_BASE64 = bytes(
    _BASE64[_BASE64URL.index(octet)] if octet in _BASE64URL else ord("!") for octet in range(256)
)
# msgspec decodes base64 inside JSON, strictly and in half the time of binascii.
_BASE64_DECODER = msgspec.json.Decoder(bytes)
# By length modulo four: what a quoted base64 text of that length ends with.
_CLOSING = (b'"', b'"', b'=="', b'="')
# By length modulo four, the last characters without stray bits: the only
# ones an encoder writes.
_FINAL = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"')


class Malformed(ValueError):
    """The text is not what it should be; nothing of it is kept."""


class _Ambiguous:
    """Stands where an object named a member twice."""


AMBIGUOUS: Final = _Ambiguous()


def decode_base64url(segment: bytes) -> bytes:
    """Return what *segment* encodes; one encoding per value and no other (RFC 4648 section 3.5).

    Raises:
        Malformed: Padding, a foreign character, an impossible length, or
            stray bits in the last character.
    """
    overhang = len(segment) & 3
    if overhang and segment[-1:] not in _FINAL[overhang]:
        raise Malformed
    try:
        return _BASE64_DECODER.decode(b'"' + segment.translate(_TO_BASE64) + _CLOSING[overhang])
    except msgspec.DecodeError:
        raise Malformed from None


def decode_text(octets: bytes) -> str:
    """Return *octets* as text: UTF-8 and nothing else (RFC 8725 section 3.7).

    msgspec skips members it does not know without looking at their encoding,
    so this is checked first. A byte order mark is left for the decoders, to
    which it is no JSON.

    Raises:
        Malformed: It is not that, or nests deeper than :data:`MAX_DEPTH`.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed from None
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Malformed
    return text


def _depth(text: str) -> int:
    """Return how deep *text* nests, brackets in strings aside."""
    deepest = depth = 0
    for character in _STRINGS.sub("", text):
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def load_distinct(text: str) -> Any:
    """Return the value of *text*, in which no object names a member twice.

    Numbers are not converted: nothing read this way wants one, and Python's
    integers take quadratic time on long digit strings. Each reads as ``None``,
    so that a ``kid`` of 1 is no ``kid`` of "1".

    Raises:
        Malformed: It is not JSON (``NaN`` and ``Infinity`` are not), or a
            name stands twice: two readers would see two values (RFC 7515 section 4).
    """
    return _decode(_DISTINCT, text)


def load(text: str) -> Any:
    """As :func:`load_distinct`, with :data:`AMBIGUOUS` in place of an object that repeats a name.

    So one bad entry of a list can be skipped on its own.
    """
    return _decode(_TOLERANT, text)


def _decode(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except ValueError:
        raise Malformed from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed
    return members


def _tolerant(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Ambiguous:
    members = dict(pairs)
    return members if len(members) == len(pairs) else AMBIGUOUS


def _not_json(_constant: str) -> Never:
    raise Malformed


def _unread(_digits: str) -> None:
    return None


_DISTINCT = json.JSONDecoder(
    object_pairs_hook=_distinct,
    parse_constant=_not_json,
    parse_int=_unread,
    parse_float=_unread,
)
_TOLERANT = json.JSONDecoder(
    object_pairs_hook=_tolerant,
    parse_constant=_not_json,
    parse_int=_unread,
    parse_float=_unread,
)
