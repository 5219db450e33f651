"""What is freed stays with a process that trains, and is given back afterwards; seen from the kernel's counters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

TRAINING = """
import json, resource, sys
from pathlib import Path
from fabric_fl.learning.kept_memory import KeptMemory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first, second = KeptMemory(), KeptMemory()
faults()
found = {"before": faults(), "start": resident()}
first.hold()
first.hold()
second.hold()
faults()
found |= {"held": faults(), "grown": resident()}
first.release()
first.release()
found |= {"held by another": faults()}
second.release()
found |= {"end": resident(), "after": faults()}
print(json.dumps(found))
"""
SIZE = 64 << 20  # bytes that are taken there
PAGES = SIZE // os.sysconf("SC_PAGE_SIZE")


def run(**environment: str) -> Any:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    finished = subprocess.run(
        [sys.executable, "-c", TRAINING], stdout=subprocess.PIPE, check=True, env={**plain, **environment}
    )
    return json.loads(finished.stdout)


def test_freed_memory_is_used_again_until_the_last_holder_releases_it() -> None:
    found = run()
    assert found["before"] >= PAGES
    assert found["held"] < PAGES // 100
    assert found["held by another"] < PAGES // 100
    assert found["grown"] - found["start"] > 0.9 * SIZE
    assert found["end"] - found["start"] < 0.1 * SIZE
    assert found["after"] >= PAGES


def test_what_the_environment_says_of_allocation_stays() -> None:
    found = run(MALLOC_MMAP_THRESHOLD_="1048576", MALLOC_TRIM_THRESHOLD_="1048576")
    assert found["held"] >= PAGES
