"""Serves a certificate authority over TLS, inside a running event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fabric_fl.devnet.ca.app import create_app
from fabric_fl.devnet.ca.fabricca import FabricCA

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 1
_PATIENCE_SECONDS = 30.0
"""Within which a client must have begun a request; it has as long again to finish it."""
_MAX_CONNECTIONS = 500


class CAServer:
    """A TLS server for one CA; `start` and `stop` run in the caller's event loop.

    Args:
        ca: What it serves.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        certificate: PEM file of the server's certificate.
        key: PEM file of its private key.
    """

    def __init__(self, ca: FabricCA, host: str, port: int, certificate: Path, key: Path) -> None:
        self._ca = ca
        self._address = (host, port)
        self._files = (certificate, key)
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = port

    async def start(self) -> None:
        """Listens; when this returns, connections are accepted.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET)
        try:
            # Lets a restart follow at once; unlike SO_REUSEPORT, a port that is in use stays an error.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._address)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            create_app(self._ca),
            ssl_certfile=self._files[0],
            ssl_keyfile=self._files[1],
            http=_Patient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Embedded(config)
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"the CA's server on {self._address[0]}:{self.port} did not start")
            await asyncio.sleep(0.005)
        _log.info("%s listens on https://%s:%d", self._ca.name, self._address[0], self.port)

    async def stop(self) -> None:
        """Ends the server; requests that run get a second to finish."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        # Idle clients that keep their connections would hold them half closed for 30 seconds, TLS's way.
        for connection in list(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)
        self._server = self._task = None


class _Patient(H11Protocol):
    """A connection that ends when its client takes too long over a request, which uvicorn would wait for for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._seen: tuple[object, bool] | None = None
        self._check = self.loop.call_later(_PATIENCE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._check.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Ends the connection when there is no request yet, or still the one of the last look."""
        seen = (self.cycle, self.cycle is not None and self.cycle.response_complete)
        if self.cycle is None or seen == self._seen:
            self.transport.abort()
            return
        self._seen = seen
        self._check = self.loop.call_later(_PATIENCE_SECONDS, self._look)


class _Embedded(uvicorn.Server):
    """A server that leaves the process's signal handlers alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
