"""Each organisation's folder for its clients, as on every other engine."""

from __future__ import annotations

from collections.abc import Sequence

from fabric_fl.fabric.clientfiles import Authority, Member, Server, write_client_files
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.fabric.caconfig import REGISTRAR
from fabric_fl.network.fabric.enrolment import secret_of
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import Topology
from fabric_fl.network.home import Home


def write_folders(consortium: Consortium, topology: Topology, home: Home, own: Sequence[str]) -> None:
    """Writes `.network/<organisation>` for each of `own`; only there is that organisation's registrar's secret told."""
    layout = Layout.of(home)
    names = [one.name for one in consortium.organisations]
    for name in own:
        members = [_member(other, topology, layout, with_secret=other == name) for other in names]
        # its own orderers first: they are the nearest
        orderers = [
            Server(
                one.name,
                str(one.address),
                layout.ca_certificate(topology.authority(one.organisation).name).read_bytes(),
            )
            for one in sorted(topology.orderers, key=lambda each: each.organisation != name)
        ]
        write_client_files(home.organisation(name), members[names.index(name)], members, orderers, consortium.channel)


def _member(organisation: str, topology: Topology, layout: Layout, *, with_secret: bool) -> Member:
    authority = topology.authority(organisation)
    root = layout.ca_certificate(authority.name).read_bytes()
    registrar = (REGISTRAR, secret_of(layout.secret(authority.name, REGISTRAR))) if with_secret else None
    return Member(
        organisation,
        authority.msp_id,
        tuple(Server(one.name, str(one.address), root) for one in topology.peers_of(organisation)),
        Authority(authority.name, str(authority.address), root, registrar),
    )
