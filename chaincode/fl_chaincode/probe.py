"""What a decoder takes, found by asking the decoder itself.

A `Probe` is handed to a decoder in place of an argument. Every form that is applied to it (`args.Form`, `args.Fields`)
writes down its JSON Schema and goes on with an example, so that the description of an argument cannot differ from what
decodes it. Where a decoder goes on differently after a choice (``{"rule": "median"}`` or ``{"rule": "krum", …}``) it is
asked once for each choice.

References:
    https://json-schema.org/draft/2020-12
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fl_chaincode.errors import FLError

Schema = dict[str, Any]
Path = tuple[str, ...]


class Probe:
    """Stands for a value while a decoder is asked what it takes.

    Attributes:
        schema: what was found out; empty while no form was applied.
    """

    def __init__(self, asked: "_Asked", path: Path = ()) -> None:
        self.schema: Schema = {}
        self._asked = asked
        self._path = path

    def part(self, *path: str) -> "Probe":
        """Return the probe for a part of this value, which lies in the schema at this place."""
        return Probe(self._asked, (*self._path, *path))

    def choose(self, choices: Sequence[str]) -> str:
        """Return what this value is among its choices, the first if nothing else was asked for."""
        self._asked.choices[self._path] = choices
        return self._asked.chosen.get(self._path, choices[0])

    def close(self) -> None:
        """Say that all fields of this object were taken."""
        self._asked.closed.append(self._path)


@dataclass
class _Asked:
    """What a decoder is asked, and what it tells beside the schema."""

    chosen: Mapping[Path, str]
    choices: dict[Path, Sequence[str]] = field(default_factory=dict)
    closed: list[Path] = field(default_factory=list)


def describe(what: str, decode: Callable[[str, Any], Any]) -> Schema:
    """Return the JSON Schema of what a decoder takes."""
    schema, asked = _ask(what, decode, {})
    fields = {path: choices for path, choices in asked.choices.items() if path[-2:-1] == ("properties",)}
    for path, choices in sorted(fields.items(), key=lambda item: -len(item[0])):  # the innermost first
        variants = [_at(_ask(what, decode, {path: choice})[0], path[:-2]) for choice in choices]
        if any(variant != variants[0] for variant in variants):
            _replace(schema, path[:-2], {"oneOf": _distinct(variants, path[-1], choices)})
    return schema


def _ask(what: str, decode: Callable[[str, Any], Any], chosen: Mapping[Path, str]) -> tuple[Schema, _Asked]:
    asked = _Asked(chosen)
    probe = Probe(asked)
    try:
        decode(what, probe)
    except FLError:  # examples need not go together, once every field has been taken
        if not any(len(path) <= 1 for path in asked.closed):
            raise
    return probe.schema, asked


def _distinct(variants: Sequence[Schema], field: str, choices: Sequence[str]) -> list[Schema]:
    """Return the variants that differ, each with the choices that lead to it."""
    distinct: list[Schema] = []
    taken: list[list[str]] = []
    for variant, choice in zip(variants, choices, strict=True):
        if variant in distinct:
            taken[distinct.index(variant)].append(choice)
        else:
            distinct.append(variant)
            taken.append([choice])
    return [
        {**variant, "properties": {**variant["properties"], field: {"enum": names}}}
        for variant, names in zip(distinct, taken, strict=True)
    ]


def _at(schema: Any, path: Path) -> Any:
    for name in path:
        schema = schema[int(name)] if isinstance(schema, list) else schema[name]
    return schema


def _replace(schema: Schema, path: Path, value: Schema) -> None:
    target = _at(schema, path)
    target.clear()
    target.update(value)
