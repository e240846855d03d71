"""Event tags: ``source:subject:action``, each once."""

from __future__ import annotations

import re

import pytest

from apostille_contracts.events import EventTag

GRAMMAR = re.compile(r"[a-z]+(?:-[a-z]+)*(?::[a-z]+(?:-[a-z]+)*){2}")
SOURCES = {"session", "account", "access", "clients", "keys", "audit", "tenancy", "sdk"}


@pytest.mark.parametrize("tag", EventTag)
def test_a_tag_is_source_subject_action(tag: EventTag) -> None:
    assert GRAMMAR.fullmatch(tag.value)
    assert tag.split(":")[0] in SOURCES


def test_no_tag_repeats() -> None:
    assert len(EventTag) == len(EventTag.__members__)
