"""The chaincode's side of one peer's stream."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

import grpc
from fabric_protos.peer import chaincode_pb2
from google.protobuf.message import DecodeError

from fabric_ccaas.admission import Admission
from fabric_ccaas.chaincode import Chaincode, execute
from fabric_ccaas.config import ServerConfig
from fabric_ccaas.features import PeerFeatures
from fabric_ccaas.message import ChaincodeMessage, Message, type_name
from fabric_ccaas.response import Response
from fabric_ccaas.transaction import Transaction

logger = logging.getLogger(__name__)

BUSY = 503
_LAST_WRITE_SECONDS = 1.0
"""For which a peer may still take what is being sent when its stream ends."""


class Handler:
    """Registers at a peer, then runs the transactions that it sends, each in a thread of the pool.

    One task reads the stream and one writes it, because gRPC allows one operation each way at a time.
    """

    def __init__(self, chaincode: Chaincode, config: ServerConfig, pool: Executor, admission: Admission) -> None:
        self._chaincode = chaincode
        self._config = config
        self._pool = pool
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._transactions: dict[tuple[str, str], Transaction] = {}
        self._registered = False
        self._closing = False
        self._features: PeerFeatures | None = None

    async def run(self, context: grpc.aio.ServicerContext) -> None:
        """Talk to the peer until either side closes the stream."""
        chaincode_id = chaincode_pb2.ChaincodeID(name=self._config.chaincode_id)
        self._send(ChaincodeMessage(type=ChaincodeMessage.REGISTER, payload=chaincode_id.SerializeToString()))
        reader = asyncio.create_task(self._read(context.read))
        writer = asyncio.create_task(self._write(context.write))
        try:
            done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for transaction in self._transactions.values():
                transaction.close()
            reader.cancel()
            # gRPC cannot end a call in the middle of a write, so the writer is not cancelled but asked to end.
            self._outbox.put_nowait(None)
            await asyncio.wait((writer,), timeout=_LAST_WRITE_SECONDS)
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    def close(self) -> None:
        """End the stream as soon as no transaction runs on it any more and all is sent."""
        self._closing = True
        if not self._transactions:
            self._outbox.put_nowait(None)

    async def _read(self, read: Callable[[], Awaitable[Message]]) -> None:
        try:
            while (message := await read()) is not grpc.aio.EOF:
                if not self._accept(message):
                    return
        except DecodeError:
            logger.error("the peer sent bytes that are no message: its stream ends")  # noqa: TRY400 - that is all of it

    async def _write(self, write: Callable[[Message], Awaitable[None]]) -> None:
        while (message := await self._outbox.get()) is not None:
            await write(message)

    def _accept(self, message: Message) -> bool:
        """Act on a message of the peer; false for one that ends the stream."""
        if message.type == ChaincodeMessage.KEEPALIVE:
            self._send(message)
        elif self._features is None:
            return self._shake_hands(message)
        elif message.type in (ChaincodeMessage.TRANSACTION, ChaincodeMessage.INIT):
            self._begin(message)
        elif message.type in (ChaincodeMessage.RESPONSE, ChaincodeMessage.ERROR):
            transaction = self._transactions.get((message.channel_id, message.txid))
            if transaction is not None:  # otherwise it ended while the peer was answering
                transaction.deliver(message)
        else:
            logger.warning("the peer sent %s, which has no meaning here", type_name(message.type))
        return True

    def _shake_hands(self, message: Message) -> bool:
        if not self._registered and message.type == ChaincodeMessage.REGISTERED:
            self._registered = True
        elif self._registered and message.type == ChaincodeMessage.READY:
            self._features = PeerFeatures.parse(message.payload)
            logger.info("registered as %s, peer offers %s", self._config.chaincode_id, self._features)
        else:
            logger.error("the peer did not register the chaincode: it sent %s", type_name(message.type))
            return False
        return True

    def _begin(self, message: Message) -> None:
        assert self._features is not None
        key = (message.channel_id, message.txid)
        transaction = Transaction(*key, self._send_threadsafe, self._config.reply_timeout)
        twice = "the transaction is already running" if key in self._transactions else ""
        if refusal := twice or self._admission.enter():
            transaction.complete(Response.refusal(refusal, BUSY).serialize(), None)
            return
        self._transactions[key] = transaction
        running = self._loop.run_in_executor(self._pool, self._run, transaction, message, self._features)
        running.add_done_callback(lambda _: self._end(key))

    def _run(self, transaction: Transaction, message: Message, features: PeerFeatures) -> None:
        if not transaction.is_over:  # its stream may have ended while it waited for a thread
            execute(self._chaincode, transaction, message, features)

    def _end(self, key: tuple[str, str]) -> None:
        del self._transactions[key]
        self._admission.leave()
        if self._closing and not self._transactions:
            self._outbox.put_nowait(None)

    def _send(self, message: Message) -> None:
        self._outbox.put_nowait(message)

    def _send_threadsafe(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._send, message)
