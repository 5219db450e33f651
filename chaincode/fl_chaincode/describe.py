"""The schema of all contracts, made of the definitions that calls are decoded, judged and answered by.

Its form is that of Fabric's contract metadata (contracts, transactions, parameters, components), with what Fabric's
does not have: roles, keys and error codes.

References:
    https://hyperledger.github.io/fabric-chaincode-node/main/api/contract-schema.json
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from fl_chaincode import probe
from fl_chaincode.codec import SCHEMA, Record, Value, is_required
from fl_chaincode.errors import HELP
from fl_chaincode.kinds import KINDS
from fl_chaincode.probe import Schema
from fl_chaincode.state import Reader

if typing.TYPE_CHECKING:
    from fl_chaincode.functions import Query, Write

_META = "https://hyperledger.github.io/fabric-chaincode-node/main/api/contract-schema.json"
_PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}


def describe(_state: Reader) -> dict[str, Any]:
    """Return the schema of all contracts: functions, arguments, roles, records and error codes."""
    from fl_chaincode.functions import FUNCTIONS  # which names this function, too

    contracts: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Schema] = {}
    for name, entry in FUNCTIONS.items():
        contract, _, function = name.partition(":")
        described = contracts.setdefault(contract, {"name": contract, "transactions": []})
        described["transactions"].append({"name": function, **_function(name, entry, schemas)})
    for kind in KINDS.values():
        _component(kind, schemas)
    return {
        "$schema": _META,
        "info": {"title": "fl", "version": str(SCHEMA)},
        "contracts": contracts,
        "components": {"schemas": schemas},
        "errors": dict(HELP),
    }


def _function(name: str, entry: "Query | Write", components: dict[str, Schema]) -> dict[str, Any]:
    from fl_chaincode.functions import Write

    least = len(entry.arguments) - (entry.optional if isinstance(entry, Write) else 0)
    parameters = [
        {"name": argument, "schema": _argument(f"{name}.{argument}", decode, components), "required": index < least}
        for index, (argument, decode) in enumerate(entry.arguments.items())
    ]
    described = {
        "description": summary(entry.rule),
        "parameters": parameters,
        "returns": schema_of(typing.get_type_hints(entry.rule)["return"], components),
    }
    if isinstance(entry, Write):
        return {**described, "tag": ["submit"], "role": entry.role, "participant": _standing(entry)}
    return {**described, "tag": ["evaluate"]}


def _standing(entry: "Write") -> str | None:
    """Return what the caller's organisation must be, by its record on the ledger."""
    return "active" if entry.active else "not suspended" if entry.owner else None


def _argument(name: str, decode: Callable[[str, str], Any], components: dict[str, Schema]) -> Schema:
    """Return the schema of an argument; one that is JSON has its content among the components."""
    schema = probe.describe(name, decode)
    if "contentSchema" in schema:
        components[name] = schema["contentSchema"]
        schema["contentSchema"] = {"$ref": f"#/components/schemas/{name}"}
    return schema


def _component(kind: type[Value], components: dict[str, Schema]) -> None:
    hints = typing.get_type_hints(kind)
    properties = {field.name: schema_of(hints[field.name], components) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    described = {"$id": kind.__name__, "type": "object", "description": summary(kind)}
    if issubclass(kind, Record):
        properties = {"schema": {"type": "integer", "minimum": SCHEMA, "maximum": SCHEMA}, **properties}
        described["key"] = "/".join([kind.PREFIX, *(f"<{part}>" for part in kind.KEY)])
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    later = [field.name for field in fields if not is_required(field)]  # records of before lack them
    required = [name for name in properties if name not in later]
    components[kind.__name__] = {
        **described,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _answer(kind: Any, components: dict[str, Schema]) -> None:
    hints = typing.get_type_hints(kind)
    components[kind.__name__] = {
        "$id": kind.__name__,
        "type": "object",
        "description": summary(kind),
        "properties": {name: schema_of(hint, components) for name, hint in hints.items()},
        "required": [name for name in hints if name in kind.__required_keys__],
        "additionalProperties": False,
    }


def schema_of(hint: Any, components: dict[str, Schema]) -> Schema:
    """Return the schema of a value with this type; parts of records are added to the components."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema_of(one, components) for one in inner]}
    if origin in (tuple, list):
        return {"type": "array", "items": schema_of(inner[0], components)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1], components)}
    if hint.__name__ not in components:
        (_answer if typing.is_typeddict(hint) else _component)(hint, components)
    return {"$ref": f"#/components/schemas/{hint.__name__}"}


def summary(described: Any) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join((described.__doc__ or "").split("\n\n")[0].split())
