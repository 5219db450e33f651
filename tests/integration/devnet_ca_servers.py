"""Certificate authorities for tests: devnet's in a thread, and Fabric's own program where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from devnet_ca_http import REGISTRAR, organization_ca

from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.registry import Registry
from fabric_fl.devnet.ca.server import CAServer
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.profile import Authority
from fabric_fl.network.engine import find_program


def authority(organization: Organization, port: int, name: str = "") -> Authority:
    return Authority("ca", f"https://localhost:{port}", name, organization.tls_ca.certificate_pem, REGISTRAR)


@contextlib.contextmanager
def devnet_ca(organization: Organization, folder: Path) -> Iterator[tuple[FabricCA, Authority]]:
    """Serves an organisation's CA from an event loop in a thread, as devnet does."""
    organization.save(folder / "org")
    registry = Registry(folder / "ca.db")
    ca = organization_ca(organization, registry)
    server = CAServer(ca, "127.0.0.1", 0, folder / "org/tls/server.crt", folder / "org/tls/server.key")
    serving, stopping = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.start()
        serving.set()
        await stopping.wait()
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert serving.wait(10)
        yield ca, authority(organization, server.port, ca.name)
    finally:
        loops[0].call_soon_threadsafe(stopping.set)
        thread.join(10)
        registry.close()


@contextlib.contextmanager
def fabric_ca(organization: Organization, folder: Path) -> Iterator[Authority]:
    """Runs Fabric's own server with the organisation's keys; skips the test where there is no such program."""
    program = find_program("fabric-ca-server", os.environ)
    if program is None:
        pytest.skip("fabric-ca-server is not on PATH or in FABRIC_BIN")
    organization.save(folder / "org")
    port, operations = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "FABRIC_CA_SERVER_HOME": str(folder / "server"),
        "FABRIC_CA_SERVER_CA_NAME": "ca-org1",
        "FABRIC_CA_SERVER_CA_CERTFILE": str(folder / "org/ca/cert.pem"),
        "FABRIC_CA_SERVER_CA_KEYFILE": str(folder / "org/ca/key.pem"),
        "FABRIC_CA_SERVER_TLS_ENABLED": "true",
        "FABRIC_CA_SERVER_TLS_CERTFILE": str(folder / "org/tls/server.crt"),
        "FABRIC_CA_SERVER_TLS_KEYFILE": str(folder / "org/tls/server.key"),
        "FABRIC_CA_SERVER_OPERATIONS_LISTENADDRESS": f"127.0.0.1:{operations}",
        "FABRIC_CA_SERVER_ADDRESS": "127.0.0.1",
        "FABRIC_CA_SERVER_PORT": str(port),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "start", "-b", ":".join(REGISTRAR)], env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(port, process)
            yield authority(organization, port, "ca-org1")
        finally:
            process.terminate()
            process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the server did not listen on {port}")
