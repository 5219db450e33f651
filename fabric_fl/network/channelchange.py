"""Proposals to change a channel, which its members' administrators sign with Fabric's own `peer` program."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fabric_protos.common import configtx_pb2

from fabric_fl.fabric.ca import CAClient
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.errors import EngineError, NetworkError
from fabric_fl.network.fabric import configchange, exchange
from fabric_fl.network.fabric.channel import admin_environment, make_genesis
from fabric_fl.network.fabric.configupdate import config_of, update
from fabric_fl.network.fabric.enrolment import Enrolment, authority_of, enrol_all
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Topology, names_of, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan, load


class ChannelChange:
    """What can be proposed on the machine of a member.

    Args:
        home: Its network's directory.

    Raises:
        NoNetworkError: There is no network in `home`.
        EngineError: It is not one of Fabric's, or Fabric's programs are not found.
    """

    def __init__(self, home: str | Path = ".network") -> None:
        self._home = Home.at(home)
        self._plan: Plan = load(self._home)
        binaries = {name: path for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))}
        if self._plan.engine != "fabric" or not {"peer", "configtxgen"} <= set(binaries):
            raise EngineError(f"{self._home.root} is no network of Fabric's programs, or they are not found")
        self._tools = Tools(binaries)
        self._layout = Layout.of(self._home)
        self._topology = Topology.of(self._plan.consortium, settle_ports(self._layout, self._plan.consortium))

    def revoke(self, organisation: str, enrollment_id: str) -> bytes:
        """Revokes an identity at its organisation's CA, and proposes the CA's list of all that it revoked.

        Raises:
            CAError: The CA refused.
            NetworkError: The organisation is none of this machine's.
        """
        if organisation not in [one.name for one in self._plan.organisations]:
            raise NetworkError(f"{organisation} is not run here", remedy="Its own administrator revokes.")
        authority = self._topology.authority(organisation)
        described = authority_of(authority, self._layout)
        assert described.registrar is not None
        client = CAClient(described, authority.msp_id, timeout=30)
        revoked = client.revoke(client.enroll(*described.registrar), enrollment_id, crl=True)
        assert revoked.crl is not None
        return self._propose(configchange.revoke(authority.msp_id, revoked.crl))

    def admit(self, organisation: str) -> bytes:
        """Proposes a new member, which consortium.yaml names and whose part was imported.

        Raises:
            NetworkError: It is not known here yet.
        """
        if organisation in exchange.lacking(self._topology, self._layout):
            raise NetworkError(
                f"what {organisation} shares is not here yet", remedy="`fabric-fl network import FILE` takes it."
            )
        with tempfile.TemporaryDirectory(prefix="fabric-fl-") as folder:
            path = Path(folder) / "described.block"
            make_genesis(self._tools, self._plan.consortium, self._topology, self._layout, path)
            described = config_of(path.read_bytes())
        return self._propose(configchange.admit(self._msp_id(organisation), described))

    def dismiss(self, organisation: str) -> bytes:
        """Proposes that an organisation is no member any more."""
        return self._propose(configchange.dismiss(self._msp_id(organisation)))

    def renew_orderer(self, name: str) -> bytes:
        """Has an orderer's CA make a new TLS certificate, beside the old one as `tls.new`, and proposes it.

        Raises:
            CAError: The CA refused.
            NetworkError: There is no such orderer here.
        """
        known = {one.name: one for one in self._topology.orderers}
        orderer = known.get(name)
        if orderer is None or (self._plan.here and orderer.organisation not in self._plan.here):
            raise NetworkError(f"the orderer {name} is not run here: known are {', '.join(known)}")
        fresh = self._layout.node(name) / "tls.new"
        wanted = Enrolment(name, "orderer", tls=fresh, hosts=names_of(orderer.address))
        enrol_all(self._topology.authority(orderer.organisation), [wanted], self._layout)
        certificate = (fresh / "server.crt").read_bytes()
        return self._propose(configchange.renew_orderer(orderer.address.host, orderer.address.port, certificate))

    def _propose(self, change: configchange.Change) -> bytes:
        before = self._config()
        return update(self._plan.consortium.channel, before, configchange.changed(before, change))

    def _config(self) -> configtx_pb2.Config:
        """Returns the channel's present configuration, as a peer of this machine has it."""
        peer = self._topology.peers_of(self._plan.organisations[0].name)[0]
        with tempfile.TemporaryDirectory(prefix="fabric-fl-") as folder:
            path = Path(folder) / "config.block"
            self._tools.run(
                "peer",
                *("channel", "fetch", "config", path, "-c", self._plan.consortium.channel),
                environment=admin_environment(self._home, peer),
            )
            return config_of(path.read_bytes())

    def _msp_id(self, organisation: str) -> str:
        for one in self._topology.authorities:
            if one.organisation == organisation:
                return one.msp_id
        raise NetworkError(f"{organisation} does not stand in consortium.yaml")
