"""What a busy machine owes a process: time that it was ready to run and no processor was free."""

from __future__ import annotations

from pathlib import Path


def waited(process: int | str = "thread-self") -> float:
    """Returns the seconds for which a process's main thread, or this thread, has waited for a processor so far.

    A program's own slowness is what is left of the time on the clock without them: on a quiet machine, all of it.

    References:
        Linux, ``Documentation/scheduler/sched-stats.rst``: ``/proc/<pid>/schedstat``.
    """
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
