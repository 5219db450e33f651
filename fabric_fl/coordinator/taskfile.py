"""A task as people write it: the specification in YAML, where it names files instead of text and digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import BlobError, decode_model, digest
from fabric_fl.errors import FabricFLError
from fabric_fl.strictyaml import Field, load

_REQUIRED = (
    *("schema", "id", "trainers", "validators", "q", "k", "min_updates", "rounds", "patience_s", "model", "training"),
    *("server", "quantisation", "max_examples", "scoring", "budget", "horizon_rounds"),
)


class TaskFileError(FabricFLError):
    """The task file says something that cannot be."""

    code = "FL-TASK-FILE"
    remedy = "Correct that line; examples/task.yaml in the repository is a complete example."


@dataclass(frozen=True)
class TaskDraft:
    """A task that is not on the ledger yet.

    Attributes:
        spec: What tasks:Create takes.
        initial: The blob with the initial weights.
    """

    spec: dict[str, Any]
    initial: bytes = field(repr=False)


def read_task_file(path: Path) -> TaskDraft:
    """Reads and checks the task file at `path`; the contract judges the values.

    The fields are those of the task's record on the ledger. Under `model`, `architecture` and `initial` name files,
    relative to the task file: the architecture as JSON, the initial weights as a model blob.

    Raises:
        TaskFileError: It names file, line and field.
    """
    fields = load(path, TaskFileError).mapping(_REQUIRED, ("aggregation", "purpose", "stop"))
    spec = {"aggregation": {"rule": "none"}} | {name: field.plain() for name, field in fields.items()}
    model = fields["model"].mapping(("kind", "architecture", "loss", "initial"))
    blob = _bytes(model["initial"], path)
    try:
        decode_model(blob)
    except BlobError as error:
        raise model["initial"].error(f"no model blob: {error.message}") from error
    spec["model"] |= {
        "architecture": _text(model["architecture"], path),
        "initial": digest(blob),
        "size": len(blob),
    }
    return TaskDraft(spec, blob)


def _bytes(file: Field, beside: Path) -> bytes:
    path = beside.parent / file.string(r".+", "the path of a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise file.error(f"{path} cannot be read: {error.strerror}") from error


def _text(file: Field, beside: Path) -> str:
    try:
        return _bytes(file, beside).decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise file.error("the file is no text in UTF-8") from error
