"""Half a gRPC client: HTTP/2 frames over TLS, written by hand so that they can be left unfinished.

References:
    RFC 9113 (frames), RFC 7541 (headers, here always as literals without indexing).
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import BinaryIO

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
_END_HEADERS = 4


def tls_connection(host: str, port: int, roots: bytes) -> ssl.SSLSocket:
    """Connects as a gRPC client does; nothing of HTTP/2 has been said yet."""
    context = ssl.create_default_context(cadata=roots.decode())
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(socket.create_connection((host, port), 10), server_hostname=host)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def read_frame(incoming: BinaryIO) -> tuple[int, bytes]:
    """Reads a frame; returns its type and payload."""
    head = incoming.read(9)
    return head[3], incoming.read(int.from_bytes(head[:3]))


def settings() -> bytes:
    return frame(SETTINGS, 0, 0, b"")


def call_headers(stream: int, path: str) -> bytes:
    """Returns the beginning of a call of a gRPC method."""
    headers = {
        ":method": "POST",
        ":scheme": "https",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
    return frame(HEADERS, _END_HEADERS, stream, block)


def message(stream: int, data: bytes, announced: int | None = None) -> bytes:
    """Returns a gRPC message, or as much of one as there is when more is announced."""
    length = len(data) if announced is None else announced
    return frame(DATA, 0, stream, b"\x00" + struct.pack(">I", length) + data)


def _text(value: str) -> bytes:
    assert len(value) < 0x7F
    return bytes([len(value)]) + value.encode()
