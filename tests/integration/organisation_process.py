"""One organisation's training process for tests: a numpy model, and death at a step when it is asked for.

    python organisation_process.py ORGANISATION_FOLDER INDEX TASK [STEP]

With STEP it kills itself with SIGKILL right after that step of its first round, as a power cut would.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from organisations import trainer

from fabric_fl import Participant


def main() -> None:
    folder, index, task = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    fatal = sys.argv[4] if len(sys.argv) > 4 else None

    def die(step: str, _task: str, _round: int) -> None:
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    with Participant.connect(folder, trainer=trainer(index), on_step=die) as me:
        print(me.run(task).digest, flush=True)


if __name__ == "__main__":
    main()
