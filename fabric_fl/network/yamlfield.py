"""Strict reading of a YAML document whose errors name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from fabric_fl.network.errors import ConsortiumError

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


class Field:
    """One node of the document, with the path that leads to it."""

    def __init__(self, node: yaml.Node, path: str, source: str) -> None:
        self._node = node
        self._source = source
        self.path = path

    def error(self, sentence: str) -> ConsortiumError:
        where = f"{self.path}: " if self.path else ""
        return ConsortiumError(f"{self._source}, line {self._node.start_mark.line + 1}: {where}{sentence}")

    def mapping(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Field]:
        """Returns the fields by name; refuses missing, unknown and repeated ones."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("expected fields with names")
        fields: dict[str, Field] = {}
        for key, value in self._node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            field = Field(value, f"{self.path}.{name}" if self.path else name, self._source)
            # the key's own line, even where its value stands further down
            at = Field(key, field.path, self._source)
            if name not in required + optional:
                raise at.error(f"unknown field; known are {', '.join(required + optional)}")
            if name in fields:
                raise at.error("given twice")
            fields[name] = field
        missing = [name for name in required if name not in fields]
        if missing:
            raise self.error(f"{', '.join(missing)} missing")
        return fields

    def sequence(self, minimum: int = 1, maximum: int = 1000) -> Iterator[Field]:
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error("expected a list")
        if not minimum <= len(self._node.value) <= maximum:
            raise self.error(f"expected {minimum} to {maximum} entries, found {len(self._node.value)}")
        for index, node in enumerate(self._node.value):
            yield Field(node, f"{self.path}[{index}]", self._source)

    def string(self, pattern: str, meaning: str) -> str:
        value = self._scalar("str", meaning)
        if re.fullmatch(pattern, value) is None:
            raise self.error(f"expected {meaning}, found {value!r}")
        return value

    def integer(self, minimum: int, maximum: int) -> int:
        meaning = f"a whole number from {minimum} to {maximum}"
        value = self._scalar("int", meaning)
        # YAML 1.1 also reads 0x10, 1_000 and 010 as integers: three ways to mean something else
        if _INTEGER.fullmatch(value) is None or not minimum <= int(value) <= maximum:
            raise self.error(f"expected {meaning}, found {value}")
        return int(value)

    def _scalar(self, kind: str, meaning: str) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error(f"expected {meaning}")
        if self._node.tag != f"tag:yaml.org,2002:{kind}":
            quote = " (put it in quotes)" if kind == "str" else ""
            raise self.error(f"expected {meaning}, found {self._node.value!r}{quote}")
        return str(self._node.value)


def load(path: Path) -> Field:
    """Reads the one document in the file at `path`.

    Raises:
        ConsortiumError: The file cannot be read, is no YAML or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConsortiumError(f"{path} cannot be read: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConsortiumError(f"{path}, line {line}: no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConsortiumError(f"{path}: no YAML: {error}") from error
    if node is None:
        raise ConsortiumError(f"{path} is empty")
    return Field(node, "", str(path))
