"""Hyperledger Fabric natively: from nothing to a channel on which every organisation runs the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fabric_fl.fabric.ca import CAClient, CAUnavailable
from fabric_fl.network.chaincode import chaincode_programs
from fabric_fl.network.errors import EngineError, NotReadyError, OthersAwaitedError
from fabric_fl.network.fabric import clients, connections, containers, exchange, programs
from fabric_fl.network.fabric.channel import Admission, write_genesis
from fabric_fl.network.fabric.deployment import Deployment
from fabric_fl.network.fabric.enrolment import (
    Enrolment,
    authority_of,
    chaincode_enrolments,
    enrol_all,
    enrolments,
)
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import Package, package, rules_digest
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Authority, Topology, names_of, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan
from fabric_fl.network.program import Program
from fabric_fl.network.runner import Runner

_SECONDS = 90.0
_PAUSE_SECONDS = 0.1


class FabricEngine:
    """Runs Fabric's programs.

    Args:
        binaries: Where each of them lies, by its name.
        runtime: docker has CAs, orderers, peers and the contract run in containers; what is run once is run here.
    """

    name = "fabric"

    def __init__(self, binaries: Mapping[str, Path], runtime: str = "native") -> None:
        self._binaries = binaries
        self._tools = Tools(binaries)
        self.runtime = runtime

    def check(self, plan: Plan) -> None:
        """Raises EngineError when Fabric cannot run such a network."""
        if plan.memory:
            raise EngineError("Hyperledger Fabric keeps its ledger on disk", remedy="Leave --memory out.")
        major, minor, _ = self._tools.version()
        if (major, minor) < (2, 5):
            raise EngineError(
                f"{self._binaries['peer']} is of Fabric {major}.{minor}",
                remedy="Fabric 2.5 and newer are supported.",
            )
        asked = plan.consortium.fabric
        if asked is not None and (major, minor) < asked.minor:
            raise EngineError(
                f"{self._binaries['peer']} is of Fabric {major}.{minor}, consortium.yaml asks for {asked.version}",
                remedy="Install that release, or name an older one as fabric.version in network/consortium.yaml.",
            )

    def programs(self, plan: Plan, home: Home) -> list[Program]:
        """Writes Fabric's configuration and returns all that must run."""
        layout, topology = Layout.of(home), _topology(plan, home)
        own = _own(plan, topology)
        programs.write_configurations(own, layout)
        in_docker = self.runtime == "docker"
        binaries = {name: Path(name) for name in programs.SERVERS} if in_docker else self._binaries
        natively = [
            *programs.authorities(binaries, own, plan.consortium),
            *programs.nodes(binaries, own, plan.consortium),
            *chaincode_programs(
                plan,
                _packages(plan)[plan.consortium.chaincode].id,
                connections.process_environment,
            ),
        ]
        return containers.contained(natively, own, plan.consortium) if in_docker else natively

    def bring_up(
        self, plan: Plan, home: Home, wanted: Sequence[Program], supervisor: Runner, tell: Callable[[str], None]
    ) -> None:
        """Makes `wanted` run: the CAs first, where anybody lacks a certificate; then channel and chaincode.

        Raises:
            OthersAwaitedError: What other organisations' machines send is not here yet.
            NotReadyError: A step did not succeed in time.
        """
        layout, topology = Layout.of(home), _topology(plan, home)
        own = _own(plan, topology)
        deadline = time.monotonic() + _SECONDS
        self._enrol(plan, home, wanted, supervisor, deadline)
        _refuse_gaps(plan, topology, layout)
        clients.write_folders(plan.consortium, topology, home, [one.name for one in plan.organisations])
        _write_connections(plan, layout)
        if exchange.founds(plan):
            write_genesis(self._tools, plan.consortium, topology, layout)
        deployment = Deployment(
            self._tools,
            plan.consortium.channel,
            topology,
            home,
            deadline,
            supervisor.what_cannot_start,
            own if plan.here else None,
        )
        packages = _packages(plan)
        for name in sorted({one.name for one in plan.chaincodes}):
            tell(f"The processes of the chaincode {name} that you run register with CHAINCODE_ID={packages[name].id}")
        running = {process.name for process in supervisor.processes() if process.state == "RUNNING"}
        everything_runs = all(program.name in running for program in wanted)
        if not everything_runs:
            supervisor.run(wanted)
        self._admit(plan, home, own, deadline, supervisor)
        for each in packages.values() if own.peers else ():
            deployment.deploy(each)
        if everything_runs:  # under the id of an upgrade a process is of no use before the definition names it
            supervisor.run(wanted)

    def _enrol(self, plan: Plan, home: Home, wanted: Sequence[Program], supervisor: Runner, deadline: float) -> None:
        layout, topology = Layout.of(home), _own(plan, _topology(plan, home))
        needed = {one: _enrolments(one, plan, topology, home) for one in topology.authorities}
        if all(one.is_done() for each in needed.values() for one in each):
            return
        running = {process.name for process in supervisor.processes()}
        names = running | {one.name for one in topology.authorities}
        supervisor.run([program for program in wanted if program.name in names])

        def enrol(authority: Authority) -> None:
            _wait_for(authority, layout, deadline, supervisor)
            enrol_all(authority, needed[authority], layout)

        with ThreadPoolExecutor(len(needed)) as pool:
            list(pool.map(enrol, needed))

    def _admit(self, plan: Plan, home: Home, topology: Topology, deadline: float, supervisor: Runner) -> None:
        admission = Admission(self._tools, plan.consortium.channel, home, deadline, supervisor.what_cannot_start)
        with ThreadPoolExecutor(len(topology.orderers) + len(topology.peers)) as pool:
            joining = [pool.submit(admission.orderer, one) for one in topology.orderers]
            joining += [pool.submit(admission.peer, one) for one in topology.peers]
            for one in joining:
                one.result()


def _topology(plan: Plan, home: Home) -> Topology:
    return Topology.of(plan.consortium, settle_ports(Layout.of(home), plan.consortium))


def _own(plan: Plan, topology: Topology) -> Topology:
    return topology.part(plan.here) if plan.here else topology


def _refuse_gaps(plan: Plan, topology: Topology, layout: Layout) -> None:
    here = ", ".join(plan.here)
    if missing := exchange.lacking(topology, layout):
        raise OthersAwaitedError(
            f"{here} is prepared; what {', '.join(missing)} share is not here yet",
            remedy="`fabric-fl network share FILE` writes what they need, `network import FILE…` takes theirs; `up` "
            "then goes on.",
        )
    if not exchange.founds(plan) and not layout.genesis.exists():
        founder = plan.consortium.organisations[0].name
        raise OthersAwaitedError(
            f"{here} is prepared; the channel's first block, which {founder} makes, is not here yet",
            remedy=f"{founder} imports the others' parts and shares again; import that file, then `up` goes on.",
        )


def _packages(plan: Plan) -> dict[str, Package]:
    """Returns the packages of our chaincode and of those that others run."""
    ours = plan.consortium.chaincode
    names = dict.fromkeys([ours, *(one.name for one in plan.chaincodes)])
    return {name: package(name, rules_digest() if name == ours else None) for name in names}


def _enrolments(authority: Authority, plan: Plan, topology: Topology, home: Home) -> list[Enrolment]:
    wanted = enrolments(authority, topology, home)
    for one in plan.organisations:
        if one.name == authority.organisation:
            wanted += chaincode_enrolments(one.name, names_of(one.chaincode), Layout.of(home))
    return wanted


def _write_connections(plan: Plan, layout: Layout) -> None:
    for one in plan.organisations:
        connections.write_trusted(plan.consortium.chaincode, one, layout)
    for external in plan.chaincodes:
        connections.write_external(external.name, external.organisation, external.address, layout)


def _wait_for(authority: Authority, layout: Layout, deadline: float, supervisor: Runner) -> None:
    problem = f"{authority.name} has made no certificate"
    while True:
        if layout.ca_certificate(authority.name).exists():
            try:
                CAClient(authority_of(authority, layout), authority.msp_id, timeout=5).ca_certificates()
            except CAUnavailable as error:
                problem = error.message
            else:
                return
        if dead := supervisor.what_cannot_start():
            raise NotReadyError(dead)
        if time.monotonic() > deadline:
            raise NotReadyError(f"{authority.name} does not answer: {problem}")
        time.sleep(_PAUSE_SECONDS)
