"""Models, data and tasks for the tests that run TensorFlow Federated."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import numpy as np

from fabric_fl.learning import TrainingTask
from fabric_fl.learning.tff_runtime import libraries

FEATURES = 6


def data(count=40, seed=0, classes=2):
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, count)
    x = generator.standard_normal((count, FEATURES)) + 0.8 * y[:, None]
    return x.astype(np.float32), y


def keras_model(*layers, seed=1, outputs=1, activation="sigmoid"):
    tf = libraries().tf
    tf.keras.utils.set_random_seed(seed)
    hidden = layers or (tf.keras.layers.Dense(5, activation="tanh"),)
    return tf.keras.Sequential(
        [
            tf.keras.layers.InputLayer((FEATURES,)),
            *hidden,
            tf.keras.layers.Dense(outputs, activation=activation),
        ]
    )


def task_of(description, **changes):
    facts = {
        "kind": description.kind,
        "architecture": description.architecture,
        "loss": description.loss,
        "optimizer": "sgd",
        "learning_rate": "0.1",
        "epochs": 2,
        "batch_size": 8,
        "max_examples": 10_000,
    }
    return TrainingTask(**(facts | changes))


def run_program(script, folder, *arguments, given=None):
    """Runs a program of its own that uses TFF, and whose last statement is `os._exit(0)`; what it prints is returned.

    TFF's worker outlives such a program, holds its output open (so files serve instead of pipes), and is waited for
    without a limit in a regular exit. It stays in the program's session and is ended with that.
    """
    (folder / "given").write_text(given or "")
    with (folder / "given").open() as read, (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
        program = subprocess.Popen(command, stdin=read, stdout=out, stderr=err, start_new_session=True)
        try:
            status = program.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    assert status == 0, (folder / "err").read_text()[-2000:]
    return (folder / "out").read_text()
