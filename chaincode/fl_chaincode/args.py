"""Strict decoding of arguments: what is not exactly of the documented form is refused, never adjusted.

Messages name arguments and fields, and show a caller's own text only shortened and in ASCII.
"""

import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from fl_chaincode import canonical
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError

T = TypeVar("T")

MAX_ARGUMENT = 2 * 1024 * 1024  # characters
MAX_NUMBER = 99_999_999  # numbers in keys have eight digits
MAX_LIST = 1024

MSP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,7}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{0,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def shown(text: str) -> str:
    """Show a caller's text in a message: ASCII, at most 40 characters of it."""
    return ascii(text[:40])


def invalid(what: str, form: str) -> FLError:
    return FLError("FL-ARGUMENT-INVALID", f"{what} must be {form}")


def _matching(pattern: re.Pattern[str], form: str) -> Callable[[str, Any], str]:
    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(what, form)
        return value

    return decode


identifier = _matching(_IDENTIFIER, "an id: 1 to 63 of a-z, 0-9 and -, not starting with -")
msp_id = _matching(MSP_ID, "an MSP id: 1 to 64 of A-Z, a-z, 0-9, . _ and -, starting with a letter or digit")
digest = _matching(_HASH, "a hash: 64 lower-case hex digits")
name = _matching(_NAME, "a name: 1 to 63 of A-Z, a-z, 0-9, . _ and -, starting with a letter or digit")
decimal = _matching(_DECIMAL, "decimal text such as 0.05: up to 9 digits, then a point and up to 12 more")
code = _matching(_CODE, "a code: 1 to 63 of A-Z, 0-9 and -")


def number(what: str, text: str) -> int:
    """Decode a number from 1 that stands in a key: decimal digits without sign or leading zero."""
    value = count(what, text)
    if value == 0:
        raise invalid(what, "a number from 1")
    return value


def count(what: str, text: str) -> int:
    """Decode a number from 0 that stands in a key."""
    if not _NUMBER.fullmatch(text):
        raise invalid(what, "a decimal number of at most 8 digits without sign or leading zero")
    return int(text)


def one_of(*choices: str) -> Callable[[str, Any], str]:
    def decode(what: str, value: Any) -> str:
        if value not in choices:
            raise invalid(what, f"one of {', '.join(choices)}")
        return str(value)

    return decode


class Fields:
    """A JSON object of which every field is taken once, by its documented form; a left-over field is refused.

    A context manager: leaving it checks that nothing is left over.
    """

    def __init__(self, what: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise FLError("FL-JSON-FIELD", f"{what} must be a JSON object")
        self._what = what
        self._left = dict(value)

    @classmethod
    def of(cls, what: str, text: str) -> Self:
        return cls(what, canonical.decode(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._left:
            raise FLError("FL-JSON-FIELD", f"{self._what} has a field that is not known: {shown(min(self._left))}")

    def __contains__(self, field: str) -> bool:
        return field in self._left

    def take(self, field: str, decode: Callable[[str, Any], T]) -> T:
        if field not in self._left:
            raise FLError("FL-JSON-FIELD", f"{self._what} lacks the field {field}")
        return decode(f"{self._what}.{field}", self._left.pop(field))

    def integer(self, field: str, low: int, high: int = MAX_INTEGER) -> int:
        return self.take(field, between(low, high))

    def nested(self, field: str) -> "Fields":
        return self.take(field, Fields)

    def listed(self, field: str, decode: Callable[[str, Any], str], *, low: int = 0) -> tuple[str, ...]:
        """Take a list without repetitions, and sort it: its order has no meaning."""
        values = self.take(field, lambda what, value: elements(what, value, decode))
        if len(values) < low:
            raise invalid(f"{self._what}.{field}", f"a list of at least {low}")
        if any(first == second for first, second in zip(sorted(values), sorted(values)[1:], strict=False)):
            raise invalid(f"{self._what}.{field}", "a list without repetitions")
        return tuple(sorted(values))

    def mapping(self, field: str, key: Callable[[str, Any], str], value: Callable[[str, Any], T]) -> dict[str, T]:
        """Take an object whose keys are not fields but data, in sorted order."""
        items = self.take(field, _object)
        what = f"{self._what}.{field}"
        return {key(f"a key of {what}", entry): value(f"{what}.{entry}", items[entry]) for entry in sorted(items)}


def between(low: int, high: int) -> Callable[[str, Any], int]:
    def decode(what: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:  # a bool is no number here
            raise invalid(what, f"an integer from {low} to {high}")
        return value

    return decode


def line(longest: int, *, shortest: int = 0) -> Callable[[str, Any], str]:
    """Decode one line of text for people, without control characters."""

    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not shortest <= len(value) <= longest or _CONTROL.search(value):
            raise invalid(what, f"text of {shortest} to {longest} characters without control characters")
        return value

    return decode


def text(longest: int) -> Callable[[str, Any], str]:
    """Decode text for programs."""

    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise invalid(what, f"text of 1 to {longest} characters")
        return value

    return decode


def nullable(decode: Callable[[str, Any], T]) -> Callable[[str, Any], T | None]:
    return lambda what, value: None if value is None else decode(what, value)


def elements(what: str, value: Any, decode: Callable[[str, Any], T]) -> list[T]:
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise invalid(what, f"a list of at most {MAX_LIST}")
    return [decode(f"an element of {what}", item) for item in value]


def check_sizes(arguments: Iterable[str]) -> None:
    if any(len(argument) > MAX_ARGUMENT for argument in arguments):
        raise FLError("FL-ARGUMENT-SIZE", f"an argument has more than {MAX_ARGUMENT} characters")


def _object(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_LIST:
        raise invalid(what, f"a JSON object of at most {MAX_LIST} fields")
    return value
