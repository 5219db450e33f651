"""Every validation code that a transaction can get, and that the first failing check decides it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID
from devnet_ledgers import CHAINCODE, LedgerOnTrial, define, endorsed, event, genesis, organizations
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import policy_pb2, proposal_pb2, proposal_response_pb2, transaction_pb2

from fabric_fl.devnet.identity import Organization
from fabric_fl.devnet.lifecycle_tx import ChaincodeDefinition, implicit_collection
from fabric_fl.devnet.rwset import RWSetBuilder
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.protoutil import compute_tx_id, sign_envelope, transaction_proposal_hash
from fabric_fl.fabric.signing import to_low_s

Code = transaction_pb2.TxValidationCode
ORG1, ORG2, ORG3, ORDERER = organizations()


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def _code(trial: LedgerOnTrial, envelope: common_pb2.Envelope | bytes) -> str:
    """Validates without committing."""
    (code,) = trial.validator.validate(trial.block([envelope]))
    name: str = Code.Name(code)
    return name


def _results(key: str = "k", namespace: str = CHAINCODE) -> bytes:
    builder = RWSetBuilder()
    builder.add_write(namespace, key, b"v")
    return builder.serialize()


@dataclass
class _Layers:
    """A valid transaction taken apart, to spoil one layer and put it together again, signed anew."""

    payload: common_pb2.Payload
    channel_header: common_pb2.ChannelHeader
    signature_header: common_pb2.SignatureHeader
    transaction: transaction_pb2.Transaction
    action: transaction_pb2.ChaincodeActionPayload
    response: proposal_response_pb2.ProposalResponsePayload

    @classmethod
    def of(cls, envelope: common_pb2.Envelope) -> _Layers:
        payload = common_pb2.Payload.FromString(envelope.payload)
        transaction = transaction_pb2.Transaction.FromString(payload.data)
        action = transaction_pb2.ChaincodeActionPayload.FromString(transaction.actions[0].payload)
        return cls(
            payload,
            common_pb2.ChannelHeader.FromString(payload.header.channel_header),
            common_pb2.SignatureHeader.FromString(payload.header.signature_header),
            transaction,
            action,
            proposal_response_pb2.ProposalResponsePayload.FromString(action.action.proposal_response_payload),
        )

    def put_together(self) -> common_pb2.Envelope:
        self.action.action.proposal_response_payload = self.response.SerializeToString()
        self.transaction.actions[0].payload = self.action.SerializeToString()
        self.payload.data = self.transaction.SerializeToString()
        self.payload.header.channel_header = self.channel_header.SerializeToString()
        self.payload.header.signature_header = self.signature_header.SerializeToString()
        return _sign(self.payload)


def _sign(payload: common_pb2.Payload, signer: SigningIdentity = ORG1.client) -> common_pb2.Envelope:
    return sign_envelope(common_pb2.Envelope(payload=payload.SerializeToString()), signer)


def _spoiled(spoil: Callable[[_Layers], object], envelope: common_pb2.Envelope | None = None) -> common_pb2.Envelope:
    layers = _Layers.of(envelope or endorsed(_results()))
    spoil(layers)
    return layers.put_together()


def _set(path: str, value: Any) -> Callable[[_Layers], object]:
    """Returns what sets an attribute such as ``channel_header.epoch``."""

    def spoil(layers: _Layers) -> None:
        owner, _, attribute = path.rpartition(".")
        target: Any = layers
        for name in owner.split("."):
            target = getattr(target, name)
        setattr(target, attribute, value)

    return spoil


def test_an_untouched_transaction_survives_being_taken_apart(trial: LedgerOnTrial) -> None:
    assert _code(trial, _spoiled(lambda _: None)) == "VALID"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_set("channel_header.type", common_pb2.MESSAGE), "BAD_COMMON_HEADER"),
        (_set("channel_header.epoch", 1), "BAD_COMMON_HEADER"),
        (_set("signature_header.nonce", b""), "BAD_COMMON_HEADER"),
        (_set("signature_header.creator", b""), "BAD_COMMON_HEADER"),
        (_set("signature_header.creator", ORG2.client.serialize()), "BAD_CREATOR_SIGNATURE"),
        (_set("signature_header.creator", b"nobody"), "BAD_CREATOR_SIGNATURE"),
        (_set("channel_header.channel_id", "elsewhere"), "BAD_CREATOR_SIGNATURE"),
        (_set("channel_header.channel_id", ""), "BAD_CREATOR_SIGNATURE"),
        (_set("channel_header.type", common_pb2.CONFIG_UPDATE), "UNSUPPORTED_TX_PAYLOAD"),
        (_set("channel_header.type", common_pb2.CONFIG), "INVALID_CONFIG_TRANSACTION"),
        (_set("channel_header.tx_id", "f" * 64), "BAD_PROPOSAL_TXID"),
        (_set("channel_header.tx_id", ""), "BAD_PROPOSAL_TXID"),
        (lambda layers: layers.transaction.actions.add(), "INVALID_ENDORSER_TRANSACTION"),
        (_set("response.proposal_hash", b"\0" * 32), "INVALID_ENDORSER_TRANSACTION"),
        (_set("action.chaincode_proposal_payload", b""), "INVALID_ENDORSER_TRANSACTION"),
        (_set("action.chaincode_proposal_payload", b"another"), "INVALID_ENDORSER_TRANSACTION"),
        (lambda layers: setattr(layers.transaction.actions[0], "header", b""), "INVALID_ENDORSER_TRANSACTION"),
        (_set("response.extension", b""), "BAD_RESPONSE_PAYLOAD"),
        (_set("response.extension", b"\xff"), "BAD_RESPONSE_PAYLOAD"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_spoiled_layer_gives_its_code(trial: LedgerOnTrial, spoil: Callable[[_Layers], object], code: str) -> None:
    assert _code(trial, _spoiled(spoil)) == code


def test_the_header_s_extension_is_hashed_so_a_spoiled_one_breaks_the_proposal_hash_first(trial: LedgerOnTrial) -> None:
    assert _code(trial, _spoiled(_set("channel_header.extension", b"\xff"))) == "INVALID_ENDORSER_TRANSACTION"


def _rehashed(extension: bytes) -> common_pb2.Envelope:
    def spoil(layers: _Layers) -> None:
        layers.channel_header.extension = extension
        layers.response.proposal_hash = transaction_proposal_hash(
            layers.channel_header.SerializeToString(),
            layers.transaction.actions[0].header,
            layers.action.chaincode_proposal_payload,
        )

    return _spoiled(spoil)


@pytest.mark.parametrize(
    ("extension", "code"),
    [
        (b"\xff", "BAD_HEADER_EXTENSION"),
        (b"", "INVALID_OTHER_REASON"),
        (proposal_pb2.ChaincodeHeaderExtension(chaincode_id={"name": ""}).SerializeToString(), "INVALID_CHAINCODE"),
        (proposal_pb2.ChaincodeHeaderExtension(chaincode_id={"name": "x"}).SerializeToString(), "INVALID_CHAINCODE"),
    ],
)
def test_the_extension_must_name_the_chaincode_that_answered(trial: LedgerOnTrial, extension: bytes, code: str) -> None:
    assert _code(trial, _rehashed(extension)) == code


@pytest.mark.parametrize("data", [b"\xff\xff", b"not an envelope"])
def test_what_is_no_envelope_has_no_reason_of_its_own(trial: LedgerOnTrial, data: bytes) -> None:
    assert _code(trial, data) == "INVALID_OTHER_REASON"


def test_a_payload_that_cannot_be_read_is_a_bad_payload(trial: LedgerOnTrial) -> None:
    assert _code(trial, common_pb2.Envelope(payload=b"\xff", signature=b"s")) == "BAD_PAYLOAD"


def test_an_empty_envelope_lacks_a_header(trial: LedgerOnTrial) -> None:
    assert _code(trial, common_pb2.Envelope()) == "BAD_COMMON_HEADER"


@pytest.mark.parametrize("header", ["channel_header", "signature_header"])
def test_headers_that_cannot_be_read_are_bad_common_headers(trial: LedgerOnTrial, header: str) -> None:
    payload = _Layers.of(endorsed(_results())).payload
    setattr(payload.header, header, b"\xff")
    assert _code(trial, _sign(payload)) == "BAD_COMMON_HEADER"


def test_a_transaction_that_cannot_be_read_is_an_invalid_one(trial: LedgerOnTrial) -> None:
    payload = _Layers.of(endorsed(_results())).payload
    payload.data = b"\xff"
    assert _code(trial, _sign(payload)) == "INVALID_ENDORSER_TRANSACTION"


def test_a_missing_tampered_or_high_s_signature_is_the_creator_s(trial: LedgerOnTrial) -> None:
    good = endorsed(_results())
    tampered = bytearray(good.signature)
    tampered[-1] ^= 1
    high = _with_high_s(good.signature)
    assert to_low_s(high) == good.signature
    for signature in (b"", bytes(tampered), high):
        assert _code(trial, common_pb2.Envelope(payload=good.payload, signature=signature)) == "BAD_CREATOR_SIGNATURE"
    assert _code(trial, good) == "VALID"


def _with_high_s(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - s)


def test_members_of_no_organisation_are_nobody(trial: LedgerOnTrial) -> None:
    stranger = Organization.create("org1", "Org1MSP")  # the right name, another CA
    assert _code(trial, endorsed(_results(), creator=stranger.client)) == "BAD_CREATOR_SIGNATURE"


def test_a_certificate_that_has_expired_meanwhile_invalidates_nothing(trial: LedgerOnTrial) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    ca_start = ORG1.ca.certificate.not_valid_before_utc
    begin = max(long_ago, ca_start)
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, "early"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(ORG1.ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(seconds=2))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(ORG1.ca.private_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    expired = SigningIdentity(Identity("Org1MSP", pem), key)
    assert certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC)
    assert _code(trial, endorsed(_results(), creator=expired)) == "VALID"


def test_the_same_transaction_again_is_a_duplicate_in_a_later_block_and_in_the_same(trial: LedgerOnTrial) -> None:
    envelope, other = endorsed(_results()), endorsed(_results())
    assert trial.commit(envelope, other, envelope) == [0, 0, 9]
    assert trial.commit(envelope) == [9]


def test_a_first_occurrence_that_is_invalid_leaves_the_id_to_a_valid_one_in_the_same_block_only(
    trial: LedgerOnTrial,
) -> None:
    nonce = b"n" * 24
    unendorsed = endorsed(_results(), endorsers=[ORG1.node], nonce=nonce)
    complete = endorsed(_results(), nonce=nonce)
    assert trial.commit(unendorsed, complete) == [10, 0]
    nonce = b"m" * 24
    assert trial.commit(endorsed(_results(), endorsers=[ORG1.node], nonce=nonce)) == [10]
    assert trial.commit(endorsed(_results(), nonce=nonce)) == [9]


def test_results_that_are_no_read_write_set_are_a_bad_one(trial: LedgerOnTrial) -> None:
    assert _code(trial, endorsed(b"\xff\xff")) == "BAD_RWSET"


def test_a_chaincode_that_is_not_defined_or_has_no_version_is_invalid(trial: LedgerOnTrial) -> None:
    assert _code(trial, endorsed(_results(namespace="ghost"), chaincode="ghost")) == "INVALID_CHAINCODE"
    assert _code(trial, endorsed(_results(namespace="qscc"), chaincode="qscc")) == "INVALID_CHAINCODE"
    assert _code(trial, endorsed(_results(), version="")) == "INVALID_CHAINCODE"


def test_a_write_to_a_namespace_that_is_not_defined_is_invalid(trial: LedgerOnTrial) -> None:
    assert _code(trial, endorsed(_results(namespace="ghost"))) == "INVALID_CHAINCODE"


def test_the_version_that_was_invoked_is_nobody_s_business_later(trial: LedgerOnTrial) -> None:
    assert _code(trial, endorsed(_results(), version="0.9")) == "VALID"


def test_an_event_must_be_the_invoked_chaincode_s(trial: LedgerOnTrial) -> None:
    assert _code(trial, endorsed(_results(), events=event("Created"))) == "VALID"
    assert _code(trial, endorsed(_results(), events=event("Created", "other"))) == "INVALID_OTHER_REASON"
    assert _code(trial, endorsed(_results(), events=b"\xff")) == "INVALID_OTHER_REASON"


def test_a_namespace_that_occurs_twice_is_an_illegal_write_set(trial: LedgerOnTrial) -> None:
    part = rwset_pb2.NsReadWriteSet(namespace=CHAINCODE)
    results = rwset_pb2.TxReadWriteSet(ns_rwset=[part, part]).SerializeToString()
    assert _code(trial, endorsed(results)) == "ILLEGAL_WRITESET"


def test_key_level_policies_are_not_devnet_s(trial: LedgerOnTrial) -> None:
    writes = kv_rwset_pb2.KVRWSet(metadata_writes=[kv_rwset_pb2.KVMetadataWrite(key="k")])
    part = rwset_pb2.NsReadWriteSet(namespace=CHAINCODE, rwset=writes.SerializeToString())
    results = rwset_pb2.TxReadWriteSet(ns_rwset=[part]).SerializeToString()
    assert _code(trial, endorsed(results)) == "INVALID_OTHER_REASON"


class TestEndorsement:
    """The channel's policy is a majority of three organisations' peers."""

    @pytest.mark.parametrize(
        ("endorsers", "code"),
        [
            ([ORG1.node, ORG2.node], "VALID"),
            ([ORG1.node, ORG2.node, ORG3.node], "VALID"),
            ([ORG3.node], "ENDORSEMENT_POLICY_FAILURE"),
            ([ORG1.node, ORG1.node], "ENDORSEMENT_POLICY_FAILURE"),
            ([ORG1.client, ORG2.client], "ENDORSEMENT_POLICY_FAILURE"),
            ([ORG1.node, ORDERER.node], "ENDORSEMENT_POLICY_FAILURE"),
        ],
        ids=["majority", "all", "one", "one twice", "clients", "the orderer"],
    )
    def test_a_majority_of_peers_is_needed(
        self, trial: LedgerOnTrial, endorsers: list[SigningIdentity], code: str
    ) -> None:
        assert _code(trial, endorsed(_results(), endorsers=endorsers)) == code

    def test_a_transaction_that_only_reads_needs_it_too(self, trial: LedgerOnTrial) -> None:
        assert _code(trial, endorsed(b"")) == "VALID"
        assert _code(trial, endorsed(b"", endorsers=[ORG1.node])) == "ENDORSEMENT_POLICY_FAILURE"

    def test_nobody_is_no_majority(self, trial: LedgerOnTrial) -> None:
        stripped = _spoiled(lambda layers: layers.action.action.ClearField("endorsements"))
        assert _code(trial, stripped) == "ENDORSEMENT_POLICY_FAILURE"

    def test_bad_endorsements_are_skipped_and_good_ones_count(self, trial: LedgerOnTrial) -> None:
        def spoil_first(layers: _Layers) -> None:
            layers.action.action.endorsements[0].signature = b"garbage"

        three = endorsed(_results(), endorsers=[ORG1.node, ORG2.node, ORG3.node])
        assert _code(trial, _spoiled(spoil_first, three)) == "VALID"
        assert _code(trial, _spoiled(spoil_first)) == "ENDORSEMENT_POLICY_FAILURE"

    def test_an_endorsement_of_other_results_is_a_bad_one(self, trial: LedgerOnTrial) -> None:
        def swap_results(layers: _Layers) -> None:
            action = proposal_pb2.ChaincodeAction.FromString(layers.response.extension)
            action.results = _results("another")
            layers.response.extension = action.SerializeToString()

        assert _code(trial, _spoiled(swap_results)) == "ENDORSEMENT_POLICY_FAILURE"

    def test_the_same_peer_in_another_spelling_of_its_certificate_votes_once(self, trial: LedgerOnTrial) -> None:
        node = ORG1.node
        respelled = SigningIdentity(Identity(node.msp_id, node.identity.certificate_pem + b"\n"), node.private_key)
        assert _code(trial, endorsed(_results(), endorsers=[node, respelled])) == "ENDORSEMENT_POLICY_FAILURE"

    def test_every_written_namespace_has_a_say(self, trial: LedgerOnTrial) -> None:
        strict = policy_pb2.ApplicationPolicy(
            signature_policy=policydsl.parse("AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')")
        ).SerializeToString()
        assert trial.commit(define(ChaincodeDefinition("strict", "1", validation_parameter=strict))) == [0]
        builder = RWSetBuilder()
        builder.add_write(CHAINCODE, "k", b"v")
        builder.add_read("strict", "k", None)
        assert _code(trial, endorsed(builder.serialize())) == "VALID"
        builder.add_write("strict", "k", b"v")
        assert _code(trial, endorsed(builder.serialize())) == "ENDORSEMENT_POLICY_FAILURE"
        everybody = [ORG1.node, ORG2.node, ORG3.node]
        assert _code(trial, endorsed(builder.serialize(), endorsers=everybody)) == "VALID"

    def test_a_policy_that_cannot_be_evaluated_is_never_satisfied(self, trial: LedgerOnTrial) -> None:
        missing = policy_pb2.ApplicationPolicy(channel_config_policy_reference="/Channel/Nowhere").SerializeToString()
        assert trial.commit(define(ChaincodeDefinition("odd", "1", validation_parameter=missing))) == [0]
        assert _code(trial, endorsed(_results(namespace="odd"), chaincode="odd")) == "ENDORSEMENT_POLICY_FAILURE"

    def test_an_organisation_approves_alone_in_its_own_collection(self, trial: LedgerOnTrial) -> None:
        def approve(owner: str, endorser: SigningIdentity, *, public: bool = False) -> str:
            builder = RWSetBuilder()
            builder.add_private_write("_lifecycle", implicit_collection(owner), "k", b"v")
            if public:
                builder.add_write("_lifecycle", "k", b"v")
            results = builder.serialize()
            return _code(trial, endorsed(results, endorsers=[endorser], chaincode="_lifecycle", version="syscc"))

        assert approve("Org1MSP", ORG1.node) == "VALID"
        assert approve("Org1MSP", ORG2.node) == "ENDORSEMENT_POLICY_FAILURE"
        assert approve("Org1MSP", ORG1.node, public=True) == "ENDORSEMENT_POLICY_FAILURE"
        assert approve("GhostMSP", ORG1.node) == "ENDORSEMENT_POLICY_FAILURE"

    def test_definitions_need_a_majority(self, trial: LedgerOnTrial) -> None:
        results = _results("namespaces/metadata/evil", "_lifecycle")
        lifecycle = {"chaincode": "_lifecycle", "version": "syscc"}
        alone = endorsed(results, endorsers=[ORG1.node], **lifecycle)  # type: ignore[arg-type]
        assert _code(trial, alone) == "ENDORSEMENT_POLICY_FAILURE"
        # Nor through the back door of a chaincode's transaction.
        assert _code(trial, endorsed(results, endorsers=[ORG1.node])) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_new_definition_holds_from_the_next_block_on(trial: LedgerOnTrial) -> None:
    call = endorsed(_results(namespace="late"), chaincode="late")
    later = endorsed(_results(namespace="late"), chaincode="late")
    assert trial.commit(define(ChaincodeDefinition("late", "1")), call) == [0, 25]
    assert trial.commit(later) == [0]


def test_a_second_definition_of_the_same_sequence_conflicts(trial: LedgerOnTrial) -> None:
    first, second = define(ChaincodeDefinition("twice", "1")), define(ChaincodeDefinition("twice", "2"))
    assert trial.commit(first, second) == [0, 11]


def test_the_genesis_block_s_transaction_is_no_transaction_anywhere_else(trial: LedgerOnTrial) -> None:
    configuration = common_pb2.Block.FromString(genesis()).data.data[0]
    assert _code(trial, configuration) == "BAD_COMMON_HEADER"  # its creator is empty


def test_the_transaction_id_is_that_of_nonce_and_creator() -> None:
    layers = _Layers.of(endorsed(_results()))
    expected = compute_tx_id(layers.signature_header.nonce, layers.signature_header.creator)
    assert layers.channel_header.tx_id == expected
