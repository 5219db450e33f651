"""No private key and no enrolment secret is where anybody but its owner could read it, on either engine."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fabric_programs import needs_fabric
from task_processes import running_network

from fabric_fl.network import Consortium, leftovers
from fabric_fl.network.home import Home

COMMAND = Path(sys.executable).with_name("fabric-fl")
PEM = re.compile(rb"-----BEGIN (?:EC )?PRIVATE KEY-----\s.*?-----END (?:EC )?PRIVATE KEY-----", re.S)
# Where keys and secrets belong; they may stand in no other file.
PLACES = {
    "an identity's key": r"(.*/)?keystore/[^/]+",
    "a TLS key": r".*\.key",
    "a devnet authority's or node's key": r"devnet/.*",
    "what a CA's identities enrol with": r"fabric/[^/]+/secrets/[^/]+",
    "the registrar's secret, for its CA": r"fabric/[^/]+/fabric-ca-server-config\.yaml",
    "the registrar's secret, for its organisation": r"org[0-9]/connection\.json",
    "what a peer shows the chaincode's process": r"fabric/chaincode/[^/]+/connections/fl\.json",
    "the same as its peer released it": r"fabric/peer[^/]+/data/externalbuilder/.*/connection\.json",
}


class Watch:
    """Collects the command lines and environments of everything that runs on a network, while it starts and later."""

    def __init__(self, home: Path) -> None:
        self.seen: set[bytes] = set()
        self._home = Home.at(home)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look_again_and_again(self) -> None:
        while not self._stop.wait(0.05):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    command = (entry / "cmdline").read_bytes()
                    # also what `up` runs once; of other people's processes the command line is all that is seen
                    if str(self._home.root).encode() in command:
                        self.seen |= {command, (entry / "environ").read_bytes()}
                except OSError:
                    continue

    def look(self) -> None:
        """Adds whatever carries the network's mark, and this process's own children."""
        for pid in leftovers.find(self._home):
            self.seen |= {Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")}


@dataclass(frozen=True)
class Shown:
    """A network that has run a task, and all that anybody saw of it."""

    home: Path
    processes: set[bytes]
    answers: list[bytes]


@pytest.fixture(scope="module", params=["devnet", pytest.param("fabric", marks=needs_fabric)])
def shown(request, tmp_path_factory) -> Iterator[Shown]:
    home = tmp_path_factory.mktemp("secrets") / ".network"
    with Watch(home) as watch, running_network(home, Consortium.default(3).on_free_ports(), request.param) as network:
        network.create_task("secrets")
        processes = [network.start(index, "secrets") for index in range(3)]
        network.wait_until_submitted("secrets")
        watch.look()
        for process in processes:
            watch.seen |= {Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")}
        answers = [text.encode() for process in processes for text in process.communicate(timeout=90)]
        answers += [call(home, "network", "status"), call(home, "network", "status", "--format", "json")]
        answers += [call(home, "network", "up", "--orgs", "7"), call(home, "doctor")]
        wrong = ("enroll", "registrar", "--profile", ".network/org1", "--out", "nobody")
        answers.append(call(home, *wrong, FABRIC_FL_ENROLLMENT_SECRET="wrong"))
        assert b"FL-CA-AUTHENTICATION" in answers[-1]
        yield Shown(home, watch.seen, answers)


def call(home: Path, *arguments: str, **variables: str) -> bytes:
    command = [str(COMMAND), *arguments]
    done = subprocess.run(command, cwd=home.parent, env=variables or None, capture_output=True, check=False)
    return done.stdout + done.stderr


def secrets_of(home: Path) -> dict[bytes, str]:
    """Returns every secret's bytes and where it lies: enrolment secrets and private keys."""
    found = {path.read_bytes(): str(path) for path in home.glob("fabric/*/secrets/*")}
    for path in home.glob("*/connection.json"):
        for authority in json.loads(path.read_text())["certificateAuthorities"].values():
            for registrar in authority.get("registrar", ()):
                found[registrar["enrollSecret"].encode()] = str(path)
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            for key in PEM.findall(path.read_bytes()):
                found |= dict.fromkeys(forms_of(key), str(path))
    return found


def forms_of(pem: bytes) -> Iterator[bytes]:
    """Yields what a private key looks like in a text: the lines of its PEM that hold of its number, and that in hex."""
    try:
        key = load_pem_private_key(pem, None)
    except ValueError:  # Fabric CA writes one of its keys under the name of another format
        key = load_pem_private_key(pem.replace(b" PRIVATE", b" EC PRIVATE"), None)
    size = key.curve.key_size // 8
    number = key.private_numbers().private_value.to_bytes(size, "big")
    lines = pem.split(b"-----")[2].split()
    at = b64decode(b"".join(lines)).index(number)
    for index, line in enumerate(lines):
        begin = 48 * index  # bytes in a line of 64 characters
        if min(at + size, begin + 48) - max(at, begin) >= 9:  # the rest is the public key, which certificates hold too
            yield line
    yield number.hex().encode()


def holds(content: bytes, secrets: dict[bytes, str]) -> str:
    """Returns where the first secret that a text holds belongs."""
    return next((place for secret, place in secrets.items() if secret in content), "")


def test_no_secret_is_in_a_log_a_process_list_an_answer_or_an_error(shown):
    secrets = secrets_of(shown.home)
    assert len(secrets) > 20
    assert len(shown.processes) > 10
    for text in [*shown.processes, *shown.answers]:
        assert not holds(text, secrets), text[:2000]
    for path in (shown.home / "logs").iterdir():
        content = path.read_bytes()
        assert not holds(content, secrets), path
        assert b"PRIVATE KEY" not in content, path


def test_keys_and_secrets_stand_where_they_belong_and_their_owner_alone_can_read_them(shown):
    home, secrets = shown.home, secrets_of(shown.home)
    belongs = re.compile("|".join(PLACES.values()))
    paths = [path for path in [home, *home.rglob("*")] if not path.is_symlink()]
    # what others may read is in blob stores; nobody gets there through the network's own directory
    inner = [path for path in paths if path.is_dir() and "blobs" not in path.parts]
    assert {str(path): mode(path) for path in inner if mode(path) != "700"} == {}
    files = {path: path.read_bytes() for path in paths if path.is_file()}
    private = {path for path, content in files.items() if b"PRIVATE KEY" in content or holds(content, secrets)}
    assert {str(path): mode(path) for path in private if mode(path) != "600"} == {}
    assert [path for path in private if not belongs.fullmatch(str(path.relative_to(home)))] == []


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"
