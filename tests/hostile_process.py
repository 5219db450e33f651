"""Reads hostile blobs in a process of its own and reports how much memory that took, and whether anything was run.

`python hostile_process.py FOLDER`: FOLDER/cases holds files that are read as models and as updates; answers JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rounds_on_disk import make_round, with_update

from fabric_fl.aggregation import AggregationError, BlobError, aggregate, decode, read_model
from fabric_fl.aggregation.files import BlobFile, read_verified

RUNS_CODE = ("exec", "compile", "import", "pickle.find_class", "os.system", "os.exec", "os.mkdir", "subprocess.Popen")
_seen: list[str] = []
_watching = False


def _watch(event: str, _arguments: Any) -> None:
    if _watching and event.startswith(RUNS_CODE):
        _seen.append(event)


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def as_model(path: Path) -> str:
    """The code with which a file is refused where a model is read whose digest and size are known."""
    try:
        digest = _digest(path) if _plain(path) else "0" * 64
        decode(read_verified(BlobFile(path, digest, path.lstat().st_size)))
    except BlobError as error:
        return error.code
    return "accepted"


def as_update(inputs: Any, path: Path, folder: Path) -> str:
    """The code with which it is refused where it was revealed as an update, or why the round waits for it."""
    if _plain(path):
        facts = {"digest": _digest(path), "size": path.stat().st_size}
    else:
        facts = {"digest": inputs.updates[1].digest, "size": inputs.updates[1].size}
    try:
        result = aggregate(with_update(inputs, 1, path=path, **facts), folder)
    except AggregationError as error:
        return error.code
    return result.refused.get("Org2MSP", "accepted")


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sparse(path: Path, size: int) -> str:
    with path.open("wb") as file:
        file.truncate(size)
    try:
        read_model(path, "0" * 64, 1000)
    except BlobError as error:
        return error.code
    return "accepted"


def main(folder: Path) -> None:
    global _watching  # noqa: PLW0603 - an audit hook cannot be taken away again, only told to be quiet
    inputs = make_round(folder / "round")
    out = folder / "out"
    out.mkdir()
    good = aggregate(inputs, out)
    as_model(good.model.path)
    spoiled = folder / "spoiled"
    spoiled.write_bytes(b"{}")
    as_model(spoiled), as_update(inputs, spoiled, out), sparse(folder / "small", 10)
    without = aggregate(replace(inputs, updates=(inputs.updates[0], inputs.updates[2])), out).model.digest
    sys.addaudithook(_watch)
    before, _watching = peak(), True
    eval("1")  # shows that the hook watches
    noticed, found = list(_seen), {}
    _seen.clear()
    for path in sorted((folder / "cases").iterdir()):
        found[path.name] = [as_model(path), as_update(inputs, path, out)]
    found["10 GiB of nothing"] = [sparse(folder / "huge", 10 << 30), _huge_update(inputs, folder / "huge", out)]
    _watching = False
    again = aggregate(with_update(inputs, 1, path=None, size=10 << 30), out).model.digest
    print(
        json.dumps(
            {"codes": found, "grown": peak() - before, "ran": _seen, "noticed": noticed, "unharmed": again == without}
        )
    )


def _huge_update(inputs: Any, path: Path, out: Path) -> str:
    return aggregate(with_update(inputs, 1, path=path, size=10 << 30), out).refused["Org2MSP"]


main(Path(sys.argv[1]))
