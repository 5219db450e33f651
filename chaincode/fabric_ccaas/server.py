"""A chaincode as a service: a gRPC server that peers dial."""

import asyncio
import logging
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
from fabric_protos.peer import chaincode_shim_pb2_grpc

from fabric_ccaas.admission import Admission
from fabric_ccaas.chaincode import Chaincode
from fabric_ccaas.config import ServerConfig
from fabric_ccaas.errors import ConfigError
from fabric_ccaas.grpcserver import new_server
from fabric_ccaas.handler import Handler
from fabric_ccaas.health import Health
from fabric_ccaas.message import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

SERVICE = "protos.Chaincode"
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # else a second process takes half of the peers' connections, silently
    # A peer pings its idle stream every minute; by default gRPC hangs up on it with `too_many_pings`.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Server:
    """Serves one chaincode to any number of peers, on the event loop that runs `start`."""

    def __init__(self, chaincode: Chaincode, config: ServerConfig) -> None:
        self._chaincode = chaincode
        self._config = config
        self._admission = Admission(config.max_in_flight)
        self._health = Health(SERVICE)
        self._handlers: set[Handler] = set()
        self._stopping = False
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="rule")
        self._server = new_server(options=OPTIONS)
        chaincode_shim_pb2_grpc.add_ChaincodeServicer_to_server(self, self._server)
        self._health.add_to(self._server)

    async def start(self) -> str:
        """Listen.

        Returns:
            The address, with the port that was taken if 0 was asked for.

        Raises:
            ConfigError: The port is taken, or the address is not of this machine.
        """
        address, tls = self._config.address, self._config.tls
        _check_address(address)
        try:
            if tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, tls.server_credentials())
        except RuntimeError:
            raise ConfigError(f"cannot listen on {address}: gRPC refuses it") from None
        await self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    async def stop(self) -> bool:
        """Refuse new transactions, let running ones end, close the streams: no peer ever closes one.

        Returns:
            Whether every transaction ended in time.
        """
        self._stopping = True
        self._health.stop()
        # From here on the port is free, so that a peer whose stream ends finds the process that replaces this one.
        stopping = asyncio.create_task(self._server.stop(grace=self._config.drain_timeout))
        for handler in self._handlers:
            handler.close()
        drained = await self._admission.drain(self._config.drain_timeout)
        await stopping
        self._pool.shutdown(wait=drained, cancel_futures=True)
        return drained

    async def Connect(self, _requests: object, context: grpc.aio.ServicerContext) -> None:  # noqa: N802 - Fabric's name
        """Serve a peer's stream (protos.Chaincode/Connect)."""
        if self._stopping:  # it came in as the port was being closed
            return
        handler = Handler(self._chaincode, self._config, self._pool, self._admission)
        self._handlers.add(handler)
        try:
            await handler.run(context)
        finally:
            self._handlers.discard(handler)


def serve(chaincode: Chaincode, config: ServerConfig) -> None:
    """Serve a chaincode until SIGTERM or SIGINT, then drain.

    Raises:
        ConfigError: It cannot listen.
    """
    if not asyncio.run(_serve(chaincode, config)):
        # A rule's thread cannot be ended from outside, and the interpreter would wait for it for ever.
        logger.error("transactions were still running after %g s", config.drain_timeout)
        logging.shutdown()
        os._exit(1)


async def _serve(chaincode: Chaincode, config: ServerConfig) -> bool:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(chaincode, config)
    address = await server.start()
    if config.tls is None:
        logger.warning("TLS is off: whoever reaches this port speaks as a peer")
    logger.info("chaincode %s listens on %s", config.chaincode_id, address)
    await stopping.wait()
    logger.info("shutting down")
    return await server.stop()


def _check_address(address: str) -> None:
    """Try an address with the operating system, which says why not; gRPC fails without a reason and logs at length."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, *_, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # As gRPC does: connections that have just ended do not keep a port from a new process.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {error.strerror or error}") from None
