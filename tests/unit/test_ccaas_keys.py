import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fabric_ccaas import InvalidKeyError, keys

part = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=["\x00", "\U0010ffff"]), min_size=1, max_size=8
)
parts = st.lists(part, min_size=1, max_size=4)


@given(parts)
def test_a_composite_key_comes_apart_into_what_it_was_made_of(names):
    kind, *attributes = names

    assert keys.split_composite_key(keys.create_composite_key(kind, attributes)) == (kind, attributes)


@given(parts, parts)
def test_different_parts_never_make_the_same_key(one, other):
    assume(one != other)

    assert keys.create_composite_key(one[0], one[1:]) != keys.create_composite_key(other[0], other[1:])


@given(parts, parts)
def test_a_partial_composite_range_holds_exactly_the_keys_that_begin_with_its_parts(prefix, names):
    start, end = keys.composite_range(prefix[0], prefix[1:])
    key = keys.create_composite_key(names[0], names[1:])

    inside = start.encode() <= key.encode() < end.encode()  # the order in which Fabric sorts
    assert inside == (names[: len(prefix)] == prefix)


@given(parts, part)
def test_no_composite_key_lies_in_an_open_range_and_every_simple_key_does(names, simple):
    start, end = keys.simple_range("", "")

    assert end == ""
    assert keys.create_composite_key(names[0], names[1:]).encode() < start.encode() <= simple.encode()


@given(parts)
def test_composite_and_simple_keys_pass_the_check_unchanged(names):
    composite = keys.create_composite_key(names[0], names[1:])

    assert keys.check_key(composite) == composite
    assert keys.check_key(names[0]) == names[0]


@pytest.mark.parametrize("key", ["", "a\x00", "\x00", "\x00\x00", "\x00a", "\x00a\x00\x00", "\ud800", b"a", 1])
def test_a_key_that_could_be_another_or_none_is_refused(key):
    with pytest.raises(InvalidKeyError):
        keys.check_key(key)


@pytest.mark.parametrize("attribute", ["", "1\x00mallory", "\U0010ffff", "\udfff", 1, None, b"a"])
def test_a_composite_attribute_that_could_forge_a_key_is_refused(attribute):
    with pytest.raises(InvalidKeyError):
        keys.create_composite_key("score", ["t1", attribute])
    with pytest.raises(InvalidKeyError):
        keys.create_composite_key(attribute, ["t1"])


def test_one_string_is_no_list_of_attributes():
    with pytest.raises(InvalidKeyError, match="not one string"):
        keys.create_composite_key("score", "t1")


@pytest.mark.parametrize(
    ("bookmark", "inside"), [("b", True), ("d", True), ("a", False), ("e", False), ("\x00", False)]
)
def test_a_bookmark_leads_nowhere_but_into_its_range(bookmark, inside):
    if inside:
        assert keys.check_bookmark(bookmark, "b", "e") == bookmark
    else:
        with pytest.raises(InvalidKeyError):
            keys.check_bookmark(bookmark, "b", "e")


def test_no_message_quotes_the_key():
    for call in (lambda: keys.check_key("s3cret\x00"), lambda: keys.create_composite_key("k", ["s3cret\ud800"])):
        with pytest.raises(InvalidKeyError) as refused:
            call()
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None
