"""Block 0: a channel of given organisations, as ``configtxgen`` would write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as etcdraft_pb2
from fabric_protos.peer import configuration_pb2 as peer_pb2
from google.protobuf.message import Message

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.channelconfig import BatchSettings
from fabric_fl.fabric.channel.policies import implicit_meta
from fabric_fl.fabric.protoutil import (
    LAST_CONFIG,
    SIGNATURES,
    channel_header,
    compute_tx_id,
    new_block,
    signature_header,
)

_ADMINS = "Admins"
_DEFAULT_BATCH = BatchSettings()
_META = {"Readers": "ANY Readers", "Writers": "ANY Writers", _ADMINS: f"MAJORITY {_ADMINS}"}


def genesis_block(
    channel_id: str,
    organizations: Sequence[Organization],
    orderer: Organization,
    *,
    orderer_address: tuple[str, int],
    anchor_peers: Mapping[str, tuple[str, int]],
    batch: BatchSettings = _DEFAULT_BATCH,
) -> common_pb2.Block:
    """Makes a channel's first block.

    Args:
        channel_id: The channel's name.
        organizations: Those that run peers.
        orderer: The one that orders.
        orderer_address: Host and port of its orderer.
        anchor_peers: Host and port of each organisation's peer, by MSP id.
        batch: How blocks are cut.
    """
    root = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    _set(root, "HashingAlgorithm", configuration_pb2.HashingAlgorithm(name="SHA256"))
    # Fabric's blocks hash their data flat; a peer refuses any other width of the tree.
    _set(root, "BlockDataHashingStructure", configuration_pb2.BlockDataHashingStructure(width=2**32 - 1))
    _set_capability(root, "V3_0")
    _set_meta_policies(root, _META)
    root.groups["Application"].CopyFrom(_application(organizations, anchor_peers))
    root.groups["Orderer"].CopyFrom(_orderer(orderer, orderer_address, batch))

    signature = signature_header(b"")
    header = channel_header(
        common_pb2.CONFIG, channel_id, tx_id=compute_tx_id(signature.nonce, signature.creator), version=1
    )
    config = configtx_pb2.ConfigEnvelope(config=configtx_pb2.Config(channel_group=root))
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=_bytes(header), signature_header=_bytes(signature)), data=_bytes(config)
    )
    block = new_block(0, b"", [_bytes(common_pb2.Envelope(payload=_bytes(payload)))])
    last = common_pb2.LastConfig(index=0)
    block.metadata.metadata[LAST_CONFIG] = _bytes(common_pb2.Metadata(value=_bytes(last)))
    signed = common_pb2.OrdererBlockMetadata(last_config=last)
    block.metadata.metadata[SIGNATURES] = _bytes(common_pb2.Metadata(value=_bytes(signed)))
    return block


def _application(
    organizations: Sequence[Organization], anchor_peers: Mapping[str, tuple[str, int]]
) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    _set_capability(group, "V2_5")
    endorsement = {"Endorsement": "MAJORITY Endorsement", "LifecycleEndorsement": "MAJORITY Endorsement"}
    _set_meta_policies(group, {**_META, **endorsement})
    for organization in organizations:
        name = organization.msp_id
        member = _organization(
            organization,
            {
                "Readers": f"OR('{name}.admin', '{name}.peer', '{name}.client')",
                "Writers": f"OR('{name}.admin', '{name}.client')",
                _ADMINS: f"OR('{name}.admin')",
                "Endorsement": f"OR('{name}.peer')",
            },
        )
        host, port = anchor_peers[name]
        _set(member, "AnchorPeers", peer_pb2.AnchorPeers(anchor_peers=[peer_pb2.AnchorPeer(host=host, port=port)]))
        group.groups[name].CopyFrom(member)
    return group


def _orderer(orderer: Organization, address: tuple[str, int], batch: BatchSettings) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    host, port = address
    consenter = etcdraft_pb2.Consenter(
        host=host,
        port=port,
        client_tls_cert=orderer.tls.certificate_pem,
        server_tls_cert=orderer.tls.certificate_pem,
    )
    options = etcdraft_pb2.Options(
        tick_interval="500ms",
        election_tick=10,
        heartbeat_tick=1,
        max_inflight_blocks=5,
        snapshot_interval_size=16 * 1024 * 1024,
    )
    raft = etcdraft_pb2.ConfigMetadata(consenters=[consenter], options=options)
    _set(group, "ConsensusType", orderer_pb2.ConsensusType(type="etcdraft", metadata=_bytes(raft)))
    size = orderer_pb2.BatchSize(
        max_message_count=batch.max_message_count,
        absolute_max_bytes=batch.absolute_max_bytes,
        preferred_max_bytes=batch.preferred_max_bytes,
    )
    _set(group, "BatchSize", size)
    _set(group, "BatchTimeout", orderer_pb2.BatchTimeout(timeout=f"{round(batch.timeout * 1000)}ms"))
    _set(group, "ChannelRestrictions", orderer_pb2.ChannelRestrictions())
    _set_capability(group, "V2_0")
    _set_meta_policies(group, {**_META, "BlockValidation": "ANY Writers"})
    name = orderer.msp_id
    rules = {"Readers": f"OR('{name}.member')", "Writers": f"OR('{name}.member')", _ADMINS: f"OR('{name}.admin')"}
    member = _organization(orderer, rules)
    _set(member, "Endpoints", configuration_pb2.OrdererAddresses(addresses=[f"{host}:{port}"]))
    group.groups[name].CopyFrom(member)
    return group


def _organization(organization: Organization, rules: Mapping[str, str]) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    units = {
        f"{role}_ou_identifier": msp_config_pb2.FabricOUIdentifier(organizational_unit_identifier=role)
        for role in ("client", "peer", "admin", "orderer")
    }
    config = msp_config_pb2.FabricMSPConfig(
        name=organization.msp_id,
        root_certs=[organization.ca.certificate_pem],
        tls_root_certs=[organization.tls_ca.certificate_pem],
        crypto_config=msp_config_pb2.FabricCryptoConfig(
            signature_hash_family="SHA2", identity_identifier_hash_function="SHA256"
        ),
        fabric_node_ous=msp_config_pb2.FabricNodeOUs(enable=True, **units),
    )
    _set(group, "MSP", msp_config_pb2.MSPConfig(type=0, config=_bytes(config)))
    for name, rule in rules.items():
        policy = policies_pb2.Policy(type=policies_pb2.Policy.SIGNATURE, value=_bytes(policydsl.parse(rule)))
        group.policies[name].CopyFrom(configtx_pb2.ConfigPolicy(policy=policy, mod_policy=_ADMINS))
    return group


def _set(group: configtx_pb2.ConfigGroup, key: str, value: Message) -> None:
    group.values[key].CopyFrom(configtx_pb2.ConfigValue(value=_bytes(value), mod_policy=_ADMINS))


def _set_capability(group: configtx_pb2.ConfigGroup, capability: str) -> None:
    capabilities = {capability: configuration_pb2.Capability()}
    _set(group, "Capabilities", configuration_pb2.Capabilities(capabilities=capabilities))


def _set_meta_policies(group: configtx_pb2.ConfigGroup, rules: Mapping[str, str]) -> None:
    for name, rule in rules.items():
        policy = policies_pb2.Policy(type=policies_pb2.Policy.IMPLICIT_META, value=_bytes(implicit_meta(rule)))
        group.policies[name].CopyFrom(configtx_pb2.ConfigPolicy(policy=policy, mod_policy=_ADMINS))


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
