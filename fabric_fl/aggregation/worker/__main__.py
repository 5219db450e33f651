"""The process that sums: `python -m fabric_fl.aggregation.worker`.

It imports numpy and never TensorFlow, reads a request a line on standard input, and ends when that is closed, as it is
when the process that started it is killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TextIO

from fabric_fl.aggregation.aggregator import aggregate, leave_one_out_models
from fabric_fl.aggregation.errors import WorkerError
from fabric_fl.aggregation.floats import require_subnormals
from fabric_fl.aggregation.worker import messages
from fabric_fl.errors import FabricFLError


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer every request until there are no more.

    The next model goes to the disk while the others still sum and attest, so that nobody waits for it later.
    """
    for line in requests:
        answer, written = _answer(line)
        files = [path.open("rb", buffering=0) for path in written if path.exists()]  # before they are moved away
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if files:
            threading.Thread(target=_sync, args=(files,), daemon=True).start()


def _sync(files: Sequence[FileIO]) -> None:
    for file in files:
        with file, suppress(OSError):  # who needs it on the disk syncs it once more, and hears of what is wrong
            os.fsync(file.fileno())


def _answer(line: str) -> tuple[messages.Json, list[Path]]:
    """Do what is asked; returns the answer, and the files that are soon to be on the disk."""
    try:
        request = json.loads(line)
        inputs, directory = messages.inputs_from_json(request["inputs"]), Path(request["directory"])
        if request["call"] == "aggregate":
            result = aggregate(inputs, directory)
            return {"result": messages.result_to_json(result)}, [result.model.path, result.state.path]
        models = leave_one_out_models(inputs, request["included"], directory)
        return {"result": {participant: messages.file_to_json(model) for participant, model in models.items()}}, []
    except FabricFLError as error:
        return {"error": messages.error_to_json(error)}, []
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it rather than wait
        return {"error": messages.error_to_json(WorkerError(f"{type(error).__name__}: {error}"))}, []


def main() -> None:
    # Ctrl-C reaches the whole process group; our end is when standard input closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # All updates of a round are open at once, and a round may have as many participants as the usual limit of files.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Answers go to a descriptor of our own, so that nothing printed by a library gets between them.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            require_subnormals()
        except FabricFLError as error:
            answers.write(json.dumps({"error": messages.error_to_json(error)}) + "\n")
            return
        answers.write(json.dumps({"ready": os.getpid()}) + "\n")
        answers.flush()
        serve(sys.stdin, answers)


main()
