"""Where one block ends and the next begins."""

from __future__ import annotations

from fabric_fl.devnet.blockcutter import BlockCutter
from fabric_fl.fabric.channel.channelconfig import BatchSettings


class TestBlockCutter:
    """Transactions of ten bytes each; a batch prefers at most 35 bytes and holds at most four."""

    SETTINGS = BatchSettings(max_message_count=4, preferred_max_bytes=35)

    def test_a_batch_is_full_by_its_size_before_the_transaction_that_would_overflow_it(self) -> None:
        cutter = BlockCutter(self.SETTINGS)
        assert [cutter.ordered(name, 10) for name in (b"a", b"b", b"c")] == [[], [], []]
        assert cutter.ordered(b"d", 10) == [[b"a", b"b", b"c"]]
        assert len(cutter) == 1

    def test_a_batch_is_full_by_count(self) -> None:
        cutter = BlockCutter(self.SETTINGS)
        assert [cutter.ordered(name, 1) for name in (b"a", b"b", b"c", b"d")] == [
            [],
            [],
            [],
            [[b"a", b"b", b"c", b"d"]],
        ]
        assert len(cutter) == 0

    def test_a_transaction_that_is_larger_than_a_batch_stands_alone_after_what_came_before(self) -> None:
        cutter = BlockCutter(self.SETTINGS)
        cutter.ordered(b"a", 10)
        assert cutter.ordered(b"huge", 36) == [[b"a"], [b"huge"]]
        assert cutter.ordered(b"huge", 36) == [[b"huge"]]

    def test_cutting_begins_anew(self) -> None:
        cutter = BlockCutter(self.SETTINGS)
        cutter.ordered(b"a", 30)
        assert cutter.cut() == [b"a"]
        assert cutter.cut() == []
        assert cutter.ordered(b"b", 30) == []
