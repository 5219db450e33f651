"""Canonical JSON and the hash H of PROTOCOL.md §1: the same bytes wherever they are computed.

Canonical JSON is UTF-8 with sorted keys, no spaces, integers only and no duplicate keys. Decoding takes any spacing and
key order, so that people can type arguments, but nothing whose meaning could differ between two readers.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from fl_chaincode.errors import FLError

MAX_INTEGER = 2**53 - 1  # beyond it JSON readers that keep numbers as doubles disagree
MAX_DEPTH = 16


def encode(value: Any) -> bytes:
    """Encode a value of dict, list, tuple, str, int, bool and None.

    Raises:
        FLError: FL-JSON-INVALID for anything else, at any depth.
    """
    _check(value, 0)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def decode(data: str | bytes) -> Any:
    """Decode JSON strictly.

    Raises:
        FLError: FL-JSON-INVALID for a float, a duplicate key, an integer beyond 2^53 - 1, a lone surrogate, nesting
            deeper than 16, bytes that are not UTF-8, or text that is not JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        value = _DECODER.decode(text)
    except RecursionError:
        raise _invalid(f"nested deeper than {MAX_DEPTH}") from None
    except UnicodeDecodeError:
        raise _invalid("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at character {error.pos}") from None
    _check(value, 0)
    return value


def H(domain: str, *fields: str | int | bytes) -> str:  # noqa: N802 (the protocol's own name)
    """Hash a domain and fields, each preceded by its length as 8 bytes big-endian: 64 lower-case hex digits.

    Integers are hashed as their decimal digits, text as UTF-8. Hashes inside a hash are passed as their hex text.
    """
    digest = hashlib.sha256()
    for field in (domain, *fields):
        data = field if isinstance(field, bytes) else str(field).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def hash_json(domain: str, *fields: str | int, value: Any) -> str:
    """Hash fields and, as the last one, the canonical JSON of a value."""
    return H(domain, *fields, encode(value))


def _invalid(reason: str) -> FLError:
    return FLError("FL-JSON-INVALID", f"this is not canonical JSON: {reason}")


def _integer(text: str) -> int:
    if len(text) > 17 or text == "-0":  # length first: int() of a very long text is slow or an error
        raise _invalid("an integer beyond 2^53 - 1 or a negative zero")
    return int(text)


def _no_number(_text: str) -> NoReturn:
    raise _invalid("a number that is not an integer")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _invalid("a key that occurs twice in one object")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
)


def _check(value: Any, depth: int) -> None:
    if depth == MAX_DEPTH and isinstance(value, dict | list | tuple):
        raise _invalid(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int):  # bool is one, too
        if abs(value) > MAX_INTEGER:
            raise _invalid("an integer beyond 2^53 - 1 or a negative zero")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _invalid("a key that is not text")
            _check_text(key)
            _check(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth + 1)
    elif value is not None:
        raise _invalid(f"a value of type {type(value).__name__}")


def _check_text(text: str) -> None:
    if text.isascii():  # nearly always, and known without looking at it
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid("a lone surrogate in a text") from None
