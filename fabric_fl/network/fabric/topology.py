"""Which CAs, orderers and peers a network consists of, and where each listens."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from fabric_fl.fabric.mspdir import make_private
from fabric_fl.network.consortium import ORDERER_MSP_ID, Address, Consortium
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.ports import free_ports

ORDERER_ORGANISATION = "orderer"
_ENDS = ("operations", "admin")  # what an orderer serves this machine alone
_LOOPBACK = "127.0.0.1"
_LOCAL = ("localhost", _LOOPBACK)


@dataclass(frozen=True)
class Authority:
    """An organisation's Fabric CA."""

    name: str
    organisation: str
    msp_id: str
    address: Address
    operations: Address


@dataclass(frozen=True)
class Peer:
    name: str
    organisation: str
    msp_id: str
    address: Address
    operations: Address


@dataclass(frozen=True)
class Orderer:
    """A Raft orderer; `admin` is where osnadmin reaches it."""

    name: str
    organisation: str
    msp_id: str
    address: Address
    operations: Address
    admin: Address


@dataclass(frozen=True)
class Topology:
    authorities: tuple[Authority, ...]
    peers: tuple[Peer, ...]
    orderers: tuple[Orderer, ...]

    @classmethod
    def of(cls, consortium: Consortium, ports: Mapping[str, int]) -> Self:
        """Lays out a consortium; `ports` gives those of `local_ports`."""

        def local(name: str) -> Address:
            return Address(_LOOPBACK, ports[name])

        members = [
            Authority(f"ca-{one.name}", one.name, one.msp_id, one.ca, local(f"ca-{one.name} operations"))
            for one in consortium.organisations
        ]
        orderers = [
            Orderer(
                f"orderer{index + 1}",
                ORDERER_ORGANISATION,
                ORDERER_MSP_ID,
                each,
                *(local(f"orderer{index + 1} {end}") for end in _ENDS),
            )
            for index, each in enumerate(consortium.orderers)
        ]
        for one in consortium.organisations:
            orderers += [
                Orderer(name, one.name, one.msp_id, each, *(local(f"{name} {end}") for end in _ENDS))
                for name, each in ((f"orderer{index}-{one.name}", each) for index, each in enumerate(one.orderers))
            ]
        if consortium.orderers:
            # reached by who runs the orderers alone, to enrol them and to renew their certificates
            members.append(
                Authority(
                    "orderer-ca",
                    ORDERER_ORGANISATION,
                    ORDERER_MSP_ID,
                    Address("localhost", ports["orderer-ca"]),
                    local("orderer-ca operations"),
                )
            )
        return cls(
            authorities=tuple(members),
            peers=tuple(
                Peer(name, one.name, one.msp_id, address, local(f"{name} operations"))
                for one in consortium.organisations
                for name, address in ((f"peer{index}-{one.name}", each) for index, each in enumerate(one.peers))
            ),
            orderers=tuple(orderers),
        )

    def part(self, organisations: Collection[str]) -> Self:
        """Returns what some of the organisations run."""
        return type(self)(
            tuple(one for one in self.authorities if one.organisation in organisations),
            tuple(one for one in self.peers if one.organisation in organisations),
            tuple(one for one in self.orderers if one.organisation in organisations),
        )

    def authority(self, organisation: str) -> Authority:
        return next(one for one in self.authorities if one.organisation == organisation)

    def orderers_of(self, organisation: str) -> tuple[Orderer, ...]:
        return tuple(one for one in self.orderers if one.organisation == organisation)

    def peers_of(self, organisation: str) -> tuple[Peer, ...]:
        return tuple(one for one in self.peers if one.organisation == organisation)


def local_ports(consortium: Consortium) -> list[str]:
    """Names the listeners that consortium.yaml does not: they serve this machine alone."""
    names = ["orderer-ca", "orderer-ca operations"] if consortium.orderers else []
    for index in range(len(consortium.orderers)):
        names += [f"orderer{index + 1} {end}" for end in _ENDS]
    for one in consortium.organisations:
        names += [f"orderer{index}-{one.name} {end}" for index in range(len(one.orderers)) for end in _ENDS]
        names.append(f"ca-{one.name} operations")
        names += [f"peer{index}-{one.name} operations" for index in range(len(one.peers))]
    return names


def settle_ports(layout: Layout, consortium: Consortium) -> dict[str, int]:
    """Returns a port for each of `local_ports`: the first time any free ones, from then on the same."""
    names = local_ports(consortium)
    known: dict[str, int] = json.loads(layout.ports.read_text()) if layout.ports.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        taken = {address.port for address in consortium.addresses().values()}
        fresh = [port for port in free_ports(len(missing) + len(taken)) if port not in taken]
        known |= dict(zip(missing, fresh, strict=False))
        make_private(layout.root)
        temporary = layout.ports.with_suffix(".tmp")
        temporary.write_text(json.dumps(known, indent=2) + "\n")
        temporary.replace(layout.ports)
    return {name: known[name] for name in names}


def listen_host(address: Address) -> str:
    """Returns on which interface to listen for what others call `address`: loopback when it names nothing else."""
    return _LOOPBACK if address.host in _LOCAL else "0.0.0.0"  # noqa: S104 -- other companies' machines connect here


def names_of(address: Address) -> tuple[str, ...]:
    """Returns the names that a server's TLS certificate must carry."""
    return tuple(dict.fromkeys((address.host, *_LOCAL)))
