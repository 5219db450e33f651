"""A web server that answers with a compressed bomb: what comes out of it is refused, and costs no memory."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator

import pytest

UNPACKED = 256 << 20
READING = """
import json, sys
from pathlib import Path
from fabric_fl.blobs import BlobCorruptError, BlobStore
import aiohttp, fsspec.implementations.http  # not what is measured
def peak():
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
store, before, found = BlobStore(sys.argv[1]), peak(), []
for size in map(int, sys.argv[2:]):
    try:
        store.path("a" * 64, size)
    except BlobCorruptError as error:
        found.append(str(error))
print(json.dumps({"grown": peak() - before, "refusals": found}))
"""


class Bomb(http.server.BaseHTTPRequestHandler):
    """Compresses whatever is asked for."""

    protocol_version = "HTTP/1.1"
    body: bytes
    says_length: bool

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        if self.says_length:
            self.send_header("Content-Length", str(len(self.body)))
        self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.body)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # who reads has seen enough
            super().handle()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def body() -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packing.compress(bytes(1 << 20)) for _ in range(UNPACKED >> 20)) + packing.flush()


@pytest.fixture(params=[True, False], ids=["length said", "no length"])
def url(request: pytest.FixtureRequest, body: bytes) -> Iterator[str]:
    handler = type("Handler", (Bomb,), {"body": body, "says_length": request.param})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/blobs"
        server.shutdown()
        thread.join()


def test_a_compressed_bomb_from_the_web_is_refused_and_costs_no_memory(url: str, body: bytes, record_property) -> None:
    assert len(body) < 1 << 20
    command = [sys.executable, "-c", READING, url, "1000", str(UNPACKED)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    record_property("grown_mib", found["grown"] >> 20)
    assert found["grown"] <= 64 << 20
    beyond, other = found["refusals"]
    assert "has more than 1000 bytes" in beyond
    assert "what was sent as" in other  # all of it was read, and has another digest
