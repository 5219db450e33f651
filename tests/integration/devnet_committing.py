"""A process that commits as fast as it can and says so after each block: the victim of the crash tests.

Run as ``python devnet_committing.py DIRECTORY``. Every block holds several transactions, each of which increments a
counter and writes keys of its own. It says ``started`` when the orderer takes transactions, and
``committed HEIGHT TX_ID…`` whenever a block is durable.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed, organizations

from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.orderer import Orderer
from fabric_fl.fabric.ledger.kvledger import CommittedBlock

WRITERS = 4
KEYS = 5


def announce(committed: CommittedBlock) -> None:
    ids = " ".join(status.tx_id for status in committed.statuses if status.code == 0)
    print("committed", committed.number + 1, ids, flush=True)


async def write_for_ever(trial: LedgerOnTrial, orderer: Orderer, committer: Committer, writer: int) -> None:
    org1 = organizations()[0]
    while True:
        counter = f"counter-{writer}"
        with trial.simulate() as simulator:
            number = int(simulator.get_state(CHAINCODE, counter) or b"0") + 1
            simulator.put_state(CHAINCODE, counter, str(number).encode())
            for i in range(KEYS):
                simulator.put_state(CHAINCODE, f"{counter}/{number}/{i}", b"x" * 200)
            envelope = endorsed(simulator.results(), endorsers=[org1.node, organizations()[1].node])
        response = orderer.broadcast(envelope)
        assert response.status == 200, response.info
        await committer.wait_for_height(committer.height + 1)


async def main(directory: Path) -> None:
    trial = LedgerOnTrial.open(directory)
    committer = Committer(trial.ledger, trial.validator)
    committer.add_listener(announce)
    orderer = Orderer(trial.config, trial.ledger, committer, organizations()[3].node)
    await orderer.start()
    print("started", flush=True)
    await asyncio.gather(*(write_for_ever(trial, orderer, committer, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
