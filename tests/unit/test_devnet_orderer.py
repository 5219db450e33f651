"""Ordering: who may broadcast, and when blocks are cut."""

from __future__ import annotations

import asyncio
import datetime
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from devnet_ledgers import LedgerOnTrial, endorsed, organizations
from devnet_ordering import ordering, tx_id_of, write
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2, ab_pb2_grpc

from fabric_fl.devnet.orderer import WHEN_IDLE, AtomicBroadcastService, Orderer
from fabric_fl.fabric.channel.channelconfig import BatchSettings
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.ledger.kvledger import CommittedBlock
from fabric_fl.fabric.protoutil import create_signed_envelope

SUCCESS, BAD_REQUEST, FORBIDDEN, NOT_FOUND, UNAVAILABLE = (
    common_pb2.SUCCESS, common_pb2.BAD_REQUEST, common_pb2.FORBIDDEN, common_pb2.NOT_FOUND,
    common_pb2.SERVICE_UNAVAILABLE,
)  # fmt: skip
ORG1, ORG2, ORG3, ORDERER = organizations()


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


class TestFilters:
    def _answer(
        self, trial: LedgerOnTrial, envelope: common_pb2.Envelope, batch: BatchSettings = WHEN_IDLE
    ) -> tuple[int, str]:
        async def run() -> ab_pb2.BroadcastResponse:
            async with ordering(trial, batch) as (orderer, _):
                return orderer.broadcast(envelope)

        response = asyncio.run(run())
        return response.status, response.info

    def test_a_transaction_is_accepted_whoever_endorsed_it(self, trial: LedgerOnTrial) -> None:
        assert self._answer(trial, endorsed(b"", endorsers=[ORG1.node])) == (SUCCESS, "")

    @pytest.mark.parametrize("payload", [b"", b"\xff", common_pb2.Payload(data=b"x").SerializeToString()])
    def test_what_names_no_channel_is_a_bad_request(self, trial: LedgerOnTrial, payload: bytes) -> None:
        status, info = self._answer(trial, common_pb2.Envelope(payload=payload, signature=b"s"))
        assert status == BAD_REQUEST
        assert info.startswith("could not determine channel ID")

    def test_another_channel_is_not_found(self, trial: LedgerOnTrial) -> None:
        assert self._answer(trial, endorsed(b"", channel="elsewhere")) == (NOT_FOUND, "channel does not exist")

    def test_a_tampered_signature_is_forbidden(self, trial: LedgerOnTrial) -> None:
        envelope = write()
        envelope.signature = ORG2.client.sign(envelope.payload)
        status, info = self._answer(trial, envelope)
        assert status == FORBIDDEN
        assert info.endswith("permission denied")

    def test_a_peer_may_notwrite(self, trial: LedgerOnTrial) -> None:
        assert self._answer(trial, endorsed(b"", creator=ORG1.node))[0] == FORBIDDEN

    def test_an_identity_of_another_organisation_s_name_is_forbidden(self, trial: LedgerOnTrial) -> None:
        disguised = SigningIdentity(Identity("Org2MSP", ORG1.client.identity.certificate_pem), ORG1.client.private_key)
        assert self._answer(trial, endorsed(b"", creator=disguised))[0] == FORBIDDEN

    def test_an_expired_certificate_is_refused_here_and_only_here(self, trial: LedgerOnTrial) -> None:
        answer = self._answer(trial, endorsed(b"", creator=_expired_client()))
        assert answer == (BAD_REQUEST, "broadcast client identity expired")

    def test_a_transaction_that_is_too_large_is_a_bad_request(self, trial: LedgerOnTrial) -> None:
        envelope = write(value=b"x" * 5000)
        size = len(envelope.payload) + len(envelope.signature)
        assert self._answer(trial, envelope, BatchSettings(absolute_max_bytes=size, timeout=0.0))[0] == SUCCESS
        status, info = self._answer(trial, envelope, BatchSettings(absolute_max_bytes=size - 1, timeout=0.0))
        assert status == BAD_REQUEST
        assert info == f"message payload is {size} bytes and exceeds maximum allowed {size - 1} bytes"

    @pytest.mark.parametrize(
        ("header_type", "status", "words"),
        [
            (common_pb2.CONFIG, BAD_REQUEST, "cannot be processed directly"),
            (common_pb2.ORDERER_TRANSACTION, BAD_REQUEST, "no longer supported"),
            (common_pb2.CONFIG_UPDATE, FORBIDDEN, "on Hyperledger Fabric"),
        ],
    )
    def test_configuration_is_not_changed(
        self, trial: LedgerOnTrial, header_type: int, status: int, words: str
    ) -> None:
        answer = self._answer(trial, create_signed_envelope(header_type, "fl", ORG1.admin, b""))
        assert answer[0] == status
        assert words in answer[1]

    def test_an_orderer_that_does_not_run_says_so(self, trial: LedgerOnTrial) -> None:
        async def run() -> ab_pb2.BroadcastResponse:
            async with ordering(trial) as (orderer, _):
                pass
            return orderer.broadcast(write())

        response = asyncio.run(run())
        assert (response.status, response.info) == (UNAVAILABLE, "the orderer is not running")


def _expired_client() -> SigningIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    begin = ORG1.ca.certificate.not_valid_before_utc
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, "early"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(ORG1.ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(seconds=1))
        .sign(ORG1.ca.private_key, hashes.SHA256())
    )
    return SigningIdentity(Identity("Org1MSP", certificate.public_bytes(serialization.Encoding.PEM)), key)


class TestCutting:
    def _sizes(
        self, trial: LedgerOnTrial, batch: BatchSettings, broadcast: Callable[[Orderer], object], transactions: int
    ) -> list[int]:
        """Returns how many transactions each new block holds once all have been committed."""

        async def run() -> None:
            async with ordering(trial, batch) as (orderer, committer):
                blocks: list[CommittedBlock] = []
                committer.add_listener(blocks.append)
                broadcast(orderer)
                while sum(len(block.statuses) for block in blocks) < transactions:
                    async with asyncio.timeout(10):
                        await committer.wait_for_height(committer.height + 1)

        start = trial.ledger.height
        asyncio.run(run())
        blocks = [trial.ledger.block(number) for number in range(start, trial.ledger.height)]
        return [len(block.data.data) for block in blocks if block is not None]

    def test_a_lone_transaction_waits_for_nobody(self, trial: LedgerOnTrial) -> None:
        envelope = write()
        loop_time: list[float] = []

        async def run() -> None:
            async with ordering(trial) as (orderer, committer):
                begin = asyncio.get_running_loop().time()
                orderer.broadcast(envelope)
                await committer.wait_for_tx(tx_id_of(envelope))
                loop_time.append(asyncio.get_running_loop().time() - begin)

        asyncio.run(run())
        assert loop_time[0] < 0.25  # a few milliseconds; a batch timeout would be seconds

    def test_what_arrives_while_the_committer_is_busy_shares_the_next_block(
        self, trial: LedgerOnTrial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit, arrived = trial.ledger.commit, threading.Event()

        def commit_slowly(block: common_pb2.Block, codes: list[int]) -> CommittedBlock:
            assert arrived.wait(5)
            return commit(block, codes)

        monkeypatch.setattr(trial.ledger, "commit", commit_slowly)

        async def run() -> list[int]:
            async with ordering(trial) as (orderer, committer):
                envelopes = [write(f"k{i}") for i in range(6)]
                for envelope in envelopes:
                    orderer.broadcast(envelope)
                    await asyncio.sleep(0.01)  # long enough for each to get a block of its own
                arrived.set()
                return [(await committer.wait_for_tx(tx_id_of(envelope))).block for envelope in envelopes]

        assert asyncio.run(run()) == [2, 3, 3, 3, 3, 3]

    def test_blocks_are_cut_by_count(self, trial: LedgerOnTrial) -> None:
        envelopes = [write(f"k{i}") for i in range(7)]
        settings = BatchSettings(max_message_count=3, timeout=0.05)
        assert self._sizes(trial, settings, lambda orderer: [orderer.broadcast(e) for e in envelopes], 7) == [3, 3, 1]

    def test_blocks_are_cut_by_size(self, trial: LedgerOnTrial) -> None:
        envelopes = [write(f"k{i}", b"x" * 10_000) for i in range(5)]
        size = len(envelopes[0].payload) + len(envelopes[0].signature)
        settings = BatchSettings(preferred_max_bytes=2 * size + 100, timeout=0.05)
        assert self._sizes(trial, settings, lambda orderer: [orderer.broadcast(e) for e in envelopes], 5) == [2, 2, 1]

    def test_blocks_are_cut_by_time(self, trial: LedgerOnTrial) -> None:
        times: list[float] = []

        async def run() -> None:
            async with ordering(trial, BatchSettings(timeout=0.3)) as (orderer, committer):
                envelopes = [write(f"k{i}") for i in range(3)]
                begin = asyncio.get_running_loop().time()
                for envelope in envelopes:
                    orderer.broadcast(envelope)
                    await asyncio.sleep(0.05)
                statuses = [await committer.wait_for_tx(tx_id_of(envelope)) for envelope in envelopes]
                times.append(asyncio.get_running_loop().time() - begin)
                assert {status.block for status in statuses} == {2}

        asyncio.run(run())
        assert 0.3 <= times[0] < 2

    def test_order_is_the_order_of_arrival_unless_a_fault_is_asked_for(self, trial: LedgerOnTrial) -> None:
        async def run(*, reverse: bool) -> list[str]:
            async with ordering(trial, BatchSettings(max_message_count=3, timeout=5)) as (orderer, committer):
                orderer.reorder = (lambda batch: batch[::-1]) if reverse else None
                blocks: list[CommittedBlock] = []
                committer.add_listener(blocks.append)
                envelopes = [write("k", str(i).encode()) for i in range(3)]
                for envelope in envelopes:
                    orderer.broadcast(envelope)
                await committer.wait_for_height(committer.height + 1)
                ids = [tx_id_of(envelope) for envelope in envelopes]
                return [str(ids.index(status.tx_id)) for status in blocks[0].statuses]

        assert asyncio.run(run(reverse=False)) == ["0", "1", "2"]
        assert asyncio.run(run(reverse=True)) == ["2", "1", "0"]

    def test_a_stalled_orderer_accepts_and_orders_when_it_goes_on(self, trial: LedgerOnTrial) -> None:
        async def run() -> None:
            async with ordering(trial) as (orderer, committer):
                orderer.pause()
                envelope = write()
                assert orderer.broadcast(envelope).status == SUCCESS
                waiting = asyncio.create_task(committer.wait_for_tx(tx_id_of(envelope)))
                await asyncio.sleep(0.05)
                assert not waiting.done()
                orderer.resume()
                assert (await asyncio.wait_for(waiting, 5)).code == 0

        asyncio.run(run())


class TestTrouble:
    def test_a_full_disk_refuses_more_and_loses_nothing(
        self, trial: LedgerOnTrial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        commit, full = trial.ledger.commit, True

        def commit_unless_full(block: common_pb2.Block, codes: list[int]) -> CommittedBlock:
            if full:
                raise sqlite3.OperationalError("database or disk is full")
            return commit(block, codes)

        monkeypatch.setattr(trial.ledger, "commit", commit_unless_full)

        async def run() -> None:
            nonlocal full
            async with ordering(trial) as (orderer, committer):
                accepted = write("a")
                assert orderer.broadcast(accepted).status == SUCCESS
                waiting = asyncio.create_task(committer.wait_for_tx(tx_id_of(accepted)))
                await asyncio.sleep(0.03)
                refused = orderer.broadcast(write("b"))
                assert refused.status == UNAVAILABLE
                assert "block 2 cannot be written: database or disk is full" in refused.info
                full = False
                assert (await asyncio.wait_for(waiting, 5)).code == 0
                assert orderer.broadcast(write("c")).status == SUCCESS

        with caplog.at_level(logging.ERROR):
            asyncio.run(run())
        assert "cannot be written" in caplog.text
        trial.ledger.verify_chain()

    def test_queued_transactions_have_a_bound(self, trial: LedgerOnTrial, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fabric_fl.devnet.orderer._MAX_QUEUED_BYTES", 20_000)

        async def run() -> list[int]:
            async with ordering(trial) as (orderer, committer):
                orderer.pause()
                envelopes = [write(f"k{i}", b"x" * 8000) for i in range(3)]
                statuses = [orderer.broadcast(envelope).status for envelope in envelopes]
                orderer.resume()
                await committer.wait_for_tx(tx_id_of(envelopes[0]))
                await committer.wait_for_tx(tx_id_of(envelopes[1 if statuses[1] == SUCCESS else 0]))
                await asyncio.sleep(0.05)
                return [*statuses, orderer.broadcast(envelopes[2]).status]

        statuses = asyncio.run(run())
        assert statuses[0] == SUCCESS
        assert statuses[2] == UNAVAILABLE
        assert statuses[3] == SUCCESS


class TestService:
    """Over gRPC, as the CLI speaks to it."""

    def test_envelopes_are_answered_in_turn_and_the_stream_ends_after_a_refusal(self, trial: LedgerOnTrial) -> None:
        async def run() -> list[int]:
            async with ordering(trial) as (orderer, _):
                server = grpc.aio.server()
                ab_pb2_grpc.add_AtomicBroadcastServicer_to_server(AtomicBroadcastService(orderer, _deliver), server)
                port = server.add_insecure_port("127.0.0.1:0")
                await server.start()
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stub = ab_pb2_grpc.AtomicBroadcastStub(channel)
                    sent = [write("a"), write("b"), endorsed(b"", channel="elsewhere"), write("c")]
                    statuses = [response.status async for response in stub.Broadcast(iter(sent))]
                    delivered = [response.status async for response in stub.Deliver(iter(sent[:1]))]
                await server.stop(None)
                assert delivered == [SUCCESS]
                return statuses

        assert asyncio.run(run()) == [SUCCESS, SUCCESS, NOT_FOUND]


async def _deliver(
    requests: AsyncIterator[common_pb2.Envelope], _: grpc.aio.ServicerContext
) -> AsyncIterator[ab_pb2.DeliverResponse]:
    async for _request in requests:
        yield ab_pb2.DeliverResponse(status=common_pb2.SUCCESS)
