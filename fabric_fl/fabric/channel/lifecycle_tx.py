"""Chaincode definitions as the ``_lifecycle`` chaincode keeps them, and the transactions that commit them.

A definition is ordinary state in the namespace ``_lifecycle``: one key of metadata, one key a field. So it is
committed, endorsed and validated like anything else, and a Fabric peer that replays the chain knows the chaincodes.

References:
    Fabric, ``core/chaincode/lifecycle/{lifecycle,serializer}.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric_protos.peer import chaincode_pb2, collection_pb2, policy_pb2, proposal_response_pb2
from fabric_protos.peer.lifecycle import chaincode_definition_pb2, db_pb2, lifecycle_pb2

from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.ledger.rwset import RWSetBuilder
from fabric_fl.fabric.ledger.statedb import Snapshot
from fabric_fl.fabric.protoutil import (
    create_chaincode_proposal,
    create_tx,
    endorse,
    proposal_response_payload,
    sign_envelope,
    unmarshal,
    unpack_proposal,
)

NAMESPACE = "_lifecycle"
VERSION = "syscc"
NAMESPACES = "namespaces"
"""Where definitions are; what an organisation approved lies under the same name in its own collection."""
CHAINCODE_SOURCES = "chaincode-sources"
DEFINITION_TYPE = "ChaincodeDefinition"
ENDORSEMENT_POLICY = "/Channel/Application/Endorsement"
LIFECYCLE_ENDORSEMENT_POLICY = "/Channel/Application/LifecycleEndorsement"

_IMPLICIT_COLLECTION = "_implicit_org_"

GetState = Callable[[str], bytes | None]
"""Reads a key of ``_lifecycle``, as a simulator or a snapshot does."""


def metadata_key(table: str, name: str) -> str:
    return f"{table}/metadata/{name}"


def field_key(table: str, name: str, field: str) -> str:
    return f"{table}/fields/{name}/{field}"


def sequence_key(name: str) -> str:
    """Returns the key that every endorsement reads, so that a new definition overtakes none."""
    return field_key(NAMESPACES, name, "Sequence")


def implicit_collection(msp_id: str) -> str:
    """Returns the collection that an organisation's approvals are written to."""
    return _IMPLICIT_COLLECTION + msp_id


def implicit_collection_owner(collection: str) -> str | None:
    """Returns the MSP id that an implicit collection belongs to; None for any other collection."""
    return collection.removeprefix(_IMPLICIT_COLLECTION) if collection.startswith(_IMPLICIT_COLLECTION) else None


def policy_reference(path: str) -> bytes:
    """Returns an ``ApplicationPolicy`` that points at a policy of the channel."""
    reference: bytes = policy_pb2.ApplicationPolicy(channel_config_policy_reference=path).SerializeToString()
    return reference


def state_entries(
    table: str, name: str, datatype: str, fields: Mapping[str, int | str | bytes], get_state: GetState | None = None
) -> list[tuple[str, bytes]]:
    """Returns what to write so that the state holds a structure: only what differs from what is there.

    Args:
        table: ``namespaces`` or ``chaincode-sources``.
        name: The structure's name, such as ``fl`` or ``fl#1``.
        datatype: The name of its type in Fabric's source, which is stored.
        fields: Its fields in the order of declaration; messages serialised.
        get_state: What is there; None for nothing.
    """
    current = get_state or (lambda _: None)
    metadata = db_pb2.StateMetadata(datatype=datatype, fields=list(fields)).SerializeToString()
    entries = {field_key(table, name, field): _state_data(value) for field, value in fields.items()}
    entries[metadata_key(table, name)] = metadata
    return [(key, value) for key, value in entries.items() if current(key) != value]


def _state_data(value: int | str | bytes) -> bytes:
    kind = {int: "Int64", str: "String", bytes: "Bytes"}[type(value)]
    data: bytes = db_pb2.StateData(**{kind: value}).SerializeToString()
    return data


def read_fields(get_state: GetState, table: str, name: str, datatype: str) -> dict[str, Any] | None:
    """Returns a structure's fields by name; None if there is none of that type.

    Raises:
        MalformedMessage: What is there cannot be read.
    """
    stored = get_state(metadata_key(table, name))
    if stored is None:
        return None
    metadata = unmarshal(db_pb2.StateMetadata, stored)
    if metadata.datatype != datatype:
        return None
    fields = {}
    for field in metadata.fields:
        data = unmarshal(db_pb2.StateData, get_state(field_key(table, name, field)) or b"")
        kind = data.WhichOneof("Type")
        fields[field] = getattr(data, kind) if kind else b""
    return fields


@dataclass(frozen=True)
class ChaincodeDefinition:
    """What the organisations of a channel agree on about a chaincode.

    Attributes:
        name: As clients call it.
        version: Free text, which every action of the chaincode carries.
        sequence: How often it has been defined.
        validation_parameter: The endorsement policy, an ``ApplicationPolicy``.
        init_required: Whether it must be initialised first.
        collections: A ``CollectionConfigPackage``.
    """

    name: str
    version: str
    sequence: int = 1
    validation_parameter: bytes = policy_reference(ENDORSEMENT_POLICY)
    init_required: bool = False
    endorsement_plugin: str = "escc"
    validation_plugin: str = "vscc"
    collections: bytes = b""

    def parameters(self) -> dict[str, int | str | bytes]:
        """Returns the fields that organisations approve (Fabric's ``ChaincodeParameters``)."""
        endorsement = chaincode_definition_pb2.ChaincodeEndorsementInfo(
            version=self.version, init_required=self.init_required, endorsement_plugin=self.endorsement_plugin
        )
        validation = chaincode_definition_pb2.ChaincodeValidationInfo(
            validation_plugin=self.validation_plugin, validation_parameter=self.validation_parameter
        )
        return {
            "EndorsementInfo": endorsement.SerializeToString(),
            "ValidationInfo": validation.SerializeToString(),
            "Collections": self.collections,
        }

    @classmethod
    def of_parameters(cls, name: str, sequence: int, fields: Mapping[str, Any]) -> ChaincodeDefinition:
        """Returns the definition whose `parameters` these are.

        Raises:
            MalformedMessage: They cannot be read.
        """
        endorsement = unmarshal(chaincode_definition_pb2.ChaincodeEndorsementInfo, fields["EndorsementInfo"])
        validation = unmarshal(chaincode_definition_pb2.ChaincodeValidationInfo, fields["ValidationInfo"])
        return cls(
            name=name,
            version=endorsement.version,
            sequence=sequence,
            validation_parameter=validation.validation_parameter,
            init_required=endorsement.init_required,
            endorsement_plugin=endorsement.endorsement_plugin,
            validation_plugin=validation.validation_plugin,
            collections=fields["Collections"],
        )

    def public_writes(self, get_state: GetState | None = None) -> list[tuple[str, bytes]]:
        """Returns the keys and values that define it, those left out that the state already has."""
        fields = {"Sequence": self.sequence, **self.parameters()}
        return state_entries(NAMESPACES, self.name, DEFINITION_TYPE, fields, get_state)

    @property
    def collection_config(self) -> collection_pb2.CollectionConfigPackage:
        return unmarshal(collection_pb2.CollectionConfigPackage, self.collections)


def read_definition(get_state: GetState, name: str) -> ChaincodeDefinition | None:
    """Returns a chaincode's committed definition; None if it has none.

    Raises:
        MalformedMessage: What is there cannot be read.
    """
    fields = read_fields(get_state, NAMESPACES, name, DEFINITION_TYPE)
    if fields is None:
        return None
    return ChaincodeDefinition.of_parameters(name, fields["Sequence"], fields)


def reader(snapshot: Snapshot) -> GetState:
    """Returns what reads the committed definitions of a snapshot."""

    def get_state(key: str) -> bytes | None:
        found = snapshot.get(NAMESPACE, key)
        return found.value if found else None

    return get_state


def defined_names(snapshot: Snapshot) -> list[str]:
    """Returns the names of all chaincodes that are defined, sorted."""
    prefix = metadata_key(NAMESPACES, "")
    return [
        key.removeprefix(prefix)
        for key, found in snapshot.range(NAMESPACE, prefix, prefix.removesuffix("/") + "0")  # "0" follows "/"
        if unmarshal(db_pb2.StateMetadata, found.value).datatype == DEFINITION_TYPE
    ]


def definition_transaction(
    channel_id: str,
    definition: ChaincodeDefinition,
    creator: SigningIdentity,
    endorsers: Sequence[SigningIdentity],
    snapshot: Snapshot | None = None,
) -> bytes:
    """Returns the signed transaction that defines a chaincode, an envelope's bytes.

    Args:
        channel_id: The channel.
        definition: Its sequence is the next one.
        creator: A client or administrator with the right to write.
        endorsers: Peers, enough for the channel's lifecycle endorsement policy.
        snapshot: Where the definition that this one follows is read; None for a first one.
    """
    argument = lifecycle_pb2.CommitChaincodeDefinitionArgs(
        name=definition.name,
        version=definition.version,
        sequence=definition.sequence,
        endorsement_plugin=definition.endorsement_plugin,
        validation_plugin=definition.validation_plugin,
        validation_parameter=definition.validation_parameter,
        init_required=definition.init_required,
    )
    if definition.collections:
        argument.collections.CopyFrom(definition.collection_config)
    proposal, _ = create_chaincode_proposal(
        channel_id,
        NAMESPACE,
        ["CommitChaincodeDefinition", argument.SerializeToString()],
        creator.serialize(),
    )
    rwset = RWSetBuilder()
    for key in (sequence_key(definition.name), metadata_key(NAMESPACES, definition.name)):
        found = snapshot.get(NAMESPACE, key) if snapshot is not None else None
        rwset.add_read(NAMESPACE, key, found.version if found is not None else None)
    for key, value in definition.public_writes(reader(snapshot) if snapshot is not None else None):
        rwset.add_write(NAMESPACE, key, value)
    response = proposal_response_pb2.Response(status=200)
    payload = proposal_response_payload(
        unpack_proposal(proposal.SerializeToString()).hash,
        response,
        rwset.serialize(),
        b"",
        chaincode_pb2.ChaincodeID(name=NAMESPACE, version=VERSION),
    )
    responses = [
        proposal_response_pb2.ProposalResponse(
            version=1, response=response, payload=payload, endorsement=endorse(payload, endorser)
        )
        for endorser in endorsers
    ]
    envelope: bytes = sign_envelope(create_tx(proposal, responses), creator).SerializeToString()
    return envelope
