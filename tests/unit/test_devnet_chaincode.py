"""The peer's side of the chaincode protocol: dialling, registration, the life of a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

import grpc
import pytest
from devnet_ledgers import organizations
from devnet_shim import Message, Stream, StreamEnded, call, chaincode_process, each_transaction, params, support
from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.handler import ChaincodeError


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


async def answer_ok(stream: Stream, transaction: Message) -> None:
    await stream.complete(transaction, b"ok")


def test_a_chaincode_is_registered_and_offered_batches():
    async def test() -> None:
        streams: list[Stream] = []

        async def script(stream: Stream) -> None:
            streams.append(stream)
            await stream.register()
            await stream.complete(await stream.receive(), b"done")
            await stream.receive()

        async with (
            chaincode_process(script) as address,
            support({"cc": ChaincodeServer(address, "cc_1.0")}) as peer,
        ):
            response, event = await peer.execute(params(None), "cc", call("f", "x"))
        registered, ready, transaction = streams[0].received
        assert (response.status, response.payload, event) == (200, b"done", None)
        assert registered.type == Message.REGISTERED
        assert ready.type == Message.READY
        offered = chaincode_pb2.ChaincodeAdditionalParams.FromString(ready.payload)
        assert offered.use_write_batch
        assert offered.use_get_multiple_keys
        assert offered.max_size_write_batch == offered.max_size_get_multiple_keys == 1000
        assert (transaction.type, transaction.txid, transaction.channel_id) == (Message.TRANSACTION, "tx1", "fl")
        assert list(chaincode_pb2.ChaincodeInput.FromString(transaction.payload).args) == [b"f", b"x"]
        assert transaction.proposal.proposal_bytes == b"proposal"

    run(test())


def test_an_event_carries_the_chaincodes_name_and_the_transactions_id_whatever_the_chaincode_says():
    async def forge(stream: Stream, transaction: Message) -> None:
        forged = chaincode_event_pb2.ChaincodeEvent(chaincode_id="other", tx_id="other", event_name="e", payload=b"p")
        await stream.complete(transaction, chaincode_event=forged)

    async def test() -> None:
        async with (
            chaincode_process(each_transaction(forge)) as address,
            support({"cc": ChaincodeServer(address)}) as peer,
        ):
            _, event = await peer.execute(params(None), "cc", call("f"))
        assert event is not None
        assert (event.chaincode_id, event.tx_id, event.event_name, event.payload) == ("cc", "tx1", "e", b"p")

    run(test())


def test_calls_that_come_together_share_one_stream():
    async def test() -> None:
        dialled: list[Stream] = []

        async def script(stream: Stream) -> None:
            dialled.append(stream)
            await each_transaction(answer_ok)(stream)

        async with chaincode_process(script) as address, support({"cc": ChaincodeServer(address)}) as peer:
            calls = [peer.execute(params(None, f"tx{number}"), "cc", call("f")) for number in range(20)]
            answers = await asyncio.gather(*calls)
        assert [response.payload for response, _ in answers] == [b"ok"] * 20
        assert len(dialled) == 1

    run(test())


def test_two_chaincodes_in_one_process_have_streams_of_their_own():
    async def test() -> None:
        dialled: list[Stream] = []

        async def script(stream: Stream) -> None:
            dialled.append(stream)
            await each_transaction(answer_ok)(stream)

        async with chaincode_process(script) as address:
            server = ChaincodeServer(address)
            async with support({"a": server, "b": server}) as peer:
                await peer.execute(params(None), "a", call("f"))
                await peer.execute(params(None), "b", call("f"))
        assert len(dialled) == 2

    run(test())


def test_where_nobody_listens_the_call_fails_at_once_and_names_the_address():
    async def test() -> None:
        async with support({"cc": ChaincodeServer("127.0.0.1:1", "cc_1.0")}) as peer:
            started = time.monotonic()
            with pytest.raises(ChaincodeError, match=r"could not launch chaincode cc_1\.0: .*127\.0\.0\.1:1"):
                await peer.execute(params(None), "cc", call("f"))
            assert time.monotonic() - started < 5

    run(test())


@pytest.mark.parametrize(
    ("registered", "text"),
    [
        ("other_1.0", "registered as other_1.0, expected cc_1.0: set its CHAINCODE_ID"),
        ("", "chaincodeID name is empty"),
    ],
)
def test_a_process_with_another_id_is_not_this_chaincode(registered, text):
    async def test() -> None:
        async def script(stream: Stream) -> None:
            await stream.register(registered)

        async with (
            chaincode_process(script) as address,
            support({"cc": ChaincodeServer(address, "cc_1.0")}) as peer,
        ):
            with pytest.raises(ChaincodeError, match=text):
                await peer.execute(params(None), "cc", call("f"))

    run(test())


def test_a_process_that_does_not_register_is_given_up():
    async def test() -> None:
        async def script(stream: Stream) -> None:
            await asyncio.sleep(30)

        async with (
            chaincode_process(script) as address,
            support({"cc": ChaincodeServer(address)}, startup_timeout=0.2) as peer,
        ):
            with pytest.raises(ChaincodeError, match="timeout expired while starting chaincode cc"):
                await peer.execute(params(None), "cc", call("f"))

    run(test())


def test_a_chaincode_that_does_not_answer_is_given_up_and_what_it_asks_later_is_refused():
    async def test() -> None:
        late: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        async def slow(stream: Stream, transaction: Message) -> None:
            await asyncio.sleep(0.4)
            late.set_result(await stream.ask(transaction, Message.GET_STATE, b""))

        async with (
            chaincode_process(each_transaction(slow)) as address,
            support({"cc": ChaincodeServer(address)}, execute_timeout=0.1) as peer,
        ):
            with pytest.raises(ChaincodeError) as caught:
                await peer.execute(params(None), "cc", call("f"))
            assert str(caught.value) == (
                "failed to execute transaction tx1: error sending: timeout expired while executing transaction"
            )
            refused = await late
        assert refused.type == Message.ERROR
        assert refused.payload == b"GET_STATE failed: transaction ID: tx1: no ledger context"

    run(test())


def test_a_lost_stream_fails_what_runs_on_it_and_the_next_call_dials_again():
    async def test() -> None:
        async def die(stream: Stream, transaction: Message) -> None:
            raise StreamEnded

        servers: dict[str, ChaincodeServer] = {}
        async with support(servers) as peer:
            async with chaincode_process(each_transaction(die)) as address:
                servers["cc"] = ChaincodeServer(address)
                with pytest.raises(ChaincodeError, match=r"chaincode stream terminated$"):
                    await peer.execute(params(None), "cc", call("f"))
            async with chaincode_process(each_transaction(answer_ok), int(address.rpartition(":")[2])):
                response, _ = await peer.execute(params(None), "cc", call("f"))
        assert response.payload == b"ok"

    run(test())


def test_a_message_that_no_chaincode_may_send_ends_the_stream():
    async def test() -> None:
        async def misbehave(stream: Stream, transaction: Message) -> None:
            await stream.send(Message.REGISTERED, txid=transaction.txid, channel_id="fl")
            await stream.receive()

        async with (
            chaincode_process(each_transaction(misbehave)) as address,
            support({"cc": ChaincodeServer(address)}) as peer,
        ):
            with pytest.raises(ChaincodeError, match="stream terminated"):
                await peer.execute(params(None), "cc", call("f"))

    run(test())


def test_a_keepalive_is_taken_and_none_is_ever_sent():
    async def test() -> None:
        streams: list[Stream] = []

        async def chatter(stream: Stream, transaction: Message) -> None:
            streams.append(stream)
            await stream.send(Message.KEEPALIVE)
            await stream.complete(transaction)

        async with (
            chaincode_process(each_transaction(chatter)) as address,
            support({"cc": ChaincodeServer(address)}) as peer,
        ):
            for number in range(3):
                await peer.execute(params(None, f"tx{number}"), "cc", call("f"))
        kinds = [message.type for message in streams[0].received]
        assert kinds == [Message.REGISTERED, Message.READY] + 3 * [Message.TRANSACTION]

    run(test())


def test_an_error_instead_of_a_response_fails_the_call_with_its_text():
    async def test() -> None:
        async def fail(stream: Stream, transaction: Message) -> None:
            await stream.send(Message.ERROR, b"no idea", txid=transaction.txid, channel_id="fl")

        async with (
            chaincode_process(each_transaction(fail)) as address,
            support({"cc": ChaincodeServer(address)}) as peer,
        ):
            with pytest.raises(ChaincodeError, match="transaction returned with failure: no idea"):
                await peer.execute(params(None), "cc", call("f"))

    run(test())


def test_a_chaincode_may_be_reached_over_tls():
    async def test() -> None:
        organization = organizations()[0]
        tls = organization.tls
        credentials = grpc.ssl_server_credentials([(tls.private_key_pem, tls.certificate_pem)])
        root = organization.tls_ca.certificate_pem.decode()
        async with chaincode_process(each_transaction(answer_ok), credentials=credentials) as address:
            async with support({"cc": ChaincodeServer(address, root_cert=root)}) as peer:
                response, _ = await peer.execute(params(None), "cc", call("f"))
            assert response.payload == b"ok"
            stranger = organizations()[1].tls_ca.certificate_pem.decode()
            async with support({"cc": ChaincodeServer(address, root_cert=stranger)}) as peer:
                with pytest.raises(ChaincodeError, match="could not launch chaincode"):
                    await peer.execute(params(None), "cc", call("f"))

    run(test())


def test_keys_appear_in_no_repr():
    server = ChaincodeServer("h:1", "id", root_cert="ROOT", client_cert="CERT", client_key="SECRET")
    assert "SECRET" not in repr(server)
