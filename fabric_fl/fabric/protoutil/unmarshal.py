"""Reading messages that others wrote: every failure is one error that names the message."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

_Message = TypeVar("_Message", bound=Message)


class MalformedMessage(ValueError):  # noqa: N818 -- what it is, not that it is an error
    """Bytes that are not the message they should be, or a message that lacks a part."""


def unmarshal(message_type: type[_Message], data: bytes) -> _Message:
    """Parses ``data``.

    Raises:
        MalformedMessage: It is no ``message_type``.
    """
    message = message_type()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise MalformedMessage(f"error unmarshalling {message_type.DESCRIPTOR.name}: {error}") from error
    return message
