"""Whatever a peer sends, and whoever says to be one: the chaincode lives, has no failure to log, serves the rest."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from byte_changes import mutations
from ccaas_peer import M, Peer
from ccaas_process import ChaincodeProcess
from fabric_protos.peer import chaincode_pb2
from hypothesis import example, given
from hypothesis import strategies as st
from soaking import fuzz

INPUT = chaincode_pb2.ChaincodeInput(args=[b"get", b"k"]).SerializeToString()
TRANSACTION = M(type=M.TRANSACTION, payload=INPUT, txid="tx", channel_id="ch").SerializeToString()


@pytest.fixture(scope="module")
def chaincode() -> Iterator[ChaincodeProcess]:
    with ChaincodeProcess({}) as process:
        yield process
        assert "Traceback" not in process.log, process.log[-5000:]


@pytest.fixture(scope="module")
def honest(chaincode: ChaincodeProcess) -> Iterator[Peer]:
    """A peer whose stream has been open all the time."""
    with Peer(chaincode.address, state={"k": b"v"}) as peer:
        yield peer


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(60, factor=20)
@given(
    st.lists(
        st.builds(
            M,
            type=st.integers(0, 60),
            payload=st.binary(max_size=40) | st.just(INPUT),
            txid=st.sampled_from(["", "tx", "tx2"]),
            channel_id=st.sampled_from(["", "ch"]),
        ),
        min_size=1,
        max_size=5,
    )
)
@example([M(type=9999)])
def test_messages_in_any_order_end_their_own_stream_at_the_most(
    chaincode: ChaincodeProcess, honest: Peer, messages: list[object]
) -> None:
    with Peer(chaincode.address) as hostile:
        for message in messages:
            hostile.send(message)
    outcome = honest.transact("get", "k")
    assert (outcome.status, outcome.payload) == (200, b'"v"')


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(60, factor=20)
@given(mutations(TRANSACTION))
@example(b"\x0b" * 10_000)
def test_bytes_that_are_no_message_end_their_own_stream_at_the_most(
    chaincode: ChaincodeProcess, honest: Peer, data: bytes
) -> None:
    with grpc.insecure_channel(chaincode.address) as channel:
        call = channel.stream_stream("/protos.Chaincode/Connect")(iter([data]), timeout=5)
        next(call)  # REGISTER
        call.cancel()
    outcome = honest.transact("get", "k")
    assert (outcome.status, outcome.payload) == (200, b'"v"')
