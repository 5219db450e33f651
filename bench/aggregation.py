"""How fast updates are verified, summed and quantised, and in how much memory.

Each measurement runs in a process of its own, `python -m bench.aggregation`, that may use one core or two and reads
from standard input which updates there are, as an organisation's worker does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.results import Result
from fabric_fl.aggregation import (
    ModelBlob,
    RoundInputs,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    UpdateInput,
    aggregate,
    quantise,
    robust_rule,
    worker,
    write,
)
from fabric_fl.aggregation.files import fingerprint
from fabric_fl.aggregation.passes import Pass
from fabric_fl.aggregation.pipeline import Step
from fabric_fl.aggregation.worker import messages

SIZES = (1, 10, 100)  # MB of an update
UPDATES = 5
MEMORY = (2, 5, 20)  # updates
MODEL = 100  # MB, beside which an interpreter with numpy is small
BASE = "0" * 64
F, BOUND, EXAMPLES = 24, 2**30, 100
REPEATED = 100  # times a megabyte; at least 7 times
PROCESSES = 3  # that sum, because where a process's memory lies makes a difference, and stays


def measure() -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="fabric-fl-bench-") as temporary:
        folder = Path(temporary)
        return [*(one for size in SIZES for one in _sums(folder, size)), *_memory(folder), _quantising()]


def _sums(folder: Path, size: int) -> list[Result]:
    round_ = inputs(folder, size, UPDATES)
    runs = [[_child("sums", size, round_, cores=cores) for cores in (1, 2)] for _ in range(PROCESSES)]
    single, double = map(_medians, zip(*runs, strict=True))
    written = _child("writing", size, round_, cores=2)
    ratio, faster = single["sum"] / single["sha"], single["sum"] / double["sum"]
    label = f"{UPDATES} updates of {size} MB"
    rate = UPDATES * size / single["sum"] / 1000
    note = f"{1000 * single['sum']:.3g} ms / {1000 * single['sha']:.3g} ms; {rate:.2f} GB/s"
    return [
        Result(f"verify and sum {label} / SHA-256 of them, one core", ratio, 1.3, note=note),
        Result(
            f"verify and sum {label}, two cores / one core",
            1 / faster,
            1 / 1.7,
            note=f"{faster:.2f} times as fast; SHA-256 on two cores: {single['sha'] / double['both']:.2f} times",
        ),
        Result(
            f"fetch, verify and sum {label} in one pass / SHA-256 of them, two cores",
            written["fetch"] / written["sha"],
            note=f"{1000 * written['fetch']:.3g} ms, copied into the own store's file system",
        ),
        Result(f"aggregate {label}, two cores", 1000 * written["aggregate"], unit="ms", note="sum, A, model and state"),
    ]


def _memory(folder: Path) -> list[Result]:
    most = inputs(folder, MODEL, max(MEMORY))
    rounds = {count: replace(most, updates=most.updates[:count]) for count in MEMORY}
    found = {count: _child("memory", MODEL, round_, cores=2)["peak"] for count, round_ in rounds.items()}
    each = ", ".join(f"{peak:.2f} for {count}" for count, peak in found.items())
    note = f"the whole process, updates of {MODEL} MB: {each}"
    return [
        Result("peak memory of aggregation / model", max(found.values()), 2.5, note=note),
        Result("peak memory for 20 updates / for 2", found[20] / found[2], 1.1, note="flat in the number of updates"),
    ]


def _quantising() -> Result:
    found = _child("quantising", MODEL, None, cores=1)
    note = f"{1000 * found['quantise']:.0f} ms / {1000 * found['copy']:.0f} ms for {MODEL} MB, one core"
    return Result("quantise / memcpy", found["quantise"] / found["copy"], note=note)


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _child(what: str, size: int, round_: RoundInputs | None, *, cores: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.aggregation", what, str(size), str(cores)]
    environment = {**os.environ, **worker.ENVIRONMENT}  # rounds are aggregated there
    given = json.dumps(None if round_ is None else messages.inputs_to_json(round_))
    answer = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def inputs(folder: Path, size: int, count: int) -> RoundInputs:
    """A round of updates of so many megabytes."""
    elements = size * 250_000
    generator = np.random.default_rng(0)
    layout = Tensors.in_order([("kernel", np.zeros(elements, np.float32))])
    name = layout.names[0]
    model = write(ModelBlob(layout), folder / f"base-{size}")
    model = replace(model, verified=fingerprint(model.path.stat()))  # it came out of the last round's sum
    q = generator.integers(-(2**20), 2**20, elements).astype(np.int32)
    updates = []
    for number in range(count):
        who = f"Org{number:02d}MSP"
        header = UpdateHeader("bench", 1, who, BASE, EXAMPLES, F)
        file = write(UpdateBlob(header, Tensors({name: np.roll(q, number)})), folder / f"update-{size}-{number}")
        updates.append(UpdateInput(who, file.path, file.digest, file.size, EXAMPLES))
    server = {"step": "fedavg", "learning_rate": "1"}
    return RoundInputs("bench", 1, 1, BASE, model, None, tuple(updates), F, BOUND, EXAMPLES, server)


def verify_and_sum(round_: RoundInputs) -> None:
    """Hash every update, check its header and bounds, and add it up; nothing else of an aggregation."""
    rule = robust_rule({"rule": "none"})
    with Pass(round_, round_.updates) as reading:
        if reading.run(Step(lambda number: reading.add_up(rule, number), ordered=False)):
            raise ValueError("all of these updates are valid")


def _fetch_and_sum(round_: RoundInputs, folder: Path) -> None:
    """The same, and what is read is copied meanwhile, as it is where others' stores are read."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        copied = [replace(update, copy=Path(own) / update.digest) for update in round_.updates]
        verify_and_sum(replace(round_, updates=tuple(copied)))


def _aggregate(round_: RoundInputs, folder: Path) -> None:
    """In a folder that is empty, as a round's is: replacing a file makes the file system write it at once."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        aggregate(round_, Path(own))


def _sha(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            file_digest(file, "sha256")


def _sha_on_all(paths: list[Path], cores: int, others: ThreadPoolExecutor) -> None:
    """The same bytes, a share for each core."""
    shares = [others.submit(_sha, paths[index::cores]) for index in range(1, cores)]
    _sha(paths[::cores])
    for share in shares:
        share.result()


def _alternating(size: int, *works: Callable[[], None]) -> list[float]:
    """Median seconds of each, taken in turns, so that the machine's other work meets all alike."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(max(7, REPEATED // size)):
        for seconds, work in zip(found, works, strict=True):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return [median(seconds) for seconds in found]


def sums(round_: RoundInputs, size: int, cores: int) -> dict[str, float]:
    """What is only read: whatever writes keeps the kernel busy for a while after it."""
    paths = _paths(round_)
    verify_and_sum(round_)
    even = paths[: len(paths) // cores * cores]
    with ThreadPoolExecutor() as others:
        sha, added, both = _alternating(
            size, lambda: _sha(paths), lambda: verify_and_sum(round_), lambda: _sha_on_all(even, cores, others)
        )
    return {"sha": sha, "sum": added, "both": both * len(paths) / len(even)}


def writing(round_: RoundInputs, size: int, cores: int) -> dict[str, float]:
    paths, folder = _paths(round_), round_.model.path.parent
    verify_and_sum(round_)
    sha, whole, fetched = _alternating(
        size, lambda: _sha(paths), lambda: _aggregate(round_, folder), lambda: _fetch_and_sum(round_, folder)
    )
    return {"sha": sha, "aggregate": whole, "fetch": fetched}


def _paths(round_: RoundInputs) -> list[Path]:
    return [update.path for update in round_.updates if update.path is not None]


def memory(round_: RoundInputs, size: int, cores: int) -> dict[str, float]:
    aggregate(round_, round_.model.path.parent)
    status = Path("/proc/self/status").read_text()
    return {"peak": 1024 * int(status.partition("VmHWM:")[2].split()[0]) / (size * 1_000_000)}


def quantising(round_: None, size: int, cores: int) -> dict[str, float]:
    delta = np.random.default_rng(0).normal(0, 0.01, size * 250_000).astype(np.float32)
    tensors, target = Tensors.in_order([("kernel", delta)]), np.empty_like(delta)
    quantised, copied = _alternating(
        size, lambda: quantise(tensors, F, BOUND) and None, lambda: np.copyto(target, delta)
    )
    return {"quantise": quantised, "copy": copied}


def main(what: str, size: str, cores: str) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    given = json.load(sys.stdin)
    round_ = None if given is None else messages.inputs_from_json(given)
    work: dict[str, Any] = {"sums": sums, "writing": writing, "memory": memory, "quantising": quantising}
    print(json.dumps(work[what](round_, int(size), int(cores))))


if __name__ == "__main__":
    main(*sys.argv[1:])
