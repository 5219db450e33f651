"""Three organisations on devnet, and small tasks that their participants run in threads of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from organisations import ORGANISATIONS, Consortium, task_specification, trainer

from fabric_fl import Participant
from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.ledger import FLLedger
from fabric_fl.testing import Network

FOLDERS = dict(zip(ORGANISATIONS, ("org1", "org2", "org3"), strict=True))


class Tasks:
    """What tests need of a running network: tasks, participants, digests."""

    def __init__(self, network: Network, ledgers: dict[str, FLLedger]) -> None:
        self.network = network
        self.ledgers = ledgers

    def folder(self, msp_id: str) -> Path:
        return self.network.organization(FOLDERS[msp_id])

    def create(self, task: str, model: dict[str, Any] | None = None, **changes: Any) -> str:
        """Creates a task of one round with all three selected; `model` and `changes` replace parts of it."""
        store = BlobStore(ConnectionProfile.load(self.folder("Org1MSP")).participant.store)
        asked = {"rounds": 1, "k": 3, "min_updates": 3, "patience_s": 60, "budget": 0} | changes
        spec = task_specification(self.network.directory, store, id=task, **asked)
        spec["model"] |= model or {}
        self.ledgers["Org1MSP"].create_task(spec)
        return task

    def participant(self, msp_id: str, **changes: Any) -> Participant:
        """Connects an organisation, with its own data where no other trainer is passed."""
        own = {"trainer": trainer(ORGANISATIONS.index(msp_id))}
        return Participant.connect(self.folder(msp_id), **(own | changes))

    @contextmanager
    def running(self, task: str, *msp_ids: str) -> Iterator[None]:
        """Lets these organisations take part meanwhile; in the end all of them have ended well.

        Raises:
            Exception: what one of them failed with.
        """
        failures: list[BaseException] = []
        stop = threading.Event()

        def take_part(msp_id: str) -> None:
            try:
                with self.participant(msp_id) as me:
                    me.run(task, stop=stop)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=take_part, args=(msp_id,), daemon=True) for msp_id in msp_ids]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            raise
        finally:
            for thread in threads:
                thread.join(timeout=60)
        if failures:
            raise failures[0]
        assert not any(thread.is_alive() for thread in threads), "the task did not end"

    def finish(self, task: str) -> None:
        """Lets everybody take part to the end."""
        with self.running(task, *ORGANISATIONS):
            pass

    def digests(self, task: str) -> list[str]:
        """Returns the digests of all committed models."""
        ledger = self.ledgers["Org1MSP"]
        return [ledger.model(task, j).digest for j in range(ledger.latest_model(task).j + 1)]


@contextmanager
def three_organisations(registered: Sequence[str] = ORGANISATIONS) -> Iterator[Tasks]:
    """Starts a network of three organisations, of which these are registered."""
    with Network(3) as network, ExitStack() as resources:
        ledgers = {}
        for msp_id, folder in FOLDERS.items():
            gateway = resources.enter_context(network.gateway(folder))
            ledgers[msp_id] = FLLedger.on(gateway.network(network.channel))
        ledgers["Org1MSP"].init_consortium()
        for msp_id in registered:
            ledgers[msp_id].register(msp_id)
        yield Tasks(network, ledgers)


def undisturbed(task: str, folder: Path, **changes: Any) -> list[str]:
    """Returns the digests of the same task on a ledger in memory, where nothing goes wrong."""
    consortium = Consortium(folder, task)
    consortium.create_task(**({"rounds": 1, "k": 3, "min_updates": 3, "patience_s": 60} | changes))
    consortium.run()
    ledger = consortium.ledgers["Org1MSP"]
    return [ledger.model(task, j).digest for j in range(ledger.latest_model(task).j + 1)]
