"""A network under test, known by nothing but its organisations' connection profiles.

`Organisation` and `Network` hold connections to every service; what tests send there by hand is made in `raw`.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from fabric_protos.gateway import gateway_pb2_grpc
from fabric_protos.orderer import ab_pb2_grpc
from fabric_protos.peer import events_pb2_grpc, peer_pb2_grpc

from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import Gateway, Timeouts, open_channel

CHANNEL = "fl"
MAJORITY = "kv"  # endorsed by a majority of the organisations, the channel's default
ANY = "kv-any"  # the same contract, endorsed by any one peer of the channel's organisations
TWO = "kv-two"  # the same contract, which only the first two organisations run, a majority of three


class Organisation:
    """One organisation's peer, and the identities that its folder holds."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.profile = ConnectionProfile.load(folder)
        self.msp_id = self.profile.msp_id
        self.identity = self.profile.identity
        self.address = self.profile.peer.address
        self.channel = stack.enter_context(open_channel(self.profile.peer))
        self.gateway = stack.enter_context(Gateway(self.channel, self.identity, timeouts=Timeouts(evaluate=15)))
        self.gateway_stub = gateway_pb2_grpc.GatewayStub(self.channel)
        self.endorser_stub = peer_pb2_grpc.EndorserStub(self.channel)
        self.deliver_stub = events_pb2_grpc.DeliverStub(self.channel)

    @property
    def network(self):
        return self.gateway.network(CHANNEL)

    @cached_property
    def admin(self):
        return self.profile.admin

    def __repr__(self) -> str:
        return self.msp_id


class Network:
    """Every organisation, sorted by its folder's name, and an orderer."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        folders = sorted(path.parent for path in root.glob("*/connection.json"))
        self.organisations = tuple(Organisation(folder, stack) for folder in folders)
        if len(self.organisations) < 3:
            raise ValueError(f"{root} holds {len(folders)} connection profiles; the suite needs 3 organisations")
        orderer = self.organisations[0].profile.orderers[0]
        self.orderer_address = orderer.address
        self.orderer_stub = ab_pb2_grpc.AtomicBroadcastStub(stack.enter_context(open_channel(orderer)))

    def contract(self, chaincode=MAJORITY, organisation=0):
        return self.organisations[organisation].network.contract(chaincode)

    @property
    def majority(self):
        """As many organisations as endorse for the channel's default policy."""
        return self.organisations[: len(self.organisations) // 2 + 1]
