"""The chaincode's lifecycle on a channel: installed, approved and committed by the stock `peer` program.

What is there already is asked first, so that a second deployment changes nothing and an interrupted one goes on. A
package that differs from the one that an organisation approved is an upgrade: the next sequence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_fl.network.fabric.channel import admin_environment
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import VERSION, Package
from fabric_fl.network.fabric.tools import ToolError, Tools, until_it_works
from fabric_fl.network.fabric.topology import Peer, Topology
from fabric_fl.network.home import Home

_UNCHANGED = "with unchanged content"  # Fabric's words for: this organisation has approved just that


@dataclass(frozen=True)
class Deployment:
    """Deploys chaincodes on a channel on behalf of all its organisations.

    Attributes:
        tools: Fabric's programs.
        channel: The channel's name.
        topology: Whose first peers and first orderer take the calls.
        home: The network's directory.
        deadline: By `time.monotonic`.
        died: Says which program cannot start, "" while all can.
        own: The part on whose behalf it acts, where others act for themselves; None for all.
    """

    tools: Tools
    channel: str
    topology: Topology
    home: Home
    deadline: float
    died: Callable[[], str]
    own: Topology | None = None

    def deploy(self, package: Package, policy: str | None = None) -> int:
        """Has every peer know the package and every organisation agree to it; returns the definition's sequence.

        Args:
            package: What to deploy.
            policy: Its endorsement policy in Fabric's words; None for the channel's default.

        Raises:
            NotReadyError: Some step did not succeed in time.
        """
        own = self.own or self.topology
        firsts = _firsts(own)
        path = Layout.of(self.home).package(package.name)
        path.write_bytes(package.content)
        with ThreadPoolExecutor(len(firsts)) as pool:
            list(pool.map(lambda peer: self._install(peer, package, path), own.peers))
            committed = self._committed(firsts[0], package.name)
            approved = list(pool.map(lambda peer: self._approved(peer, package.name, committed), firsts))
            upgrade = committed == 0 or any(one not in (None, package.id) for one in approved)
            sequence = committed + 1 if upgrade else committed
            lacking = [peer for peer, one in zip(firsts, approved, strict=True) if upgrade or one != package.id]
            list(pool.map(lambda peer: self._approve(peer, package, sequence, policy), lacking))
        if upgrade:
            self._commit(firsts[0], package.name, sequence, policy)
        return sequence

    def _install(self, peer: Peer, package: Package, path: Path) -> None:
        def install() -> str:
            if package.id in self._installed(peer):
                return package.id
            return self._peer(peer, "lifecycle", "chaincode", "install", path)

        until_it_works(install, self.deadline, self.died)

    def _installed(self, peer: Peer) -> set[str]:
        answer = json.loads(self._peer(peer, "lifecycle", "chaincode", "queryinstalled", "-O", "json"))
        return {one["package_id"] for one in answer.get("installed_chaincodes", ())}

    def _committed(self, peer: Peer, name: str) -> int:
        """Returns the sequence of the committed definition, 0 where there is none."""
        query = ("lifecycle", "chaincode", "querycommitted", "-C", self.channel, "-O", "json")
        answer = json.loads(until_it_works(lambda: self._peer(peer, *query), self.deadline, self.died))
        sequences = {one["name"]: one.get("sequence", 0) for one in answer.get("chaincode_definitions", ())}
        return int(sequences.get(name, 0))

    def _approved(self, peer: Peer, name: str, sequence: int) -> str | None:
        """Returns the id of the package that the organisation approved for a sequence; None where it has not."""
        if sequence == 0:
            return None
        try:
            answer = json.loads(
                self._peer(
                    peer,
                    *("lifecycle", "chaincode", "queryapproved", "-C", self.channel, "-n", name),
                    *("--sequence", str(sequence), "-O", "json"),
                )
            )
        except ToolError as error:
            if "could not fetch approved chaincode definition" in error.output:
                return None
            raise
        return package_of(answer)

    def _approve(self, peer: Peer, package: Package, sequence: int, policy: str | None) -> None:
        def approve() -> str:
            try:
                return self._peer(
                    peer,
                    *("lifecycle", "chaincode", "approveformyorg", "--package-id", package.id),
                    *self._definition(package.name, sequence, policy),
                    *self._through(peer),
                )
            except ToolError as error:
                if _UNCHANGED in error.output:
                    return ""
                raise

        until_it_works(approve, self.deadline, self.died)

    def _commit(self, peer: Peer, name: str, sequence: int, policy: str | None) -> None:
        definition = self._definition(name, sequence, policy)

        def commit() -> str:
            if self._committed(peer, name) >= sequence:
                return ""
            endorsers: list[str | Path] = []
            for one in self._agreeing(peer, definition):
                endorsers += ["--peerAddresses", str(one.address), "--tlsRootCertFiles", self._root(one.organisation)]
            return self._peer(peer, "lifecycle", "chaincode", "commit", *definition, *self._through(peer), *endorsers)

        until_it_works(commit, self.deadline, self.died)

    def _agreeing(self, peer: Peer, definition: Sequence[str | Path]) -> list[Peer]:
        """Returns a peer of each organisation that has approved a definition; no other endorses its commit.

        Raises:
            ToolError: They are no majority, by which the channel's policy decides.
        """
        firsts = _firsts(self.topology)
        if self.own is None:  # all have approved just now
            return firsts
        query = ("lifecycle", "chaincode", "checkcommitreadiness", *definition, "-O", "json")
        approvals = json.loads(self._peer(peer, *query))["approvals"]
        lacking = [one.organisation for one in firsts if not approvals.get(one.msp_id)]
        if 2 * len(lacking) >= len(firsts):
            raise ToolError(f"the chaincode's definition waits for the approval of {', '.join(lacking)}", "")
        return [one for one in firsts if approvals.get(one.msp_id)]

    def _definition(self, name: str, sequence: int, policy: str | None) -> list[str | Path]:
        arguments: list[str | Path] = ["-C", self.channel, "-n", name, "-v", VERSION, "--sequence", str(sequence)]
        return arguments + (["--signature-policy", policy] if policy else [])

    def _through(self, peer: Peer) -> list[str | Path]:
        """Returns which orderer takes a transaction: one of the organisation's own where it has any."""
        orderer = next(iter(self.topology.orderers_of(peer.organisation)), self.topology.orderers[0])
        return ["-o", str(orderer.address), "--tls", "--cafile", self._root(orderer.organisation)]

    def _root(self, organisation: str) -> Path:
        return Layout.of(self.home).ca_certificate(self.topology.authority(organisation).name)

    def _peer(self, peer: Peer, *arguments: str | Path) -> str:
        return self.tools.run("peer", *arguments, environment=admin_environment(self.home, peer))


def _firsts(part: Topology) -> list[Peer]:
    """Returns the first peer of each organisation that has any."""
    return [part.peers_of(one.organisation)[0] for one in part.authorities if part.peers_of(one.organisation)]


def package_of(approved: dict[str, Any]) -> str | None:
    """Returns the package id in what `queryapproved` answers; None where the organisation approved no package."""
    kind = approved.get("source", {}).get("Type", {})
    found: str | None = kind.get("LocalPackage", {}).get("package_id")
    return found
