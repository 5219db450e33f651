"""Bringing a network up, showing it, and ending it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network import leftovers, readiness
from fabric_fl.network.consortium import CHAINCODE_NAME, HOST_AND_PORT, Consortium
from fabric_fl.network.engine import choose_engine
from fabric_fl.network.errors import ConsortiumError, PortTakenError
from fabric_fl.network.home import Home
from fabric_fl.network.participantfile import write_participant_files
from fabric_fl.network.plan import ExternalChaincode, Plan, keep, load, settle
from fabric_fl.network.ports import is_free
from fabric_fl.network.processstatus import ProcessStatus
from fabric_fl.network.program import Program
from fabric_fl.network.runner import runner_of
from fabric_fl.network.supervisorconf import STOP_SECONDS

_READY_SECONDS = 60.0


@dataclass(frozen=True)
class RunningNetwork:
    """A network that endorses: its ports decided, its profiles written."""

    home: Path
    plan: Plan

    @property
    def consortium(self) -> Consortium:
        return self.plan.consortium

    def profiles(self) -> list[Path]:
        """Returns the directory that each organisation here connects with."""
        return [self.home / one.name for one in self.plan.organisations]


@dataclass(frozen=True)
class NetworkStatus:
    """What runs. `endorses` says for each organisation "" or why its gateway does not."""

    home: Path
    plan: Plan
    processes: Sequence[ProcessStatus]
    endorses: dict[str, str]


def up(
    consortium: Consortium,
    *,
    home: str | Path = ".network",
    engine: str | None = None,
    memory: bool = False,
    chaincodes: Sequence[ExternalChaincode] = (),
    tell: Callable[[str], None] = lambda _: None,
    timeout_s: float = _READY_SECONDS,
    here: Sequence[str] = (),
) -> RunningNetwork:
    """Starts what does not run yet, and returns when every organisation's gateway endorses.

    Args:
        consortium: Who takes part; a port 0 is chosen by the first `up` and stays.
        home: Directory for all that the network writes.
        engine: fabric or devnet; None leaves it to ENGINE and to what is installed.
        memory: Keep the ledger off the disk.
        chaincodes: Chaincode processes that others run.
        tell: Is given lines for people.
        timeout_s: How long everything together may take to endorse.
        here: The organisations whose part runs on this machine, where others run theirs; empty for all.

    Raises:
        EngineError: The engine cannot run this network.
        NetworkChangedError: Another network lies in `home`.
        PortTakenError: Another process listens on a port.
        OthersAwaitedError: What other organisations' machines send is not here yet.
        NotReadyError: It did not endorse in time.
    """
    place = Home.at(home)
    chosen, notice = choose_engine(engine)
    _check_chaincodes(consortium, chaincodes)
    _check_here(consortium, here)
    asked = Plan(chosen.name, consortium, memory, tuple(chaincodes), runtime=chosen.runtime, here=tuple(here))
    chosen.check(asked)
    with place.locked():
        plan = settle(place, asked)
        tell(notice)
        programs = chosen.programs(plan, place)
        supervisor = runner_of(place, plan.runtime)
        if not supervisor.is_running():
            leftovers.end(place, grace_s=STOP_SECONDS)
            _refuse_taken_ports(programs)
        # only now: who has to change a port must not be told that this is another network
        keep(place, asked, plan)
        write_participant_files(place, plan)
        supervisor.prepare(programs, tell)
        chosen.bring_up(plan, place, programs, supervisor, tell)
        readiness.wait_until_ready(place, plan, timeout_s, supervisor.what_cannot_start)
        readiness.found_consortium(place, plan)
    return RunningNetwork(place.root, plan)


def down(home: str | Path = ".network", *, wipe: bool = False) -> bool:
    """Ends exactly what `up` started and keeps its state, unless `wipe` asks to delete it too.

    Returns:
        Whether anything ran.
    """
    place = Home.at(home)
    if not place.root.exists():  # somebody removed the directory; what runs without it is still this network's
        ran = bool(leftovers.find(place))
        leftovers.end(place, grace_s=STOP_SECONDS)
        return ran
    with place.locked():
        supervisor = runner_of(place)
        ran = supervisor.is_running() or bool(leftovers.find(place))
        supervisor.shutdown()
        # only what a network wrote is a network's to delete
        if wipe and place.record.exists():
            shutil.rmtree(place.root)
    return ran


def status(home: str | Path = ".network") -> NetworkStatus:
    """Returns what runs and which gateways endorse.

    Raises:
        NoNetworkError: There is no network in `home`.
    """
    place = Home.at(home)
    plan = load(place)
    processes = runner_of(place).processes()
    if processes:
        return NetworkStatus(place.root, plan, processes, readiness.probe(place, plan))
    why = "supervisord has ended, its processes have not" if leftovers.find(place) else "the network is down"
    return NetworkStatus(place.root, plan, [], {one.name: why for one in plan.organisations})


def restart(name: str, home: str | Path = ".network") -> None:
    """Ends one program of the network and starts it again.

    Raises:
        NoNetworkError: There is no such network or program.
    """
    place = Home.at(home)
    load(place)
    with place.locked():
        runner_of(place).restart(name)


def log_command(name: str | None, home: str | Path = ".network", *, lines: int = 50, follow: bool = False) -> list[str]:
    """Returns the command that prints what the network's programs said; `name` chooses one of them.

    Raises:
        NoNetworkError: There is no such log.
    """
    return runner_of(Home.at(home)).log_command(name, lines, follow=follow)


def _check_here(consortium: Consortium, here: Sequence[str]) -> None:
    known = [*(one.name for one in consortium.organisations), *(["orderer"] if consortium.orderers else [])]
    for name in here:
        if name not in known:
            raise ConsortiumError(f"--org {name} names none of {', '.join(known)}", remedy="Write one of these names.")
    for field, address in consortium.addresses().items() if here else ():
        if address.port == 0:
            raise ConsortiumError(
                f"{field} is {address}: other machines must know every port",
                remedy="Write the ports into network/consortium.yaml, the same file on every machine.",
            )


def _check_chaincodes(consortium: Consortium, chaincodes: Sequence[ExternalChaincode]) -> None:
    names = {one.name for one in consortium.organisations}
    for external in chaincodes:
        given = f"--chaincode {external.name}@{external.organisation}={external.address}"
        remedy = "Write NAME@ORGANISATION=HOST:PORT."
        if external.organisation not in names:
            raise ConsortiumError(f"{given} names none of {', '.join(sorted(names))}", remedy=remedy)
        if not re.fullmatch(CHAINCODE_NAME, external.name) or not re.fullmatch(HOST_AND_PORT, external.address):
            raise ConsortiumError(f"{given} is not a chaincode's name and an address", remedy=remedy)


def _refuse_taken_ports(programs: Sequence[Program]) -> None:
    for program in programs:
        for what, address in program.listens.items():
            if not is_free(address.host, address.port):
                raise PortTakenError(
                    f"port {address.port} ({what}) is taken by another process",
                    remedy=f"End it, or give {what} another port in network/consortium.yaml (0 takes any free one).",
                )
