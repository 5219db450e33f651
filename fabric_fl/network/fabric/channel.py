"""The channel: its genesis block, the orderers and the peers on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fabric_fl.fabric.mspdir import make_private
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.fabric import configtx
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.tools import ToolError, Tools, until_it_works
from fabric_fl.network.fabric.topology import Orderer, Peer, Topology
from fabric_fl.network.home import Home


def write_genesis(tools: Tools, consortium: Consortium, topology: Topology, layout: Layout) -> None:
    """Makes the genesis block with configtxgen, once: another one would be another channel."""
    if layout.genesis.exists():
        return
    temporary = layout.genesis.with_suffix(".tmp")
    make_genesis(tools, consortium, topology, layout, temporary)
    temporary.replace(layout.genesis)


def make_genesis(tools: Tools, consortium: Consortium, topology: Topology, layout: Layout, path: Path) -> None:
    """Has configtxgen write a genesis block."""
    make_private(layout.configtx)
    text = configtx.render(
        consortium, topology, layout, consortium.fabric.minor if consortium.fabric else tools.version()[:2]
    )
    (layout.configtx / "configtx.yaml").write_text(text)
    tools.run(
        "configtxgen",
        *("-profile", configtx.PROFILE),
        *("-channelID", consortium.channel),
        *("-outputBlock", path),
        *("-configPath", layout.configtx),
    )


class Admission:
    """Joins orderers and peers to the channel.

    Args:
        tools: Fabric's programs.
        channel: The channel's name.
        home: The network's directory.
        deadline: By `time.monotonic`.
        died: Says which program cannot start, "" while all can.
    """

    def __init__(self, tools: Tools, channel: str, home: Home, deadline: float, died: Callable[[], str]) -> None:
        self._tools = tools
        self._channel = channel
        self._home = home
        self._layout = Layout.of(home)
        self._deadline = deadline
        self._died = died

    def orderer(self, orderer: Orderer) -> None:
        """Has an orderer serve the channel, unless it does.

        Raises:
            NotReadyError: It did not in time.
        """

        def join() -> str:
            status, answer = self._osnadmin(orderer, "list", "--channelID", self._channel)
            if status == 404:
                status, answer = self._osnadmin(
                    orderer, "join", "--channelID", self._channel, "--config-block", self._layout.genesis
                )
            if status not in (200, 201):
                raise ToolError(f"{orderer.name} does not join {self._channel}: status {status}", answer)
            return answer

        until_it_works(join, self._deadline, self._died)

    def peer(self, peer: Peer) -> None:
        """Has a peer join the channel, unless it is there.

        Raises:
            NotReadyError: It did not in time.
        """
        environment = admin_environment(self._home, peer)

        def join() -> str:
            listed = self._tools.run("peer", "channel", "list", environment=environment)
            if self._channel in listed.split():
                return listed
            return self._tools.run("peer", "channel", "join", "-b", self._layout.genesis, environment=environment)

        until_it_works(join, self._deadline, self._died)

    def _osnadmin(self, orderer: Orderer, verb: str, *arguments: str | Path) -> tuple[int, str]:
        admin = self._layout.orderer_admin(orderer.organisation)
        answer = self._tools.run(
            "osnadmin",
            *("channel", verb),
            *arguments,
            *("--orderer-address", f"localhost:{orderer.admin.port}"),
            *("--ca-file", admin / "ca.crt"),
            *("--client-cert", admin / "server.crt"),
            *("--client-key", admin / "server.key"),
        )
        # a refusal is no failure to osnadmin: its exit code is 0
        found = re.search(r"Status: (\d+)", answer)
        return int(found.group(1)) if found else 0, answer


def admin_environment(home: Home, peer: Peer) -> dict[str, str]:
    """Returns the environment in which `peer` acts as the administrator of a peer's organisation."""
    folder = home.organisation(peer.organisation)
    return {
        "FABRIC_CFG_PATH": str(folder),
        "FABRIC_LOGGING_SPEC": "error",
        "CORE_PEER_LOCALMSPID": peer.msp_id,
        "CORE_PEER_MSPCONFIGPATH": str(folder / "admin" / "msp"),
        "CORE_PEER_ADDRESS": str(peer.address),
        "CORE_PEER_TLS_ENABLED": "true",
        "CORE_PEER_TLS_ROOTCERT_FILE": str(folder / "tls" / "ca.pem"),
    }
