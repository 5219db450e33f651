"""Protobuf's wire format, for the messages that have no published bindings."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """Encodes an unsigned number, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """Encodes a length-delimited field: bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content
