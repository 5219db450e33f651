"""A whole task from the command line: three organisations, each a process of its own, on a network of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fabric_fl import aggregation, network
from fabric_fl.learning import describe_mlp
from fabric_fl.network import Consortium

COMMAND = Path(sys.executable).with_name("fabric-fl")
ROUNDS, BUDGET = 3, 900
TASK = f"""\
schema: 1
id: xor
trainers: [Org1MSP, Org2MSP, Org3MSP]
validators: [Org1MSP, Org2MSP, Org3MSP]
q: 2
k: 2
min_updates: 2
rounds: {ROUNDS}
patience_s: 20
model: {{kind: numpy-mlp, architecture: model.json, loss: binary_crossentropy, initial: initial.safetensors}}
training: {{optimizer: sgd, learning_rate: "0.5", epochs: 3, batch_size: 8}}
server: {{step: fedavg, learning_rate: "1"}}
quantisation: {{f: 24, bound: 1073741824}}
max_examples: 1000
scoring: {{rule: leave-one-out}}
budget: {BUDGET}
horizon_rounds: {ROUNDS}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    network.up(Consortium.default(3).on_free_ports(), home=folder / ".network", engine="devnet", memory=True)
    yield folder
    network.down(folder / ".network")


@pytest.fixture(scope="module")
def ended(folder):
    """The task after it has ended; gives what each organisation's process printed."""
    described = describe_mlp([2, 8, 1], seed=1)
    (folder / "model.json").write_text(described.architecture)
    aggregation.write(described.initial, folder / "initial.safetensors")
    (folder / "task.yaml").write_text(TASK)
    generator = np.random.default_rng(1)
    for number in (1, 2, 3):
        call(folder, number, "participant", "register", f"Hospital {number}")
        for kind, count in (("train", 60), ("holdout", 30)):
            x = generator.uniform(-1, 1, (count, 2)).astype(np.float32)
            np.savez(folder / f"{kind}-{number}.npz", x=x, y=(x[:, 0] * x[:, 1] > 0).astype(np.float32))
    for number in (1, 2):
        call(folder, number, "tokens", "issue", "Org1MSP", BUDGET, "--request-id", "grant")
    call(folder, 1, "task", "create", "task.yaml")
    started = []
    try:
        for number in (1, 2, 3):
            files = ("--data", f"train-{number}.npz", "--holdout", f"holdout-{number}.npz")
            started.append(start(folder, number, "participant", "run", "xor", *files))
        watched = call(folder, 1, "round", "watch", "xor", lines=True)
        outputs = [process.communicate(timeout=60)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return watched, [json.loads(output) for output in outputs]


def start(folder: Path, organisation: int, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "FABRIC_FL_PROFILE": f".network/org{organisation}"}
    command = [COMMAND, *map(str, arguments), "--format", "json"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def call(folder: Path, organisation: int, *arguments: object, lines: bool = False):
    process = start(folder, organisation, *arguments)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()] if lines else json.loads(output)


def test_every_organisation_ends_with_the_model_that_the_ledger_names(folder, ended):
    _, outputs = ended
    latest = call(folder, 2, "models", "latest", "xor")

    assert latest["j"] == ROUNDS
    assert [(output["model"], output["digest"]) for output in outputs] == [(ROUNDS, latest["digest"])] * 3
    assert len(latest["attested_by"]) >= 2


def test_watching_saw_every_round_committed_by_a_quorum(ended):
    watched, _ = ended
    last = {line["round"]: line for line in watched}

    assert [line["status"] for line in last.values()] == ["committed"] * ROUNDS
    assert all(line["agreeing"] >= line["q"] == 2 for line in last.values())
    assert all(len(line["selected"]) == 2 for line in last.values())
    assert all(set(line["metrics"]) == {"loss", "accuracy"} for line in last.values())


def test_tokens_are_paid_to_the_last_unit_and_what_nobody_earned_returns(folder, ended):
    scores = call(folder, 3, "scores", "xor")
    balances = call(folder, 3, "balances")

    paid = {msp_id: one["paid"] for msp_id, one in scores["participants"].items()}
    assert sum(one["accepted"] for one in scores["participants"].values()) == 2 * ROUNDS
    assert balances["supply"] == BUDGET == sum(balances["balances"].values())
    returned = BUDGET - sum(paid.values())
    assert balances["balances"] == {**paid, "Org1MSP": paid["Org1MSP"] + returned}


def test_the_model_fetched_by_another_organisation_has_the_ledgers_digest(folder, ended):
    fetched = call(folder, 3, "models", "fetch", "xor", "--out", "model.safetensors")

    assert aggregation.digest((folder / "model.safetensors").read_bytes()) == fetched["digest"]


def test_replay_from_ledger_and_blobs_reaches_every_digest(folder, ended):
    audit = call(folder, 2, "audit", "xor")

    assert audit["identical"] is True
    assert [one["committed"] == one["recomputed"] for one in audit["rounds"]] == [True] * ROUNDS


def test_a_data_file_without_arrays_is_named(folder, ended):
    (folder / "broken.npz").write_text("no arrays")
    environment = {**os.environ, "FABRIC_FL_PROFILE": ".network/org1"}
    result = subprocess.run(
        [COMMAND, "participant", "run", "xor", "--data", "broken.npz"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr.startswith("error FL-DATA-FILE: broken.npz has no arrays x and y: ")
