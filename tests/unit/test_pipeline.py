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
from fabric_fl.aggregation.pipeline import Stage
from fabric_fl.aggregation.ring import largest

MAX = 2**31 - 1


class Recorder:
    """Notes who did which block when, and that nobody did two at once."""

    def __init__(self):
        self.log = []
        self._busy = set()
        self._lock = threading.Lock()

    def stage(self, name, *after, seconds=0.0):
        def work(number):
            with self._lock:
                assert name not in self._busy
                self._busy.add(name)
            time.sleep(seconds)
            with self._lock:
                self._busy.remove(name)
                self.log.append((name, number))

        return Stage(work, after)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("window", [1, 2, 5])
def test_every_stage_does_its_blocks_in_order_after_those_that_it_waits_for(threads, window):
    recorder = Recorder()
    first, second = recorder.stage("first", seconds=0.0005), recorder.stage("second")
    summed = recorder.stage("sum", first, second, seconds=0.0002)
    stages = [first, second, summed, recorder.stage("out", summed), recorder.stage("check")]
    pipeline.run(stages, 20, threads, window)
    for name in ("first", "second", "sum", "out", "check"):
        assert [number for who, number in recorder.log if who == name] == list(range(20))
    place = {entry: index for index, entry in enumerate(recorder.log)}
    for number in range(20):
        assert place["sum", number] > max(place["first", number], place["second", number])
        assert place["out", number] > place["sum", number]
        if number + window < 20:  # the buffer is used again only when nobody reads it any more
            assert place["first", number + window] > place["sum", number]
            assert place["sum", number + window] > place["out", number]


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


def test_stages_overlap_on_two_threads():
    meeting = threading.Barrier(2, timeout=10)
    pipeline.run([Stage(lambda _: meeting.wait()), Stage(lambda _: meeting.wait())], 3, 2, 1)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_a_stage_raises_stops_the_others_and_reaches_the_caller(threads):
    done, before = [], set(threading.enumerate())

    def fail(number):
        if number == 3:
            raise ValueError("here")

    failing = Stage(fail)
    with pytest.raises(ValueError, match="here"):
        pipeline.run([failing, Stage(done.append, [failing])], 1000, threads, 2)
    assert len(done) <= 4
    assert set(threading.enumerate()) == before


def test_no_blocks_are_no_work():
    for threads in (1, 2):
        pipeline.run([Stage(lambda number: pytest.fail(str(number)))], 0, threads, 1)


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
