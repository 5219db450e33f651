"""The chaincodes that a devnet's configuration defines: real ``_lifecycle`` transactions in the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fabric_protos.peer import policy_pb2

from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.config import ChaincodeConfig, DevnetConfig, InvalidConfig
from fabric_fl.devnet.deployment import ConfiguredChaincode
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.lifecycle_tx import (
    ENDORSEMENT_POLICY,
    ChaincodeDefinition,
    definition_transaction,
    policy_reference,
)
from fabric_fl.fabric.protoutil import Signer, new_block, sign_block


def configured_chaincodes(config: DevnetConfig) -> dict[str, ConfiguredChaincode]:
    """Returns what the configuration defines, by name.

    Raises:
        InvalidConfig: An endorsement policy cannot be read.
    """
    msp_ids = [each.msp_id for each in config.organizations]
    return {
        each.name: ConfiguredChaincode(_definition(each, each.endorsement or config.endorsement, msp_ids), each.servers)
        for each in config.chaincodes
    }


def _definition(chaincode: ChaincodeConfig, endorsement: str, msp_ids: Sequence[str]) -> ChaincodeDefinition:
    return ChaincodeDefinition(
        name=chaincode.name,
        version=chaincode.version,
        sequence=chaincode.sequence,
        validation_parameter=_validation_parameter(endorsement, msp_ids),
        init_required=chaincode.init_required,
    )


def _validation_parameter(endorsement: str, msp_ids: Sequence[str]) -> bytes:
    if endorsement == "majority":
        return policy_reference(ENDORSEMENT_POLICY)
    peers = ", ".join(f"'{each}.peer'" for each in msp_ids)
    rule = {"all": f"AND({peers})", "any": f"OR({peers})"}.get(endorsement, endorsement)
    try:
        policy = policydsl.parse(rule)
    except ValueError as error:
        raise InvalidConfig(f"endorsement: {error}") from error
    parameter: bytes = policy_pb2.ApplicationPolicy(signature_policy=policy).SerializeToString()
    return parameter


async def define(
    channel: Channel,
    configured: Mapping[str, ConfiguredChaincode],
    orderer: Signer,
    members: Sequence[Organization],
) -> None:
    """Commits the definitions that are not there yet, first ones all in one block.

    They need no round of approvals: the process holds the keys of every organisation's administrator and peer, and
    signs with them what its configuration says.

    Raises:
        InvalidConfig: The chain has another definition of that name.
    """
    missing, later = [], []
    for name, chaincode in configured.items():
        wanted, committed = chaincode.definition, channel.definitions.current(name)
        if committed is None:
            missing.append(wanted)
        elif committed.sequence < wanted.sequence:
            later += [replace(wanted, sequence=each) for each in range(committed.sequence + 1, wanted.sequence + 1)]
        elif committed.sequence == wanted.sequence and committed != wanted:
            raise InvalidConfig(
                f"chaincodes: {name} is defined on the channel as version {committed.version}, sequence "
                f"{committed.sequence}, with another version or endorsement policy than configured: approve and "
                "commit the new definition with the peer command, or start with another state folder"
            )
    for definition in missing:
        if definition.sequence != 1:
            raise InvalidConfig(f"chaincodes: the first definition of {definition.name} has sequence 1")
    # those that follow one on the chain read it, so they come a block each
    for together in [missing, *([each] for each in later)]:
        if together:
            await _commit(channel, together, orderer, members)


async def _commit(
    channel: Channel, definitions: Sequence[ChaincodeDefinition], orderer: Signer, members: Sequence[Organization]
) -> None:
    with channel.ledger.snapshot() as snapshot:
        envelopes = [
            definition_transaction(channel.id, each, members[0].admin, [member.node for member in members], snapshot)
            for each in definitions
        ]
    block = new_block(channel.ledger.height, channel.ledger.tip_hash, envelopes)
    sign_block(block, orderer, last_config=0)
    committed_block = await channel.committer.commit(block)
    refused = [status for status in committed_block.statuses if status.code != 0]
    if refused:
        raise InvalidConfig(f"chaincodes: the definitions were refused with code {refused[0].code}")
