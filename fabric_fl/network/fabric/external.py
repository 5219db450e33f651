"""Deploying a chaincode of somebody else's on a network that runs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.errors import EngineError
from fabric_fl.network.fabric import connections
from fabric_fl.network.fabric.deployment import Deployment
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import package
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Topology, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import load
from fabric_fl.network.runner import runner_of


def chaincode_id(name: str) -> str:
    """Returns the CHAINCODE_ID with which a process of that chaincode must register."""
    return package(name).id


def deploy(
    name: str,
    addresses: Mapping[str, str],
    *,
    home: str | Path = ".network",
    policy: str | None = None,
    timeout_s: float = 60.0,
) -> int:
    """Installs, approves and commits a chaincode as a service; returns the sequence of its definition.

    Args:
        name: The chaincode's name.
        addresses: ``host:port`` of its process by organisation; it may start later. Organisations that are not named
            neither install nor approve it: their gateways ask the others' peers.
        home: The network's directory.
        policy: Its endorsement policy in Fabric's words; None for the channel's default.
        timeout_s: How long everything together may take.

    Raises:
        NoNetworkError: There is no network in `home`.
        EngineError: It is not one of Fabric's, or Fabric's programs are not found.
        NotReadyError: A step did not succeed in time.
    """
    place = Home.at(home)
    plan = load(place)
    binaries = {program: path for program in FABRIC_PROGRAMS if (path := find_program(program, os.environ))}
    if plan.engine != "fabric" or "peer" not in binaries:
        raise EngineError(f"{place.root} is no network of Fabric's programs, or they are not found")
    layout = Layout.of(place)
    topology = Topology.of(plan.consortium, settle_ports(layout, plan.consortium))
    for organisation, address in addresses.items():
        connections.write_external(name, organisation, address, layout)
    deployment = Deployment(
        Tools(binaries),
        plan.consortium.channel,
        topology,
        place,
        time.monotonic() + timeout_s,
        runner_of(place).what_cannot_start,
        topology.part(addresses.keys()),
    )
    return deployment.deploy(package(name), policy)
