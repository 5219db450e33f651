"""Each organisation's folder for its clients, as on every other engine."""

from __future__ import annotations

from fabric_fl.fabric.clientfiles import Authority, Member, Server, write_client_files
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.fabric.caconfig import REGISTRAR
from fabric_fl.network.fabric.enrolment import secret_of
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import ORDERER_ORGANISATION, Topology
from fabric_fl.network.home import Home


def write_folders(consortium: Consortium, topology: Topology, home: Home) -> None:
    """Writes `.network/<organisation>` for all; only its own folder tells an organisation's registrar's secret."""
    layout = Layout.of(home)
    root = layout.ca_certificate(topology.authority(ORDERER_ORGANISATION).name).read_bytes()
    orderers = [Server(one.name, str(one.address), root) for one in topology.orderers]
    names = [one.name for one in consortium.organisations]
    for name in names:
        members = [_member(other, topology, layout, with_secret=other == name) for other in names]
        own = members[names.index(name)]
        write_client_files(home.organisation(name), own, members, orderers, consortium.channel)


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
