"""Base64url and JSON, as strictly as they can be read."""

from __future__ import annotations

import base64

import pytest

from apostille._json import Malformed, decode_base64url, decode_text, load, load_distinct


def encoded(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


# Base64url.


@pytest.mark.parametrize("octets", [b"", b"f", b"fo", b"foo", b"foob", bytes(range(256))])
def test_base64url_reads_what_encoders_write(octets: bytes) -> None:
    assert decode_base64url(encoded(octets)) == octets


@pytest.mark.parametrize(
    "segment",
    [
        b"A",
        b"AAAAA",
        b"QQ==",
        b"QQ=",
        b"QUJD=",
        b"====",
        b"QUJD QUJD",
        b"QUJD\n",
        b"\tQUJD",
        b"QUJD\r\n",
        b"QU+D",
        b"QU/D",
        b"QU.D",
        b"QU\\u0041",
        b'QU"D',
        b"QU\\nQ",
        b"\xc3\xa9AA",
        b"\x00AAA",
    ],
)
def test_base64url_refuses_what_no_encoder_writes(segment: bytes) -> None:
    with pytest.raises(Malformed):
        decode_base64url(segment)


def test_base64url_has_one_text_per_value() -> None:
    """RFC 4648 section 3.5: stray bits in the last character would make many."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for length, fine in ((2, 4), (3, 16)):
        accepted = 0
        for last in alphabet:
            segment = b"A" * (length - 1) + bytes([last])
            try:
                assert encoded(decode_base64url(segment)) == segment
                accepted += 1
            except Malformed:
                pass
        assert accepted == fine


# JSON.


@pytest.mark.parametrize(
    "octets",
    [
        b"\xff{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\xaf"}',
        "{}".encode("utf-16"),
        "{}".encode("utf-32"),
        b"[" * 33,
        b'{"a":' * 33,
        b"[" * 10_000,
    ],
)
def test_text_is_utf8_and_shallow(octets: bytes) -> None:
    with pytest.raises(Malformed):
        decode_text(octets)


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert decode_text(b"[" * 32 + b"]" * 32)
    assert decode_text(b'{"a":"' + b"[" * 1000 + b'"}')
    assert decode_text(b'{"a":"\\"' + b"[{" * 1000 + b'"}')
    assert decode_text(b"[[]," * 20 + b"[]" + b"]" * 20)
    with pytest.raises(Malformed):
        decode_text(b'["",' + b"[" * 32 + b"]" * 32 + b"]")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}{}",
        "nul",
        "NaN",
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        "\ufeff{}",
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        "{'a':1}",
        '{"a":"\n"}',
    ],
)
def test_json_is_json_and_names_are_distinct(text: str) -> None:
    with pytest.raises(Malformed):
        load_distinct(text)


def test_numbers_are_not_converted() -> None:
    # Neither does a long one cost quadratic time, nor is a kid of 1 a kid of "1".
    assert load_distinct('{"a":' + "9" * 100_000 + ',"b":1.5}') == {"a": None, "b": None}


def test_an_ambiguous_object_does_not_spoil_its_neighbours() -> None:
    first, second = load('[{"a":1,"a":2},{"a":1}]')
    assert not isinstance(first, dict)
    assert second == {"a": None}
