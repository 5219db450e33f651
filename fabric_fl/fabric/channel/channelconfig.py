"""A channel's configuration: who its organisations are, which policies hold, how blocks are cut.

It lives in block 0, and in every block that changes it, as Fabric writes it; `ChannelConfig.from_block` reads any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cryptography import x509
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import identities_pb2, msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from fabric_protos.peer import policy_pb2
from google.protobuf.message import Message

from fabric_fl.fabric.channel.policies import ImplicitMetaPolicy, InvalidPolicy, Policy, RejectPolicy, SignaturePolicy
from fabric_fl.fabric.identity import Identity
from fabric_fl.fabric.msp import MSP, MSPManager
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal, unpack_envelope

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")


class InvalidChannelConfig(ValueError):  # noqa: N818 -- what it is
    """A block that holds no configuration, or one that cannot be understood."""


@dataclass(frozen=True)
class BatchSettings:
    """When the orderer cuts a block; the defaults are those of Fabric's sample configuration.

    Attributes:
        max_message_count: Transactions a block at most.
        absolute_max_bytes: No transaction may be larger.
        preferred_max_bytes: A block grows beyond this only for a single larger transaction.
        timeout: Seconds to wait for more transactions.
    """

    max_message_count: int = 500
    absolute_max_bytes: int = 10 * 1024 * 1024
    preferred_max_bytes: int = 2 * 1024 * 1024
    timeout: float = 2.0


@dataclass(frozen=True)
class ChannelConfig:
    """What a configuration block says.

    Attributes:
        channel_id: The channel's name.
        config: The message itself, as ``cscc`` hands it out.
        msps: Every organisation's MSP, the orderer's included.
        policies: By path, such as ``/Channel/Application/Writers``.
        organizations: MSP ids of the application's organisations, sorted.
        orderer_organizations: MSP ids of the ordering organisations, sorted.
        orderer_addresses: ``host:port`` of each orderer.
        consenters: The serialised identity of each orderer of a SmartBFT channel, by the number that it signs with.
        anchor_peers: ``(host, port)`` pairs by MSP id.
        batch: How blocks are cut.
    """

    channel_id: str
    config: configtx_pb2.Config
    msps: MSPManager
    policies: Mapping[str, Policy]
    organizations: tuple[str, ...]
    orderer_organizations: tuple[str, ...]
    orderer_addresses: tuple[str, ...]
    consenters: Mapping[int, bytes]
    anchor_peers: Mapping[str, tuple[tuple[str, int], ...]]
    batch: BatchSettings

    @classmethod
    def from_block(cls, block: common_pb2.Block) -> ChannelConfig:
        """Reads a configuration block.

        Raises:
            InvalidChannelConfig: It is none, or incomplete.
        """
        try:
            if len(block.data.data) != 1:
                raise InvalidChannelConfig(f"a configuration block holds one transaction, not {len(block.data.data)}")
            envelope = unpack_envelope(block.data.data[0])
            if envelope.channel_header.type != common_pb2.CONFIG:
                raise InvalidChannelConfig("the block's transaction is no configuration")
            config = unmarshal(configtx_pb2.ConfigEnvelope, envelope.payload.data).config
            return cls.from_config(envelope.channel_header.channel_id, config)
        except (MalformedMessage, InvalidPolicy) as error:
            raise InvalidChannelConfig(f"the block's configuration cannot be read: {error}") from error

    @classmethod
    def from_config(cls, channel_id: str, config: configtx_pb2.Config) -> ChannelConfig:
        """Reads a configuration that has been taken out of its block."""
        root = config.channel_group
        if not {"Application", "Orderer"} <= set(root.groups):
            raise InvalidChannelConfig("the configuration lacks its application's or its orderer's group")
        application, orderer = root.groups["Application"], root.groups["Orderer"]
        application_msps = {name: _read_msp(name, group) for name, group in application.groups.items()}
        orderer_msps = {name: _read_msp(name, group) for name, group in orderer.groups.items()}
        policies: dict[str, Policy] = {}
        _read_policies(root, "/Channel", policies)
        addresses = [
            address
            for _, group in sorted(orderer.groups.items())
            for address in _value(group, "Endpoints", configuration_pb2.OrdererAddresses).addresses
        ]
        anchors = {
            application_msps[name].msp_id: tuple(
                (peer.host, peer.port) for peer in _value(group, "AnchorPeers", peer_pb2.AnchorPeers).anchor_peers
            )
            for name, group in application.groups.items()
        }
        return cls(
            channel_id=channel_id,
            config=config,
            msps=MSPManager({msp.msp_id: msp for msp in (*application_msps.values(), *orderer_msps.values())}),
            policies=MappingProxyType(policies),
            organizations=tuple(sorted(msp.msp_id for msp in application_msps.values())),
            orderer_organizations=tuple(sorted(msp.msp_id for msp in orderer_msps.values())),
            orderer_addresses=tuple(addresses),
            consenters=MappingProxyType(_read_consenters(orderer)),
            anchor_peers=MappingProxyType(anchors),
            batch=_read_batch(orderer),
        )

    def policy(self, path: str) -> Policy:
        """Returns the policy at an absolute path, or relative to the application; one that rejects where none is."""
        absolute = path if path.startswith("/") else f"/Channel/Application/{path}"
        return self.policies.get(absolute, RejectPolicy())

    def evaluate(self, path: str, identities: Sequence[Identity]) -> bool:
        """Tells whether identities whose signatures have been verified satisfy the policy at ``path``."""
        return self.policy(path).evaluate(identities, self.msps)

    def endorsement_policy(self, application_policy: bytes) -> Policy:
        """Returns what a chaincode definition's validation parameter stands for.

        Raises:
            InvalidPolicy: It is no ``ApplicationPolicy``, or names a policy that the channel lacks.
        """
        try:
            message = unmarshal(policy_pb2.ApplicationPolicy, application_policy)
        except MalformedMessage as error:
            raise InvalidPolicy(str(error)) from error
        kind = message.WhichOneof("Type")
        if kind == "signature_policy":
            return SignaturePolicy(message.signature_policy)
        if kind == "channel_config_policy_reference":
            policy = self.policy(message.channel_config_policy_reference)
            if not isinstance(policy, RejectPolicy):
                return policy
            raise InvalidPolicy(f"the channel has no policy {message.channel_config_policy_reference!r}")
        raise InvalidPolicy("the endorsement policy is empty")


def _value(group: configtx_pb2.ConfigGroup, key: str, message_type: type[Message]) -> Any:
    return unmarshal(message_type, group.values[key].value if key in group.values else b"")


def _read_msp(name: str, group: configtx_pb2.ConfigGroup) -> MSP:
    wrapper = _value(group, "MSP", msp_config_pb2.MSPConfig)
    config = unmarshal(msp_config_pb2.FabricMSPConfig, wrapper.config)
    if wrapper.type != 0 or not config.fabric_node_ous.enable:
        raise InvalidChannelConfig(f"organisation {name}: only X.509 MSPs with NodeOUs are understood")
    try:
        return MSP(
            config.name,
            [x509.load_pem_x509_certificate(pem) for pem in config.root_certs],
            [x509.load_pem_x509_certificate(pem) for pem in config.tls_root_certs],
            [x509.load_pem_x509_certificate(pem) for pem in config.intermediate_certs],
            [x509.load_pem_x509_crl(pem) for pem in config.revocation_list],
        )
    except ValueError as error:
        raise InvalidChannelConfig(f"organisation {name}: {error}") from error


def _read_policies(group: configtx_pb2.ConfigGroup, path: str, into: dict[str, Policy]) -> None:
    """Reads a group's policies after those of the groups below, which implicit meta policies count."""
    for name, child in group.groups.items():
        _read_policies(child, f"{path}/{name}", into)
    for name, entry in group.policies.items():
        policy = entry.policy
        if policy.type == policies_pb2.Policy.SIGNATURE:
            into[f"{path}/{name}"] = SignaturePolicy.from_bytes(policy.value)
        elif policy.type == policies_pb2.Policy.IMPLICIT_META:
            meta = unmarshal(policies_pb2.ImplicitMetaPolicy, policy.value)
            below = (f"{path}/{child}/{meta.sub_policy}" for child in sorted(group.groups))
            subs = tuple(into.get(each, RejectPolicy()) for each in below)
            into[f"{path}/{name}"] = ImplicitMetaPolicy(meta.rule, meta.sub_policy, subs)
        else:
            raise InvalidPolicy(f"{path}/{name}: policies of type {policy.type} are not understood")


def _read_consenters(orderer: configtx_pb2.ConfigGroup) -> dict[int, bytes]:
    found = _value(orderer, "Orderers", configuration_pb2.Orderers).consenter_mapping
    return {
        one.id: identities_pb2.SerializedIdentity(mspid=one.msp_id, id_bytes=one.identity).SerializeToString()
        for one in found
    }


def _read_batch(orderer: configtx_pb2.ConfigGroup) -> BatchSettings:
    size = _value(orderer, "BatchSize", orderer_pb2.BatchSize)
    timeout = _value(orderer, "BatchTimeout", orderer_pb2.BatchTimeout).timeout
    return BatchSettings(
        max_message_count=size.max_message_count,
        absolute_max_bytes=size.absolute_max_bytes,
        preferred_max_bytes=size.preferred_max_bytes,
        timeout=_seconds(timeout),
    )


def _seconds(duration: str) -> float:
    """Reads a duration as Go writes it: ``2s``, ``1m30s``, ``250ms``."""
    parts = list(_durations(duration))
    if not parts:
        raise InvalidChannelConfig(f"{duration!r} is no duration")
    return sum(parts)


def _durations(duration: str) -> Iterator[float]:
    position = 0
    while position < len(duration):
        match = _DURATION.match(duration, position)
        if match is None:
            raise InvalidChannelConfig(f"{duration!r} is no duration")
        yield float(match[1]) * _SECONDS[match[2]]
        position = match.end()
