"""Canonical JSON and H: one meaning, one sequence of bytes."""

import hashlib
import json

import pytest
from contract_scenario import examples
from hypothesis import given
from hypothesis import strategies as st

from fl_chaincode.canonical import H, decode, encode, hash_json
from fl_chaincode.errors import FLError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def refusal(data: str | bytes) -> str:
    with pytest.raises(FLError) as caught:
        decode(data)
    return caught.value.code


def test_keys_are_sorted_and_nothing_is_spaced():
    assert encode({"b": [1, -2], "a": {"é": None}}) == '{"a":{"é":null},"b":[1,-2]}'.encode()


@examples(100)
@given(VALUES)
def test_what_is_encoded_decodes_to_itself_and_encodes_to_the_same_bytes(value):
    data = encode(value)
    assert decode(data) == value
    assert encode(decode(data)) == data
    assert json.loads(data) == value


def test_people_may_type_arguments_in_any_order_and_spacing():
    assert decode(' { "b" : 1 ,\n "a" : [ ] } ') == {"a": [], "b": 1}


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"x":{"a":1,"b":2,"a":3}}',
        "1.0",
        "1e3",
        "-0",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        "9007199254740992",
        "-9007199254740992",
        "9" * 5000,
        '"\\ud800"',
        '{"\\udfff":1}',
        "\ud800",
        '"\x01"',
        "",
        " ",
        "{",
        "[1,]",
        "{'a':1}",
        "\ufeff{}",
        "nul",
        "1 2",
        "[" * 17 + "]" * 17,
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_text_with_more_than_one_reading_is_refused(text):
    assert refusal(text) == "FL-JSON-INVALID"


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\x80"', b"\x00", '{"a":1}'.encode("utf-16")])
def test_bytes_that_are_not_utf8_are_refused(data):
    assert refusal(data) == "FL-JSON-INVALID"


@pytest.mark.parametrize("text", ["9007199254740991", "-9007199254740991", "[" * 16 + "]" * 16, '"\\ud83d\\ude00"'])
def test_the_limits_themselves_are_accepted(text):
    assert decode(encode(decode(text))) == json.loads(text)


@pytest.mark.parametrize("value", [1.5, {1: 2}, "\ud800", {"\ud800": 1}, b"x", 2**53, {"a": object()}, float("nan")])
def test_what_is_no_canonical_json_is_not_encoded(value):
    with pytest.raises(FLError, match="FL-JSON-INVALID"):
        encode(value)


def test_every_field_of_a_hash_is_preceded_by_its_length_as_eight_bytes_big_endian():
    data = b"\0\0\0\0\0\0\0\x0cfl/select/v1" + b"\0\0\0\0\0\0\0\x02t1" + b"\0\0\0\0\0\0\0\x0212"
    assert H("fl/select/v1", "t1", 12) == hashlib.sha256(data).hexdigest()


def test_moving_a_character_from_one_field_to_the_next_changes_the_hash():
    assert H("d", "ab", "c") != H("d", "a", "bc")
    assert H("d", "a") != H("d", "a", "")


def test_text_is_hashed_as_utf8_and_bytes_as_they_are():
    assert H("d", "é") == H("d", "é".encode())


def test_a_hashed_value_is_hashed_as_its_canonical_json():
    assert hash_json("d", 1, value={"b": 1, "a": 2}) == H("d", "1", '{"a":2,"b":1}')
