"""The base of all records: frozen data classes whose fields are exactly the fields of their JSON.

Compatibility law: a field is never removed and never changes its meaning; a new one has a default; a record of another
schema, or with a field that this version does not know, is refused.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from fl_chaincode import canonical
from fl_chaincode.errors import FLError

SCHEMA = 1
_AS_IT_IS = (str, int)  # types whose JSON needs no change: most fields of most records


class Value:
    """A part of a record. Subclasses are frozen data classes; `NESTED` names the fields that are such parts."""

    NESTED: ClassVar[Mapping[str, type["Value"]]] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object: every field, by its name; tuples become lists."""
        return {name: plain(value) for name, value in _items(self).items()}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read a JSON object that `to_json` wrote.

        Raises:
            FLError: FL-RECORD-SCHEMA where a field is missing or not known.
        """
        if not isinstance(value, dict) or value.keys() != cls.__dataclass_fields__.keys():  # type: ignore[attr-defined]
            cls._check_fields(value)
        return cls(**{name: cls._field(name, item) for name, item in value.items()})

    @classmethod
    def _check_fields(cls, value: Any) -> None:
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if not isinstance(value, dict) or any(name not in fields for name in value):
            raise FLError("FL-RECORD-SCHEMA", f"this is no {cls.__name__} record of schema {SCHEMA}")
        if any(name not in value and is_required(field) for name, field in fields.items()):
            raise FLError("FL-RECORD-SCHEMA", f"this {cls.__name__} record lacks a field")

    @classmethod
    def _field(cls, name: str, item: Any) -> Any:
        if type(item) in _AS_IT_IS and name not in cls.NESTED:
            return item
        if item is None and cls.__dataclass_fields__[name].default is None:  # type: ignore[attr-defined]
            return None
        return cls.NESTED[name].from_json(item) if name in cls.NESTED else _frozen(item)


class Record(Value):
    """What stands under one key of the world state, with a `schema` beside its fields.

    `PREFIX` and the fields in `KEY` make the key: text as it is, numbers with eight digits, joined by ``/``.
    """

    PREFIX: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def key_of(cls, *parts: str | int) -> str:
        """Return the key, or with fewer parts the beginning that such keys share."""
        return "/".join([cls.PREFIX, *(f"{part:08d}" if isinstance(part, int) else part for part in parts)])

    @property
    def key(self) -> str:
        return self.key_of(*(getattr(self, name) for name in self.KEY))

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **super().to_json()}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise FLError("FL-RECORD-SCHEMA", f"this {cls.__name__} record is not of schema {SCHEMA}")
        return super().from_json({name: item for name, item in value.items() if name != "schema"})

    def encode(self) -> bytes:
        return canonical.encode(self.to_json())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls.from_json(canonical.decode(data))


def _items(value: Value) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}  # type: ignore[arg-type]


def is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.to_json()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
