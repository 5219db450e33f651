"""Whatever a chaincode sends its peer: an answer, a refusal, or the end of its stream; and nothing else is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from byte_changes import mutations
from devnet_ledgers import CHAINCODE, LedgerOnTrial
from devnet_shim import Message, Stream, call, chaincode_process, each_transaction, params, support
from fabric_protos.peer import chaincode_pb2, proposal_pb2
from fabric_protos.peer import chaincode_shim_pb2 as shim
from hypothesis import example, given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.handler import ChaincodeError, Handler, TransactionContext
from fabric_fl.fabric.ledger.rwset import TxRWSet

_METADATA = shim.QueryMetadata(pageSize=3, bookmark="b").SerializeToString()
_SPEC = chaincode_pb2.ChaincodeSpec(chaincode_id=chaincode_pb2.ChaincodeID(name="other/fl"), input=call("f"))
REQUESTS: dict[int, Any] = {
    Message.GET_STATE: shim.GetState(key="a"),
    Message.GET_STATE_MULTIPLE: shim.GetStateMultiple(keys=["a", "b"]),
    Message.PUT_STATE: shim.PutState(key="a", value=b"v"),
    Message.DEL_STATE: shim.DelState(key="a"),
    Message.WRITE_BATCH_STATE: shim.WriteBatchState(rec=[shim.WriteRecord(key="a", value=b"v")] * 2),
    Message.GET_STATE_BY_RANGE: shim.GetStateByRange(startKey="a", endKey="z", metadata=_METADATA),
    Message.GET_HISTORY_FOR_KEY: shim.GetHistoryForKey(key="a"),
    Message.GET_QUERY_RESULT: shim.GetQueryResult(query="{}"),
    Message.QUERY_STATE_NEXT: shim.QueryStateNext(id="1"),
    Message.QUERY_STATE_CLOSE: shim.QueryStateClose(id="1"),
    Message.INVOKE_CHAINCODE: _SPEC,
    Message.PUT_STATE_METADATA: shim.PutStateMetadata(key="a"),
    Message.GET_PRIVATE_DATA_HASH: shim.GetState(key="a"),
}
WRITING = {Message.PUT_STATE, Message.DEL_STATE, Message.WRITE_BATCH_STATE}


@pytest.fixture(scope="module")
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    trial.put(dict.fromkeys("abcdefgh", b"1"))
    yield trial
    trial.close()


async def _call_another(*_: object) -> Message:
    return Message(type=Message.COMPLETED)


async def answers_to(trial: LedgerOnTrial, messages: list[Message]) -> tuple[list[Message], set[str]]:
    """Sends what a chaincode sends in one transaction; returns the peer's answers and the keys that are written."""
    answers: list[Message] = []
    handler = Handler(answers.append, _call_another)
    with trial.simulate() as simulator:
        completed: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        proposal = proposal_pb2.SignedProposal()
        context = TransactionContext("fl", "tx1", CHAINCODE, simulator, proposal, completed)
        running = asyncio.create_task(handler.execute(context, Message(type=Message.TRANSACTION), 5))
        await asyncio.sleep(0)
        answers.clear()
        for message in messages:
            try:
                handler.handle(message)
            except ChaincodeError:
                break
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if not completed.done():
            completed.set_result(Message(type=Message.COMPLETED))
        await running
        written = simulator.results()
    parts = TxRWSet.parse(written).namespaces if written else ()
    return answers, {write.key for part in parts for write in part.kv.writes}


KINDS = st.sampled_from(sorted(REQUESTS))


@st.composite
def requests(draw: st.DrawFn) -> Message:
    kind = draw(KINDS)
    payload = draw(mutations(REQUESTS[draw(st.one_of(st.just(kind), KINDS))].SerializeToString()))
    return Message(type=kind, payload=payload, txid="tx1", channel_id="fl")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(200, factor=20)
@given(st.lists(requests(), min_size=1, max_size=6))
def test_every_request_of_a_transaction_is_answered_once_under_its_name(
    trial: LedgerOnTrial, messages: list[Message]
) -> None:
    answers, written = asyncio.run(answers_to(trial, messages))
    assert len(answers) == len(messages)
    for answer in answers:
        assert answer.type in (Message.RESPONSE, Message.ERROR)
        assert (answer.txid, answer.channel_id) == ("tx1", "fl")
    if not any(message.type in WRITING for message in messages):
        assert not written


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(200, factor=20)
@given(
    st.builds(
        Message,
        type=st.integers(-5, 60),
        payload=st.binary(max_size=60),
        txid=st.sampled_from(["", "tx2", "tx1 "]),
        channel_id=st.sampled_from(["", "fl", "elsewhere"]),
    )
)
@example(Message(type=9999, txid="tx1", channel_id="fl"))
def test_who_names_no_transaction_of_its_own_gets_at_no_ledger(trial: LedgerOnTrial, message: Message) -> None:
    answers, written = asyncio.run(answers_to(trial, [message]))
    assert all(answer.type == Message.ERROR for answer in answers)
    assert not written


@pytest.mark.parametrize("garbage", [b"\x0b" * 10_000, b"\x0a\xff", b"\x12" + b"\xff" * 20])
def test_bytes_that_are_no_message_end_the_stream_and_the_call(garbage: bytes) -> None:
    async def test() -> None:
        async def misbehave(stream: Stream, transaction: Message) -> None:
            await stream.send_bytes(garbage)
            await stream.receive()

        async with (
            chaincode_process(each_transaction(misbehave)) as address,
            support({"cc": ChaincodeServer(address)}) as peer,
        ):
            with pytest.raises(ChaincodeError, match="stream terminated"):
                await peer.execute(params(None), "cc", call("f"))

    asyncio.run(asyncio.wait_for(test(), 20))
