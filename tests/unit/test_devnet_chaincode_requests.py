"""The peer's side of the chaincode protocol: what a running transaction may ask for, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from devnet_ledgers import CHAINCODE, LedgerOnTrial
from devnet_shim import Message, Stream, call, chaincode_process, each_transaction, params, support
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import chaincode_pb2
from fabric_protos.peer import chaincode_shim_pb2 as shim

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.handler import NO_KEY_LEVEL_ENDORSEMENT, NO_PRIVATE_DATA, ChaincodeError
from fabric_fl.fabric.ledger.rwset import TxRWSet

Rule = Callable[[Stream, Message], Awaitable[None]]


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def simulate(trial: LedgerOnTrial, rule: Rule) -> TxRWSet:
    """Runs one transaction of a chaincode that follows the rule; returns what it read and wrote."""

    async def completing(stream: Stream, transaction: Message) -> None:
        await rule(stream, transaction)
        await stream.complete(transaction)

    async def test() -> bytes:
        async with (
            chaincode_process(each_transaction(completing)) as address,
            support({CHAINCODE: ChaincodeServer(address)}) as peer,
        ):
            with trial.simulate() as simulator:
                await peer.execute(params(simulator), CHAINCODE, call("f"))
                return simulator.results()

    return TxRWSet.parse(asyncio.run(asyncio.wait_for(test(), 20)))


def writes(results: TxRWSet) -> dict[str, bytes | None]:
    (part,) = results.namespaces
    return {write.key: None if write.is_delete else write.value for write in part.kv.writes}


def refusal(trial: LedgerOnTrial, kind: int, request: object) -> str:
    """Returns the text with which a request of a transaction ``tx1`` is refused."""
    texts: list[str] = []

    async def rule(stream: Stream, transaction: Message) -> None:
        answer = await stream.ask(transaction, kind, request)
        assert answer.type == Message.ERROR
        assert (answer.txid, answer.channel_id) == ("tx1", "fl")
        texts.append(answer.payload.decode())

    simulate(trial, rule)
    return texts[0]


def test_reads_see_the_committed_state_and_never_the_transactions_own_writes(trial):
    trial.put({"k": b"old"})

    async def rule(stream: Stream, transaction: Message) -> None:
        put = await stream.ask(transaction, Message.PUT_STATE, shim.PutState(key="k", value=b"new"))
        got = await stream.ask(transaction, Message.GET_STATE, shim.GetState(key="k"))
        assert (put.type, put.payload) == (Message.RESPONSE, b"")
        assert (got.type, got.payload) == (Message.RESPONSE, b"old")

    assert writes(simulate(trial, rule)) == {"k": b"new"}


def test_a_key_that_is_not_there_is_a_response_without_payload(trial):
    async def rule(stream: Stream, transaction: Message) -> None:
        got = await stream.ask(transaction, Message.GET_STATE, shim.GetState(key="nothing"))
        assert (got.type, got.payload) == (Message.RESPONSE, b"")

    (part,) = simulate(trial, rule).namespaces
    (read,) = part.kv.reads
    assert read.key == "nothing"
    assert not read.HasField("version")


def test_many_keys_are_read_at_once_in_the_order_in_which_they_were_asked_for(trial):
    trial.put({"a": b"1", "c": b"3"})

    async def rule(stream: Stream, transaction: Message) -> None:
        got = await stream.ask(transaction, Message.GET_STATE_MULTIPLE, shim.GetStateMultiple(keys=["c", "b", "a"]))
        assert list(shim.GetStateMultipleResult.FromString(got.payload).values) == [b"3", b"", b"1"]

    (part,) = simulate(trial, rule).namespaces
    assert [read.key for read in part.kv.reads] == ["a", "b", "c"]


def test_a_batch_writes_and_deletes_in_its_order(trial):
    async def rule(stream: Stream, transaction: Message) -> None:
        record = shim.WriteRecord
        batch = shim.WriteBatchState(
            rec=[
                record(type=record.PUT_STATE, key="a", value=b"1"),
                record(type=record.PUT_STATE, key="b", value=b"1"),
                record(type=record.DEL_STATE, key="a"),
                record(type=record.PUT_STATE, key="b", value=b"2"),
            ]
        )
        assert (await stream.ask(transaction, Message.WRITE_BATCH_STATE, batch)).type == Message.RESPONSE

    assert writes(simulate(trial, rule)) == {"a": None, "b": b"2"}


def test_a_deletion_is_a_write(trial):
    async def rule(stream: Stream, transaction: Message) -> None:
        assert (await stream.ask(transaction, Message.DEL_STATE, shim.DelState(key="a"))).type == Message.RESPONSE

    assert writes(simulate(trial, rule)) == {"a": None}


def test_a_range_of_250_keys_comes_in_batches_of_100(trial):
    trial.put({f"k{number:03d}": b"v" for number in range(250)})

    async def rule(stream: Stream, transaction: Message) -> None:
        request = shim.GetStateByRange(startKey="k", endKey="l")
        answer = await stream.ask(transaction, Message.GET_STATE_BY_RANGE, request)
        batches = [shim.QueryResponse.FromString(answer.payload)]
        while batches[-1].has_more:
            following = shim.QueryStateNext(id=batches[0].id)
            answer = await stream.ask(transaction, Message.QUERY_STATE_NEXT, following)
            batches.append(shim.QueryResponse.FromString(answer.payload))
        keys = [
            kv_query_result_pb2.KV.FromString(result.resultBytes).key for batch in batches for result in batch.results
        ]
        assert [len(batch.results) for batch in batches] == [100, 100, 50]
        assert keys == [f"k{number:03d}" for number in range(250)]
        ended = await stream.ask(transaction, Message.QUERY_STATE_NEXT, shim.QueryStateNext(id=batches[0].id))
        assert ended.payload.endswith(b"query iterator not found")

    simulate(trial, rule)


def test_a_page_ends_with_a_bookmark_where_the_next_one_begins(trial):
    trial.put({f"k{number}": b"v" for number in range(5)})

    async def page(stream: Stream, transaction: Message, bookmark: str) -> tuple[int, str]:
        paging = shim.QueryMetadata(pageSize=3, bookmark=bookmark).SerializeToString()
        request = shim.GetStateByRange(startKey="k", endKey="l", metadata=paging)
        answer = await stream.ask(transaction, Message.GET_STATE_BY_RANGE, request)
        response = shim.QueryResponse.FromString(answer.payload)
        assert not response.has_more
        metadata = shim.QueryResponseMetadata.FromString(response.metadata)
        return metadata.fetched_records_count, metadata.bookmark

    async def rule(stream: Stream, transaction: Message) -> None:
        assert await page(stream, transaction, "") == (3, "k3")
        assert await page(stream, transaction, "k3") == (2, "")

    simulate(trial, rule)


def test_closing_a_query_ends_it(trial):
    trial.put({f"k{number:03d}": b"v" for number in range(150)})

    async def rule(stream: Stream, transaction: Message) -> None:
        request = shim.GetStateByRange(startKey="k", endKey="l")
        answer = await stream.ask(transaction, Message.GET_STATE_BY_RANGE, request)
        identifier = shim.QueryResponse.FromString(answer.payload).id
        closed = await stream.ask(transaction, Message.QUERY_STATE_CLOSE, shim.QueryStateClose(id=identifier))
        assert shim.QueryResponse.FromString(closed.payload) == shim.QueryResponse(id=identifier)
        more = await stream.ask(transaction, Message.QUERY_STATE_NEXT, shim.QueryStateNext(id=identifier))
        assert more.type == Message.ERROR

    simulate(trial, rule)


def test_history_comes_newest_first_with_deletions(trial):
    trial.put({"k": b"1"})
    trial.put({"k": b""})
    trial.put({"k": b"2"})

    async def rule(stream: Stream, transaction: Message) -> None:
        answer = await stream.ask(transaction, Message.GET_HISTORY_FOR_KEY, shim.GetHistoryForKey(key="k"))
        found = [
            kv_query_result_pb2.KeyModification.FromString(result.resultBytes)
            for result in shim.QueryResponse.FromString(answer.payload).results
        ]
        assert [(each.value, each.is_delete) for each in found] == [(b"2", False), (b"", True), (b"1", False)]

    simulate(trial, rule)


@pytest.mark.parametrize(
    ("kind", "request_", "reason"),
    [
        ("GET_STATE", shim.GetState(key="k", collection="c"), NO_PRIVATE_DATA),
        ("GET_STATE_MULTIPLE", shim.GetStateMultiple(keys=["k"], collection="c"), NO_PRIVATE_DATA),
        ("PUT_STATE", shim.PutState(key="k", value=b"v", collection="c"), NO_PRIVATE_DATA),
        ("DEL_STATE", shim.DelState(key="k", collection="c"), NO_PRIVATE_DATA),
        ("GET_STATE_BY_RANGE", shim.GetStateByRange(collection="c"), NO_PRIVATE_DATA),
        ("GET_QUERY_RESULT", shim.GetQueryResult(query="{}", collection="c"), NO_PRIVATE_DATA),
        ("GET_PRIVATE_DATA_HASH", shim.GetState(key="k", collection="c"), NO_PRIVATE_DATA),
        ("PURGE_PRIVATE_DATA", shim.DelState(key="k", collection="c"), NO_PRIVATE_DATA),
        ("GET_STATE_METADATA", shim.GetStateMetadata(key="k"), NO_KEY_LEVEL_ENDORSEMENT),
        ("PUT_STATE_METADATA", shim.PutStateMetadata(key="k"), NO_KEY_LEVEL_ENDORSEMENT),
        ("GET_QUERY_RESULT", shim.GetQueryResult(query="{}"), "ExecuteQuery not supported for leveldb"),
        (
            "WRITE_BATCH_STATE",
            shim.WriteBatchState(rec=[shim.WriteRecord(type=shim.WriteRecord.PUT_STATE_METADATA, key="k")]),
            NO_KEY_LEVEL_ENDORSEMENT,
        ),
        (
            "WRITE_BATCH_STATE",
            shim.WriteBatchState(rec=[shim.WriteRecord(type=shim.WriteRecord.PUT_STATE, key="k", collection="c")]),
            NO_PRIVATE_DATA,
        ),
        ("WRITE_BATCH_STATE", shim.WriteBatchState(rec=[shim.WriteRecord(key="k")]), "unknown operation type"),
    ],
)
def test_what_devnet_has_not_is_refused_with_a_sentence(trial, kind, request_, reason):
    text = refusal(trial, Message.Type.Value(kind), request_)
    assert text == f"{kind} failed: transaction ID: tx1: {reason}"


def test_a_request_that_cannot_be_read_is_refused(trial):
    assert "error unmarshalling PutState" in refusal(trial, Message.PUT_STATE, b"\xff\xff\xff")


def test_a_write_after_a_page_is_refused_and_nothing_is_written(trial):
    async def rule(stream: Stream, transaction: Message) -> None:
        paging = shim.QueryMetadata(pageSize=3).SerializeToString()
        await stream.ask(transaction, Message.GET_STATE_BY_RANGE, shim.GetStateByRange(metadata=paging))
        put = await stream.ask(transaction, Message.PUT_STATE, shim.PutState(key="k", value=b"v"))
        assert put.type == Message.ERROR
        assert b"already performed a paginated query" in put.payload

    assert writes(simulate(trial, rule)) == {}


def test_a_transaction_that_does_not_run_has_no_ledger(trial):
    async def rule(stream: Stream, transaction: Message) -> None:
        other = Message(txid="another", channel_id="fl")
        answer = await stream.ask(other, Message.PUT_STATE, shim.PutState(key="k", value=b"v"))
        assert answer.payload == b"PUT_STATE failed: transaction ID: another: no ledger context"

    simulate(trial, rule)


class TestCallingAnotherChaincode:
    @staticmethod
    def calling(name: str, *args: str) -> Rule:
        async def rule(stream: Stream, transaction: Message) -> None:
            spec = chaincode_pb2.ChaincodeSpec(chaincode_id=chaincode_pb2.ChaincodeID(name=name), input=call(*args))
            answer = await stream.ask(transaction, Message.INVOKE_CHAINCODE, spec)
            await stream.complete(transaction, answer.payload, status=200 if answer.type == Message.RESPONSE else 500)

        return rule

    @staticmethod
    async def writing(stream: Stream, transaction: Message) -> None:
        await stream.ask(transaction, Message.PUT_STATE, shim.PutState(key="k", value=b"inner"))
        await stream.complete(transaction, b"from the callee")

    def execute(self, trial: LedgerOnTrial, name: str) -> tuple[int, bytes, TxRWSet]:
        """Runs ``outer``, which calls ``name``, where there is ``inner``."""

        async def test() -> tuple[int, bytes, bytes]:
            async with (
                chaincode_process(each_transaction(self.calling(name, "f"))) as outer,
                chaincode_process(each_transaction(self.writing)) as inner,
                support({"outer": ChaincodeServer(outer), "inner": ChaincodeServer(inner)}) as peer,
            ):
                with trial.simulate() as simulator:
                    response, _ = await peer.execute(params(simulator), "outer", call("g"))
                    return response.status, response.payload, simulator.results()

        status, payload, results = asyncio.run(asyncio.wait_for(test(), 20))
        return status, payload, TxRWSet.parse(results)

    @pytest.mark.parametrize("name", ["inner", "inner:7.0", "inner:7.0/fl", "inner/fl"])
    def test_the_answer_is_the_callees_and_its_writes_are_in_its_own_namespace(self, trial, name):
        status, payload, results = self.execute(trial, name)
        completed = Message.FromString(payload)
        assert status == 200
        assert completed.type == Message.COMPLETED
        assert b"from the callee" in completed.payload
        assert {part.namespace: part.kv.writes[0].value for part in results.namespaces} == {"inner": b"inner"}

    def test_a_chaincode_cannot_call_itself(self, trial):
        status, payload, _ = self.execute(trial, "outer")
        assert status == 500
        assert payload == (
            b"INVOKE_CHAINCODE failed: transaction ID: tx1: execute failed: error sending: txid: tx1(fl) exists"
        )

    def test_another_channel_is_not_there(self, trial):
        status, payload, _ = self.execute(trial, "inner/elsewhere")
        assert status == 500
        assert payload.endswith(b"failed to find ledger for channel: elsewhere")


def test_a_second_request_while_a_call_runs_is_dropped(trial):
    """The answer could not be told from the first request's."""

    async def rule(stream: Stream, transaction: Message) -> None:
        spec = chaincode_pb2.ChaincodeSpec(chaincode_id=chaincode_pb2.ChaincodeID(name="slow"), input=call("f"))
        fields = {"txid": transaction.txid, "channel_id": transaction.channel_id}
        await stream.send(Message.INVOKE_CHAINCODE, spec.SerializeToString(), **fields)
        await stream.send(Message.PUT_STATE, shim.PutState(key="k", value=b"v").SerializeToString(), **fields)
        answer = await stream.receive()
        await stream.complete(transaction, answer.payload)

    async def slow(stream: Stream, transaction: Message) -> None:
        await asyncio.sleep(0.1)
        await stream.complete(transaction, b"slowly")

    async def test() -> tuple[bytes, bytes]:
        async with (
            chaincode_process(each_transaction(rule)) as outer,
            chaincode_process(each_transaction(slow)) as inner,
            support({"outer": ChaincodeServer(outer), "slow": ChaincodeServer(inner)}) as peer,
        ):
            with trial.simulate() as simulator:
                response, _ = await peer.execute(params(simulator), "outer", call("g"))
                return response.payload, simulator.results()

    payload, results = asyncio.run(asyncio.wait_for(test(), 20))
    assert b"slowly" in payload
    assert results == b""


class TestInitialisation:
    @staticmethod
    async def report(stream: Stream, transaction: Message) -> None:
        await stream.complete(transaction, Message.Type.Name(transaction.type).encode())

    def execute(self, trial: LedgerOnTrial, *, is_init: bool, enforce_init: bool = True) -> tuple[bytes, bytes]:
        async def test() -> tuple[bytes, bytes]:
            async with (
                chaincode_process(each_transaction(self.report)) as address,
                support({CHAINCODE: ChaincodeServer(address)}, enforce_init=enforce_init) as peer,
            ):
                with trial.simulate() as simulator:
                    response, _ = await peer.execute(params(simulator), CHAINCODE, call("f", is_init=is_init))
                    return response.payload, simulator.results()

        return asyncio.run(asyncio.wait_for(test(), 20))

    def test_a_chaincode_that_needs_it_runs_only_after_it(self, trial):
        with pytest.raises(ChaincodeError, match="must call as init first"):
            self.execute(trial, is_init=False)
        payload, results = self.execute(trial, is_init=True)
        assert payload == b"INIT"
        assert writes(TxRWSet.parse(results)) == {"\x00\U0010ffffinitialized": b"1.0"}

    def test_it_happens_once(self, trial):
        trial.put({"\x00\U0010ffffinitialized": b"1.0"})
        with pytest.raises(ChaincodeError, match="is already initialized but called as init"):
            self.execute(trial, is_init=True)
        payload, _ = self.execute(trial, is_init=False)
        assert payload == b"TRANSACTION"

    def test_a_chaincode_that_does_not_need_it_refuses_it(self, trial):
        with pytest.raises(ChaincodeError, match="does not require initialization but called as init"):
            self.execute(trial, is_init=True, enforce_init=False)
