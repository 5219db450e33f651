"""What a person sees who gives the commands something wrong: the code, a sentence, the remedy, exit code 1."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from devnet_tasks import Tasks, three_organisations
from organisations import patients

from fabric_fl.aggregation import encode
from fabric_fl.learning import describe_mlp
from fabric_fl.network.ports import free_ports

COMMAND = Path(sys.executable).with_name("fabric-fl")
TASK = """\
schema: 1
id: from-a-file
trainers: [Org1MSP, Org2MSP, Org3MSP]
validators: [Org1MSP, Org2MSP, Org3MSP]
q: 2
k: 2
min_updates: 2
rounds: 3
patience_s: 20
model: {kind: numpy-mlp, architecture: model.json, loss: binary_crossentropy, initial: initial.safetensors}
training: {optimizer: sgd, learning_rate: "0.5", epochs: 3, batch_size: 8}
server: {step: fedavg, learning_rate: "1"}
quantisation: {f: 24, bound: 1073741824}
max_examples: 1000
scoring: {rule: leave-one-out}
budget: 0
horizon_rounds: 3
"""


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations(registered=("Org1MSP", "Org2MSP")) as started:
        two = ["Org1MSP", "Org2MSP"]
        started.create("task-1", trainers=two, validators=two, k=2, min_updates=2)
        yield started


def call(tasks: Tasks, *arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "FABRIC_FL_PROFILE": str(folder or tasks.folder("Org1MSP")),
        "FABRIC_FL_ENROLLMENT_SECRET": "secret",
        "ENGINE": "devnet",
    }
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def told(result: subprocess.CompletedProcess[str], code: str) -> str:
    """Checks that a command failed as commands do, and returns what it said."""
    assert result.returncode == 1
    assert result.stdout == ""
    error, remedy = result.stderr.splitlines()[-2:]
    assert error.startswith(f"error {code}: ")
    assert re.fullmatch(r"[A-Z`].{20,}\.", remedy), remedy
    assert "Traceback" not in result.stderr
    return result.stderr


def save(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path, x=x, y=y)
    return path


def test_a_dataset_whose_shape_does_not_fit(tasks: Tasks, tmp_path: Path) -> None:
    x, y = patients(1)
    data = save(tmp_path / "data.npz", x[:, :3], y)
    said = told(call(tasks, "participant", "run", "task-1", "--data", data), "FL-DATA-SHAPE")
    assert "each example has features of the shape [3], the model takes [4]" in said


def test_nan_in_the_data(tasks: Tasks, tmp_path: Path) -> None:
    x, y = patients(1)
    x[2, 1] = np.nan
    data = save(tmp_path / "data.npz", x, y)
    said = told(call(tasks, "participant", "run", "task-1", "--data", data), "FL-DATA-NOT-FINITE")
    assert "the features of 1 examples hold NaN or infinity" in said


def test_nan_in_the_initial_weights(tasks: Tasks, tmp_path: Path) -> None:
    described = describe_mlp([2, 8, 1])
    (tmp_path / "model.json").write_text(described.architecture)
    poisoned = encode(described.initial)[:-4] + np.float32(np.nan).tobytes()
    (tmp_path / "initial.safetensors").write_bytes(poisoned)
    (tmp_path / "task.yaml").write_text(TASK)
    said = told(call(tasks, "task", "create", tmp_path / "task.yaml"), "FL-TASK-FILE")
    assert "task.yaml, line 10: model.initial: no model blob" in said
    assert "holds NaN or infinity" in said


def test_a_task_that_does_not_exist(tasks: Tasks) -> None:
    assert "there is no task 'task-9'" in told(call(tasks, "task", "show", "task-9"), "FL-TASK-UNKNOWN")


def test_a_participant_that_is_not_registered(tasks: Tasks, tmp_path: Path) -> None:
    data = save(tmp_path / "data.npz", *patients(3))
    result = call(tasks, "participant", "run", "task-1", "--data", data, folder=tasks.folder("Org3MSP"))
    assert "Org3MSP is not registered" in told(result, "FL-PARTICIPANT-UNKNOWN")


def test_a_certificate_of_another_organisation(tasks: Tasks, tmp_path: Path) -> None:
    folder = shutil.copytree(tasks.folder("Org1MSP"), tmp_path / "org1")
    shutil.copytree(tasks.folder("Org2MSP") / "msp", folder / "msp", dirs_exist_ok=True)
    for arguments in (("participant", "list"), ("participant", "register", "Hospital 1")):
        assert "creator org [Org1MSP]" in told(call(tasks, *arguments, folder=folder), "FL-IDENTITY-REFUSED")


def test_an_identity_without_its_key(tasks: Tasks, tmp_path: Path) -> None:
    folder = shutil.copytree(tasks.folder("Org1MSP"), tmp_path / "org1")
    shutil.rmtree(folder / "msp" / "keystore")
    assert "holds no key" in told(call(tasks, "participant", "list", folder=folder), "FL-IDENTITY")


def test_an_authority_that_does_not_answer(tasks: Tasks, tmp_path: Path) -> None:
    folder = shutil.copytree(tasks.folder("Org1MSP"), tmp_path / "org1")
    connection = json.loads((folder / "connection.json").read_text())
    for authority in connection["certificateAuthorities"].values():
        authority["url"] = f"https://localhost:{free_ports(1)[0]}"
    (folder / "connection.json").write_text(json.dumps(connection))
    result = call(tasks, "enroll", "ward-7", "--out", tmp_path / "ward-7", folder=folder)
    assert "connection refused" in told(result, "FL-CA-UNAVAILABLE")
    assert not (tmp_path / "ward-7").exists()


def test_a_gateway_that_does_not_answer(tasks: Tasks, tmp_path: Path) -> None:
    folder = shutil.copytree(tasks.folder("Org1MSP"), tmp_path / "org1")
    connection = json.loads((folder / "connection.json").read_text())
    for peer in connection["peers"].values():
        peer["url"] = f"grpcs://localhost:{free_ports(1)[0]}"
    (folder / "connection.json").write_text(json.dumps(connection))
    told(call(tasks, "participant", "list", folder=folder), "FL-GATEWAY-EVALUATE")


def test_a_port_that_is_taken(tasks: Tasks, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        consortium = (
            "schema: 1\nchannel: fl\norderers: [localhost:0]\norganisations:\n  - {name: org1, msp_id: Org1MSP, "
            f"peers: [localhost:{port}], ca: localhost:0, chaincode: localhost:0}}\n"
        )
        (tmp_path / "consortium.yaml").write_text(consortium)
        arguments = ("network", "up", "--consortium", tmp_path / "consortium.yaml", "--home", tmp_path / "home")
        said = told(call(tasks, *arguments), "FL-NETWORK-PORT")
    assert f"port {port} (" in said
    try:
        assert call(tasks, *arguments).returncode == 0
    finally:
        assert call(tasks, "network", "down", "--home", tmp_path / "home").returncode == 0
