"""A chaincode process that says exactly what a test wants, and what a peer needs to run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
from fabric_protos.peer import (
    chaincode_pb2,
    chaincode_shim_pb2,
    proposal_pb2,
    proposal_response_pb2,
)

from fabric_fl.devnet.chaincode import ChaincodeServer, ChaincodeSupport, EndorsementInfo, TransactionParams
from fabric_fl.fabric.ledger.simulator import TxSimulator

Message = chaincode_shim_pb2.ChaincodeMessage


class StreamEnded(Exception):  # noqa: N818 -- no error
    """The peer has closed the stream, or the script wants it to end."""


class Stream:
    """The chaincode's end of a stream: sends and receives whole messages."""

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self._context = context
        self.received: list[Message] = []

    async def send(self, kind: int, payload: bytes = b"", **fields: object) -> None:
        await self.send_bytes(Message(type=kind, payload=payload, **fields).SerializeToString())

    async def send_bytes(self, data: bytes) -> None:
        """Sends what need not be a message."""
        await self._context.write(data)

    async def receive(self) -> Message:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StreamEnded
        self.received.append(message)
        return message

    async def register(self, name: str = "cc_1.0") -> None:
        """Goes through the registration; what the peer sent is in `received`."""
        await self.send(Message.REGISTER, chaincode_pb2.ChaincodeID(name=name).SerializeToString())
        await self.receive()
        await self.receive()

    async def ask(self, transaction: Message, kind: int, request: object) -> Message:
        """Sends a request of a transaction and returns the peer's answer to it."""
        payload = request.SerializeToString() if hasattr(request, "SerializeToString") else request
        await self.send(kind, payload, txid=transaction.txid, channel_id=transaction.channel_id)
        return await self.receive()

    async def complete(self, transaction: Message, payload: bytes = b"", status: int = 200, **fields: object) -> None:
        response = proposal_response_pb2.Response(status=status, payload=payload)
        await self.send(
            Message.COMPLETED,
            response.SerializeToString(),
            txid=transaction.txid,
            channel_id=transaction.channel_id,
            **fields,
        )


Script = Callable[[Stream], Awaitable[None]]


def _service(script: Script) -> grpc.GenericRpcHandler:
    async def connect(request_iterator: object, context: grpc.aio.ServicerContext) -> None:
        with suppress(StreamEnded):
            await script(Stream(context))

    handler = grpc.stream_stream_rpc_method_handler(
        connect, request_deserializer=Message.FromString, response_serializer=bytes
    )
    return grpc.method_handlers_generic_handler("protos.Chaincode", {"Connect": handler})


@asynccontextmanager
async def chaincode_process(
    script: Script, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Serves a script for every stream that is dialled; yields the address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers([_service(script)])
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)


def each_transaction(handle: Callable[[Stream, Message], Awaitable[None]]) -> Script:
    """Returns a script that registers and then handles one transaction after the other."""

    async def script(stream: Stream) -> None:
        await stream.register()
        while True:
            await handle(stream, await stream.receive())

    return script


@asynccontextmanager
async def support(
    servers: dict[str, ChaincodeServer], *, enforce_init: bool = False, **arguments: float
) -> AsyncIterator[ChaincodeSupport]:
    """A peer's chaincode support that knows these chaincodes."""

    def info(channel_id: str, name: str, simulator: TxSimulator | None) -> EndorsementInfo:
        return EndorsementInfo("1.0", enforce_init=enforce_init, server=servers[name])

    made = ChaincodeSupport(info, {}, **arguments)
    try:
        yield made
    finally:
        await made.close()


def params(simulator: TxSimulator | None, tx_id: str = "tx1", channel: str = "fl") -> TransactionParams:
    return TransactionParams(channel, tx_id, proposal_pb2.SignedProposal(proposal_bytes=b"proposal"), simulator)


def call(*args: str, is_init: bool = False) -> chaincode_pb2.ChaincodeInput:
    return chaincode_pb2.ChaincodeInput(args=[each.encode() for each in args], is_init=is_init)
