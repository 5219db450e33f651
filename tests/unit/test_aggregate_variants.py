"""One digest, whatever the order, the threads, the block size, the process and the processor's instructions."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rounds_on_disk import make_round

from fabric_fl.aggregation import aggregate
from fabric_fl.aggregation.worker import messages

SOAK = bool(os.environ.get("SOAK"))
VARIANTS = 5000 if SOAK else 60
"""Over all cases: 1,000 of each."""
SEED = 20
ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
DECAYS = {"beta_1": "0.9", "beta_2": "0.99"}
CASES = [
    ({"step": "fedavg", "learning_rate": "0.3"}, {"rule": "none"}),
    ({"step": "fedadam", "learning_rate": "0.01", **DECAYS, **ADAPTIVE}, {"rule": "krum", "byzantine": 1}),
    ({"step": "fedyogi", "learning_rate": "0.01", **DECAYS, **ADAPTIVE}, {"rule": "multi-krum", "byzantine": 1}),
    ({"step": "fedadagrad", "learning_rate": "0.1", **ADAPTIVE}, {"rule": "median"}),
    ({"step": "fedavgm", "learning_rate": "1", "momentum": "0.9"}, {"rule": "trimmed-mean", "byzantine": 1}),
]
PROCESSES = [
    {},
    {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "1"},
    {"OPENBLAS_NUM_THREADS": "4", "PYTHONHASHSEED": "2", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX"},
    {"OPENBLAS_CORETYPE": "Prescott", "PYTHONHASHSEED": "3", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3"},
]


@pytest.mark.soak
def test_every_variant_gives_one_digest(tmp_path, record_property):
    rounds, expected = [], []
    for index, (server, rule) in enumerate(CASES):
        round_ = make_round(
            tmp_path / str(index), count=5, seed=index, shapes=((60, 70), (70,), (), (0, 3)), bound=2**26
        )
        rounds.append(replace(round_, server=server, rule=rule, bound=2**26 if index % 2 else 2**31 - 1))
        result = aggregate(rounds[-1], tmp_path / str(index))
        expected.append(f"{result.result} {result.aggregate}")
    counted = [Counter() for _ in CASES]
    for number, environment in enumerate(PROCESSES):
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", Path(__file__).parents[1] / "variant_process.py"],
            input=json.dumps(
                {
                    "rounds": [messages.inputs_to_json(one) for one in rounds],
                    "variants": VARIANTS // len(PROCESSES),
                    "seed": SEED + number,
                }
            ),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        for total, found in zip(counted, json.loads(answer.stdout), strict=True):
            total.update(found)
    record_property("count", VARIANTS)
    record_property("seed", SEED)
    assert sum(total.total() for total in counted) == VARIANTS
    assert [list(total) for total in counted] == [[one] for one in expected]
