"""Both wheels, installed into empty environments outside the repository."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from fabric_fl import network

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
UNREACHABLE = ("Could not resolve host", "Temporary failure in name resolution", "NewConnectionError", "dns error")
HAS_TFF_PLATFORM = sys.platform == "linux" and os.uname().machine == "x86_64" and sys.version_info[:2] == (3, 11)

pytestmark = pytest.mark.timeout(900)


def outside() -> dict[str, str]:
    """The environment without anything that would lead back into the repository."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def install(*command: object) -> None:
    result = subprocess.run(list(map(str, command)), env=outside(), capture_output=True, text=True, check=False)
    if any(sign in result.stderr for sign in UNREACHABLE):
        pytest.skip("the package registry cannot be reached")
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    install(
        UV, "build", "--quiet", "--all-packages", "--wheel", "--project", ROOT, "--directory", ROOT, "--out-dir", folder
    )
    found = sorted(folder.glob("*.whl"))
    assert [wheel.name.partition("-")[0] for wheel in found] == ["fabric_fl", "fabric_fl_chaincode"]
    return found


@pytest.fixture(scope="module")
def base(wheels, tmp_path_factory):
    """An environment with the base distribution, made by plain pip."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], env=outside(), check=True)
    install(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *wheels)
    return folder / "bin"


@pytest.fixture(scope="module")
def full(wheels, tmp_path_factory):
    """An environment with both extras, made by uv with the overrides that we ship."""
    folder = tmp_path_factory.mktemp("full") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], env=outside(), check=True)
    install(
        *(UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python"),
        *("--overrides", ROOT / "overrides.txt", "--find-links", wheels[0].parent),
        *("fabric-fl[ca,tff]", "scikit-learn"),  # the example's patients come with scikit-learn
    )
    return folder / "bin"


def run(program: Path, *arguments: object, cwd: Path) -> str:
    command = [str(program), *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=outside(), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheels_hold_the_packages_their_licence_and_nothing_else(wheels):
    for wheel, packages in zip(wheels, ({"fabric_fl"}, {"fabric_ccaas", "fl_chaincode"}), strict=True):
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == packages
        assert {f"{package}/py.typed" for package in packages} <= set(names)
        assert any(name.endswith("/LICENSE") for name in names)


def test_plain_pip_installs_a_base_that_imports_fast_and_without_tensorflow(base, tmp_path):
    program = (
        "import sys, time; start = time.perf_counter(); import fabric_fl; seconds = time.perf_counter() - start; "
        "print(seconds, 'tensorflow' in sys.modules, fabric_fl.__file__)"
    )
    run(base / "python", "-c", program, cwd=tmp_path)  # compiles what is imported

    seconds, has_tensorflow, where = run(base / "python", "-c", program, cwd=tmp_path).split()

    assert float(seconds) < 0.5
    assert has_tensorflow == "False"
    assert Path(where).is_relative_to(base.parent)


def test_the_base_has_the_commands_and_the_chaincode(base, tmp_path):
    start = time.monotonic()
    shown = run(base / "fabric-fl", "--help", cwd=tmp_path)
    assert time.monotonic() - start < 2
    assert "network" in shown
    assert "participant" in shown
    assert "Name the contract" in run(
        base / "python", "-c", "import fl_chaincode.errors as e; print(e.HELP)", cwd=tmp_path
    )


@pytest.mark.skipif(not HAS_TFF_PLATFORM, reason="TensorFlow Federated needs Python 3.11 on Linux x86-64")
def test_the_extras_install_with_the_shipped_overrides(full, tmp_path):
    program = (
        "import importlib.metadata as m; import hfc.fabric_ca.caservice; "
        "print(m.version('tensorflow-federated'), m.version('tensorflow'), m.version('fabric-sdk-py'))"
    )

    assert run(full / "python", "-c", program, cwd=tmp_path).split() == ["0.87.0", "2.14.1", "1.0.0"]


def code_blocks(path: Path) -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_shows_the_training_job_that_the_examples_hold():
    job = (ROOT / "examples" / "train.py").read_text()

    assert job in code_blocks(ROOT / "README.md")
    assert len(job.splitlines()) <= 20


@pytest.mark.skipif(not HAS_TFF_PLATFORM, reason="TensorFlow Federated needs Python 3.11 on Linux x86-64")
def test_the_readmes_example_runs_outside_the_repository(full, tmp_path):
    """The README's commands, with the training jobs of all three hospitals started before the task is watched."""
    commands = next(block for block in code_blocks(ROOT / "README.md") if "fabric-fl task create" in block)
    assert commands.count("fabric-fl round watch cancer\n") == 1
    job = "python examples/train.py .network/org$n cancer examples/out/hospital-$n.npz >job-$n.txt"  # lines stay whole
    jobs = f"for n in 1 2 3; do {job} & done\n"
    watch = "fabric-fl round watch cancer\n"
    script = f"""set -e
    trap 'fabric-fl network down' EXIT
    fabric-fl network up --engine devnet
    python examples/prepare.py
    {commands.replace(watch, jobs + watch + "wait" + chr(10))}"""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("out"))
    (tmp_path / "network").mkdir()
    consortium = (ROOT / "network" / "consortium.yaml").read_text()
    (tmp_path / "network" / "consortium.yaml").write_text(re.sub(r"localhost:\d+", "localhost:0", consortium))
    environment = {**outside(), "PATH": f"{full}{os.pathsep}{os.environ['PATH']}"}

    shell = subprocess.Popen(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the jobs in its background can be ended with it
    )
    try:
        printed, complaints = shell.communicate(timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        network.down(tmp_path / ".network")

    assert shell.returncode == 0, complaints[-4000:]
    digests = set()
    for number in (1, 2, 3):
        model = re.match(rf"Org{number}MSP: model 5, ([0-9a-f]{{64}})\n", (tmp_path / f"job-{number}.txt").read_text())
        assert model is not None, complaints[-4000:]
        digests.add(model[1])
    assert len(digests) == 1
    assert printed.count(" identical\n") == 5  # rounds that the audit recomputed
