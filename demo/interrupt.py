"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the program happens to be, and libraries that catch everything while they load
swallow it. So the signal is remembered as well, and asked for between steps.
"""

from __future__ import annotations

import signal

_received = False


def listen() -> None:
    """Takes SIGINT and SIGTERM from now on."""
    signal.signal(signal.SIGINT, _note)
    signal.signal(signal.SIGTERM, _note)


def check() -> None:
    """Raises KeyboardInterrupt if a signal has come, even if somebody swallowed it then."""
    if _received:
        raise KeyboardInterrupt


def _note(_signal: int, _frame: object) -> None:
    global _received  # noqa: PLW0603 -- a process has one set of signal handlers
    _received = True
    raise KeyboardInterrupt
