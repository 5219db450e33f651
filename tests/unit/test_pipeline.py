import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.aggregation import adder, pipeline
from fabric_fl.aggregation.adder import Adder
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.pipeline import Step
from fabric_fl.aggregation.ring import largest

MAX = 2**31 - 1


class Recorder:
    """Notes who did which block when, that an ordered step does one at a time, and that each has a place of its own."""

    def __init__(self, places):
        self.log = []
        self.under_way = set()
        self._places = places
        self._busy = set()
        self._lock = threading.Lock()

    def step(self, name, *, seconds=0.0, ordered=True, last=False):
        def work(number):
            with self._lock:
                if ordered:
                    assert name not in self._busy
                    self._busy.add(name)
                self.under_way.add(number)
                assert len({block % self._places for block in self.under_way}) == len(self.under_way)
            time.sleep(seconds)
            with self._lock:
                self._busy.discard(name)
                self.log.append((name, number, threading.get_ident()))
                if last:
                    self.under_way.remove(number)

        return Step(work, ordered=ordered)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("slow", range(5))
@pytest.mark.parametrize("free", [(), ("sum",), ("first", "sum", "check")])
def test_ordered_steps_do_their_blocks_in_order_and_every_block_its_steps(threads, slow, free):
    recorder = Recorder(threads)
    names = ("first", "second", "sum", "out", "check")
    steps = [
        recorder.step(
            name, seconds=0.0005 if place == slow else 0.0001, ordered=name not in free, last=name == names[-1]
        )
        for place, name in enumerate(names)
    ]
    pipeline.run(steps, 20, threads)
    for name in names:
        numbers = [number for who, number, _ in recorder.log if who == name]
        assert (sorted(numbers) if name in free else numbers) == list(range(20))
    for number in range(20):
        assert [who for who, block, _ in recorder.log if block == number] == list(names)
        assert len({thread for _, block, thread in recorder.log if block == number}) == 1
    assert not recorder.under_way


def test_all_cores_are_used_or_the_share_that_is_set(monkeypatch):
    monkeypatch.delenv(pipeline.THREADS, raising=False)
    available = pipeline.cores()
    assert available == len(os.sched_getaffinity(0))
    assert 1 <= available <= 4096
    monkeypatch.setenv(pipeline.THREADS, "1")
    assert pipeline.cores() == 1
    monkeypatch.setenv(pipeline.THREADS, "1000")
    assert pipeline.cores() == available


@pytest.mark.parametrize("share", ["0", "-1", "all", "", "1.5"])
def test_a_share_that_is_no_number_is_refused(share, monkeypatch):
    monkeypatch.setenv(pipeline.THREADS, share)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-THREADS: FABRIC_FL_THREADS is"):
        pipeline.cores()


def test_steps_overlap_on_two_threads():
    meeting, met = threading.Barrier(2, timeout=10), []

    def meet(number):
        if 0 < number < 4:  # the first block's second step with the second block's first, and so on
            met.append(meeting.wait())

    pipeline.run([Step(meet), Step(lambda number: meet(number + 1))], 4, 2)
    assert len(met) == 6


def test_nobody_waits_where_order_does_not_matter():
    meeting = threading.Barrier(2, timeout=10)
    pipeline.run([Step(lambda number: meeting.wait() and None, ordered=False)], 4, 2)


def test_a_slow_block_holds_its_place_until_all_its_steps_are_done():
    """The first block is still in an unordered last step when the second is through: the third may not begin."""
    through, begun = threading.Event(), []

    def last(number):
        if number == 0:
            assert through.wait(10)
            time.sleep(0.05)
            assert begun == [0, 1]
        through.set()

    pipeline.run([Step(begun.append), Step(last, ordered=False)], 3, 2)
    assert begun == [0, 1, 2]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_step_raises_stops_the_others_and_reaches_the_caller(threads):
    done, before = [], set(threading.enumerate())

    def fail(number):
        if number == 3:
            raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        pipeline.run([Step(fail), Step(done.append)], 1000, threads)
    assert done in ([0, 1, 2], [0, 1], [0], [])
    assert set(threading.enumerate()) == before


def test_no_blocks_are_no_work():
    for threads in (1, 2):
        pipeline.run([Step(lambda number: pytest.fail(str(number)))], 0, threads)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 9), st.sampled_from([1, 1000, 2**20, 2**31 - 1, 2**36]))
def test_sums_are_those_of_pythons_integers_in_every_way(data, count, length, most):
    """1,000 examples of the largest values leave int32; 2^36 leave float64's integers, though not int64's."""
    bound = min(MAX, (2**63 - 1) // (count * most))
    element = st.integers(-bound, bound) | st.sampled_from([bound, -bound, 0])
    q = np.array(
        data.draw(st.lists(st.lists(element, min_size=length, max_size=length), min_size=count, max_size=count))
    )
    q = q.reshape(count, length).astype(np.int32)
    weights = data.draw(st.lists(st.integers(1, most) | st.just(most), min_size=count, max_size=count))
    total = np.empty(length, np.int64)
    Adder(count).add(q, weights, total, largest(q))
    assert total.tolist() == [sum(w * int(x) for w, x in zip(weights, column, strict=True)) for column in q.T]


@pytest.mark.parametrize("length", [adder.SLICE - 1, adder.SLICE, 3 * adder.SLICE + 5])
def test_sums_at_the_edge_of_what_float64_holds_are_exact(length):
    """Weights times bound below 2^51 and at it, one below 2^53 and at it: each way at its edge."""
    q = np.full((3, length), MAX, np.int32)
    q[1] = -MAX
    q[2, ::2] = 1
    for weights in ([2**20 - 2, 1, 1], [2**20 - 1, 1, 1], [2**22 - 2, 1, 1], [2**22, 1, 1], [2**32 - 3, 1, 1]):
        total = np.empty(length, np.int64)
        Adder(3).add(q, weights, total, MAX)
        expected = [weights[0] * MAX - weights[1] * MAX + weights[2] * int(x) for x in q[2]]
        assert total.tolist() == expected


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_at_the_edge_of_what_int32_holds_are_exact(sign):
    """On both sides of 2^31, below which sums are int32; and zeros, whose weights are no int32."""
    q = np.full((2, adder.SLICE), sign * 7, np.int32)
    for weights in ([306_783_377, 1], [306_783_378, 1], [1, 2**28]):
        total = np.empty(adder.SLICE, np.int64)
        Adder(2).add(q, weights, total, 7)
        assert set(total.tolist()) == {sign * 7 * sum(weights)}
    total = np.empty(adder.SLICE, np.int64)
    Adder(2).add(0 * q, [2**40, 2**31], total, 0)
    assert not total.any()
