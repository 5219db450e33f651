"""`python -m bench` measures and writes `bench/results.json`, each part as soon as it has ended.

`python -m bench PART…` measures only these, and leaves the others as they were; `python -m bench --table` prints all of
it as Markdown.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from bench import aggregation, contract, devnet, results
from bench.child import Child
from bench.results import Result
from bench.rounds import WARM_UP, Organisations, Timing, organisations
from bench.workload import SIZES, Size
from fabric_fl.ledger import FLLedger

TRANSACTIONS = 50


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure into bench/results.json.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all if none is named: {', '.join(PARTS)}")
    parser.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended, as by Ctrl-C
    if not given.table:
        for part in given.parts or PARTS:
            _tell(part)
            results.save(part, PARTS[part]())
    print(results.table())


def rounds() -> list[Result]:
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="fabric-fl-bench-") as temporary:
        folder = Path(temporary)
        with Child("bench.reference") as reference, organisations(folder / "network") as running:
            for number, size in enumerate(SIZES):
                found += _rounds(number, size, reference, running, folder)
            found.append(_latency(running.ledger))
    return found


def _rounds(number: int, size: Size, reference: Child, running: Organisations, folder: Path) -> list[Result]:
    _tell(f"rounds at {size.label}")
    blob = folder / f"initial-{number}.safetensors"
    model = reference.ask(size=size.label, path=str(blob))
    in_memory = reference.ask(size=size.label, rounds=size.rounds)
    plain = running.run(f"plain-{number}", model, blob, size.rounds + WARM_UP, scoring=False)
    in_memory += reference.ask(size=size.label, rounds=size.rounds)
    found = [_ratio(f"round / TFF round, {size.label}", plain, in_memory, size.target)]
    if size.scored:
        scored = running.run(f"scored-{number}", model, blob, size.rounds + WARM_UP, scoring=True)
        found.append(_ratio(f"round with scoring / TFF round, {size.label}", scored, in_memory, None))
    return found + [
        Result(f"{phase}, {size.label}", 1000 * seconds, unit="ms", note="median of a round")
        for phase, seconds in plain.phases.items()
    ]


def _ratio(name: str, timing: Timing, in_memory: list[float], target: float | None) -> Result:
    seconds, base = median(timing.seconds), median(in_memory)
    note = f"{1000 * seconds:.0f} ms / {1000 * base:.0f} ms, medians of {len(timing.seconds)} and {len(in_memory)}"
    return Result(name, seconds / base, target, note=note)


def _latency(ledger: FLLedger) -> Result:
    """Writes to the ledger again and again, each time something else."""
    _tell("submit to commit")
    seconds = []
    for number in range(TRANSACTIONS):
        began = time.perf_counter()
        ledger.register("Organisation 1", f"measured for the {number + 1}. time")
        seconds.append(time.perf_counter() - began)
    note = f"one transaction from submit to commit, median of {TRANSACTIONS}"
    return Result("submit to commit", 1000 * median(seconds), unit="ms", note=note)


PARTS: Mapping[str, Callable[[], list[Result]]] = {
    "rounds": rounds,
    "aggregation": aggregation.measure,
    "contract": contract.measure,
    "devnet": devnet.measure,
}


def _tell(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
