"""The deliver protocol: which seek gets which blocks and which status, and what filtered blocks hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, endorsed, organizations
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_event_pb2, transaction_pb2

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.deliver import DeliverHandler
from fabric_fl.devnet.deployment import Definitions
from fabric_fl.devnet.events import chaincode_events, filtered_block
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.identity import Organization
from fabric_fl.devnet.rpcerror import RpcError
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.protoutil import (
    create_signed_envelope,
    seek_envelope,
    seek_newest,
    seek_next_commit,
    seek_oldest,
    seek_specified,
    unpack_envelope,
)

Envelope = common_pb2.Envelope
Answers = list[int | str]


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    """A ledger of five blocks: genesis, a definition, and three puts."""
    trial = LedgerOnTrial.open()
    for number in range(3):
        trial.put({f"k{number}": b"v"})
    yield trial
    trial.close()


class Deliver:
    """A deliver service of org1's peer in the running event loop."""

    def __init__(self, trial: LedgerOnTrial, faults: Faults | None = None) -> None:
        self.committer = Committer(trial.ledger, trial.validator)
        self.faults = faults or Faults()
        channel = Channel(
            config=trial.config,
            ledger=trial.ledger,
            definitions=Definitions(trial.ledger),
            committer=self.committer,
            orderer=None,  # type: ignore[arg-type] # deliver has no use for it
            orderer_address="",
            orderer_msp_id="OrdererMSP",
            faults=self.faults,
        )
        acl = ACL(trial.config, "Org1MSP", SignatureCache(trial.config.msps))
        self.handler = DeliverHandler(
            channel,
            "Org1MSP",
            lambda signed: acl.check("event/Block", signed),
            lambda block: (block.header.number, bool(block.data.data)),
            common_pb2.Status.Name,
        )

    def open(self, *envelopes: Envelope) -> AsyncIterator[object]:
        async def requests() -> AsyncIterator[Envelope]:
            for envelope in envelopes:
                yield envelope

        return self.handler(requests(), None)  # type: ignore[arg-type]


def event(name: str, payload: bytes = b"") -> bytes:
    made = chaincode_event_pb2.ChaincodeEvent(chaincode_id=CHAINCODE, tx_id="t", event_name=name, payload=payload)
    data: bytes = made.SerializeToString()
    return data


def ask(trial: LedgerOnTrial, *envelopes: Envelope) -> Answers:
    """Returns what came for these seeks: block numbers and statuses."""

    async def run() -> Answers:
        deliver = Deliver(trial)
        found = [answer[0] if isinstance(answer, tuple) else answer async for answer in deliver.open(*envelopes)]
        await deliver.committer.close()
        return found

    return asyncio.run(asyncio.wait_for(run(), 10))


def seek(
    start: ab_pb2.SeekPosition | None, stop: ab_pb2.SeekPosition | None, *, signer: object = None, **options: bool
) -> Envelope:
    return seek_envelope(CHANNEL, signer or organizations()[0].client, start, stop, **options)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (seek_specified(1), seek_specified(3), [1, 2, 3, "SUCCESS"]),
        (seek_oldest(), seek_newest(), [0, 1, 2, 3, 4, "SUCCESS"]),
        (seek_newest(), seek_newest(), [4, "SUCCESS"]),
        (seek_oldest(), seek_oldest(), [0, "SUCCESS"]),
        (seek_specified(4), seek_newest(), [4, "SUCCESS"]),
        (seek_specified(3), seek_specified(2), ["BAD_REQUEST"]),
        (seek_specified(6), seek_specified(6), ["NOT_FOUND"]),
        (ab_pb2.SeekPosition(), seek_newest(), ["NOT_FOUND"]),
    ],
)
def test_a_seek_gets_its_blocks_and_then_a_status(trial, start, stop, expected):
    assert ask(trial, seek(start, stop)) == expected


def test_several_seeks_follow_each_other_on_one_stream_until_one_fails(trial):
    one = seek(seek_specified(1), seek_specified(1))
    bad = seek(seek_specified(3), seek_specified(2))
    assert ask(trial, one, one, bad, one) == [1, "SUCCESS", 1, "SUCCESS", "BAD_REQUEST"]


def test_a_seek_without_start_or_stop_is_a_bad_request(trial):
    client = organizations()[0].client
    envelope = create_signed_envelope(
        common_pb2.DELIVER_SEEK_INFO, CHANNEL, client, ab_pb2.SeekInfo(start=seek_newest())
    )
    assert ask(trial, envelope) == ["BAD_REQUEST"]


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", common_pb2.Payload(data=b"x").SerializeToString()])
def test_an_envelope_that_cannot_be_read_is_a_bad_request(trial, payload):
    assert ask(trial, Envelope(payload=payload)) == ["BAD_REQUEST"]


@pytest.mark.parametrize("seconds", [-16 * 60, 16 * 60, 2**62, -(2**62)])
def test_a_seek_of_another_time_is_a_bad_request(trial, seconds):
    client = organizations()[0].client
    envelope = seek(seek_newest(), seek_newest())
    payload = common_pb2.Payload.FromString(envelope.payload)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    header.timestamp.seconds = max(-(2**63), min(2**63 - 1, header.timestamp.seconds + seconds))
    payload.header.channel_header = header.SerializeToString()
    data = payload.SerializeToString()
    assert ask(trial, Envelope(payload=data, signature=client.sign(data))) == ["BAD_REQUEST"]


def test_another_channel_is_not_found(trial):
    envelope = seek_envelope("elsewhere", organizations()[0].client, seek_newest(), seek_newest())
    assert ask(trial, envelope) == ["NOT_FOUND"]


def test_strangers_and_forgers_are_forbidden(trial):
    stranger = Organization.create("org9", "Org9MSP").client
    assert ask(trial, seek(seek_newest(), seek_newest(), signer=stranger)) == ["FORBIDDEN"]
    forged = seek(seek_newest(), seek_newest())
    forged.signature = seek(seek_newest(), seek_newest()).signature
    assert ask(trial, forged) == ["FORBIDDEN"]


def test_peers_may_read(trial):
    assert ask(trial, seek(seek_newest(), seek_newest(), signer=organizations()[1].node)) == [4, "SUCCESS"]


def test_a_block_that_is_not_there_yet_is_not_found_or_waited_for_as_asked(trial):
    position = seek_specified(5)
    assert ask(trial, seek(position, position, fail_if_not_ready=True)) == ["NOT_FOUND"]

    async def run() -> None:
        deliver = Deliver(trial)
        answers = deliver.open(seek(position, position))
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.05)
        assert not first.done()
        with trial.simulate() as simulator:
            simulator.put_state(CHAINCODE, "late", b"v")
            await deliver.committer.commit(trial.block([endorsed(simulator.results())]))
        assert await first == (5, True)
        assert await anext(answers) == "SUCCESS"
        await deliver.committer.close()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_the_next_commit_is_the_block_after_the_last(trial):
    async def run() -> None:
        deliver = Deliver(trial)
        answers = deliver.open(seek(seek_next_commit(), seek_specified(5)))
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.05)
        await deliver.committer.commit(trial.block([endorsed(b"")]))
        assert await first == (5, True)
        await deliver.committer.close()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_headers_alone_have_no_data_but_for_the_configuration(trial):
    async def run() -> list[object]:
        deliver = Deliver(trial)
        info = ab_pb2.SeekInfo(
            start=seek_oldest(), stop=seek_specified(2), content_type=ab_pb2.SeekInfo.HEADER_WITH_SIG
        )
        envelope = create_signed_envelope(common_pb2.DELIVER_SEEK_INFO, CHANNEL, organizations()[0].client, info)
        found = [answer async for answer in deliver.open(envelope)]
        await deliver.committer.close()
        return found

    assert asyncio.run(run()) == [(0, True), (1, False), (2, False), "SUCCESS"]


class TestFaults:
    @staticmethod
    def run(trial: LedgerOnTrial, test: Callable[[Deliver], object]) -> None:
        async def run() -> None:
            faults = Faults()
            deliver = Deliver(trial, faults)
            faults.attach(trial.ledger, deliver.committer, None)  # type: ignore[arg-type]
            await test(deliver)
            await deliver.committer.close()

        asyncio.run(asyncio.wait_for(run(), 10))

    def test_a_stream_that_is_cut_ends_with_unavailable(self, trial):
        async def test(deliver: Deliver) -> None:
            aborted: list[RpcError] = []

            class Context:
                async def abort(self, code: object, text: str, metadata: object) -> None:
                    aborted.append(code)
                    raise asyncio.CancelledError

            async def requests() -> AsyncIterator[Envelope]:
                yield seek(seek_specified(5), seek_specified(5))

            async def consume() -> None:
                async for _ in deliver.handler(requests(), Context()):  # type: ignore[arg-type]
                    pass

            task = asyncio.create_task(consume())
            await asyncio.sleep(0.05)
            assert deliver.faults.cut_streams("Org2MSP") == 0
            assert deliver.faults.cut_streams("Org1MSP") == 1
            await asyncio.wait([task])
            assert [code.name for code in aborted] == ["UNAVAILABLE"]

        self.run(trial, test)

    def test_a_lagging_peer_delivers_what_it_has_until_it_catches_up(self, trial):
        async def test(deliver: Deliver) -> None:
            deliver.faults.lag("Org1MSP")
            await deliver.committer.commit(trial.block([endorsed(b"")]))
            newest = [answer async for answer in deliver.open(seek(seek_newest(), seek_newest()))]
            assert newest == [(4, True), "SUCCESS"]
            waiting = asyncio.ensure_future(anext(deliver.open(seek(seek_specified(5), seek_specified(5)))))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            deliver.faults.catch_up("Org1MSP")
            assert await waiting == (5, True)

        self.run(trial, test)


class TestEvents:
    def block(self, trial: LedgerOnTrial) -> common_pb2.Block:
        """A block of a valid transaction with an event, a conflicting one with an event, and one without."""
        with trial.simulate() as simulator:
            simulator.get_state(CHAINCODE, "k0")
            simulator.put_state(CHAINCODE, "k0", b"new")
            results = simulator.results()
        committed = trial.commit_block(
            endorsed(results, events=event("first")), endorsed(results, events=event("second")), endorsed(b"")
        )
        assert [status.code for status in committed.statuses] == [0, transaction_pb2.MVCC_READ_CONFLICT, 0]
        return committed.block

    def test_only_valid_transactions_have_events(self, trial):
        assert [each.event_name for each in chaincode_events(self.block(trial))] == ["first"]

    def test_a_filtered_block_names_every_transaction_with_its_code_and_event(self, trial):
        block = self.block(trial)
        filtered = filtered_block(block)
        ids = [unpack_envelope(data).channel_header.tx_id for data in block.data.data]
        transactions = list(filtered.filtered_transactions)
        assert (filtered.channel_id, filtered.number) == (CHANNEL, 5)
        assert [each.txid for each in transactions] == ids
        assert [each.tx_validation_code for each in transactions] == [0, transaction_pb2.MVCC_READ_CONFLICT, 0]
        assert all(each.HasField("transaction_actions") for each in transactions)
        names = [
            [action.chaincode_event.event_name for action in each.transaction_actions.chaincode_actions]
            for each in transactions
        ]
        assert names == [["first"], ["second"], []]

    def test_a_filtered_event_has_no_payload(self, trial):
        block = trial.commit_block(endorsed(b"", events=event("e", b"secret"))).block
        assert b"secret" in block.SerializeToString()
        assert b"secret" not in filtered_block(block).SerializeToString()
        assert [each.payload for each in chaincode_events(block)] == [b"secret"]

    def test_the_genesis_block_is_filtered_too(self, trial):
        block = trial.ledger.block(0)
        assert block is not None
        (transaction,) = filtered_block(block).filtered_transactions
        assert transaction.type == common_pb2.CONFIG
        assert not transaction.HasField("transaction_actions")
