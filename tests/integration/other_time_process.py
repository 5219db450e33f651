"""Runs a module in another time: `other_time_process.py SECONDS MODULE` shifts every clock that tells the date."""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from collections.abc import Callable
from typing import Any

SHIFT = int(sys.argv[1])


class Converting:
    """A conversion of seconds that takes the shifted clock's where none are given; no method of what it is put into."""

    def __init__(self, convert: Callable[[float], Any]) -> None:
        self._convert = convert

    def __call__(self, seconds: float | None = None) -> Any:
        return self._convert(time.time() if seconds is None else seconds)


class Later(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Later:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Later:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Later:
        return cls.now()


class LaterDate(datetime.date):
    @classmethod
    def today(cls) -> LaterDate:
        return cls.fromtimestamp(time.time())


true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + SHIFT
time.time_ns = lambda: true_time_ns() + SHIFT * 10**9
for name in ("localtime", "gmtime", "ctime"):
    setattr(time, name, Converting(getattr(time, name)))
datetime.datetime, datetime.date = Later, LaterDate  # type: ignore[misc]
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
