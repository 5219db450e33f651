"""All checks in an order in which the first problem explains the later ones."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network import readiness
from fabric_fl.network.consortium import Address
from fabric_fl.network.doctor import certificates, ledger, policy, programs
from fabric_fl.network.doctor.finding import Finding
from fabric_fl.network.engine import CLIENT_PROGRAMS, FABRIC_PROGRAMS
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan, load
from fabric_fl.network.ports import is_free
from fabric_fl.network.runner import Runner, runner_of


@dataclass(frozen=True)
class Check:
    """What was looked at, and what is wrong with it."""

    name: str
    findings: tuple[Finding, ...]


def examine(home: str | Path = ".network") -> Iterator[Check]:
    """Yields check after check.

    Raises:
        NoNetworkError: There is no network in `home`.
    """
    place = Home.at(home)
    plan = load(place)
    consortium = plan.consortium
    if plan.engine == "fabric":
        needed = CLIENT_PROGRAMS if plan.runtime == "docker" else FABRIC_PROGRAMS
        yield _check("Fabric's programs", lambda: programs.missing(os.environ, needed))
        yield _check("one version of Fabric", lambda: programs.versions_apart(os.environ))
    now = datetime.datetime.now(datetime.UTC)
    yield _check("certificates", lambda: certificates.ending(place.root, now))
    yield _check("endorsement policy", lambda: policy.unmeetable(consortium))
    if plan.runtime == "docker":
        docker = _check("Docker", lambda: programs.silent_docker(os.environ))
        yield docker
        if docker.findings:
            return
    supervisor = runner_of(place)
    if not supervisor.is_running():
        yield _check("ports", lambda: taken(place, plan))
        yield Check("processes", (Finding("the network is down", "`fabric-fl network up` starts it."),))
        return
    yield _check("processes", lambda: stopped(supervisor))
    yield _check("clocks", lambda: ledger.skewed(ledger.clocks(place, plan), datetime.datetime.now(datetime.UTC)))
    yield _check("heights", lambda: ledger.behind(ledger.heights(place, plan)))
    yield _check("approvals", lambda: ledger.unapproved(ledger.approvals(place, plan), consortium.chaincode))
    yield _check("endorsement", lambda: ledger.silent(readiness.probe(place, plan)))


def taken(place: Home, plan: Plan) -> list[Finding]:
    """Finds ports of a network that is down on which somebody else listens."""
    here = {one.name for one in plan.organisations}
    addresses = {
        field: address
        for field, address in plan.consortium.addresses().items()
        if not plan.here or field.partition(".")[0] in here
    }
    layout = Layout.of(place)
    if plan.engine == "fabric" and layout.ports.exists():
        ports = settle_ports(layout, plan.consortium).items()
        addresses |= {name: Address("127.0.0.1", port) for name, port in ports}
    return [
        Finding(
            f"port {address.port} ({field}) is taken by another process",
            "End that process; a network keeps the ports that its first `up` found free.",
        )
        for field, address in addresses.items()
        if not is_free(address.host, address.port)
    ]


def stopped(supervisor: Runner) -> list[Finding]:
    """Finds programs that do not run although the network is up."""
    return [
        Finding(
            f"{process.name} does not run: {process.state}, {process.detail}",
            f"`fabric-fl network logs {process.name}` shows why; `network restart {process.name}` tries again.",
        )
        for process in supervisor.processes()
        if process.state not in ("RUNNING", "STARTING")
    ]


def _check(name: str, find: Callable[[], list[Finding]]) -> Check:
    return Check(name, tuple(find()))
