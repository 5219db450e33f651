"""Chaincode as a service, seen from a peer: it dials out, and runs invocations on the stream.

Each organisation has its own stream to its own chaincode process, because a chaincode keys what it waits for by
channel and transaction id: one transaction of two organisations on one stream would mix their answers up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    chaincode_shim_pb2_grpc,
    proposal_pb2,
    proposal_response_pb2,
)

from fabric_fl.devnet.handler import ChaincodeError, Handler, Message, TransactionContext
from fabric_fl.devnet.transport import CHAINCODE_OPTIONS
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal

_log = logging.getLogger(__name__)

_BATCH = 1000
"""How many writes or reads one message may carry: Fabric's default."""


@dataclass(frozen=True)
class ChaincodeServer:
    """Where a chaincode process listens, in the words of a ccaas package's ``connection.json``.

    Attributes:
        address: ``host:port``.
        package_id: The CHAINCODE_ID it must register with; None takes any.
        root_cert: PEM that vouches for its TLS certificate; None means no TLS.
        client_cert: PEM of the peer's own certificate, where the chaincode asks for one.
        client_key: PEM of its key.
    """

    address: str
    package_id: str | None = None
    root_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"ChaincodeServer({self.address!r}, package_id={self.package_id!r}, tls={self.root_cert is not None})"

    def channel(self) -> grpc.aio.Channel:
        if self.root_cert is None:
            return grpc.aio.insecure_channel(self.address, options=CHAINCODE_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            self.root_cert.encode(),
            self.client_key.encode() if self.client_key else None,
            self.client_cert.encode() if self.client_cert else None,
        )
        return grpc.aio.secure_channel(self.address, credentials, options=CHAINCODE_OPTIONS)


@dataclass(frozen=True)
class EndorsementInfo:
    """What an endorser must know of a committed chaincode definition, or of a system chaincode."""

    version: str
    enforce_init: bool = False
    server: ChaincodeServer | None = None


@dataclass(frozen=True)
class TransactionParams:
    """One invocation's surroundings; a called chaincode shares its caller's."""

    channel_id: str
    tx_id: str
    signed_proposal: proposal_pb2.SignedProposal
    simulator: TxSimulator | None


class SystemChaincode(Protocol):
    """A chaincode that is part of the peer."""

    name: str

    def invoke(self, params: TransactionParams, args: list[bytes]) -> proposal_response_pb2.Response: ...


class ChaincodeStream:
    """A stream to one chaincode process, from registration to its end."""

    def __init__(self, name: str, server: ChaincodeServer, invoke: Callable[..., object]) -> None:
        self._name = name
        self._server = server
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self.handler = Handler(self._outgoing.put_nowait, invoke)  # type: ignore[arg-type]
        self.closed = False

    async def open(self, time_limit: float) -> None:
        """Dials and registers the chaincode.

        Args:
            time_limit: Seconds that a process which listens may take to register.

        Raises:
            ChaincodeError: Nobody listens, or who does is not this chaincode.
        """
        self._channel = self._server.channel()
        self._call = chaincode_shim_pb2_grpc.ChaincodeStub(self._channel).Connect()
        try:
            async with asyncio.timeout(time_limit):
                await self._register()
        except grpc.aio.AioRpcError as error:
            await self.close()
            raise ChaincodeError(
                f"connection to {self._name} failed: error creating grpc connection to {self._server.address}: "
                f"{error.details()}"
            ) from error
        except TimeoutError:
            await self.close()
            raise ChaincodeError(f"timeout expired while starting chaincode {self._name} for transaction") from None
        except BaseException:
            await self.close()
            raise
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    async def _register(self) -> None:
        message = await self._call.read()
        if message is grpc.aio.EOF or message.type != Message.REGISTER:
            raise ChaincodeError(f"chaincode registration failed: {self._server.address} did not register")
        registered = unmarshal(chaincode_pb2.ChaincodeID, message.payload).name
        if registered == "":
            raise ChaincodeError(
                "chaincode registration failed: error in handling register chaincode, chaincodeID name is empty"
            )
        if self._server.package_id not in (None, registered):
            raise ChaincodeError(
                f"chaincode registration failed: the chaincode at {self._server.address} registered as {registered}, "
                f"expected {self._server.package_id}: set its CHAINCODE_ID"
            )
        await self._call.write(Message(type=Message.REGISTERED))
        parameters = chaincode_pb2.ChaincodeAdditionalParams(
            use_write_batch=True,
            max_size_write_batch=_BATCH,
            use_get_multiple_keys=True,
            max_size_get_multiple_keys=_BATCH,
        )
        await self._call.write(Message(type=Message.READY, payload=parameters.SerializeToString()))

    async def _write(self) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader sees the stream's end too
            while True:
                await self._call.write(await self._outgoing.get())

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self.handler.handle(message)
            _log.warning("chaincode %s at %s ended its stream", self._name, self._server.address)
        except grpc.aio.AioRpcError as error:
            _log.warning("lost chaincode %s at %s: %s", self._name, self._server.address, error.details())
        except ChaincodeError as error:
            _log.warning("ending the stream of chaincode %s at %s: %s", self._name, self._server.address, error)
        except Exception:  # noqa: BLE001 -- whatever it is, the transactions on this stream must hear of its end
            _log.exception("ending the stream of chaincode %s at %s", self._name, self._server.address)
        finally:
            self.closed = True
            self.handler.terminate()
            self._tasks[0].cancel()
            await self._channel.close()

    async def close(self) -> None:
        self.closed = True
        self.handler.terminate()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()


class ChaincodeSupport:
    """Runs chaincodes for one organisation's peer.

    Args:
        endorsement_info: Looks a chaincode up by channel and name, in a simulator.
        builtins: The system chaincodes by name.
        execute_timeout: Seconds that an invocation may take.
        startup_timeout: Seconds that a chaincode may take to register.
    """

    def __init__(
        self,
        endorsement_info: Callable[[str, str, TxSimulator | None], EndorsementInfo],
        builtins: Mapping[str, SystemChaincode],
        *,
        execute_timeout: float = 30.0,
        startup_timeout: float = 30.0,
    ) -> None:
        self._endorsement_info = endorsement_info
        self._builtins = dict(builtins)
        self._execute_timeout = execute_timeout
        self._startup_timeout = startup_timeout
        # By chaincode id, as in Fabric, and by server, which changes with the package.
        self._streams: dict[tuple[str, ChaincodeServer], asyncio.Task[ChaincodeStream]] = {}

    def is_system_chaincode(self, name: str) -> bool:
        return name in self._builtins

    async def execute(
        self, params: TransactionParams, name: str, chaincode_input: chaincode_pb2.ChaincodeInput
    ) -> tuple[proposal_response_pb2.Response, chaincode_event_pb2.ChaincodeEvent | None]:
        """Runs a chaincode and returns its response and event, however the response's status reads.

        Raises:
            ChaincodeError: It did not run to its end.
        """
        try:
            message = await self._invoke(params, name, chaincode_input)
        except ChaincodeError as error:
            raise ChaincodeError(f"failed to execute transaction {params.tx_id}: {error}") from error
        if message.type == Message.ERROR:
            raise ChaincodeError(f"transaction returned with failure: {message.payload.decode(errors='replace')}")
        try:
            response = unmarshal(proposal_response_pb2.Response, message.payload)
        except MalformedMessage as error:
            raise ChaincodeError(f"failed to unmarshal response for transaction {params.tx_id}: {error}") from error
        if not message.HasField("chaincode_event"):
            return response, None
        event = message.chaincode_event
        event.chaincode_id = name
        event.tx_id = params.tx_id
        return response, event

    async def _invoke(
        self, params: TransactionParams, name: str, chaincode_input: chaincode_pb2.ChaincodeInput
    ) -> Message:
        if name in self._builtins:
            response = self._builtins[name].invoke(params, list(chaincode_input.args))
            return Message(type=Message.COMPLETED, payload=response.SerializeToString(), txid=params.tx_id)
        kind, server = self._check_invocation(params, name, chaincode_input)
        stream = await self._launch(name, server)
        context = TransactionContext(
            channel_id=params.channel_id,
            tx_id=params.tx_id,
            namespace=name,
            simulator=params.simulator,
            signed_proposal=params.signed_proposal,
            completed=asyncio.get_running_loop().create_future(),
        )
        message = Message(
            type=kind,
            payload=chaincode_input.SerializeToString(),
            txid=params.tx_id,
            channel_id=params.channel_id,
            proposal=params.signed_proposal,
        )
        try:
            return await stream.handler.execute(context, message, self._execute_timeout)
        except ChaincodeError as error:
            raise ChaincodeError(f"error sending: {error}") from error

    def _check_invocation(
        self, params: TransactionParams, name: str, chaincode_input: chaincode_pb2.ChaincodeInput
    ) -> tuple[int, ChaincodeServer]:
        try:
            info = self._endorsement_info(params.channel_id, name, params.simulator)
        except ChaincodeError as error:
            raise ChaincodeError(
                f"invalid invocation: [channel {params.channel_id}] failed to get chaincode container info "
                f"for {name}: {error}"
            ) from error
        assert info.server is not None  # the system chaincodes, which have none, are taken before
        if not info.enforce_init:
            if chaincode_input.is_init:
                raise ChaincodeError(
                    f"invalid invocation: chaincode '{name}' does not require initialization but called as init"
                )
            return Message.TRANSACTION, info.server
        assert params.simulator is not None
        initialized = params.simulator.get_state(name, _INITIALIZED) == info.version.encode()
        if chaincode_input.is_init:
            if initialized:
                raise ChaincodeError(
                    f"invalid invocation: chaincode '{name}' is already initialized but called as init"
                )
            params.simulator.put_state(name, _INITIALIZED, info.version.encode())
            return Message.INIT, info.server
        if not initialized:
            raise ChaincodeError(
                f"invalid invocation: chaincode '{name}' has not been initialized for this version, "
                "must call as init first"
            )
        return Message.TRANSACTION, info.server

    async def _launch(self, name: str, server: ChaincodeServer) -> ChaincodeStream:
        """Returns the stream that is open, or opens one; callers that come meanwhile wait for the same."""
        key = (server.package_id or name, server)
        task = self._streams.get(key)
        if task is None or (task.done() and (task.exception() is not None or task.result().closed)):
            task = asyncio.create_task(self._open(name, server))
            self._streams[key] = task
        try:
            return await asyncio.shield(task)
        except ChaincodeError as error:
            raise ChaincodeError(f"could not launch chaincode {server.package_id or name}: {error}") from error

    async def _open(self, name: str, server: ChaincodeServer) -> ChaincodeStream:
        stream = ChaincodeStream(server.package_id or name, server, self._invoke_from_chaincode)
        await stream.open(self._startup_timeout)
        return stream

    async def _invoke_from_chaincode(
        self, caller: TransactionContext, channel_id: str, name: str, chaincode_input: chaincode_pb2.ChaincodeInput
    ) -> Message:
        if channel_id != caller.channel_id:
            raise ChaincodeError(f"failed to find ledger for channel: {channel_id}")
        params = TransactionParams(channel_id, caller.tx_id, caller.signed_proposal, caller.simulator)
        return await self._invoke(params, name, chaincode_input)

    async def close(self) -> None:
        """Closes every stream; what runs on them fails."""
        tasks = list(self._streams.values())
        self._streams.clear()
        for task in tasks:
            if not task.done():
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, ChaincodeStream):
                await result.close()


_INITIALIZED = "\x00\U0010ffffinitialized"
"""The key in a chaincode's namespace that holds the version which was initialised (Fabric's)."""
