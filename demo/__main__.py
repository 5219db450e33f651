"""Runs the demo: a network of its own, three hospital processes, and the coordinator's view of them.

    python -m demo [--home FOLDER]

Ends everything that it started, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from rich.console import Console
from rich.live import Live

from demo import report
from demo.show import RoundLine, Story, ending, table
from demo.task import BUDGET, TASK, publish
from fabric_fl.gateway import connect
from fabric_fl.ledger import FLLedger

ROOT = Path(__file__).parent.parent
NAMES = {"org1": "St. Anna's, the large one", "org2": "City hospital", "org3": "The cancer clinic"}


def main() -> int:
    """Runs the demo and returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="where the network lives; a temporary folder by default")
    parser.add_argument("--output", type=Path, default=ROOT / "demo", help="where report.json and the plot go")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(stderr=False)
    try:
        with contextlib.ExitStack() as resources:
            home = arguments.home or Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="fabric-fl-")))
            story = run(home, console, resources)
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has been ended")
        return 130
    written, plot = report.write(story, arguments.output)
    ending(console, story)
    console.print(f"written: {written} and {plot}; {story.seconds:.0f} s")
    return 0 if story.replay.get("identical") else 1


def run(home: Path, console: Console, resources: contextlib.ExitStack) -> Story:
    """Runs everything and returns what happened."""
    began = time.monotonic()
    engine = resources.enter_context(network(home, console))
    folders = {name: home / name for name in NAMES}
    story = Story(engine)
    ledgers = {name: resources.enter_context(ledger(folder)) for name, folder in folders.items()}
    console.print("each organisation registers; a majority issues tokens; the coordinator creates the task")
    prepare(home, folders, ledgers)
    with hospitals(folders, home) as processes:
        follow(story, ledgers["org1"], processes, folders["org1"], console)
        for name, process in processes.items():
            output, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"{name} ended with code {process.returncode}; its log: {home / name}.log")
            story.alone[name] = json.loads(output.splitlines()[-1])["alone"]
    conclude(story, ledgers["org1"], folders["org1"])
    story.seconds = time.monotonic() - began
    return story


@contextlib.contextmanager
def network(home: Path, console: Console) -> Iterator[str]:
    """A network of its own on free ports, ended on the way out."""
    from fabric_fl.network import lifecycle
    from fabric_fl.network.consortium import Consortium

    try:
        running = lifecycle.up(Consortium.default(len(NAMES)).on_free_ports(), home=home, tell=console.print)
        yield running.plan.engine
    finally:
        lifecycle.down(home)


@contextlib.contextmanager
def ledger(folder: Path) -> Iterator[FLLedger]:
    """The contract in the name of one organisation."""
    profile = ConnectionProfile.load(folder)
    with connect(profile) as gateway:
        yield FLLedger.on(gateway.network(profile.participant.channel), profile.participant.chaincode)


def prepare(home: Path, folders: dict[str, Path], ledgers: dict[str, FLLedger]) -> None:
    """Registers the organisations, issues the budget to the coordinator's organisation, and creates the task."""
    profiles = {name: ConnectionProfile.load(folder) for name, folder in folders.items()}
    for name, one in ledgers.items():
        one.register(NAMES[name])
    sponsor = profiles["org1"].participant
    for one in list(ledgers.values())[:2]:  # two of three organisations are a majority
        one.issue("budget-of-diagnosis", sponsor.msp_id, BUDGET)
    spec = publish(home, BlobStore(sponsor.store), [profile.participant.msp_id for profile in profiles.values()])
    entries = ledgers["org1"].entries(sponsor.msp_id)
    ledgers["org1"].create_task(spec, inputs=[entry.id for entry in entries])


@contextlib.contextmanager
def hospitals(folders: dict[str, Path], home: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One process for each hospital, ended by its own id if it still runs on the way out."""
    processes: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, folder in folders.items():
            with (home / f"{name}.log").open("w") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "demo.hospital", str(folder), name],
                    cwd=ROOT,
                    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        yield processes
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
        for process in processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def follow(
    story: Story, one: FLLedger, processes: dict[str, subprocess.Popen[str]], folder: Path, console: Console
) -> None:
    """Shows the rounds as the ledger tells them, until the task has ended."""
    accuracy = Accuracy(one, folder)
    with Live(table(story, "the hospitals load TensorFlow…"), console=console, refresh_per_second=4) as live:
        while True:
            status = one.status(TASK)
            for round_ in one.rounds(TASK)[len(_final(story)) :]:
                model = one.model(TASK, round_.j) if round_.status == "committed" else None
                line = RoundLine(round_.number, round_.selected, round_.status)
                if model is not None:
                    line.digest, line.attested_by = model.digest, model.attested_by
                    line.accuracy = accuracy.of(round_.j)
                story.rounds = [*(old for old in story.rounds if old.number != line.number), line]
                live.update(table(story))
            if status.finished and not status.unsettled:
                return
            for name, process in processes.items():
                if process.poll() not in (None, 0):
                    raise SystemExit(f"{name} ended with code {process.returncode}; see its log beside the network")
            time.sleep(0.25)


def _final(story: Story) -> list[RoundLine]:
    return [line for line in story.rounds if line.status in ("committed", "aborted")]


class Accuracy:
    """Accuracy of committed models on the common test set, as the coordinator sees it."""

    def __init__(self, one: FLLedger, folder: Path) -> None:
        from demo.patients import load

        self._ledger = one
        self._folder = folder
        self._test = load()[1]

    def of(self, number: int) -> float:
        from fabric_fl.blobs import BlobReader
        from fabric_fl.learning import TFFTrainer, TrainingTask

        from fabric_fl.aggregation import read_model
        from fabric_fl.models import CommittedModels

        settings = ConnectionProfile.load(self._folder).participant
        others = {msp_id: BlobStore(url) for msp_id, url in settings.stores.items()}
        task = self._ledger.task(TASK)
        file = CommittedModels(self._ledger, BlobReader(BlobStore(settings.store), others), task).weights(number)
        trainer = TFFTrainer(self._test.pair(), holdout=self._test.pair())
        model = read_model(file.path, file.digest, file.size)
        return trainer.evaluate(TrainingTask.from_spec(task), model)["accuracy"]


def conclude(story: Story, one: FLLedger, folder: Path) -> None:
    """Reads scores and balances, and has another process replay the task."""
    story.federated = _final(story)[-1].accuracy
    board = one.scores(TASK)
    for participant in board.participants:
        settled = [scored.settlement for scored in board.rounds if scored.settlement is not None]
        story.scores[participant] = [settlement.scores.get(participant, 0) for settlement in settled]
        story.balances[participant] = one.balance(participant)
    command = [sys.executable, "-m", "fabric_fl.cli", "audit", TASK, "--organisation", str(folder), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"the replay failed: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    story.replay = {"rounds": len(found["rounds"]), "identical": found["identical"]}


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
