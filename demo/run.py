"""Runs the demo: a network of its own, three hospital processes, and the coordinator's view of them.

    python -m demo [--home FOLDER]

Ends everything that it started, also on Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fabric_protos.common.ledger_pb2 import BlockchainInfo
from rich.console import Console
from rich.live import Live

from demo import interrupt, report
from demo.enrol import enrol
from demo.patients import load
from demo.show import RoundLine, Story, ending, table
from demo.task import BUDGET, TASK, publish
from fabric_fl.aggregation import read_model
from fabric_fl.cli.session import Session, open_session
from fabric_fl.gateway import connect
from fabric_fl.learning import TFFTrainer, TrainingTask
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fl_chaincode.records import ABORTED, COMMITTED

CHANNEL = "fl"
ROOT = Path(__file__).parent.parent
NAMES = {"org1": "the large hospital", "org2": "the city hospital", "org3": "the cancer clinic"}


def main() -> int:
    """Runs the demo and returns the process's exit code.

    Raises:
        KeyboardInterrupt: it was interrupted, and everything that it started has been ended.
    """
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="where the network lives; a temporary folder by default")
    parser.add_argument("--output", type=Path, default=ROOT / "demo", help="where report.json and the plot go")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow looks for graphics cards and reports each that is missing
    console = Console(stderr=False)
    interrupt.check()
    with contextlib.ExitStack() as resources:
        home = arguments.home or Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="fabric-fl-")))
        story = run(home, console, resources)
    written, plot = report.write(story, arguments.output)
    ending(console, story)
    console.print(f"written: {written} and {plot}; {story.seconds:.0f} s")
    return 0 if story.replay.get("identical") else 1


def run(home: Path, console: Console, resources: contextlib.ExitStack) -> Story:
    """Runs everything and returns what happened."""
    began = time.monotonic()
    story = Story(resources.enter_context(network(home, console)))
    folders = {name: home / name for name in NAMES}
    for name, folder in folders.items():
        interrupt.check()
        console.print(f"{name}, {NAMES[name]}: enrolled with its own CA as {enrol(folder)}")
    sessions = {name: resources.enter_context(open_session(folder)) for name, folder in folders.items()}
    with hospitals(folders, home) as processes:
        prepare(home, sessions)
        interrupt.check()
        console.print("all registered on the ledger; two of three issued the tokens; org1 created the task")
        follow(story, sessions["org1"], processes, console)
        for name, process in processes.items():
            output, _ = process.communicate()
            interrupt.check()
            if process.returncode:
                raise SystemExit(f"{name} ended with code {process.returncode}; its log: {home / name}.log")
            story.alone[name] = json.loads(output.splitlines()[-1])["alone"]
    conclude(story, sessions["org1"].ledger, folders["org2"])
    story.seconds = time.monotonic() - began
    return story


@contextlib.contextmanager
def network(home: Path, console: Console) -> Iterator[str]:
    """A network of its own on free ports, ended on the way out."""
    from fabric_fl.network import lifecycle
    from fabric_fl.network.consortium import Consortium

    try:
        consortium = Consortium.default(len(NAMES)).on_free_ports()
        yield lifecycle.up(consortium, home=home, tell=console.print).plan.engine
    finally:
        lifecycle.down(home)


def prepare(home: Path, sessions: dict[str, Session]) -> None:
    """Registers the organisations, issues the budget to the coordinator's organisation, and creates the task."""
    for name, session in sessions.items():
        session.ledger.register(NAMES[name])
    sponsor = sessions["org1"]
    for session in list(sessions.values())[:2]:  # two of three organisations are a majority
        session.ledger.issue("budget-of-diagnosis", sponsor.msp_id, BUDGET)
    spec = publish(home, sponsor.store, [session.msp_id for session in sessions.values()])
    entries = sponsor.ledger.entries(sponsor.msp_id)
    sponsor.ledger.create_task(spec, inputs=[entry.id for entry in entries])


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
                    env=os.environ | {"PYTHONWARNINGS": "ignore"},
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


def follow(story: Story, session: Session, processes: dict[str, subprocess.Popen[str]], console: Console) -> None:
    """Shows the rounds as the ledger tells them, until the task has ended."""
    ledger = session.ledger
    accuracy = Accuracy(session)
    with Live(table(story, "the hospitals load TensorFlow…"), console=console, refresh_per_second=4) as live:
        while True:
            interrupt.check()
            status = ledger.status(TASK)
            for round_ in ledger.rounds(TASK)[len(_final(story)) :]:
                line = RoundLine(round_.number, round_.selected, round_.status)
                if round_.status == COMMITTED:
                    model = ledger.model(TASK, round_.j)
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
    return [line for line in story.rounds if line.status in (COMMITTED, ABORTED)]


class Accuracy:
    """Accuracy of committed models on the common test set, as the coordinator sees it."""

    def __init__(self, session: Session) -> None:
        self._task = session.ledger.task(TASK)
        self._models = CommittedModels(session.ledger, session.reader, self._task)
        self._trainer = TFFTrainer(load()[1].pair(), holdout=load()[1].pair())

    def of(self, number: int) -> float:
        file = self._models.weights(number)
        model = read_model(file.path, file.digest, file.size)
        return self._trainer.evaluate(TrainingTask.from_spec(self._task), model)["accuracy"]


def conclude(story: Story, ledger: FLLedger, folder: Path) -> None:
    """Reads scores, balances and what else is on the ledger, and has another process replay the task."""
    story.federated = _final(story)[-1].accuracy
    board = ledger.scores(TASK)
    settlements = [scored.settlement for scored in board.rounds if scored.settlement is not None]
    for participant in board.participants:
        story.scores[participant] = [settlement.scores.get(participant, 0) for settlement in settlements]
        story.balances[participant] = ledger.balance(participant)
    rounds = ledger.rounds(TASK)
    story.ledger = {
        "blocks": height(folder),
        "participants": len(ledger.participants()),
        "rounds": len(rounds),
        "updates": sum(len(ledger.updates(TASK, round_.number)) for round_ in rounds),
        "attestations": sum(len(ledger.attestations(TASK, round_.number)) for round_ in rounds),
        "committed models": ledger.latest_model(TASK).j,
        "settlements": len(settlements),
        "tokens": ledger.supply(),
    }
    program = Path(sys.executable).with_name("fabric-fl")
    command = [str(program), "audit", TASK, "--profile", str(folder), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"the replay failed: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    story.replay = {"rounds": len(found["rounds"]), "identical": found["identical"]}


def height(folder: Path) -> int:
    """Returns how many blocks the organisation's peer has, as `peer channel getinfo` would."""
    with connect(folder) as gateway:
        info = gateway.network(CHANNEL).contract("qscc").evaluate("GetChainInfo", CHANNEL)
    return int(BlockchainInfo.FromString(info).height)
