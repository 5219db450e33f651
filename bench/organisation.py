"""One organisation's process: takes part in one task after the other and says when it took each step.

    python -m bench.organisation ORGANISATION_FOLDER INDEX

Reads a JSON line {"task": id} for each task and answers with {"digest": …, "steps": [[step, round, seconds], …]}; the
clock is the machine's, the same in every process.
"""

from __future__ import annotations

import json
import os
import sys
import time

from bench.workload import EXAMPLES, HOLDOUT, ORGANISATIONS, examples
from fabric_fl import Participant
from fabric_fl.learning import TFFTrainer
from fabric_fl.learning.tff_runtime import libraries


def main() -> None:
    # its share of the machine: more threads than cores, over all organisations, only wait for each other
    share = str(max(1, len(os.sched_getaffinity(0)) // ORGANISATIONS))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "FABRIC_FL_THREADS"):
        os.environ.setdefault(name, share)
    folder, index = sys.argv[1], int(sys.argv[2])
    steps: list[tuple[str, int, float]] = []
    data, holdout = examples(index, EXAMPLES), examples(100 + index, HOLDOUT)
    # with sgd equal to TFF's own round to the quantisation step, as tests/integration/test_tff_parity.py has it
    trainer = TFFTrainer(data, holdout=holdout, path="in-process")
    libraries()

    def note(step: str, _task: str, number: int) -> None:
        steps.append((step, number, time.monotonic()))

    with Participant.connect(folder, trainer=trainer, on_step=note) as me:
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            steps.clear()
            model = me.run(json.loads(line)["task"])
            print(json.dumps({"digest": model.digest, "steps": steps}), flush=True)


if __name__ == "__main__":
    main()
