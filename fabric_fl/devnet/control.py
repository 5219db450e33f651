"""The control interface: faults on request from another process, over loopback, a JSON object a line.

    {"fault": "lag", "arguments": {"msp_id": "Org1MSP"}}  →  {"result": null}  or  {"error": "…"}

It is no HTTP, so that no web page in somebody's browser can reach it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
from typing import Any

from fabric_fl.devnet.faults import Faults

FAULTS = (
    "fail_endorsement",
    "alter_endorsements",
    "delay_commit_status",
    "drop_commit_status",
    "stall_ordering",
    "resume_ordering",
    "reorder",
    "cut_streams",
    "lag",
    "catch_up",
    "fill_disk",
    "free_disk",
    "clear",
)
"""What may be asked for: methods of `Faults`."""

_MAX_LINE = 64 * 1024
_TIMEOUT = 10.0


class ControlServer:
    """Lets local processes ask for faults.

    Args:
        faults: Whose methods are called.
        msp_ids: The organisations that a request may name.
    """

    def __init__(self, faults: Faults, msp_ids: tuple[str, ...]) -> None:
        self._faults = faults
        self._msp_ids = msp_ids
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listens on loopback; port 0 is any free one.

        Raises:
            OSError: The port is taken.
        """
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_MAX_LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _TIMEOUT)
            writer.write(json.dumps(self._answer(line)).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # nobody there, or a line without an end: nothing to answer
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            name, arguments = request["fault"], request.get("arguments", {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {"error": 'a request is {"fault": "…", "arguments": {…}}'}
        if name not in FAULTS or not isinstance(arguments, dict):
            return {"error": f"there is no fault {name!r}; there are: {', '.join(FAULTS)}"}
        method = getattr(self._faults, name)
        try:
            inspect.signature(method).bind(**arguments)
        except TypeError as error:
            return {"error": f"{name}: {error}"}
        if arguments.get("msp_id", self._msp_ids[0]) not in self._msp_ids:
            return {"error": f"{name}: there is no organisation {arguments['msp_id']!r}"}
        if any(not isinstance(value, int | float) for key, value in arguments.items() if key != "msp_id"):
            return {"error": f"{name}: every argument but msp_id is a number"}
        return {"result": method(**arguments)}


def request_fault(port: int, name: str, **arguments: Any) -> Any:
    """Asks the devnet whose control interface is at ``port`` for a fault.

    Raises:
        ValueError: It cannot do that.
    """
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT) as connection:
        connection.sendall(json.dumps({"fault": name, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(connection.makefile().readline())
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["result"]
