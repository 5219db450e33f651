"""Loading TensorFlow Federated, and ending what it leaves behind."""

from __future__ import annotations

import atexit
import gc
import os
import platform
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fabric_fl.learning.errors import LearningUnavailableError

WORKER = "worker_binary"


class Libraries(NamedTuple):
    """The two modules, imported."""

    tf: Any
    tff: Any


@cache
def libraries() -> Libraries:
    """Import TensorFlow and TensorFlow Federated, which takes seconds, once.

    Raises:
        LearningUnavailableError: They do not run on this platform, or are not installed.
    """
    require_platform()
    # Its C++ side writes pages about processors and GPUs to standard error, in the worker process too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves oneDNN off where a processor has no VNNI, and large layers then train at a third of the speed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with quiet():
            import tensorflow as tf
            import tensorflow_federated as tff
    except ImportError as error:
        raise LearningUnavailableError(
            f"TensorFlow Federated is not installed here ({error}).",
            remedy="Install it with: uv pip install --overrides overrides.txt 'fabric-fl[tff]'",
        ) from error
    atexit.register(_release_executor, tff)
    return Libraries(tf, tff)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Keras's own deprecation warnings (of Python 3.10 and later) from our caller."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@contextmanager
def inlined() -> Iterator[None]:
    """Make what TFF wraps in functions part of the graph that is being built.

    A function hands the weights that it read to that of its gradient, and holds them until the end.
    """
    config = libraries().tf.config
    before = config.functions_run_eagerly()
    config.run_functions_eagerly(True)
    try:
        yield
    finally:
        config.run_functions_eagerly(before)


def require_platform() -> None:
    """Refuse a platform that TensorFlow Federated has no build for.

    Raises:
        LearningUnavailableError: In one sentence.
    """
    found = (sys.platform, platform.machine(), sys.version_info[:2])
    if found != ("linux", "x86_64", (3, 11)):
        version = ".".join(map(str, found[2]))
        raise LearningUnavailableError(
            f"TensorFlow Federated runs on Linux x86-64 with Python 3.11 only, and this is {found[0]} {found[1]} "
            f"with Python {version}."
        )


def end_workers() -> None:
    """End the `worker_binary` that TFF's executor started; it starts another one when it needs it.

    It would outlive this process and hold standard output open.
    """
    for pid in _children():
        with suppress(OSError):  # it may end by itself at the same moment
            if Path(f"/proc/{pid}/comm").read_text().strip() == WORKER:
                # TFF waits for it when its manager goes, without a limit; it was seen to ignore a polite request.
                os.kill(pid, signal.SIGKILL)


def _release_executor(tff: Any) -> None:
    """Let TFF end its executor while it still can: later in the interpreter's exit its finalizer fails."""
    end_workers()
    framework = tff.framework
    nothing = framework.ResourceManagingExecutorFactory(lambda _: None)
    framework.set_default_context(framework.SyncExecutionContext(nothing))  # a context that has no executor to end
    gc.collect()
    end_workers()


def _children() -> list[int]:
    """Process ids of this process's own children, whichever thread started them."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found
