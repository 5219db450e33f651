"""Fabric's ``_lifecycle`` chaincode: install, approve, commit, and the queries of each.

Approvals are private writes to each organisation's implicit collection, whose hashes everybody sees; that is how a
peer can tell who approved what. Rules and texts are Fabric's (``core/chaincode/lifecycle``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from fabric_protos.peer import proposal_response_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from fabric_fl.devnet.acl import ACL, AccessDenied
from fabric_fl.devnet.chaincode import TransactionParams
from fabric_fl.devnet.deployment import (
    LOCAL_PACKAGE_TYPE,
    Deployment,
    private_name,
    read_sequence,
    read_source,
)
from fabric_fl.devnet.handler import NO_PRIVATE_DATA
from fabric_fl.devnet.packages import ChaincodePackage, InvalidPackage
from fabric_fl.devnet.syscc import error, signed_data, success
from fabric_fl.fabric.channel.lifecycle_tx import (
    CHAINCODE_SOURCES,
    ENDORSEMENT_POLICY,
    NAMESPACE,
    NAMESPACES,
    ChaincodeDefinition,
    GetState,
    implicit_collection,
    metadata_key,
    policy_reference,
    read_definition,
    read_fields,
    state_entries,
)
from fabric_fl.fabric.ledger.simulator import SimulationError, TxSimulator
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal

_NAME = re.compile(r"[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*")
_VERSION = re.compile(r"[A-Za-z0-9_.+-]+")
_RESERVED = ("cscc", "escc", "lscc", "qscc", "vscc")
_PARAMETERS_TYPE = "ChaincodeParameters"


class _Refused(Exception):  # noqa: N818 -- control flow
    """A request that the lifecycle turns down."""


class _NotFound(_Refused):
    """Something that was asked for by name and is not there."""


class LifecycleSCC:
    """The lifecycle as one organisation's peer answers it.

    Args:
        deployment: What this peer has installed and what the channel defines.
        organisations: MSP ids of the channel's organisations.
        acl: The peer's access control.
    """

    name = NAMESPACE

    def __init__(self, deployment: Deployment, organisations: Sequence[str], acl: ACL) -> None:
        self._deployment = deployment
        self._organisations = tuple(organisations)
        self._acl = acl
        self._functions: dict[str, tuple[Any, Callable[[Any, TransactionParams], Any]]] = {
            "InstallChaincode": (lifecycle_pb2.InstallChaincodeArgs, self._install),
            "QueryInstalledChaincode": (lifecycle_pb2.QueryInstalledChaincodeArgs, self._query_installed),
            "QueryInstalledChaincodes": (lifecycle_pb2.QueryInstalledChaincodesArgs, self._query_all_installed),
            "GetInstalledChaincodePackage": (lifecycle_pb2.GetInstalledChaincodePackageArgs, self._get_package),
            "ApproveChaincodeDefinitionForMyOrg": (
                lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs,
                self._approve,
            ),
            "QueryApprovedChaincodeDefinition": (
                lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs,
                self._query_approved,
            ),
            "CheckCommitReadiness": (lifecycle_pb2.CheckCommitReadinessArgs, self._check_commit_readiness),
            "CommitChaincodeDefinition": (lifecycle_pb2.CommitChaincodeDefinitionArgs, self._commit),
            "QueryChaincodeDefinition": (lifecycle_pb2.QueryChaincodeDefinitionArgs, self._query_definition),
            "QueryChaincodeDefinitions": (lifecycle_pb2.QueryChaincodeDefinitionsArgs, self._query_definitions),
        }

    def invoke(self, params: TransactionParams, args: list[bytes]) -> proposal_response_pb2.Response:
        if not args:
            return error("lifecycle scc must be invoked with arguments")
        if len(args) != 2:
            return error(f"lifecycle scc operations require exactly two arguments but received {len(args)}")
        function = args[0].decode(errors="replace")
        try:
            self._acl.check(f"{NAMESPACE}/{function}", signed_data(params))
        except AccessDenied as denied:
            return error(f"Failed to authorize invocation due to failed ACL check: {denied}")
        failed = f"failed to invoke backing implementation of '{function}'"
        if function not in self._functions:
            return error(f"{failed}: devnet's lifecycle has no such function: use Hyperledger Fabric")
        argument_type, implementation = self._functions[function]
        try:
            return success(implementation(unmarshal(argument_type, args[1]), params))
        except _NotFound as refused:
            return error(str(refused), 404)
        except (_Refused, InvalidPackage, SimulationError, MalformedMessage) as refused:
            return error(f"{failed}: {refused}")

    def _install(self, argument: Any, _: TransactionParams) -> Any:
        package = self._deployment.store.save(argument.chaincode_install_package)
        return lifecycle_pb2.InstallChaincodeResult(label=package.label, package_id=package.package_id)

    def _query_installed(self, argument: Any, _: TransactionParams) -> Any:
        package = self._package(argument.package_id)
        return lifecycle_pb2.QueryInstalledChaincodeResult(label=package.label, package_id=package.package_id)

    def _query_all_installed(self, _argument: Any, _: TransactionParams) -> Any:
        result = lifecycle_pb2.QueryInstalledChaincodesResult()
        for package in self._deployment.store.packages():
            result.installed_chaincodes.add(label=package.label, package_id=package.package_id)
        for name, configured in sorted(self._deployment.configured.items()):
            server = configured.servers.get(self._deployment.msp_id)
            if server is not None:
                label = f"{name}_{configured.definition.version}"
                result.installed_chaincodes.add(label=label, package_id=server.package_id or label)
        return result

    def _get_package(self, argument: Any, _: TransactionParams) -> Any:
        package = self._package(argument.package_id)
        return lifecycle_pb2.GetInstalledChaincodePackageResult(
            chaincode_install_package=self._deployment.store.data(package.package_id)
        )

    def _package(self, package_id: str) -> ChaincodePackage:
        package = self._deployment.store.get(package_id)
        if package is None:
            raise _NotFound(f"chaincode install package '{package_id}' not found")
        return package

    def _approve(self, argument: Any, params: TransactionParams) -> Any:
        definition = _definition(argument)
        simulator = _simulator(params)
        current = read_sequence(_public(simulator), definition.name)
        if definition.sequence == current == 0:
            raise _Refused("requested sequence is 0, but first definable sequence number is 1")
        if definition.sequence < current:
            raise _Refused(
                f"currently defined sequence {current} is larger than requested sequence {definition.sequence}"
            )
        if definition.sequence > current + 1:
            raise _Refused(
                f"requested sequence {definition.sequence} is larger than the next available sequence number "
                f"{current + 1}"
            )
        if definition.sequence == current and read_definition(_public(simulator), definition.name) != definition:
            raise _Refused(
                f"attempted to redefine the current committed sequence ({current}) for namespace {definition.name} "
                "with different parameters"
            )
        collection = implicit_collection(self._deployment.msp_id)
        approved = private_name(definition.name, definition.sequence)
        package_id = argument.source.local_package.package_id

        def get_private(key: str) -> bytes | None:
            return simulator.get_private_data(NAMESPACE, collection, key)

        writes = [
            *state_entries(NAMESPACES, approved, _PARAMETERS_TYPE, definition.parameters(), get_private),
            *state_entries(CHAINCODE_SOURCES, approved, LOCAL_PACKAGE_TYPE, {"PackageID": package_id}, get_private),
        ]
        if not writes:
            which = "the current committed" if definition.sequence == current else "uncommitted"
            text = f"attempted to redefine {which} sequence ({definition.sequence}) for namespace {definition.name}"
            raise _Refused(text if definition.sequence == current else f"{text} with unchanged content")
        for key, value in writes:
            simulator.put_private_data(NAMESPACE, collection, key, value)
        return lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgResult()

    def _query_approved(self, argument: Any, params: TransactionParams) -> Any:
        simulator = _simulator(params)
        collection = implicit_collection(self._deployment.msp_id)

        def get_private(key: str) -> bytes | None:
            return simulator.get_private_data(NAMESPACE, collection, key)

        sequence = argument.sequence
        if sequence == 0:
            sequence = read_sequence(_public(simulator), argument.name)
            if get_private(metadata_key(NAMESPACES, private_name(argument.name, sequence + 1))) is not None:
                sequence += 1
        fields = read_fields(get_private, NAMESPACES, private_name(argument.name, sequence), _PARAMETERS_TYPE)
        if fields is None:
            raise _Refused(
                f"could not fetch approved chaincode definition (name: '{argument.name}', sequence: '{sequence}') "
                f"on channel '{params.channel_id}'"
            )
        definition = ChaincodeDefinition.of_parameters(argument.name, sequence, fields)
        result = lifecycle_pb2.QueryApprovedChaincodeDefinitionResult(**_answer(definition))
        package_id = read_source(get_private, argument.name, sequence)
        if package_id:
            result.source.local_package.package_id = package_id
        else:
            result.source.unavailable.SetInParent()
        return result

    def _check_commit_readiness(self, argument: Any, params: TransactionParams) -> Any:
        definition = _definition(argument)
        simulator = _simulator(params)
        _check_next(definition, simulator)
        result = lifecycle_pb2.CheckCommitReadinessResult()
        for msp_id in self._organisations:
            mismatches = _mismatches(definition, msp_id, simulator)
            result.approvals[msp_id] = not mismatches
            if mismatches:
                result.mismatches[msp_id].items.extend(mismatches)
        return result

    def _commit(self, argument: Any, params: TransactionParams) -> Any:
        definition = _definition(argument)
        simulator = _simulator(params)
        _check_next(definition, simulator)
        # Every organisation's approval is read, so that an approval that changes meanwhile is a conflict.
        approvals = {each: not _mismatches(definition, each, simulator) for each in self._organisations}
        if not approvals[self._deployment.msp_id]:
            raise _Refused(f"chaincode definition not agreed to by this org ({self._deployment.msp_id})")
        for key, value in definition.public_writes(_public(simulator)):
            simulator.put_state(NAMESPACE, key, value)
        return lifecycle_pb2.CommitChaincodeDefinitionResult()

    def _query_definition(self, argument: Any, params: TransactionParams) -> Any:
        simulator = _simulator(params)
        definition = read_definition(_public(simulator), argument.name)
        if definition is None:
            raise _NotFound(f"namespace {argument.name} is not defined")
        result = lifecycle_pb2.QueryChaincodeDefinitionResult(**_answer(definition))
        for msp_id in self._organisations:
            configured = self._deployment.is_configured(definition, msp_id)
            result.approvals[msp_id] = configured or not _mismatches(definition, msp_id, simulator)
        return result

    def _query_definitions(self, _argument: Any, params: TransactionParams) -> Any:
        simulator = _simulator(params)
        result = lifecycle_pb2.QueryChaincodeDefinitionsResult()
        for name in self._deployment.definitions.names():
            definition = read_definition(_public(simulator), name)
            assert definition is not None
            result.chaincode_definitions.add(name=name, **_answer(definition))
        return result


def _simulator(params: TransactionParams) -> TxSimulator:
    if params.simulator is None:
        raise _Refused("no application config for channel ''")
    return params.simulator


def _public(simulator: TxSimulator) -> GetState:
    return lambda key: simulator.get_state(NAMESPACE, key)


def _definition(argument: Any) -> ChaincodeDefinition:
    """Reads and checks a definition from any of the arguments that carry one.

    Raises:
        _Refused: It may not be called so, or asks for what devnet has not.
    """
    problem = None
    if _NAME.fullmatch(argument.name) is None:
        problem = (
            f"invalid chaincode name '{argument.name}'. Names can only consist of alphanumerics, '_', and '-' and "
            "can only begin with alphanumerics"
        )
    elif argument.name in _RESERVED:
        problem = f"chaincode name '{argument.name}' is the name of a system chaincode"
    elif _VERSION.fullmatch(argument.version) is None:
        problem = (
            f"invalid chaincode version '{argument.version}'. Versions can only consist of alphanumerics, '_', '-', "
            "'+', and '.'"
        )
    elif argument.collections.config:
        problem = NO_PRIVATE_DATA
    if problem is not None:
        raise _Refused(f"error validating chaincode definition: {problem}")
    return ChaincodeDefinition(
        name=argument.name,
        version=argument.version,
        sequence=argument.sequence,
        validation_parameter=argument.validation_parameter or policy_reference(ENDORSEMENT_POLICY),
        init_required=argument.init_required,
        endorsement_plugin=argument.endorsement_plugin or "escc",
        validation_plugin=argument.validation_plugin or "vscc",
    )


def _check_next(definition: ChaincodeDefinition, simulator: TxSimulator) -> None:
    current = read_sequence(_public(simulator), definition.name)
    if definition.sequence != current + 1:
        raise _Refused(
            f"requested sequence is {definition.sequence}, but new definition must be sequence {current + 1}"
        )


def _mismatches(definition: ChaincodeDefinition, msp_id: str, simulator: TxSimulator) -> list[str]:
    """Returns the parameters in which an organisation's approval differs; empty if it approved this definition."""
    collection = implicit_collection(msp_id)
    approved = private_name(definition.name, definition.sequence)
    entries = dict(state_entries(NAMESPACES, approved, _PARAMETERS_TYPE, definition.parameters()))
    differing = [
        key
        for key, value in entries.items()
        if simulator.get_private_data_hash(NAMESPACE, collection, key) != hashlib.sha256(value).digest()
    ]
    if metadata_key(NAMESPACES, approved) in differing:
        return [_PARAMETERS_TYPE]
    return [key.rpartition("/")[2] for key in differing]


def _answer(definition: ChaincodeDefinition) -> dict[str, Any]:
    return {
        "sequence": definition.sequence,
        "version": definition.version,
        "endorsement_plugin": definition.endorsement_plugin,
        "validation_plugin": definition.validation_plugin,
        "validation_parameter": definition.validation_parameter,
        "collections": definition.collection_config,
        "init_required": definition.init_required,
    }
