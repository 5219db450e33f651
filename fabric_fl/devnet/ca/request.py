"""A request as the handlers see it: already read, not yet believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from fabric_fl.devnet.ca.errors import BAD_BODY, EMPTY_BODY, RequestRefused

_Value = TypeVar("_Value")
_TRUE = {"1", "t", "true"}
_FALSE = {"", "0", "f", "false"}


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: GET, POST, PUT, DELETE or HEAD.
        uri: Path and query exactly as sent: tokens sign it.
        authorization: The header's value, empty where there is none.
        body: As sent.
        query: Decoded parameters.
        name: What the path names: an identity or an affiliation.
    """

    method: str
    uri: str
    authorization: str = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str]
    name: str = ""

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The body's JSON object, its keys in lower case because Go's decoder ignores case.

        Raises:
            RequestRefused: The body is something else.
        """
        if not self.body:
            return {}
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise RequestRefused(400, BAD_BODY, f"Invalid request body: {error}") from error
        if not isinstance(value, dict):
            raise RequestRefused(400, BAD_BODY, "Invalid request body: not an object")
        return {str(key).lower(): each for key, each in value.items() if each is not None}

    def require_body(self) -> None:
        """Raises the refusal of an empty body where there has to be one."""
        if not self.body:
            raise RequestRefused(400, EMPTY_BODY, "Empty request body")

    def text(self, key: str) -> str:
        return self._field(key, str, "")

    def integer(self, key: str) -> int:
        value = self._field(key, int, 0)
        if isinstance(value, bool) or abs(value) >= 2**31:
            raise RequestRefused(400, BAD_BODY, f"Invalid request body: {key} is no number that it can be")
        return value

    def boolean(self, key: str) -> bool:
        return self._field(key, bool, False)

    def objects(self, key: str) -> list[dict[str, Any]] | None:
        """Returns a list of objects, or None where the body has no such key."""
        if key not in self.fields:
            return None
        values: list[Any] = self._field(key, list, [])
        if not all(isinstance(value, dict) for value in values):
            raise RequestRefused(400, BAD_BODY, f"Invalid request body: {key} is not a list of objects")
        return values

    def texts(self, key: str) -> list[str]:
        values: list[Any] = self._field(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise RequestRefused(400, BAD_BODY, f"Invalid request body: {key} is not a list of strings")
        return values

    def flag(self, key: str) -> bool:
        """Returns a boolean parameter of the query."""
        value = self.query.get(key, "").lower()
        if value not in _TRUE | _FALSE:
            raise RequestRefused(400, BAD_BODY, f"Failed to correctly parse value of '{key}' query parameter: {value}")
        return value in _TRUE

    def _field(self, key: str, kind: type[_Value], default: _Value) -> _Value:
        value = self.fields.get(key, default)
        if not isinstance(value, kind):
            raise RequestRefused(400, BAD_BODY, f"Invalid request body: {key} is not a {kind.__name__}")
        return value
