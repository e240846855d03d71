"""Login names: which are allowed, and when two of them are the same.

A login name is compared by a *key*: normalisation form KC, case folded. Two
names with one key are one name, so ``Ada``, ``ada`` and the same in full-width
letters cannot be three people.

Look-alikes of another script are kept out by allowing one script per name
(UTS 39 section 5.1, "highly restrictive"): Latin with one Cyrillic letter in it
is refused, wholly Cyrillic names are welcome, and Latin may stand beside
Chinese, Japanese or Korean, as it does there. The script of a character is the first
word of its name in the Unicode Character Database that Python carries. A
letter of a script that is not listed in :data:`_SCRIPTS`, or that this Python
does not know yet, is refused: the derivation can only err on that side.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct

__all__ = ["MAX_LOGIN_LENGTH", "InvalidLogin", "LoginName", "parse_login", "parse_login_prefix"]

MAX_LOGIN_LENGTH = 254
"""Longest login name in code points; an e-mail address is no longer (RFC 5321)."""

MAX_MARKS_IN_A_ROW = 4
"""Nonspacing marks on one letter (UTS 39 section 5.4)."""

_SCRIPTS = {
    name: name
    for name in (
        *("ARABIC", "ARMENIAN", "BENGALI", "BOPOMOFO", "CYRILLIC", "DEVANAGARI", "ETHIOPIC"),
        *("GEORGIAN", "GREEK", "GUJARATI", "GURMUKHI", "HANGUL", "HEBREW", "HIRAGANA"),
        *("KANNADA", "KATAKANA", "KHMER", "LAO", "LATIN", "MALAYALAM", "MYANMAR", "ORIYA"),
        *("SINHALA", "TAMIL", "TELUGU", "THAANA", "THAI", "TIBETAN"),
    )
} | {
    "CJK": "HAN",
    "IDEOGRAPHIC": "HAN",
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",
}
"""First word of a character's name to script: the recommended scripts of UAX 31 table 5."""

_TOGETHER = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
"""Scripts that one name may mix (UTS 39 section 5.1, "highly restrictive")."""

_ANY_SCRIPT = frozenset((*map(chr, range(0x0300, 0x0370)), "\u30fc"))
"""Diacritical marks take the script of their letter; U+30FC is both Hiragana's and Katakana's."""

_INVISIBLE = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}).union(
    range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
)
"""Letters and marks that show nothing (Default_Ignorable_Code_Point, without category Cf)."""


class InvalidLogin(ValueError):
    """The text cannot be a login name; the message is a fixed text that says why."""


class LoginName(Struct, frozen=True):
    """A login name that :func:`parse_login` accepted."""

    text: str
    """As its owner writes it, in normalisation form KC."""
    key: str
    """What makes two names the same."""


def parse_login(text: str) -> LoginName:
    """Return *text* as a login name.

    Allowed are printable ASCII without space, and letters, marks and decimal
    digits of the recommended scripts, one script per name.

    Args:
        text: 1 to :data:`MAX_LOGIN_LENGTH` code points, also once normalised.

    Raises:
        InvalidLogin: It is none. The message says what is wrong and quotes nothing.

    See: UAX 15 (form KC), UTS 39 sections 5.1 to 5.4, UAX 31 table 5.
    """
    # Normalising is quadratic for hostile runs of marks; the limit comes first.
    if len(text) > MAX_LOGIN_LENGTH:
        raise InvalidLogin(f"must have at most {MAX_LOGIN_LENGTH} characters")
    normal = unicodedata.normalize("NFKC", text)
    key = _key(normal)
    if not normal:
        raise InvalidLogin("must not be empty")
    if max(len(normal), len(key)) > MAX_LOGIN_LENGTH:
        raise InvalidLogin(f"must have at most {MAX_LOGIN_LENGTH} characters")
    # The text as given is looked at too: normalising must not launder a
    # space, a control or an invisible character into something harmless.
    for character in {*text, *normal}:
        _check_character(character)
    _check_scripts(normal)
    _check_digits(normal)
    _check_marks(normal)
    return LoginName(normal, key)


def parse_login_prefix(text: str) -> str:
    """Return the key that the keys of all names beginning with *text* begin with.

    Raises:
        InvalidLogin: It is longer than a login name can be, or has a control
            character: PostgreSQL refuses to compare with a NUL.
    """
    if len(text) > MAX_LOGIN_LENGTH:
        raise InvalidLogin(f"must have at most {MAX_LOGIN_LENGTH} characters")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise InvalidLogin("must not contain control characters")
    return _key(unicodedata.normalize("NFKC", text))


def _key(normal: str) -> str:
    # Folding can undo the normal form (U+0345) and normalising can undo the
    # folding, but a second round of both always holds (UAX 31, R4 and R5).
    for _ in range(2):
        normal = unicodedata.normalize("NFKC", normal.casefold())
    return normal


def _check_character(character: str) -> None:
    if character.isascii():
        if character.isprintable() and character != " ":
            return
        raise InvalidLogin("must not contain spaces or control characters")
    category = unicodedata.category(character)
    if category[0] in "CZ" or ord(character) in _INVISIBLE:
        raise InvalidLogin("must not contain spaces, control or invisible characters")


def _check_scripts(text: str) -> None:
    if text.isascii():  # all its letters are Latin
        return
    scripts = set(_scripts(text))
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise InvalidLogin("must not mix characters of different scripts")


def _scripts(text: str) -> Iterator[str]:
    """Yield the script of each character that has one."""
    for character in text:
        category = unicodedata.category(character)
        if character in _ANY_SCRIPT or (character.isascii() and category[0] != "L"):
            continue
        if category[0] not in "LM" and category != "Nd":
            raise InvalidLogin("must consist of letters, digits and ASCII punctuation")
        word = unicodedata.name(character, "").partition(" ")[0]
        if word not in _SCRIPTS:
            raise InvalidLogin("must not contain characters of this script")
        yield _SCRIPTS[word]


def _check_digits(text: str) -> None:
    """Refuse digits of two number systems: many of them look like other digits."""
    zeros = {
        ord(character) - unicodedata.decimal(character)
        for character in text
        if unicodedata.category(character) == "Nd"
    }
    if len(zeros) > 1:
        raise InvalidLogin("must not mix digits of different scripts")


def _check_marks(text: str) -> None:
    """Refuse a mark without a letter, and piles of marks."""
    if unicodedata.category(text[0])[0] == "M":
        raise InvalidLogin("must not begin with a combining mark")
    runs = groupby(text, key=lambda character: unicodedata.category(character) == "Mn")
    if any(marks and sum(1 for _ in run) > MAX_MARKS_IN_A_ROW for marks, run in runs):
        raise InvalidLogin("must not pile up combining marks")
