"""What the repository promises of itself."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import fabric_fl

ROOT = Path(__file__).parents[2]
# make tells its children that it is their parent, and they print more then; these tests may run under `make test`
BY_HAND = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
OURS = ("fabric_fl", "chaincode", "network", "examples", "demo", "bench", "docs", "tests")


def project(path: str = "pyproject.toml") -> dict:
    return tomllib.loads((ROOT / path).read_text())


def requirement_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_the_shipped_overrides_are_those_that_the_lock_file_was_made_with():
    declared = project()["tool"]["uv"]["override-dependencies"]

    assert requirement_lines(ROOT / "overrides.txt") == declared
    assert len(declared) == len(tomllib.loads((ROOT / "uv.lock").read_text())["manifest"]["overrides"])


def test_both_distributions_have_one_version_and_the_sdk_asks_for_just_that_chaincode():
    sdk, chaincode = project()["project"], project("chaincode/pyproject.toml")["project"]

    assert sdk["version"] == chaincode["version"] == fabric_fl.__version__
    assert f"{chaincode['name']}=={chaincode['version']}" in sdk["dependencies"]


def test_make_help_lists_every_target():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"tff-platform"}

    shown = subprocess.run(["make"], cwd=ROOT, env=BY_HAND, capture_output=True, text=True, check=True).stdout

    assert {line.split()[1] for line in shown.splitlines()} == targets
    assert targets >= {"help", "demo", "test", "soak", "bench", "lint", "clean"}
    assert targets >= {"network-up", "network-down", "network-status"}


def test_continuous_integration_runs_what_a_developer_runs():
    commands = (ROOT / ".ci" / "run").read_text().splitlines()

    assert commands[-1] == "exec make test"


def test_a_platform_without_tensorflow_federated_gets_one_sentence_from_make_demo():
    result = subprocess.run(
        ["make", "demo", "PYTHON=python2.7-of-old"],
        cwd=ROOT,
        env=BY_HAND,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    sentence, makes_own = result.stderr.splitlines()
    assert sentence.startswith("make demo: TensorFlow Federated needs Python 3.11 on Linux x86-64, and this is ")
    assert makes_own.startswith("make: ***")
    assert result.stdout == ""


def test_nothing_but_the_lock_file_names_a_package_registry():
    hosts = re.compile("|".join((r"pypi\.org", r"pythonhosted\.", r"registry\.npmjs", r"proxy\.golang")))
    files = [
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        ROOT / "README.md",
        ROOT / "overrides.txt",
        ROOT / ".ci" / "run",
    ]
    for folder in OURS:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "node_modules" not in path.parts]
    naming = [path for path in files if path != Path(__file__) and hosts.search(path.read_text(errors="ignore"))]

    assert len(files) > 50
    assert naming == []


def test_importing_the_sdk_or_asking_for_help_loads_nothing_heavy():
    heavy = {"tensorflow", "tensorflow_federated", "numpy", "grpc", "yaml", "hfc", "supervisor"}
    program = "import sys, fabric_fl, fabric_fl.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "fabric_fl.cli" in loaded
    assert heavy & set(loaded) == set()
