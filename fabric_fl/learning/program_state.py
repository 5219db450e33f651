"""A committed model as program state on disk: what `tff.program.FileProgramStateManager` loads."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib import import_module
from pathlib import Path

from fabric_fl.aggregation import ModelBlob, StateBlob
from fabric_fl.learning.errors import LearningError
from fabric_fl.learning.export import learning_process, learning_process_state, require_keras
from fabric_fl.learning.tff_runtime import libraries
from fl_chaincode.records import Task

_SWITCH = "WRAPT_DISABLE_EXTENSIONS"


def save_program_state(folder: Path, task: Task, number: int, model: ModelBlob, state: StateBlob | None) -> Path:
    """Writes the state from which a TFF process continues after a committed model; its version is the model's number.

    Whoever loads it needs TFF alone, and a process over the same model with the same kind of server optimizer.

    Args:
        folder: The manager's; made if it is not there, and empty if it is, so that the newest state in it is this one.
        task: The model's.
        number: Of the model in its task, 0 for the initial one.
        model: The weights.
        state: The server step's state; None before the first step.

    Returns:
        What was written within the folder.

    Raises:
        ModelError: The task's model is no Keras model.
        LearningError: The folder holds something, or TensorFlow was loaded here in a way that cannot save.
    """
    require_keras(task)
    _require_empty(folder)
    _require_savable()
    process = learning_process(task)
    found = learning_process_state(task, process, model, state)
    manager = libraries().tff.program.FileProgramStateManager(folder)
    asyncio.run(manager.save(found, number))
    return folder / f"program_state_{number}"


def _require_empty(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise LearningError(
            f"{folder} is there already and is no empty folder",
            code="FL-EXPORT-EXISTS",
            remedy="Name a new folder; a program that loads the newest state in it must find the exported one.",
        )


def _require_savable() -> None:
    """Load the one form of `wrapt` with which TensorFlow 2.14 can save dictionaries as program state.

    TensorFlow keeps them in proxies of `wrapt`, and asks each whether it supports a protocol. `typing_extensions`
    answers by `inspect.getattr_static`, which fails on the proxies that are written in C and not on those in Python.
    `wrapt` chooses between the two while it is imported, so the switch is set for that moment only: later it would
    change nothing here, and programs that are started from here would inherit it. Loading needs none of this.
    """
    if "wrapt" not in sys.modules:
        before = os.environ.get(_SWITCH)
        os.environ[_SWITCH] = "1"
        try:
            import_module("wrapt")
        finally:
            if before is None:
                del os.environ[_SWITCH]
            else:
                os.environ[_SWITCH] = before
    if "wrapt._wrappers" in sys.modules:
        raise LearningError(
            "TensorFlow was loaded in this process with proxies of which it cannot save program state",
            code="FL-EXPORT-PROCESS",
            remedy=f"Export before TensorFlow is imported, or start the program with {_SWITCH}=1 in its environment.",
        )
