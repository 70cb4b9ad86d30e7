"""The rules of text: what is replaced, what is cut, and how that shows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.telemetry import text

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=50)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("plain", "plain"),
        ("a\x00b", "a�b"),
        ("é\x00", "é�"),
        ("cut \ud83d", "cut �"),
        ("\ud83d\ude00 pair", "😀 pair"),
        ("\ude00\ud83d", "��"),
    ],
)
def test_nul_and_lone_surrogates_are_replaced(given_text: str, expected: str):
    assert text.clean(given_text) == expected


@given(ANY_TEXT)
def test_clean_text_can_be_stored_and_is_clean(said: str):
    cleaned = text.clean(said)
    assert "\x00" not in cleaned
    cleaned.encode()
    assert text.clean(cleaned) == cleaned


def test_a_name_is_cut_to_its_column():
    assert text.name("  name ", 300) == "name"
    assert text.name("n" * 301, 300) == "n" * 300
    assert text.name(" \x00", 300) == "�"
    assert text.name(" " * 1000, 300) == ""


def test_a_cut_says_how_much_is_missing():
    assert text.cut("x" * 10, 10) == "x" * 10
    assert text.cut("x" * 15, 10) == "xxxxxxxxxx… [cut: 5 characters]"


@given(JSON_VALUES)
def test_dumps_always_gives_json_that_postgresql_takes(value: Any):
    rendered = text.dumps(value)
    assert "\x00" not in str(json.loads(rendered))
    rendered.decode()


def test_dumps_cleans_only_what_needs_it():
    assert text.dumps({"a\x00": ["b\ud800", float("inf")]}) == '{"a�":["b�",null]}'.encode()
    assert json.loads(text.dumps({"a": "six characters: \\u0000"})) == {"a": "six characters: \\u0000"}


def test_lone_surrogates_in_json_are_mended_and_pairs_are_not_touched():
    assert (
        text.mend_surrogates(rb'"\ud83d\ude00 \ud83d \ude00 \\ud83d \n"') == rb'"\ud83d\ude00 \ufffd \ufffd \\ud83d \n"'
    )
    assert text.parse(r'["\ud83d"]') == (["�"], True)
    assert text.parse(r'["\ud83d\ude00"]') == (["😀"], False)


@pytest.mark.parametrize("said", ["", "{", "NaN", "[1e999]", "[" * 2000, '"\\ud83d', "[" * 201 + "]" * 201])
def test_what_is_no_json_or_too_deep_is_a_value_error(said: str):
    with pytest.raises(ValueError):
        text.parse(said)


def test_nesting_is_bounded_by_depth_not_by_number():
    deep = "[" * text.NESTING_LIMIT + "]" * text.NESTING_LIMIT
    assert not text.nested_too_deeply(text.parse(deep)[0])
    assert text.nested_too_deeply([text.parse(deep)[0]])
    assert text.parse(json.dumps([{}] * 1000))[0] == [{}] * 1000
    assert not text.nested_too_deeply("[" * 500)
