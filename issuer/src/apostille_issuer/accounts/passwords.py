"""What a new password must be (NIST SP 800-63B-4 section 3.1.1.2).

Long, and not one that is tried first. Nothing is asked about which characters
it is made of, and nothing about it is changed: it is hashed as it was sent.
Passwords that are already set are never judged again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from apostille_issuer.accounts.blocklist import fold, is_listed

__all__ = ["CONTEXT_WORDS", "MAX_PASSWORD_LENGTH", "InvalidPassword", "check_new_password"]

MAX_PASSWORD_LENGTH = 256
"""Longest password in code points; bounds what one request can make us hash."""

CONTEXT_WORDS = ("apostille", "password", "passwort", "issuer", "login", "admin", "welcome")
"""Words that are to be expected here, beside the login name (ASVS 5.0 V6.1.2)."""

MIN_CONTEXT_WORD = 3
"""Shorter parts of a login name, such as ``de``, are in too many words."""

_NOT_LETTERS = re.compile(r"[\W\d_]+")


class InvalidPassword(ValueError):
    """The password cannot be set; the message is a fixed text that says why."""


def check_new_password(password: str, *, login: str, min_length: int) -> None:
    """Return if *password* may be set for the user named *login*.

    Args:
        password: *min_length* to :data:`MAX_PASSWORD_LENGTH` code points.
        login: Login name; a password made of it alone is refused.
        min_length: 15 for a password that is the only factor.

    Raises:
        InvalidPassword: It is too short or long, is commonly used, repeats a
            short text, counts through the alphabet, or consists of context
            words with digits and punctuation around them.
    """
    if len(password) < min_length:
        raise InvalidPassword(f"must have at least {min_length} characters")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise InvalidPassword(f"must have at most {MAX_PASSWORD_LENGTH} characters")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise InvalidPassword("must be well-formed Unicode") from None
    folded = fold(password)
    if is_listed(password) or _is_repetition(folded) or _is_sequence(folded):
        raise InvalidPassword("is one of those that are guessed first; choose another")
    if _is_made_of(folded, login):
        raise InvalidPassword("must not be made of the login name or the name of this service")


def _is_repetition(text: str) -> bool:
    """Say whether *text* is a text of at most half its length, again and again."""
    periods = range(1, len(text) // 2 + 1)
    return any(text[period:] == text[:-period] for period in periods)


def _is_sequence(text: str) -> bool:
    """Say whether each character is the one after, or before, the one before it."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return steps in ({1}, {-1})


def _is_made_of(folded: str, login: str) -> bool:
    """Say whether nothing but digits and punctuation stands beside context words."""
    letters = _NOT_LETTERS.sub("", folded)
    rest = letters
    for word in sorted(_context(login), key=len, reverse=True):
        rest = rest.replace(word, "")
    return letters != "" and rest == ""


def _context(login: str) -> Iterator[str]:
    yield from CONTEXT_WORDS
    yield _NOT_LETTERS.sub("", fold(login))
    for part in re.split(r"[\W\d_]+", fold(login)):
        if len(part) >= MIN_CONTEXT_WORD:
            yield part
