"""Giving the other organisations' machines what they need of this one's part, and taking theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.errors import EngineError
from fabric_fl.network.fabric import exchange
from fabric_fl.network.fabric.channel import write_genesis
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Topology, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan, load


@dataclass(frozen=True)
class Received:
    """What a file held, and what is still missing.

    Attributes:
        organisations: Whose parts it held.
        lacking: Whose parts are not here yet.
        founded: Whether the channel's first block, which the others wait for, lies here now to be shared.
    """

    organisations: tuple[str, ...]
    lacking: tuple[str, ...]
    founded: bool


def share(home: str | Path = ".network") -> bytes:
    """Returns what the others need of the organisations here; it holds no secret.

    Raises:
        NoNetworkError: There is no network in `home`.
        ExchangeError: Its part is not made yet.
    """
    place = Home.at(home)
    plan = load(place)
    return exchange.pack(plan, _topology(plan, place), Layout.of(place))


def receive(content: bytes, home: str | Path = ".network") -> Received:
    """Takes what another machine's `share` gave; with the last part, the founder's machine makes the first block.

    Raises:
        NoNetworkError: There is no network in `home`.
        ExchangeError: It does not fit.
        EngineError: The network is not one of Fabric's, or its programs are not found.
    """
    place = Home.at(home)
    plan = load(place)
    binaries = {name: path for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))}
    if plan.engine != "fabric" or "configtxgen" not in binaries or "peer" not in binaries:
        raise EngineError(f"{place.root} is no network of Fabric's programs, or they are not found")
    layout, topology, tools = Layout.of(place), _topology(plan, place), Tools(binaries)
    with place.locked():
        organisations = exchange.unpack(content, plan, topology, layout, tools)
        lacking = exchange.lacking(topology, layout)
        founded = exchange.founds(plan) and not lacking
        if founded:
            write_genesis(tools, plan.consortium, topology, layout)
    return Received(tuple(organisations), tuple(lacking), founded)


def _topology(plan: Plan, place: Home) -> Topology:
    return Topology.of(plan.consortium, settle_ports(Layout.of(place), plan.consortium))
