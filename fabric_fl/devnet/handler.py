"""The peer's side of one chaincode stream: which request is answered how, and by whose simulator.

Transport is `fabric_fl.devnet.chaincode`'s; here is the protocol that Fabric's ``core/chaincode/handler.go``
speaks. Every answer echoes channel and transaction id, because a chaincode runs many transactions on one stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, proposal_pb2

from fabric_fl.fabric.ledger.simulator import ResultsIterator, SimulationError, TxSimulator
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal

_log = logging.getLogger(__name__)

Message: TypeAlias = chaincode_shim_pb2.ChaincodeMessage

NO_PRIVATE_DATA = "devnet has no private data collections: run the chaincode on Hyperledger Fabric to use them"
NO_KEY_LEVEL_ENDORSEMENT = (
    "devnet has no key-level endorsement policies: run the chaincode on Hyperledger Fabric to use them"
)


class ChaincodeError(Exception):
    """A call or a request that fails, in Fabric's words; the sender is told."""


@dataclass
class TransactionContext:
    """One running invocation on a stream."""

    channel_id: str
    tx_id: str
    namespace: str
    simulator: TxSimulator | None
    signed_proposal: proposal_pb2.SignedProposal
    completed: asyncio.Future[Message]
    iterators: dict[str, ResultsIterator] = field(default_factory=dict)
    invocation: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Gives up what still runs in this invocation's name."""
        if self.invocation is not None:
            self.invocation.cancel()
        for iterator in self.iterators.values():
            iterator.close()
        self.iterators.clear()


Invoke = Callable[[TransactionContext, str, str, chaincode_pb2.ChaincodeInput], Awaitable[Message]]
"""Runs another chaincode for a context: (caller, channel, name, input) → the callee's COMPLETED."""


class Handler:
    """Answers one chaincode's requests; knows the transactions that run on its stream.

    Args:
        send: Queues a message for the stream.
        invoke: Runs another chaincode in the caller's simulator.
    """

    def __init__(self, send: Callable[[Message], None], invoke: Invoke) -> None:
        self._send = send
        self._invoke = invoke
        self._contexts: dict[tuple[str, str], TransactionContext] = {}
        self._iterators = 0
        self._requests: dict[int, Callable[[bytes, TransactionContext], bytes]] = {
            Message.GET_STATE: self._get_state,
            Message.GET_STATE_MULTIPLE: self._get_state_multiple,
            Message.PUT_STATE: self._put_state,
            Message.DEL_STATE: self._del_state,
            Message.WRITE_BATCH_STATE: self._write_batch,
            Message.GET_STATE_BY_RANGE: self._get_state_by_range,
            Message.GET_HISTORY_FOR_KEY: self._get_history_for_key,
            Message.QUERY_STATE_NEXT: self._query_state_next,
            Message.QUERY_STATE_CLOSE: self._query_state_close,
            Message.GET_QUERY_RESULT: self._get_query_result,
            Message.GET_STATE_METADATA: _refuse(NO_KEY_LEVEL_ENDORSEMENT),
            Message.PUT_STATE_METADATA: _refuse(NO_KEY_LEVEL_ENDORSEMENT),
            Message.GET_PRIVATE_DATA_HASH: _refuse(NO_PRIVATE_DATA),
            Message.PURGE_PRIVATE_DATA: _refuse(NO_PRIVATE_DATA),
        }

    async def execute(self, context: TransactionContext, message: Message, time_limit: float) -> Message:
        """Sends an invocation and waits for its end.

        Args:
            context: The invocation; its simulator collects the reads and writes.
            message: TRANSACTION or INIT.
            time_limit: Seconds until the chaincode is given up; what it sends later finds no transaction.

        Raises:
            ChaincodeError: It took too long, or the stream was lost.
        """
        key = (context.channel_id, context.tx_id)
        if key in self._contexts:
            raise ChaincodeError(f"txid: {context.tx_id}({context.channel_id}) exists")
        self._contexts[key] = context
        try:
            self._send(message)
            async with asyncio.timeout(time_limit):
                return await context.completed
        except TimeoutError:
            raise ChaincodeError("timeout expired while executing transaction") from None
        finally:
            del self._contexts[key]
            context.end()

    def terminate(self) -> None:
        """Fails everything that runs: the stream is gone."""
        for context in self._contexts.values():
            if not context.completed.done():
                context.completed.set_exception(ChaincodeError("chaincode stream terminated"))

    def handle(self, message: Message) -> None:
        """Answers one message of a chaincode that is ready.

        Raises:
            ChaincodeError: No chaincode may send this; the stream must end.
        """
        if message.type == Message.KEEPALIVE:
            return
        context = self._contexts.get((message.channel_id, message.txid))
        if message.type in (Message.COMPLETED, Message.ERROR):
            if context is not None and not context.completed.done():
                context.completed.set_result(message)
            return
        if message.type != Message.INVOKE_CHAINCODE and message.type not in self._requests:
            raise ChaincodeError(
                f"[{message.txid[:8]}] peer cannot handle message ({_name(message.type)}) while in ready state"
            )
        if context is None or context.simulator is None:
            self._refuse(message, "no ledger context")
        elif context.invocation is not None:
            # Fabric drops it too: a second request of a transaction would get the first one's answer.
            _log.error("[%s] another request is pending for this transaction: dropped", message.txid[:8])
        elif message.type == Message.INVOKE_CHAINCODE:
            context.invocation = asyncio.get_running_loop().create_task(self._invoke_chaincode(message, context))
        else:
            try:
                self._respond(message, self._requests[message.type](message.payload, context))
            except (ChaincodeError, SimulationError, MalformedMessage) as error:
                self._refuse(message, str(error))

    async def _invoke_chaincode(self, message: Message, context: TransactionContext) -> None:
        try:
            spec = unmarshal(chaincode_pb2.ChaincodeSpec, message.payload)
            # The name may read "chaincode:version/channel"; the version means nothing (Fabric's ParseName).
            name, _, channel = spec.chaincode_id.name.partition("/")
            answer = await self._invoke(context, channel or context.channel_id, name.partition(":")[0], spec.input)
        except MalformedMessage as error:
            context.invocation = None
            self._refuse(message, str(error))
        except Exception as error:  # noqa: BLE001 -- without an answer the caller would wait until its time is up
            if not isinstance(error, ChaincodeError | SimulationError):
                _log.exception("[%s] calling a chaincode failed", message.txid[:8])
            context.invocation = None
            self._refuse(message, f"execute failed: {error}")
        else:
            context.invocation = None
            self._respond(message, answer.SerializeToString())

    def _respond(self, request: Message, payload: bytes) -> None:
        self._send(Message(type=Message.RESPONSE, payload=payload, txid=request.txid, channel_id=request.channel_id))

    def _refuse(self, request: Message, reason: str) -> None:
        text = f"{_name(request.type)} failed: transaction ID: {request.txid}: {reason}"
        self._send(Message(type=Message.ERROR, payload=text.encode(), txid=request.txid, channel_id=request.channel_id))

    def _get_state(self, payload: bytes, context: TransactionContext) -> bytes:
        request = _public(chaincode_shim_pb2.GetState, payload)
        return _simulator(context).get_state(context.namespace, request.key) or b""

    def _get_state_multiple(self, payload: bytes, context: TransactionContext) -> bytes:
        request = _public(chaincode_shim_pb2.GetStateMultiple, payload)
        values = _simulator(context).get_states(context.namespace, list(request.keys))
        result = chaincode_shim_pb2.GetStateMultipleResult(values=[value or b"" for value in values])
        serialized: bytes = result.SerializeToString()
        return serialized

    def _put_state(self, payload: bytes, context: TransactionContext) -> bytes:
        request = _public(chaincode_shim_pb2.PutState, payload)
        _simulator(context).put_state(context.namespace, request.key, request.value)
        return b""

    def _del_state(self, payload: bytes, context: TransactionContext) -> bytes:
        request = _public(chaincode_shim_pb2.DelState, payload)
        _simulator(context).del_state(context.namespace, request.key)
        return b""

    def _write_batch(self, payload: bytes, context: TransactionContext) -> bytes:
        simulator = _simulator(context)
        record_type = chaincode_shim_pb2.WriteRecord
        for record in unmarshal(chaincode_shim_pb2.WriteBatchState, payload).rec:
            if record.collection or record.type == record_type.PURGE_PRIVATE_DATA:
                raise ChaincodeError(NO_PRIVATE_DATA)
            if record.type == record_type.PUT_STATE:
                simulator.put_state(context.namespace, record.key, record.value)
            elif record.type == record_type.DEL_STATE:
                simulator.del_state(context.namespace, record.key)
            elif record.type == record_type.PUT_STATE_METADATA:
                raise ChaincodeError(NO_KEY_LEVEL_ENDORSEMENT)
            else:
                raise ChaincodeError("unknown operation type")
        return b""

    def _get_state_by_range(self, payload: bytes, context: TransactionContext) -> bytes:
        request = _public(chaincode_shim_pb2.GetStateByRange, payload)
        paging = unmarshal(chaincode_shim_pb2.QueryMetadata, request.metadata)
        simulator = _simulator(context)
        if paging.pageSize or paging.bookmark:
            iterator = simulator.get_state_by_range_with_pagination(
                context.namespace, request.startKey, request.endKey, paging.pageSize, paging.bookmark
            )
        else:
            iterator = simulator.get_state_by_range(context.namespace, request.startKey, request.endKey)
        return self._open(iterator, context)

    def _get_history_for_key(self, payload: bytes, context: TransactionContext) -> bytes:
        request = unmarshal(chaincode_shim_pb2.GetHistoryForKey, payload)
        return self._open(_simulator(context).get_history_for_key(context.namespace, request.key), context)

    def _get_query_result(self, payload: bytes, context: TransactionContext) -> bytes:
        _public(chaincode_shim_pb2.GetQueryResult, payload)
        raise ChaincodeError("ExecuteQuery not supported for leveldb")

    def _open(self, iterator: ResultsIterator, context: TransactionContext) -> bytes:
        self._iterators += 1
        identifier = str(self._iterators)
        context.iterators[identifier] = iterator
        return self._next_batch(identifier, context)

    def _next_batch(self, identifier: str, context: TransactionContext) -> bytes:
        iterator = context.iterators.get(identifier)
        if iterator is None:
            raise ChaincodeError("query iterator not found")
        response = iterator.respond(identifier)
        if not response.has_more:
            context.iterators.pop(identifier).close()
        serialized: bytes = response.SerializeToString()
        return serialized

    def _query_state_next(self, payload: bytes, context: TransactionContext) -> bytes:
        return self._next_batch(unmarshal(chaincode_shim_pb2.QueryStateNext, payload).id, context)

    def _query_state_close(self, payload: bytes, context: TransactionContext) -> bytes:
        identifier = unmarshal(chaincode_shim_pb2.QueryStateClose, payload).id
        iterator = context.iterators.pop(identifier, None)
        if iterator is not None:
            iterator.close()
        serialized: bytes = chaincode_shim_pb2.QueryResponse(has_more=False, id=identifier).SerializeToString()
        return serialized


def _name(kind: int) -> str:
    name: str = Message.Type.Name(kind) if kind in Message.Type.values() else str(kind)
    return name


def _public(message_type: Any, payload: bytes) -> Any:
    request = unmarshal(message_type, payload)
    if request.collection:
        raise ChaincodeError(NO_PRIVATE_DATA)
    return request


def _refuse(reason: str) -> Callable[[bytes, TransactionContext], bytes]:
    def answer(payload: bytes, context: TransactionContext) -> bytes:
        raise ChaincodeError(reason)

    return answer


def _simulator(context: TransactionContext) -> TxSimulator:
    assert context.simulator is not None  # `Handler.handle` lets no other context through
    return context.simulator
