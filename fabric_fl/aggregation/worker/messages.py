"""What goes through the pipes: a line of JSON each way, over the same data classes that a direct call takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from fabric_fl.aggregation.errors import AggregationError, BlobError, WorkerError
from fabric_fl.aggregation.files import BlobFile, Fingerprint
from fabric_fl.aggregation.rounds import AggregationResult, RoundInputs, UpdateInput
from fabric_fl.errors import FabricFLError

Json = dict[str, Any]

_ERRORS: dict[str, type[FabricFLError]] = {kind.__name__: kind for kind in (AggregationError, BlobError, WorkerError)}


def inputs_to_json(inputs: RoundInputs) -> Json:
    return {**_shallow(inputs), **_files(inputs.model, inputs.state)} | {
        "server": dict(inputs.server),
        "rule": dict(inputs.rule),
        "updates": [_plain(asdict(update)) for update in inputs.updates],
    }


def inputs_from_json(value: Json) -> RoundInputs:
    updates = tuple(
        UpdateInput(
            **{
                **update,
                "path": None if update["path"] is None else Path(update["path"]),
                "copy": None if update["copy"] is None else Path(update["copy"]),
                "verified": _fingerprint(update),
            }
        )
        for update in value["updates"]
    )
    state = None if value["state"] is None else file_from_json(value["state"])
    return RoundInputs(**{**value, "model": file_from_json(value["model"]), "state": state, "updates": updates})


def result_to_json(result: AggregationResult) -> Json:
    return {**_shallow(result), "refused": dict(result.refused), **_files(result.model, result.state)}


def result_from_json(value: Json) -> AggregationResult:
    model, state = file_from_json(value["model"]), file_from_json(value["state"])
    return AggregationResult(**{**value, "included": tuple(value["included"]), "model": model, "state": state})


def file_to_json(file: BlobFile) -> Json:
    return _plain(asdict(file))


def file_from_json(value: Json) -> BlobFile:
    return BlobFile(Path(value["path"]), value["digest"], value["size"], _fingerprint(value))


def error_to_json(error: FabricFLError) -> Json:
    found = {"kind": type(error).__name__, "message": error.message, "code": error.code, "remedy": error.remedy}
    if isinstance(error, AggregationError):
        return found | {"participants": list(error.participants), "refused": error.refused}
    return found


def error_from_json(value: Mapping[str, Any]) -> FabricFLError:
    kind = _ERRORS.get(value["kind"], WorkerError)
    if kind is AggregationError:
        return AggregationError(
            value["message"],
            code=value["code"],
            remedy=value["remedy"],
            participants=tuple(value["participants"]),
            refused=value["refused"],
        )
    return kind(value["message"], code=value["code"], remedy=value["remedy"])


def _fingerprint(value: Json) -> Fingerprint | None:
    if value["verified"] is None:
        return None
    inode, size, modified, changed = value["verified"]
    return inode, size, modified, changed


def _shallow(value: RoundInputs | AggregationResult) -> Json:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _files(model: BlobFile, state: BlobFile | None) -> Json:
    return {"model": file_to_json(model), "state": None if state is None else file_to_json(state)}


def _plain(value: Json) -> Json:
    return {name: str(item) if isinstance(item, Path) else item for name, item in value.items()}
