r"""Keys of the world state, and what keeps one from being taken for another.

A simple key is a non-empty string without U+0000. A composite key is an object type and attributes between
U+0000 separators, as every Fabric shim writes it, so that keys of one kind lie together and a query by the
first attributes is a range. An attribute that could hold a separator would let ``("t1", "1\0mallory")`` pass
for ``("t1", "1", "mallory")``: it is refused, as is everything that the ledger could not store as UTF-8.
"""

from collections.abc import Sequence

from fabric_ccaas.errors import InvalidKeyError

SEPARATOR = "\x00"
LAST = "\U0010ffff"  # sorts after every other character, hence ends a range of composite keys
FIRST_SIMPLE = "\x01"  # where simple keys begin: composite keys all start with U+0000


def check_key(key: str) -> str:
    """Return a key that may be read and written, simple or composite.

    Raises:
        InvalidKeyError: It is empty, no UTF-8, or holds U+0000 without being a whole composite key.
    """
    if not isinstance(key, str):
        raise InvalidKeyError(f"a key is a string, not {type(key).__name__}")
    if key.startswith(SEPARATOR):
        split_composite_key(key)
    else:
        _check_text(key, "a key")
    return key


def create_composite_key(object_type: str, attributes: Sequence[str]) -> str:
    """Join an object type and attributes into one key.

    Raises:
        InvalidKeyError: A part is empty, no UTF-8, or holds U+0000 or U+10FFFF.
    """
    if isinstance(attributes, str):
        raise InvalidKeyError("the attributes of a composite key are a list of strings, not one string")
    parts = (object_type, *attributes)
    for part in parts:
        _check_part(part)
    return SEPARATOR + "".join(part + SEPARATOR for part in parts)


def split_composite_key(key: str) -> tuple[str, list[str]]:
    """Take a composite key apart.

    Returns:
        The object type and the attributes.

    Raises:
        InvalidKeyError: `create_composite_key` cannot have made it.
    """
    if not key.startswith(SEPARATOR) or not key.endswith(SEPARATOR) or len(key) < 3:
        raise InvalidKeyError("this is no composite key")
    object_type, *attributes = key[1:-1].split(SEPARATOR)
    for part in (object_type, *attributes):
        _check_part(part)
    return object_type, attributes


def simple_range(start: str, end: str) -> tuple[str, str]:
    """Bound a range of simple keys; an open end ("") means all of them and never a composite key."""
    for bound in (start, end):
        if bound:
            _check_text(bound, "the bound of a range")
    return start or FIRST_SIMPLE, end


def composite_range(object_type: str, attributes: Sequence[str]) -> tuple[str, str]:
    """Bound the composite keys that start with these parts."""
    prefix = create_composite_key(object_type, attributes)
    return prefix, prefix + LAST


def check_bookmark(bookmark: str, start: str, end: str) -> str:
    """Return a bookmark that lies in its range.

    Fabric starts a page at whatever key the bookmark names, and bookmarks come from clients.

    Raises:
        InvalidKeyError: It would lead out of the range.
    """
    try:
        position = bookmark.encode()
    except UnicodeEncodeError:
        raise InvalidKeyError("a bookmark must be encodable as UTF-8") from None
    if position < start.encode() or (end and position >= end.encode()):
        raise InvalidKeyError("the bookmark lies outside the range")
    return bookmark


def _check_part(part: str) -> None:
    _check_text(part, "a part of a composite key")
    if LAST in part:
        raise InvalidKeyError("a part of a composite key may not hold U+10FFFF")


def _check_text(text: str, noun: str) -> None:
    if not isinstance(text, str):
        raise InvalidKeyError(f"{noun} is a string, not {type(text).__name__}")
    if not text:
        raise InvalidKeyError(f"{noun} may not be empty")
    if SEPARATOR in text:
        raise InvalidKeyError(f"{noun} may not hold U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        # The codec's error quotes the text, so it is not chained.
        raise InvalidKeyError(f"{noun} must be encodable as UTF-8") from None
