import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rounds_on_disk import make_round, with_bytes, write_update

from fabric_fl.aggregation import (
    AggregationError,
    AggregationWorker,
    ModelBlob,
    Tensors,
    WorkerError,
    aggregate,
    leave_one_out_models,
    write,
)


@pytest.fixture(scope="module")
def worker():
    with AggregationWorker() as running:
        yield running


def test_the_worker_gives_what_a_direct_call_gives(tmp_path, worker):
    inputs = make_round(tmp_path)
    expected = aggregate(inputs, tmp_path)
    assert worker.aggregate(inputs, tmp_path) == expected
    after = replace(inputs, model=expected.model, state=expected.state)
    (tmp_path / "next").mkdir()
    assert worker.aggregate(after, tmp_path / "next") == aggregate(after, tmp_path / "next")
    names = expected.included
    assert worker.leave_one_out_models(inputs, names, tmp_path) == leave_one_out_models(inputs, names, tmp_path)


def test_an_error_of_the_worker_is_the_error_of_a_direct_call(tmp_path, worker):
    inputs = make_round(tmp_path)
    inputs.updates[1].path.unlink()
    with pytest.raises(AggregationError) as direct:
        aggregate(inputs, tmp_path)
    with pytest.raises(AggregationError) as remote:
        worker.aggregate(inputs, tmp_path)
    assert vars(remote.value) == vars(direct.value)


def test_refusals_come_through_the_pipe(tmp_path, worker):
    inputs = with_bytes(make_round(tmp_path), 0, b"no update")
    assert worker.aggregate(inputs, tmp_path).refused == {"Org1MSP": "FL-BLOB-SIZE"}


def test_the_worker_never_loads_tensorflow(worker):
    worker.start()
    mapped = Path(f"/proc/{worker.pid}/maps").read_text()
    assert "numpy" in mapped
    assert "tensorflow" not in mapped
    script = "import sys, fabric_fl.aggregation; print([m for m in sys.modules if 'tensorflow' in m or 'keras' in m])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"[]\n"


def test_a_worker_that_died_between_calls_is_replaced(tmp_path):
    inputs = make_round(tmp_path)
    with AggregationWorker() as worker:
        worker.start()
        first = worker.pid
        os.kill(first, signal.SIGKILL)
        assert worker.aggregate(inputs, tmp_path) == aggregate(inputs, tmp_path)
        assert worker.pid != first


def test_a_worker_that_dies_during_a_call_is_replaced_and_the_call_repeated(tmp_path):
    inputs = make_round(tmp_path)
    found = []
    with AggregationWorker() as worker:
        worker.start()
        os.kill(worker.pid, signal.SIGSTOP)
        thread = threading.Thread(target=lambda: found.append(worker.aggregate(inputs, tmp_path)))
        thread.start()
        time.sleep(0.2)
        assert not found
        os.kill(worker.pid, signal.SIGKILL)
        thread.join(timeout=20)
    assert found == [aggregate(inputs, tmp_path)]


def impostor(tmp_path, monkeypatch, script):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("fabric_fl.aggregation.worker.sys.executable", str(program))


def test_a_worker_that_dies_twice_is_an_error_with_its_remedy(tmp_path, monkeypatch):
    inputs = make_round(tmp_path)
    impostor(tmp_path, monkeypatch, f"""echo '{{"ready": 1}}'; read line; echo died >> {tmp_path}/deaths""")
    with AggregationWorker() as worker, pytest.raises(WorkerError, match=r"FL-WORKER-FAILED.*ended twice") as failure:
        worker.aggregate(inputs, tmp_path)
    assert (tmp_path / "deaths").read_text() == "died\ndied\n"
    assert "nothing is lost" in failure.value.remedy
    assert worker.pid is None


def test_a_worker_that_does_not_start_is_an_error(tmp_path, monkeypatch):
    impostor(tmp_path, monkeypatch, "exit 1")
    with AggregationWorker() as worker, pytest.raises(WorkerError, match="while it started"):
        worker.start()


def test_the_worker_ends_with_its_owner(tmp_path):
    script = (
        "import os, signal\n"
        "from fabric_fl.aggregation import AggregationWorker\n"
        "worker = AggregationWorker(); worker.start(); print(worker.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert found.returncode == -signal.SIGKILL
    pid = int(found.stdout)
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its owner by 5 seconds")


def test_a_round_may_have_more_updates_than_a_process_may_usually_open_files(tmp_path):
    inputs = make_round(tmp_path, shapes=((3,),))
    update = Tensors.in_order([("l0", np.ones(3, np.int32))])
    updates = tuple(write_update(tmp_path, f"Org{index:03d}MSP", update, 10) for index in range(300))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with AggregationWorker() as worker:
            result = worker.aggregate(replace(inputs, updates=updates), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(result.included) == 300


def peak(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("count", [2, 6])
def test_the_peak_of_memory_depends_on_neither_the_model_nor_the_number_of_updates(tmp_path, count):
    elements = 8 << 20
    model = Tensors.in_order([("k", np.zeros(elements, np.float32))])
    update = Tensors.in_order([("k", np.ones(elements, np.int32))])
    updates = [write_update(tmp_path, f"Org{i}MSP", update, 10) for i in range(count)]
    updates = tuple(replace(update, copy=tmp_path / update.digest) for update in updates)
    inputs = make_round(tmp_path / "small")
    inputs = replace(inputs, model=write(ModelBlob(model), tmp_path / "base"), updates=updates)
    with AggregationWorker() as worker:
        worker.aggregate(make_round(tmp_path / "tiny"), tmp_path)
        before = peak(worker.pid)
        result = worker.aggregate(inputs, tmp_path)
        grown = peak(worker.pid) - before
    assert result.num_examples == 10 * count
    assert grown < 20 << 20  # of 32 MiB of weights, and of any number more
