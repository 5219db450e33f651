"""One organisation's peer: what it endorses with, and the services on its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import grpc.aio
from fabric_protos.gateway import gateway_pb2_grpc
from fabric_protos.peer import events_pb2_grpc, peer_pb2_grpc

from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.chaincode import ChaincodeSupport
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.deliver import DeliverService
from fabric_fl.devnet.deployment import ConfiguredChaincode, Deployment
from fabric_fl.devnet.endorser import Endorser, EndorserService
from fabric_fl.devnet.gateway import GatewayService
from fabric_fl.devnet.identity import Organization
from fabric_fl.devnet.lifecycle import LifecycleSCC
from fabric_fl.devnet.packages import ChaincodeStore
from fabric_fl.devnet.syscc import CSCC, QSCC
from fabric_fl.fabric.channel.signaturecache import SignatureCache


class Peer:
    """An organisation's peer on the channel.

    Args:
        organization: Whose it is.
        address: ``host:port`` of its endpoint.
        channel: The channel.
        configured: The chaincodes that devnet's configuration defines, by name.
        packages: Folder of the packages that the organisation installs; None keeps them in memory.
        signatures: Shared by everything that verifies.
        execute_timeout: Seconds that a chaincode may take.
    """

    def __init__(
        self,
        organization: Organization,
        address: str,
        channel: Channel,
        configured: Mapping[str, ConfiguredChaincode],
        packages: Path | None,
        signatures: SignatureCache,
        execute_timeout: float,
    ) -> None:
        self.msp_id = organization.msp_id
        self.address = address
        self._channel = channel
        self._acl = ACL(channel.config, self.msp_id, signatures)
        self.deployment = Deployment(
            self.msp_id, channel.ledger, channel.definitions, configured, ChaincodeStore(packages)
        )
        builtins = (
            QSCC(channel.ledger, self._acl),
            CSCC(channel.ledger, channel.config, self._acl),
            LifecycleSCC(self.deployment, channel.config.organizations, self._acl),
        )
        self.support = ChaincodeSupport(
            self.deployment.endorsement_info,
            {each.name: each for each in builtins},
            execute_timeout=execute_timeout,
        )
        self.endorser = Endorser(
            msp_id=self.msp_id,
            address=address,
            signer=organization.node,
            ledger=channel.ledger,
            config=channel.config,
            signatures=signatures,
            acl=self._acl,
            support=self.support,
            endorsement_info=self.deployment.endorsement_info,
            faults=channel.faults,
        )

    def add_services(self, server: grpc.aio.Server, peers: Mapping[str, Peer], *, once: bool) -> None:
        """Registers the peer's services; whatever else a client asks for is UNIMPLEMENTED.

        Args:
            server: The organisation's endpoint.
            peers: Every organisation's peer by MSP id, which the gateway reaches in process.
            once: See `GatewayService`.
        """
        gateway = GatewayService(
            msp_id=self.msp_id,
            channel=self._channel,
            endorsers={msp_id: peer.endorser for msp_id, peer in peers.items()},
            acl=self._acl,
            runs=lambda msp_id, definition: peers[msp_id].deployment.runs(definition),
            once=once,
            faults=self._channel.faults,
        )
        gateway_pb2_grpc.add_GatewayServicer_to_server(gateway, server)
        peer_pb2_grpc.add_EndorserServicer_to_server(EndorserService(self.endorser), server)
        deliver = DeliverService(self._channel, self.msp_id, self._acl.check)
        events_pb2_grpc.add_DeliverServicer_to_server(deliver, server)
