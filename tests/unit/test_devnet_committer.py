"""Whoever waits for a transaction or a block hears of it, whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from devnet_ledgers import LedgerOnTrial
from devnet_ordering import ordering, tx_id_of, write
from fabric_protos.common import common_pb2

from fabric_fl.devnet.committer import Committer, LedgerClosed


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


class TestWaiting:
    def test_whoever_waits_hears_of_past_and_of_future_transactions(self, trial: LedgerOnTrial) -> None:
        async def run() -> None:
            async with ordering(trial) as (orderer, committer):
                envelope = write()
                early = asyncio.create_task(committer.wait_for_tx(tx_id_of(envelope)))
                await asyncio.sleep(0)
                orderer.broadcast(envelope)
                status = await asyncio.wait_for(early, 5)
                assert (status.block, status.index, status.code) == (2, 0, 0)
                orderer.broadcast(envelope)  # a duplicate changes nothing
                await committer.wait_for_height(4)
                assert await committer.wait_for_tx(tx_id_of(envelope)) == status

        asyncio.run(run())

    def test_a_waiter_that_gives_up_leaves_nothing_behind(self, trial: LedgerOnTrial) -> None:
        async def run() -> None:
            async with ordering(trial) as (_, committer):
                waiting = [
                    asyncio.create_task(committer.wait_for_tx("never")),
                    asyncio.create_task(committer.wait_for_height(99)),
                ]
                await asyncio.sleep(0)
                assert committer._tx_waiters
                assert committer._height_waiters
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                assert not committer._tx_waiters
                assert not committer._height_waiters

        asyncio.run(run())

    def test_closing_wakes_whoever_waits(self, trial: LedgerOnTrial) -> None:
        async def run() -> list[BaseException | object]:
            async with ordering(trial) as (_, committer):
                waiting = [
                    asyncio.create_task(committer.wait_for_tx("never")),
                    asyncio.create_task(committer.wait_for_height(99)),
                ]
                await asyncio.sleep(0)
            return await asyncio.gather(*waiting, return_exceptions=True)

        assert [type(each) for each in asyncio.run(run())] == [LedgerClosed, LedgerClosed]

    def test_every_block_is_announced_once_and_in_order_though_its_writer_was_cancelled(
        self, trial: LedgerOnTrial
    ) -> None:
        async def run() -> list[int]:
            numbers: list[int] = []
            committer = Committer(trial.ledger, trial.validator)
            committer.add_listener(lambda committed: numbers.append(committed.number))
            for _ in range(3):
                writing = asyncio.create_task(committer.commit(trial.block([write()])))
                await asyncio.sleep(0)
                writing.cancel()
                await committer.wait_for_height(trial.ledger.height + (0 if numbers else 1))
                await asyncio.sleep(0.05)
            await committer.close()
            return numbers

        assert asyncio.run(run()) == [2, 3, 4]

    def test_a_hundred_waiters_and_a_hundred_transactions_all_meet(self, trial: LedgerOnTrial) -> None:
        async def run() -> None:
            async with ordering(trial) as (orderer, committer):
                envelopes = [write(f"k{i}") for i in range(100)]

                async def client(envelope: common_pb2.Envelope) -> int:
                    assert orderer.broadcast(envelope).status == common_pb2.SUCCESS
                    return (await committer.wait_for_tx(tx_id_of(envelope))).code

                codes = await asyncio.wait_for(asyncio.gather(*map(client, envelopes)), 20)
                assert codes == [0] * 100

        asyncio.run(run())
