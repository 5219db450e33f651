"""The lifecycle, from a package to a chaincode that runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, endorsed, organizations
from devnet_system_chaincodes import acl, invoke
from fabric_protos.peer import collection_pb2, proposal_response_pb2, transaction_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.deployment import ConfiguredChaincode, Definitions, Deployment
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.devnet.lifecycle import LifecycleSCC
from fabric_fl.devnet.packages import ChaincodePackage, ChaincodeStore, InvalidPackage
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition
from fabric_fl.fabric.ledger.simulator import TxSimulator
from fabric_fl.fabric.protoutil import unpack_envelope

Response = proposal_response_pb2.Response


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    trial.put({"k": b"v"})
    yield trial
    trial.close()


def package(label: str = "kv_1.0", kind: str = "ccaas", **connection: object) -> bytes:
    connection = {"address": "127.0.0.1:7052", "dial_timeout": "10s", "tls_required": False, **connection}
    code = _tar({"connection.json": json.dumps(connection).encode()})
    return _tar({"metadata.json": json.dumps({"type": kind, "label": label}).encode(), "code.tar.gz": code})


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class TestPackages:
    def test_the_id_is_the_label_and_the_hash_of_the_package(self):
        data = package()
        parsed = ChaincodePackage.parse(data)
        assert parsed.package_id == f"kv_1.0:{hashlib.sha256(data).hexdigest()}"
        assert parsed.server == ChaincodeServer("127.0.0.1:7052", parsed.package_id)

    def test_tls_comes_with_its_certificates(self):
        tls = {"tls_required": True, "root_cert": "ROOT"}
        server = ChaincodePackage.parse(package(**tls)).server
        assert (server.root_cert, server.client_key) == ("ROOT", None)
        mutual = {**tls, "client_auth_required": True, "client_key": "KEY", "client_cert": "CERT"}
        server = ChaincodePackage.parse(package(**mutual)).server
        assert (server.client_key, server.client_cert) == ("KEY", "CERT")

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"", "gzip"),
            (b"no tar", "gzip"),
            (gzip.compress(b"no tar"), "gzip"),
            (gzip.compress(bytes(17 * 1024 * 1024)), "unpacks to more than"),
            (_tar({"code.tar.gz": b""}), "did not find file 'metadata.json'"),
            (_tar({"metadata.json": b"[]"}), "it is no object"),
            (_tar({"metadata.json": b'{"label":"l","type":"ccaas"}'}), "did not find a code package"),
            (package(label=".."), "invalid label '..'"),
            (package(label="../../etc"), "invalid label"),
            (package(kind="golang"), "devnet runs chaincode as a service only"),
            (package(address=""), "chaincode address not provided"),
            (package(tls_required=True), "root cert not provided"),
            (package(address=7), "address must be text"),
        ],
        ids=range(13),
    )
    def test_what_cannot_be_installed_says_why(self, data, text):
        with pytest.raises(InvalidPackage, match=text):
            ChaincodePackage.parse(data)

    def test_installed_packages_are_there_after_a_restart(self, tmp_path: Path):
        data = package()
        saved = ChaincodeStore(tmp_path / "store").save(data)
        store = ChaincodeStore(tmp_path / "store")
        assert store.packages() == [saved]
        assert store.data(saved.package_id) == data
        with pytest.raises(InvalidPackage, match="already successfully installed"):
            store.save(data)


@dataclass
class Peer:
    """One organisation's deployment and lifecycle chaincode."""

    trial: LedgerOnTrial
    number: int

    def __post_init__(self) -> None:
        ledger = self.trial.ledger
        self.organization = organizations()[self.number - 1]
        self.deployment = Deployment(self.organization.msp_id, ledger, Definitions(ledger), {}, ChaincodeStore(None))
        self.scc = LifecycleSCC(
            self.deployment, self.trial.config.organizations, acl(self.trial, self.organization.msp_id)
        )

    def call(self, function: str, argument: Any, simulator: TxSimulator | None = None) -> Response:
        return invoke(
            self.scc, [function, argument.SerializeToString()], signer=self.organization.admin, simulator=simulator
        )

    def query(self, function: str, argument: Any, result: Any) -> Any:
        with self.trial.simulate() as simulator:
            response = self.call(function, argument, simulator)
        assert response.status == 200, response.message
        return result.FromString(response.payload)

    def submit(self, function: str, argument: Any, endorsers: int = 1) -> int:
        """Has the call endorsed by this many organisations, this one first, and committed; returns the code."""
        with self.trial.simulate() as simulator:
            response = self.call(function, argument, simulator)
            assert response.status == 200, response.message
            results, private = simulator.results(), simulator.private_results()
        others = [each for each in organizations()[:3] if each is not self.organization]
        nodes = [each.node for each in (self.organization, *others)][:endorsers]
        transaction = endorsed(
            results, chaincode="_lifecycle", version="syscc", creator=self.organization.admin, endorsers=nodes
        )
        if private is not None:
            self.trial.ledger.put_transient(unpack_envelope(transaction).channel_header.tx_id, private)
        return self.trial.commit(transaction)[0]

    def approve(self, package_id: str = "", **changes: object) -> int:
        return self.submit("ApproveChaincodeDefinitionForMyOrg", self.approval(package_id, **changes))

    @staticmethod
    def approval(package_id: str = "", **changes: object) -> Any:
        fields = {"name": "kv", "version": "1.0", "sequence": 1, **changes}
        argument = lifecycle_pb2.ApproveChaincodeDefinitionForMyOrgArgs(**fields)
        if package_id:
            argument.source.local_package.package_id = package_id
        return argument


def commitment(**changes: object) -> Any:
    return lifecycle_pb2.CommitChaincodeDefinitionArgs(**{"name": "kv", "version": "1.0", "sequence": 1, **changes})


def readiness(**changes: object) -> Any:
    return lifecycle_pb2.CheckCommitReadinessArgs(**{"name": "kv", "version": "1.0", "sequence": 1, **changes})


class TestLifecycle:
    @pytest.fixture
    def peers(self, trial: LedgerOnTrial) -> list[Peer]:
        return [Peer(trial, number) for number in (1, 2, 3)]

    def test_from_package_to_a_chaincode_that_runs(self, trial, peers):
        one, two, three = peers
        installed = lifecycle_pb2.InstallChaincodeResult.FromString(
            one.call(
                "InstallChaincode", lifecycle_pb2.InstallChaincodeArgs(chaincode_install_package=package())
            ).payload
        )
        assert one.approve(installed.package_id) == 0
        ready = one.query("CheckCommitReadiness", readiness(), lifecycle_pb2.CheckCommitReadinessResult)
        assert dict(ready.approvals) == {"Org1MSP": True, "Org2MSP": False, "Org3MSP": False}
        assert two.approve() == 0
        assert one.submit("CommitChaincodeDefinition", commitment(), endorsers=2) == 0

        defined = three.query(
            "QueryChaincodeDefinition",
            lifecycle_pb2.QueryChaincodeDefinitionArgs(name="kv"),
            lifecycle_pb2.QueryChaincodeDefinitionResult,
        )
        assert (defined.version, defined.sequence) == ("1.0", 1)
        assert dict(defined.approvals) == {"Org1MSP": True, "Org2MSP": True, "Org3MSP": False}
        with trial.simulate() as simulator:
            info = one.deployment.endorsement_info(CHANNEL, "kv", simulator)
            assert info.server == ChaincodeServer("127.0.0.1:7052", installed.package_id)
            with pytest.raises(ChaincodeError, match="exists, but chaincode is not installed"):
                two.deployment.endorsement_info(CHANNEL, "kv", simulator)
            with pytest.raises(ChaincodeError, match="has not yet been approved by this org"):
                three.deployment.endorsement_info(CHANNEL, "kv", simulator)

    def test_an_approval_names_its_package_to_its_own_organisation_alone(self, peers):
        one, two, _ = peers
        one.approve("kv_1.0:abc")
        approved = one.query(
            "QueryApprovedChaincodeDefinition",
            lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs(name="kv"),
            lifecycle_pb2.QueryApprovedChaincodeDefinitionResult,
        )
        assert approved.source.local_package.package_id == "kv_1.0:abc"
        assert (approved.version, approved.sequence, approved.endorsement_plugin) == ("1.0", 1, "escc")
        with two.trial.simulate() as simulator:
            argument = lifecycle_pb2.QueryApprovedChaincodeDefinitionArgs(name="kv")
            response = two.call("QueryApprovedChaincodeDefinition", argument, simulator)
        assert "could not fetch approved chaincode definition (name: 'kv', sequence: '0')" in response.message

    def test_what_differs_from_an_approval_is_named(self, peers):
        one, *_ = peers
        one.approve()
        result = one.query("CheckCommitReadiness", readiness(version="2.0"), lifecycle_pb2.CheckCommitReadinessResult)
        assert not result.approvals["Org1MSP"]
        assert list(result.mismatches["Org1MSP"].items) == ["EndorsementInfo"]
        assert list(result.mismatches["Org2MSP"].items) == ["ChaincodeParameters"]

    def test_an_organisation_endorses_no_definition_that_it_has_not_approved(self, peers):
        _, two, _ = peers
        with two.trial.simulate() as simulator:
            response = two.call("CommitChaincodeDefinition", commitment(), simulator)
        assert response.message.endswith("chaincode definition not agreed to by this org (Org2MSP)")

    def test_a_definition_needs_a_majority_of_endorsers(self, peers):
        one, two, _ = peers
        one.approve()
        two.approve()
        code = one.submit("CommitChaincodeDefinition", commitment(), endorsers=1)
        assert code == transaction_pb2.ENDORSEMENT_POLICY_FAILURE

    def test_an_upgrade_has_the_next_sequence(self, trial, peers):
        one, two, _ = peers
        for sequence, version in ((1, "1.0"), (2, "2.0")):
            for peer in (one, two):
                assert peer.approve(sequence=sequence, version=version) == 0
            change = commitment(sequence=sequence, version=version)
            assert one.submit("CommitChaincodeDefinition", change, endorsers=2) == 0
        assert one.deployment.definitions.current("kv").version == "2.0"
        assert one.deployment.definitions.names() == [CHAINCODE, "kv"]

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"sequence": 0}, "requested sequence is 0, but first definable sequence number is 1"),
            ({"sequence": 2}, "requested sequence 2 is larger than the next available sequence number 1"),
            ({"name": "k v"}, "invalid chaincode name 'k v'"),
            ({"name": "qscc"}, "chaincode name 'qscc' is the name of a system chaincode"),
            ({"version": "1 0"}, "invalid chaincode version '1 0'"),
            (
                {"collections": collection_pb2.CollectionConfigPackage(config=[collection_pb2.CollectionConfig()])},
                "devnet has no private data collections",
            ),
        ],
    )
    def test_an_approval_that_makes_no_sense_is_refused(self, trial, peers, changes, text):
        with trial.simulate() as simulator:
            response = peers[0].call("ApproveChaincodeDefinitionForMyOrg", Peer.approval(**changes), simulator)
        assert response.status == 500
        assert text in response.message

    def test_the_same_approval_twice_is_refused(self, trial, peers):
        peers[0].approve()
        with trial.simulate() as simulator:
            response = peers[0].call("ApproveChaincodeDefinitionForMyOrg", Peer.approval(), simulator)
        assert response.message.endswith(
            "attempted to redefine uncommitted sequence (1) for namespace kv with unchanged content"
        )

    def test_a_definition_that_is_committed_cannot_be_approved_otherwise(self, trial, peers):
        with trial.simulate() as simulator:
            changed = Peer.approval(name=CHAINCODE, version="9.9")
            response = peers[0].call("ApproveChaincodeDefinitionForMyOrg", changed, simulator)
        assert "attempted to redefine the current committed sequence (1) for namespace asset with" in response.message

    def test_what_is_not_there_is_a_404(self, trial, peers):
        with trial.simulate() as simulator:
            argument = lifecycle_pb2.QueryChaincodeDefinitionArgs(name="nothing")
            response = peers[0].call("QueryChaincodeDefinition", argument, simulator)
        assert (response.status, response.message) == (404, "namespace nothing is not defined")
        argument = lifecycle_pb2.GetInstalledChaincodePackageArgs(package_id="x:y")
        assert peers[0].call("GetInstalledChaincodePackage", argument).status == 404

    def test_installing_is_for_the_organisations_administrator(self, peers):
        argument = lifecycle_pb2.QueryInstalledChaincodesArgs().SerializeToString()
        for signer in (organizations()[0].client, organizations()[1].admin):
            response = invoke(peers[0].scc, ["QueryInstalledChaincodes", argument], signer=signer)
            assert response.message.startswith("Failed to authorize invocation due to failed ACL check")
        assert peers[0].call("QueryInstalledChaincodes", lifecycle_pb2.QueryInstalledChaincodesArgs()).status == 200

    def test_wrong_numbers_of_arguments_are_refused(self, peers):
        assert "must be invoked with arguments" in invoke(peers[0].scc, []).message
        assert "require exactly two arguments but received 1" in invoke(peers[0].scc, ["CheckCommitReadiness"]).message

    def test_what_the_configuration_defines_runs_without_approvals(self, trial):
        definition = ChaincodeDefinition(CHAINCODE, "1.0")
        server = ChaincodeServer("127.0.0.1:1")
        configured = {CHAINCODE: ConfiguredChaincode(definition, {"Org1MSP": server})}
        ledger = trial.ledger
        deployment = Deployment("Org1MSP", ledger, Definitions(ledger), configured, ChaincodeStore(None))
        other = Deployment("Org2MSP", ledger, Definitions(ledger), configured, ChaincodeStore(None))
        assert deployment.runs(definition)
        assert not other.runs(definition)
        with trial.simulate() as simulator:
            assert deployment.endorsement_info(CHANNEL, CHAINCODE, simulator).server == server
            with pytest.raises(ChaincodeError, match="chaincode nothing not found"):
                deployment.endorsement_info(CHANNEL, "nothing", simulator)
            with pytest.raises(ChaincodeError, match="deploy with `peer lifecycle chaincode`"):
                deployment.endorsement_info(CHANNEL, "lscc", simulator)
            # The sequence was read: an upgrade that is committed meanwhile makes this a conflict.
            assert b"namespaces/fields/asset/Sequence" in simulator.results()
