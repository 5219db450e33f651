"""Reading a profile's JSON or YAML: every value is asked for by name and type, every complaint names its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fabric_fl.errors import FabricFLError

_Value = TypeVar("_Value")
_KINDS = {str: "a text", int: "a number", dict: "an object", list: "a list"}


class ProfileError(FabricFLError):
    """An organisation's folder lacks a file, or a file says something that cannot be used."""

    code = "FL-PROFILE"
    remedy = "Correct the file that the message names, or write it anew with `fabric-fl network up`."


@dataclass(frozen=True)
class Section:
    """An object of the file, and where it stands there."""

    file: Path
    place: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, file: Path) -> Section:
        """Reads a whole file; YAML where its name says so, else JSON.

        Raises:
            ProfileError: The file is missing, unreadable or no object.
        """
        try:
            text = file.read_text(encoding="utf-8")
            values = yaml.safe_load(text) if file.suffix in (".yaml", ".yml") else json.loads(text)
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise ProfileError(f"{file}: {error}") from error
        if not isinstance(values, dict):
            raise ProfileError(f"{file}: expected an object, found {type(values).__name__}")
        return cls(file, "", values)

    def error(self, message: str) -> ProfileError:
        return ProfileError(f"{self.file}: {self.place or 'the file'}: {message}")

    def text(self, key: str) -> str:
        value = self._get(key, str)
        if not value:
            raise self.error(f"{key!r} is empty")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self.values else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Returns a list of texts; nothing where the key is absent."""
        values: list[Any] = self._get(key, list) if key in self.values else []
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(f"{key!r} is not a list of texts")
        return tuple(values)

    def section(self, key: str) -> Section:
        return Section(self.file, f"{self.place}.{key}".lstrip("."), self._get(key, dict))

    def optional_section(self, key: str) -> Section:
        """Returns an object, an empty one where the key is absent."""
        return self.section(key) if key in self.values else Section(self.file, f"{self.place}.{key}".lstrip("."), {})

    def sections(self, key: str) -> dict[str, Section]:
        """Returns an object of objects, such as ``peers``; nothing where the key is absent."""
        group = self.optional_section(key)
        return {name: group.section(name) for name in group.values}

    def certificates(self, key: str) -> bytes | None:
        """Returns the PEM of ``{"pem": …}`` or ``{"path": …}``; paths are relative to the file."""
        if key not in self.values:
            return None
        source = self.section(key)
        if "pem" in source.values:
            single = isinstance(source.values["pem"], str)
            pem = source.text("pem") if single else "\n".join(source.texts("pem"))
        else:
            path = self.file.parent / source.text("path")
            try:
                pem = path.read_text(encoding="ascii")
            except (OSError, ValueError) as error:
                raise source.error(f"{path}: {error}") from error
        if "-----BEGIN CERTIFICATE-----" not in pem:
            raise source.error("holds no certificate in PEM")
        return pem.encode()

    def only(self, *keys: str) -> None:
        """Refuses any other key.

        Raises:
            ProfileError: There is one.
        """
        unknown = sorted(set(self.values) - set(keys))
        if unknown:
            raise self.error(f"unknown field {unknown[0]!r}")

    def _get(self, key: str, kind: type[_Value]) -> _Value:
        if key not in self.values:
            raise self.error(f"{key!r} is missing")
        value = self.values[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(f"{key!r} should be {_KINDS[kind]}, and is {json.dumps(value, default=str)[:60]}")
        return value
