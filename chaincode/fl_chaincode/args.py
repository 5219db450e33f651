"""Strict decoding of arguments: what is not exactly of the documented form is refused, never adjusted.

Messages name arguments and fields, and show a caller's own text only shortened and in ASCII.

A decoder takes (what, value) and is made of the forms and `Fields` here alone: then it can also be asked what it takes
(`probe.describe`), which is where fl:Describe and the reference page come from.
"""

import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from fl_chaincode import canonical
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError
from fl_chaincode.probe import Probe, Schema

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
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def shown(text: str) -> str:
    """Show a caller's text in a message: ASCII, at most 40 characters of it."""
    return ascii(text[:40])


def invalid(what: str, form: str) -> FLError:
    return FLError("FL-ARGUMENT-INVALID", f"{what} must be {form}")


class Form(Generic[T]):
    """A decoder of one value that can also be asked what it takes.

    Args:
        decode: returns the value, or refuses it.
        schema: the JSON Schema of what it takes.
        example: a value that it returns.
    """

    def __init__(self, decode: Callable[[str, Any], T], schema: Schema, example: T) -> None:
        self._decode = decode
        self._schema = schema
        self._example = example

    def __call__(self, what: str, value: Any) -> T:
        if isinstance(value, Probe):
            value.schema |= self._schema
            return self._example
        return self._decode(what, value)


def _matching(pattern: re.Pattern[str], form: str, example: str) -> Form[str]:
    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(what, form)
        return value

    return Form(decode, {"type": "string", "pattern": f"^{pattern.pattern}$", "description": form}, example)


identifier = _matching(_IDENTIFIER, "an id: 1 to 63 of a-z, 0-9 and -, not starting with -", "x")
msp_id = _matching(MSP_ID, "an MSP id: 1 to 64 of A-Z, a-z, 0-9, . _ and -, starting with a letter or digit", "X")
digest = _matching(_HASH, "a hash: 64 lower-case hex digits", "0" * 64)
name = _matching(_NAME, "a name: 1 to 63 of A-Z, a-z, 0-9, . _ and -, starting with a letter or digit", "x")
decimal = _matching(_DECIMAL, "decimal text: such as 0.05, up to 9 digits, then a point and up to 12 more", "0.05")
code = _matching(_CODE, "a code: 1 to 63 of A-Z, 0-9 and -", "X")
currency = _matching(_CURRENCY, "a currency's code of ISO 4217: three of A-Z", "EUR")
ledger_key = _matching(_KEY, "a key of the ledger, as round/t1/00000001", "x/x")


def _word(what: str, value: Any) -> str | int:
    return value if type(value) is int else _part(what, value)


_part = _matching(_WORD, "an integer, or text of 1 to 100 letters, digits, . _ and -", "x")
word: Form[str | int] = Form(_word, {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _WORD.pattern}]}, "x")


def _count(what: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise invalid(what, "a decimal number of at most 8 digits without sign or leading zero")
    return int(text)


def _number(what: str, text: str) -> int:
    value = _count(what, text)
    if value == 0:
        raise invalid(what, "a number from 1")
    return value


count = Form(
    _count,
    {"type": "string", "pattern": f"^({_NUMBER.pattern})$", "description": "a number from 0 that stands in a key"},
    0,
)
number = Form(
    _number,
    {"type": "string", "pattern": "^[1-9][0-9]{0,7}$", "description": "a number from 1 that stands in a key"},
    1,
)


class _Choice(Form[str]):
    def __init__(self, choices: tuple[str, ...]) -> None:
        listed = ", ".join(choices) if len(choices) <= 10 else f"{len(choices)} words that fl:Describe lists"

        def decode(what: str, value: Any) -> str:
            if value not in choices:
                raise invalid(what, f"one of {listed}")
            return str(value)

        super().__init__(decode, {"enum": list(choices)}, choices[0])
        self._choices = choices

    def __call__(self, what: str, value: Any) -> str:
        chosen = super().__call__(what, value)
        return value.choose(self._choices) if isinstance(value, Probe) else chosen


def one_of(*choices: str) -> Form[str]:
    return _Choice(choices)


class Fields:
    """A JSON object of which every field is taken once, by its documented form; a left-over field is refused.

    A context manager: leaving it checks that nothing is left over.
    """

    def __init__(self, what: str, value: Any) -> None:
        self._what = what
        self._probe = value if isinstance(value, Probe) else None
        self._optional: list[str] = []
        self._left: dict[str, Any] = {}
        if self._probe is not None:
            self._probe.schema |= {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        elif isinstance(value, dict):
            self._left = dict(value)
        else:
            raise FLError("FL-JSON-FIELD", f"{what} must be a JSON object")

    @classmethod
    def of(cls, what: str, text: str) -> Self:
        if isinstance(text, Probe):
            content = text.part("contentSchema")
            text.schema |= {"type": "string", "contentMediaType": "application/json", "contentSchema": content.schema}
            return cls(what, content)
        return cls(what, canonical.decode(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._probe is not None:
            self._probe.close()
        if kind is None and self._left:
            raise FLError("FL-JSON-FIELD", f"{self._what} has a field that is not known: {shown(min(self._left))}")

    def __contains__(self, field: str) -> bool:
        if self._probe is not None:
            self._optional.append(field)
            return True
        return field in self._left

    def take(self, field: str, decode: Callable[[str, Any], T]) -> T:
        if self._probe is not None:
            return self._describe(self._probe, field, decode)
        if field not in self._left:
            raise FLError("FL-JSON-FIELD", f"{self._what} lacks the field {field}")
        return decode(f"{self._what}.{field}", self._left.pop(field))

    def integer(self, field: str, low: int, high: int = MAX_INTEGER) -> int:
        return self.take(field, between(low, high))

    def nested(self, field: str) -> "Fields":
        return self.take(field, Fields)

    def listed(self, field: str, decode: Callable[[str, Any], str], *, low: int = 0) -> tuple[str, ...]:
        """Take a list without repetitions, and sort it: its order has no meaning."""
        values = self.take(field, lambda what, value: elements(what, value, decode, low=low, distinct=True))
        if self._probe is None and len(values) < low:
            raise invalid(f"{self._what}.{field}", f"a list of at least {low}")
        if any(first == second for first, second in zip(sorted(values), sorted(values)[1:], strict=False)):
            raise invalid(f"{self._what}.{field}", "a list without repetitions")
        return tuple(sorted(values))

    def mapping(self, field: str, key: Callable[[str, Any], str], value: Callable[[str, Any], T]) -> dict[str, T]:
        """Take an object whose keys are not fields but data, in sorted order."""
        return self.take(field, lambda what, items: _mapping(what, items, key, value))

    def _describe(self, probe: Probe, field: str, decode: Callable[[str, Any], T]) -> T:
        part = probe.part("properties", field)
        probe.schema["properties"][field] = part.schema
        if field not in self._optional:
            probe.schema["required"].append(field)
        return decode(f"{self._what}.{field}", part)


def between(low: int, high: int) -> Form[int]:
    def decode(what: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:  # a bool is no number here
            raise invalid(what, f"an integer from {low} to {high}")
        return value

    return Form(decode, {"type": "integer", "minimum": low, "maximum": high}, max(low, min(1, high)))


def line(longest: int, *, shortest: int = 0) -> Form[str]:
    """Decode one line of text for people, without control characters."""

    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not shortest <= len(value) <= longest or _CONTROL.search(value):
            raise invalid(what, f"text of {shortest} to {longest} characters without control characters")
        return value

    schema = {"type": "string", "minLength": shortest, "maxLength": longest, "description": "one line of text"}
    return Form(decode, schema, "x" * max(1, shortest))


def text(longest: int) -> Form[str]:
    """Decode text for programs."""

    def decode(what: str, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise invalid(what, f"text of 1 to {longest} characters")
        return value

    return Form(decode, {"type": "string", "minLength": 1, "maxLength": longest}, "{}")


def nullable(decode: Callable[[str, Any], T]) -> Callable[[str, Any], T | None]:
    def decode_unless_null(what: str, value: Any) -> T | None:
        if isinstance(value, Probe):
            some = value.part("anyOf", "0")
            value.schema |= {"anyOf": [some.schema, {"type": "null"}]}
            return decode(what, some)
        return None if value is None else decode(what, value)

    return decode_unless_null


def elements(
    what: str, value: Any, decode: Callable[[str, Any], T], *, low: int = 0, distinct: bool = False
) -> list[T]:
    """Decode a list; the caller checks what `low` and `distinct` say, which are told to whoever asks."""
    if isinstance(value, Probe):
        item = value.part("items")
        value.schema |= {"type": "array", "items": item.schema, "minItems": low, "maxItems": MAX_LIST}
        value.schema |= {"uniqueItems": True} if distinct else {}
        return [decode(f"an element of {what}", item)]
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise invalid(what, f"a list of at most {MAX_LIST}")
    return [decode(f"an element of {what}", item) for item in value]


def check_sizes(arguments: Iterable[str]) -> None:
    if any(len(argument) > MAX_ARGUMENT for argument in arguments):
        raise FLError("FL-ARGUMENT-SIZE", f"an argument has more than {MAX_ARGUMENT} characters")


def _mapping(what: str, items: Any, key: Callable[[str, Any], str], value: Callable[[str, Any], T]) -> dict[str, T]:
    if isinstance(items, Probe):
        name, item = items.part("propertyNames"), items.part("additionalProperties")
        items.schema |= {"type": "object", "propertyNames": name.schema, "additionalProperties": item.schema}
        items.schema |= {"maxProperties": MAX_LIST}
        return {key(f"a key of {what}", name): value(what, item)}
    if not isinstance(items, dict) or len(items) > MAX_LIST:
        raise invalid(what, f"a JSON object of at most {MAX_LIST} fields")
    return {key(f"a key of {what}", entry): value(f"{what}.{entry}", items[entry]) for entry in sorted(items)}
