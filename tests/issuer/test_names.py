"""Login names: what is allowed, and what is the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_issuer.accounts.names import (
    MAX_LOGIN_LENGTH,
    InvalidLogin,
    parse_login,
    parse_login_prefix,
)


@pytest.mark.parametrize(
    "text",
    [
        "ada",
        "ada@example.com",
        "o'brien+test_1%x@example.co.uk",
        "CORP\\ada",
        "Zoë",
        "Strauß",
        "søren",
        "Nguyễn",
        "иван.петров",
        "γιώργος",
        "שלום",
        "محمد",
        "नरेन्द्र",
        "ひらがなカタカナ漢字",
        "コーヒー",
        "김철수",
        "李小龙",
        "lee李",
        "ada漢かカ",
        "park박",
        "٠١٢",
        "a" * MAX_LOGIN_LENGTH,
    ],
)
def test_names_people_have_are_allowed(text: str) -> None:
    name = parse_login(text)
    assert name.text == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada", "ADA"),
        ("ada", "ａｄａ"),  # full-width letters  # noqa: RUF001
        ("Strauß", "STRAUSS"),
        ("zoë", "zoe\u0308"),
        ("ﬁona", "fiona"),  # ligature
        ("Kelvin", "\u212aelvin"),  # KELVIN SIGN
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ada1", "ada\u2460".replace("\u2460", "1")),
    ],
)
def test_two_spellings_are_one_name(one: str, other: str) -> None:
    assert parse_login(one).key == parse_login(other).key


@pytest.mark.parametrize(
    "text",
    [
        "a\x00da",
        "ada\n",
        "\tada",
        "ada lovelace",
        " ada",
        "ada ",
        "ada\u00a0lovelace",  # NO-BREAK SPACE, which form KC turns into a space
        "ada\u3000",  # IDEOGRAPHIC SPACE
        "ada\u2028",
        "ad\u200ba",  # ZERO WIDTH SPACE
        "ad\u200da",  # ZERO WIDTH JOINER
        "\u202eada",  # RIGHT-TO-LEFT OVERRIDE
        "ad\u00ada",  # SOFT HYPHEN, which case folding for identifiers would drop
        "ad\ufeffa",
        "ad\U000e0061a",  # TAG LATIN SMALL LETTER A
        "ad\u3164a",  # HANGUL FILLER: a letter that shows nothing
        "ad\uffa0a",
        "ad\u034fa",  # COMBINING GRAPHEME JOINER
        "ada\ufe0f",  # VARIATION SELECTOR-16
        "ada\ud800",  # half a surrogate pair
        "ada\ue000",  # private use
        "ada\U0010fffe",  # noncharacter
        "ada\u0378",  # unassigned
    ],
)
def test_what_cannot_be_seen_is_refused(text: str) -> None:
    with pytest.raises(InvalidLogin, match="spaces"):
        parse_login(text)


@pytest.mark.parametrize(
    "text",
    [
        "p\u0430ypal",  # CYRILLIC A
        "\u0410da",
        "ad\u03b1",  # GREEK ALPHA
        "\u0455cope",  # CYRILLIC DZE
        "\u13aada",  # CHEROKEE GO; its script is not one of the recommended
        "ivan\u0438",
        "\u3041\u0430",  # Hiragana and Cyrillic
        "\u3105\uac00",  # Bopomofo and Hangul
        "\u0561\u0430",  # Armenian and Cyrillic
    ],
)
def test_look_alikes_of_another_script_are_refused(text: str) -> None:
    with pytest.raises(InvalidLogin, match="script"):
        parse_login(text)


@pytest.mark.parametrize(
    "text", ["ada\U0001f600", "ada\u2013b", "ada\u066b", "½ada", "a\u2024\u2044"]
)
def test_beyond_ascii_there_is_no_punctuation(text: str) -> None:
    with pytest.raises(InvalidLogin, match="punctuation"):
        parse_login(text)


def test_digits_of_two_scripts_are_refused() -> None:
    with pytest.raises(InvalidLogin, match="digits"):
        parse_login("ali1\u0664".replace("ali", "\u0639\u0644\u064a"))
    with pytest.raises(InvalidLogin, match="digits"):
        parse_login("\u0639\u0660\u06f1")


def test_marks_are_for_letters_and_few() -> None:
    with pytest.raises(InvalidLogin, match="begin"):
        parse_login("\u0301ada")
    parse_login("b" + "\u0301\u0302\u0303\u0304")
    with pytest.raises(InvalidLogin, match="pile"):
        parse_login("b" + "\u0301\u0302\u0303\u0304\u0306")


@pytest.mark.parametrize(
    "text",
    [
        "a" * (MAX_LOGIN_LENGTH + 1),
        "\ufdfa" * 20,  # one character that form KC turns into eighteen
        "ß" * 200,  # case folding makes it 400
    ],
)
def test_a_name_has_at_most_254_characters_also_once_normalised(text: str) -> None:
    with pytest.raises(InvalidLogin, match="254"):
        parse_login(text)


def test_a_name_is_not_empty() -> None:
    with pytest.raises(InvalidLogin, match="empty"):
        parse_login("")


@given(st.text(max_size=40))
def test_only_invalid_login_comes_out_and_a_name_is_stable(text: str) -> None:
    try:
        name = parse_login(text)
    except InvalidLogin:
        return
    again = parse_login(name.text)
    assert again == name
    assert parse_login(name.key).key == name.key


@given(st.text(alphabet=st.characters(categories=("L", "M", "N")), max_size=12))
def test_case_and_form_never_change_the_key(text: str) -> None:
    try:
        key = parse_login(text).key
        others = [
            parse_login(form) for form in (text.casefold(), unicodedata.normalize("NFD", text))
        ]
    except InvalidLogin:
        return
    assert {other.key for other in others} == {key}


def test_the_key_of_a_prefix_is_a_prefix_of_the_key() -> None:
    assert parse_login("Ada@Example.com").key.startswith(parse_login_prefix("ADA@"))
    with pytest.raises(InvalidLogin):
        parse_login_prefix("a" * (MAX_LOGIN_LENGTH + 1))
