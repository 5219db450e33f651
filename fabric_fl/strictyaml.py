"""Strict reading of a YAML document whose errors name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fabric_fl.errors import FabricFLError

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")  # Python refuses to read some thousands of digits


class Field:
    """One node of the document, with the path that leads to it.

    Args:
        node: As `yaml.compose` gives it.
        path: The names that lead to it, joined by dots.
        source: The file.
        error_class: What a mistake raises.
    """

    def __init__(self, node: yaml.Node, path: str, source: str, error_class: type[FabricFLError]) -> None:
        self._node = node
        self._source = source
        self._error_class = error_class
        self.path = path

    def error(self, sentence: str) -> FabricFLError:
        where = f"{self.path}: " if self.path else ""
        return self._error_class(f"{self._source}, line {self._node.start_mark.line + 1}: {where}{sentence}")

    def mapping(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Field]:
        """Returns the fields by name; refuses missing, unknown and repeated ones."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("expected fields with names")
        fields: dict[str, Field] = {}
        for key, value in self._node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            field = self._inner(value, f"{self.path}.{name}" if self.path else name)
            # the key's own line, even where its value stands further down
            at = self._inner(key, field.path)
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
            yield self._inner(node, f"{self.path}[{index}]")

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

    def plain(self) -> Any:
        """Returns the node as nested dicts, lists, strings and integers; refuses every other kind of scalar."""
        if isinstance(self._node, yaml.MappingNode):
            names = tuple(str(key.value) for key, _ in self._node.value)
            return {name: field.plain() for name, field in self.mapping((), names).items()}
        if isinstance(self._node, yaml.SequenceNode):
            return [field.plain() for field in self.sequence(minimum=0)]
        if self._node.tag == "tag:yaml.org,2002:int":
            return self.integer(-(2**53) + 1, 2**53 - 1)
        return self._scalar("str", "text or a whole number")

    def _inner(self, node: yaml.Node, path: str) -> Field:
        return Field(node, path, self._source, self._error_class)

    def _scalar(self, kind: str, meaning: str) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error(f"expected {meaning}")
        if self._node.tag != f"tag:yaml.org,2002:{kind}":
            quote = " (put it in quotes)" if kind == "str" else ""
            raise self.error(f"expected {meaning}, found {self._node.value!r}{quote}")
        return str(self._node.value)


def load(path: Path, error_class: type[FabricFLError]) -> Field:
    """Reads the one document in the file at `path`.

    Raises:
        FabricFLError: As `error_class`: the file cannot be read, is no YAML or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise error_class(f"{path} cannot be read: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise error_class(f"{path}, line {line}: no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise error_class(f"{path}: no YAML: {error}") from error
    except RecursionError as error:
        raise error_class(f"{path}: no YAML: nested too deeply") from error
    if node is None:
        raise error_class(f"{path} is empty")
    return Field(node, "", str(path), error_class)
