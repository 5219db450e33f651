"""What organisations change in their channel's configuration: who belongs to it, and which certificates count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fabric_protos.common import configtx_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2

from fabric_fl.network.errors import NetworkError

Change = Callable[[configtx_pb2.Config], None]
_MEMBERS, _ORDERING = "Application", "Orderer"


def changed(config: configtx_pb2.Config, change: Change) -> configtx_pb2.Config:
    """Returns a configuration after a change; the one that was given stays as it is."""
    copy = configtx_pb2.Config()
    copy.CopyFrom(config)
    change(copy)
    return copy


def revoke(msp_id: str, crl: bytes) -> Change:
    """Puts a revocation list (PEM) into an organisation's MSP, in place of the one that is there.

    Fabric's CAs list all that they have revoked, so the newest list holds the older ones.
    """

    def change(config: configtx_pb2.Config) -> None:
        for group in _groups_of(config, msp_id):
            outer = msp_config_pb2.MSPConfig.FromString(group.values["MSP"].value)
            inner = msp_config_pb2.FabricMSPConfig.FromString(outer.config)
            del inner.revocation_list[:]
            inner.revocation_list.append(crl)
            outer.config = inner.SerializeToString()
            group.values["MSP"].value = outer.SerializeToString()

    return change


def admit(msp_id: str, described: configtx_pb2.Config) -> Change:
    """Takes an organisation in as a member, as another configuration describes it.

    Args:
        msp_id: The organisation.
        described: What configtxgen makes of the consortium that it belongs to.
    """

    def change(config: configtx_pb2.Config) -> None:
        described_members = described.channel_group.groups[_MEMBERS].groups
        members = config.channel_group.groups[_MEMBERS].groups
        if msp_id in described.channel_group.groups[_ORDERING].groups:
            raise NetworkError(
                f"{msp_id} is to run orderers, which a channel takes in one at a time",
                remedy="Admit it without; then Fabric's documentation, Reconfiguring a Raft ordering service.",
            )
        members[msp_id].CopyFrom(described_members[msp_id])

    return change


def dismiss(msp_id: str) -> Change:
    """Ends an organisation's membership; its records stay, its signatures count no longer."""

    def change(config: configtx_pb2.Config) -> None:
        members = config.channel_group.groups[_MEMBERS].groups
        if msp_id not in members:
            raise NetworkError(f"{msp_id} is no member of the channel")
        if msp_id in config.channel_group.groups[_ORDERING].groups:
            raise NetworkError(
                f"{msp_id} runs orderers of this channel",
                remedy="Take its orderers out first: Fabric's documentation, Reconfiguring a Raft ordering service.",
            )
        del members[msp_id]

    return change


def renew_orderer(host: str, port: int, certificate: bytes) -> Change:
    """Has the others know an orderer by a new TLS certificate (PEM)."""

    def change(config: configtx_pb2.Config) -> None:
        with _consenters(config) as consenters:
            found = [one for one in consenters if (one.host, one.port) == (host, port)]
            if not found:
                raise NetworkError(f"no orderer of the channel listens on {host}:{port}")
            for one in found:
                one.client_tls_cert = one.server_tls_cert = certificate

    return change


def forget_orderers(config: configtx_pb2.Config) -> None:
    """Leaves out the orderers' TLS certificates, to compare configurations of different years."""
    with _consenters(config) as consenters:
        for one in consenters:
            one.client_tls_cert = one.server_tls_cert = b""


@contextmanager
def _consenters(config: configtx_pb2.Config) -> Iterator[Sequence[configuration_pb2.Consenter]]:
    """Yields the orderers as the configuration lists them, and writes back what is made of them."""
    value = config.channel_group.groups[_ORDERING].values["ConsensusType"]
    consensus = orderer_pb2.ConsensusType.FromString(value.value)
    metadata = configuration_pb2.ConfigMetadata.FromString(consensus.metadata)
    yield metadata.consenters
    consensus.metadata = metadata.SerializeToString()
    value.value = consensus.SerializeToString()


def _groups_of(config: configtx_pb2.Config, msp_id: str) -> Iterator[configtx_pb2.ConfigGroup]:
    """Yields an organisation's group as a member, and that as one who orders."""
    found = False
    for kind in (_MEMBERS, _ORDERING):
        groups = config.channel_group.groups[kind].groups
        if msp_id in groups:
            found = True
            yield groups[msp_id]
    if not found:
        raise NetworkError(f"{msp_id} is no member of the channel")
