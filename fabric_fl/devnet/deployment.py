"""Which chaincodes an organisation's peer can run, and where: by configuration, or by package and approval.

A definition is the channel's, in the state of ``_lifecycle``. Which process serves it is each organisation's own
business: devnet's configuration names it, or the organisation installed a package and approved it, as on Fabric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fabric_protos.peer.lifecycle import db_pb2

from fabric_fl.devnet.chaincode import ChaincodeServer, EndorsementInfo
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.devnet.packages import ChaincodeStore
from fabric_fl.fabric.channel.lifecycle_tx import (
    CHAINCODE_SOURCES,
    NAMESPACE,
    VERSION,
    ChaincodeDefinition,
    GetState,
    defined_names,
    implicit_collection,
    read_definition,
    read_fields,
    reader,
    sequence_key,
)
from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.protoutil import unmarshal

SYSTEM_CHAINCODES = ("_lifecycle", "cscc", "qscc")
LOCAL_PACKAGE_TYPE = "ChaincodeLocalPackage"
_LEGACY_LIFECYCLE = "lscc"
_NO_LEGACY_LIFECYCLE = (
    "devnet has no legacy lifecycle: deploy with `peer lifecycle chaincode`, or use Hyperledger Fabric with "
    "capabilities before V2_0"
)


@dataclass(frozen=True)
class ConfiguredChaincode:
    """A chaincode that devnet's configuration defines.

    Attributes:
        definition: As devnet commits it when the channel starts.
        servers: Its processes, by MSP id; organisations that are missing do not run it.
    """

    definition: ChaincodeDefinition
    servers: Mapping[str, ChaincodeServer]


class Definitions:
    """The chaincode definitions of a channel; what a sequence stands for never changes, so it is read once."""

    def __init__(self, ledger: KVLedger) -> None:
        self._ledger = ledger
        self._known: dict[tuple[str, int], ChaincodeDefinition] = {}

    def current(self, name: str) -> ChaincodeDefinition | None:
        """Returns a chaincode's committed definition; None if it has none."""
        with self._ledger.snapshot() as snapshot:
            get_state = reader(snapshot)
            sequence = read_sequence(get_state, name)
            return self._read(get_state, name, sequence) if sequence else None

    def at(self, name: str, sequence: int) -> ChaincodeDefinition:
        """Returns the definition that a simulation has found the sequence of.

        Raises:
            ChaincodeError: There is another one by now.
        """
        definition = self._known.get((name, sequence)) or self.current(name)
        if definition is None or definition.sequence != sequence:
            raise ChaincodeError(f"chaincode definition for '{name}' changed during invoke")
        return definition

    def names(self) -> list[str]:
        """Returns the names of all chaincodes that are defined."""
        with self._ledger.snapshot() as snapshot:
            return defined_names(snapshot)

    def _read(self, get_state: GetState, name: str, sequence: int) -> ChaincodeDefinition | None:
        definition = self._known.get((name, sequence))
        if definition is None:
            definition = read_definition(get_state, name)
            if definition is not None:
                self._known[name, sequence] = definition
        return definition


class Deployment:
    """One organisation's view of what is deployed.

    Args:
        msp_id: The organisation.
        ledger: The channel's ledger.
        definitions: What the channel defines.
        configured: What devnet's configuration defines, by name.
        store: What the organisation installed.
    """

    def __init__(
        self,
        msp_id: str,
        ledger: KVLedger,
        definitions: Definitions,
        configured: Mapping[str, ConfiguredChaincode],
        store: ChaincodeStore,
    ) -> None:
        self.msp_id = msp_id
        self.definitions = definitions
        self.configured = configured
        self.store = store
        self._ledger = ledger

    def endorsement_info(self, channel_id: str, name: str, simulator: TxSimulator | None) -> EndorsementInfo:
        """Returns what is needed to run a chaincode.

        The simulator records that the definition's sequence was read, so that what is endorsed now is invalid
        after an upgrade.

        Raises:
            ChaincodeError: It is not defined, or this peer has none of it.
        """
        if name in SYSTEM_CHAINCODES:
            return EndorsementInfo(VERSION)
        if name == _LEGACY_LIFECYCLE:
            raise ChaincodeError(_NO_LEGACY_LIFECYCLE)
        if simulator is None:
            raise ChaincodeError(
                f"could not get current sequence for chaincode '{name}' on channel '{channel_id}': could not get "
                f"state for key {sequence_key(name)}: invalid channel-less operation"
            )
        sequence = read_sequence(lambda key: simulator.get_state(NAMESPACE, key), name)
        if sequence == 0:
            raise ChaincodeError(f"chaincode {name} not found")
        definition = self.definitions.at(name, sequence)
        return EndorsementInfo(
            version=definition.version, enforce_init=definition.init_required, server=self._server(definition)
        )

    def runs(self, definition: ChaincodeDefinition) -> bool:
        """Tells whether this peer can run a chaincode of the channel."""
        try:
            self._server(definition)
        except ChaincodeError:
            return False
        return True

    def is_configured(self, definition: ChaincodeDefinition, msp_id: str) -> bool:
        """Tells whether devnet's configuration lets an organisation run this very definition."""
        configured = self.configured.get(definition.name)
        return configured is not None and configured.definition == definition and msp_id in configured.servers

    def _server(self, definition: ChaincodeDefinition) -> ChaincodeServer:
        if self.is_configured(definition, self.msp_id):
            return self.configured[definition.name].servers[self.msp_id]
        name = definition.name
        with self._ledger.snapshot() as snapshot:
            collection = implicit_collection(self.msp_id)

            def get_private(key: str) -> bytes | None:
                found = snapshot.state.get_private(NAMESPACE, collection, key.encode())
                return found.value if found is not None else None

            source = read_source(get_private, name, definition.sequence)
        if source is None:
            raise ChaincodeError(
                f"chaincode definition for '{name}' at sequence {definition.sequence} on channel "
                f"'{self._ledger.channel_id}' has not yet been approved by this org"
            )
        package = self.store.get(source)
        if package is None:
            raise ChaincodeError(f"chaincode definition for '{name}' exists, but chaincode is not installed")
        return package.server


def read_sequence(get_state: GetState, name: str) -> int:
    """Returns how often a chaincode has been defined; 0 for never."""
    data: Any = unmarshal(db_pb2.StateData, get_state(sequence_key(name)) or b"")
    sequence: int = data.Int64
    return sequence


def private_name(name: str, sequence: int) -> str:
    """Returns the name under which an organisation keeps its approval."""
    return f"{name}#{sequence}"


def read_source(get_private: Callable[[str], bytes | None], name: str, sequence: int) -> str | None:
    """Returns the package that an organisation approved for a definition ("" for none); None if it did not."""
    fields = read_fields(get_private, CHAINCODE_SOURCES, private_name(name, sequence), LOCAL_PACKAGE_TYPE)
    return str(fields["PackageID"]) if fields is not None else None
