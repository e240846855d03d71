"""The bits of a list and their form, held against the draft's own vectors and the SDK."""

from __future__ import annotations

import random
import zlib
from base64 import urlsafe_b64decode

import pytest

from apostille._status import unpack
from apostille_issuer.status.bits import NO_BITS, StatusBits
from apostille_issuer.status.schemas import LIST_SIZE
from support.published import published


def octets_of(lst: str) -> bytes:
    return zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))


@pytest.mark.parametrize("name", ["short-1bit", "appendix-1bit"])
def test_bits_stand_where_the_draft_has_them(name: str) -> None:
    vectors = published("token_status_list_vectors.json")["vectors"]
    (vector,) = [each for each in vectors if each["name"] == name]
    places = [int(index) for index, value in vector["statuses"].items() if value]
    bits = StatusBits(bytes(vector["uncompressed_bytes"])).with_set(places)
    assert bits.octets == octets_of(vector["lst"])


@pytest.mark.parametrize("count", [0, 1, 1_310, LIST_SIZE])
def test_the_sdk_reads_what_is_written(count: int) -> None:
    places = set(random.sample(range(LIST_SIZE), count))
    read = unpack(1, NO_BITS.with_set(places).encoded())
    assert len(read) == LIST_SIZE
    assert {index for index in range(LIST_SIZE) if read.value(index)} == places


def test_first_and_last_entry() -> None:
    octets = octets_of(NO_BITS.with_set([0, LIST_SIZE - 1]).encoded())
    assert (octets[0], octets[-1], sum(octets)) == (1, 128, 129)


def test_setting_bits_leaves_the_others_and_the_original() -> None:
    first = NO_BITS.with_set([3])
    second = first.with_set([4, 3])
    assert first.octets[0] == 0b1000
    assert second.octets[0] == 0b11000
    assert NO_BITS.octets == bytes(LIST_SIZE // 8)


def test_a_list_with_few_bits_is_small() -> None:
    assert len(NO_BITS.encoded()) < 80
    assert len(NO_BITS.with_set(random.sample(range(LIST_SIZE), 100)).encoded()) < 600
