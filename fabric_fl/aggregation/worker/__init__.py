"""A process of its own for exact arithmetic, kept for as long as the organisation's process runs.

TensorFlow can switch its process to flushing subnormal numbers to zero; the next model is computed where nothing does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fabric_fl.aggregation.errors import WorkerError
from fabric_fl.aggregation.files import BlobFile
from fabric_fl.aggregation.rounds import AggregationResult, RoundInputs
from fabric_fl.aggregation.worker import messages

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}
"""Of the child: linear algebra stays in the thread that calls it, because aggregation has one a core already. Blocks
are allocated where others were, because the first touch of a page costs more than all that is done with it.
"""


class AggregationWorker:
    """Runs `aggregate` and `leave_one_out_models` in a child process.

    The child starts with the first call. When it is found dead the call is repeated once in a new one: it reads files
    and writes files of its own, so repeating is safe. Threads may share a worker; their calls queue.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the child now, instead of with the first call.

        Raises:
            WorkerError: It could not be started.
            AggregationError: It found that it cannot compute exactly.
        """
        with self._lock:
            if self._process is None:
                self._start()

    def aggregate(self, inputs: RoundInputs, directory: Path) -> AggregationResult:
        """Sum a round; see `fabric_fl.aggregation.aggregate`.

        Raises:
            AggregationError: As `fabric_fl.aggregation.aggregate`.
            WorkerError: The child died twice.
        """
        return messages.result_from_json(self._call("aggregate", inputs, directory))

    def leave_one_out_models(
        self, inputs: RoundInputs, included: Sequence[str], directory: Path
    ) -> dict[str, BlobFile]:
        """Write each model without one participant; see `fabric_fl.aggregation.leave_one_out_models`.

        Raises:
            AggregationError: As `fabric_fl.aggregation.leave_one_out_models`.
            WorkerError: The child died twice.
        """
        found = self._call("leave_one_out", inputs, directory, included=list(included))
        return {participant: messages.file_from_json(file) for participant, file in found.items()}

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()

    def _call(self, call: str, inputs: RoundInputs, directory: Path, **more: Any) -> messages.Json:
        request = {"call": call, "inputs": messages.inputs_to_json(inputs), "directory": str(directory), **more}
        line = json.dumps(request) + "\n"
        with self._lock:
            answer = self._ask(line)
            if answer is None:
                answer = self._ask(line)
        if answer is None:
            raise WorkerError("the aggregation worker ended twice while it worked on one round")
        return _result(answer)

    def _ask(self, line: str) -> messages.Json | None:
        """Send a request. None means that the child is dead; it has been cleared away."""
        if self._process is None:
            self._start()
        try:
            self._write(line)
            answer = self._read()
        except OSError:
            answer = None
        except BaseException:
            # Interrupted half-way: the answer to this request must not be taken for that to the next.
            self._stop(kill=True)
            raise
        if answer is None:
            self._stop(kill=True)
        return answer

    def _start(self) -> None:
        try:
            # -P: the directory that we happen to be in is no place to import from
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fabric_fl.aggregation.worker"],
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise WorkerError(f"the aggregation worker cannot be started: {error.strerror}") from error
        greeting = self._read()
        if greeting is None or "ready" not in greeting:
            self._stop(kill=True)
            if greeting is None:
                raise WorkerError("the aggregation worker ended while it started")
            _result(greeting)

    def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _read(self) -> messages.Json | None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def _stop(self, *, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # what was still to be sent has no reader any more
            process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _result(answer: messages.Json) -> messages.Json:
    if "error" in answer:
        raise messages.error_from_json(answer["error"])
    result: messages.Json = answer["result"]
    return result
