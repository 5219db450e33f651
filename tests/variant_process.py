"""Aggregates the same rounds in many ways, in a process of its own, and prints how often each result came out.

Reads JSON from standard input: rounds as the worker's messages have them, how many variants, and a seed. What differs
from process to process (instruction set, linear algebra library's threads and kernels, hash seed) is its environment.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import aggregate, passes, pipeline
from fabric_fl.aggregation.worker import messages


def main() -> None:
    asked = json.load(sys.stdin)
    choose = random.Random(asked["seed"])
    found: list[Counter[str]] = [Counter() for _ in asked["rounds"]]
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked["variants"]):
            place = number % len(asked["rounds"])
            round_: dict[str, Any] = {**asked["rounds"][place]}
            choose.shuffle(round_["updates"])
            for update in round_["updates"]:
                update["copy"] = choose.choice([None, f"{folder}/{update['digest']}"])
            passes.BLOCK = passes.SMALL_BLOCK = choose.choice([16, 17, 100, 1000, 4096, 1 << 15])
            threads = choose.choice([1, 1, 2, 3, 5])
            pipeline.cores = lambda threads=threads: threads
            result = aggregate(messages.inputs_from_json(round_), Path(folder))
            found[place][f"{result.result} {result.aggregate}"] += 1
    print(json.dumps(found))


main()
