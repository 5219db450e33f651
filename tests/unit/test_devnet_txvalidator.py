"""Every validation code that a transaction can get, and that the first failing check decides it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID
from devnet_ledgers import CHAINCODE, LedgerOnTrial, define, endorsed, event, genesis, organizations
from devnet_transactions import Layers, code_of, setting, signed, spoiled, writing
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.peer import policy_pb2, proposal_pb2, transaction_pb2

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition, implicit_collection
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.ledger.rwset import RWSetBuilder
from fabric_fl.fabric.protoutil import compute_tx_id, transaction_proposal_hash
from fabric_fl.fabric.signing import to_low_s

Code = transaction_pb2.TxValidationCode
ORG1, ORG2, ORG3, ORDERER = organizations()


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def test_an_untouched_transaction_survives_being_taken_apart(trial: LedgerOnTrial) -> None:
    assert code_of(trial, spoiled(lambda _: None)) == "VALID"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (setting("channel_header.type", common_pb2.MESSAGE), "BAD_COMMON_HEADER"),
        (setting("channel_header.epoch", 1), "BAD_COMMON_HEADER"),
        (setting("signature_header.nonce", b""), "BAD_COMMON_HEADER"),
        (setting("signature_header.creator", b""), "BAD_COMMON_HEADER"),
        (setting("signature_header.creator", ORG2.client.serialize()), "BAD_CREATOR_SIGNATURE"),
        (setting("signature_header.creator", b"nobody"), "BAD_CREATOR_SIGNATURE"),
        (setting("channel_header.channel_id", "elsewhere"), "BAD_CREATOR_SIGNATURE"),
        (setting("channel_header.channel_id", ""), "BAD_CREATOR_SIGNATURE"),
        (setting("channel_header.type", common_pb2.CONFIG_UPDATE), "UNSUPPORTED_TX_PAYLOAD"),
        (setting("channel_header.type", common_pb2.CONFIG), "INVALID_CONFIG_TRANSACTION"),
        (setting("channel_header.tx_id", "f" * 64), "BAD_PROPOSAL_TXID"),
        (setting("channel_header.tx_id", ""), "BAD_PROPOSAL_TXID"),
        (lambda layers: layers.transaction.actions.add(), "INVALID_ENDORSER_TRANSACTION"),
        (setting("response.proposal_hash", b"\0" * 32), "INVALID_ENDORSER_TRANSACTION"),
        (setting("action.chaincode_proposal_payload", b""), "INVALID_ENDORSER_TRANSACTION"),
        (setting("action.chaincode_proposal_payload", b"another"), "INVALID_ENDORSER_TRANSACTION"),
        (lambda layers: setattr(layers.transaction.actions[0], "header", b""), "INVALID_ENDORSER_TRANSACTION"),
        (setting("response.extension", b""), "BAD_RESPONSE_PAYLOAD"),
        (setting("response.extension", b"\xff"), "BAD_RESPONSE_PAYLOAD"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_spoiled_layer_gives_its_code(trial: LedgerOnTrial, spoil: Callable[[Layers], object], code: str) -> None:
    assert code_of(trial, spoiled(spoil)) == code


def test_the_header_s_extension_is_hashed_so_a_spoiled_one_breaks_the_proposal_hash_first(trial: LedgerOnTrial) -> None:
    assert code_of(trial, spoiled(setting("channel_header.extension", b"\xff"))) == "INVALID_ENDORSER_TRANSACTION"


def _rehashed(extension: bytes) -> common_pb2.Envelope:
    def spoil(layers: Layers) -> None:
        layers.channel_header.extension = extension
        layers.response.proposal_hash = transaction_proposal_hash(
            layers.channel_header.SerializeToString(),
            layers.transaction.actions[0].header,
            layers.action.chaincode_proposal_payload,
        )

    return spoiled(spoil)


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
    assert code_of(trial, _rehashed(extension)) == code


@pytest.mark.parametrize("data", [b"\xff\xff", b"not an envelope"])
def test_what_is_no_envelope_has_no_reason_of_its_own(trial: LedgerOnTrial, data: bytes) -> None:
    assert code_of(trial, data) == "INVALID_OTHER_REASON"


def test_a_payload_that_cannot_be_read_is_a_bad_payload(trial: LedgerOnTrial) -> None:
    assert code_of(trial, common_pb2.Envelope(payload=b"\xff", signature=b"s")) == "BAD_PAYLOAD"


def test_an_empty_envelope_lacks_a_header(trial: LedgerOnTrial) -> None:
    assert code_of(trial, common_pb2.Envelope()) == "BAD_COMMON_HEADER"


@pytest.mark.parametrize("header", ["channel_header", "signature_header"])
def test_headers_that_cannot_be_read_are_bad_common_headers(trial: LedgerOnTrial, header: str) -> None:
    payload = Layers.of(endorsed(writing())).payload
    setattr(payload.header, header, b"\xff")
    assert code_of(trial, signed(payload)) == "BAD_COMMON_HEADER"


def test_a_transaction_that_cannot_be_read_is_an_invalid_one(trial: LedgerOnTrial) -> None:
    payload = Layers.of(endorsed(writing())).payload
    payload.data = b"\xff"
    assert code_of(trial, signed(payload)) == "INVALID_ENDORSER_TRANSACTION"


def test_a_missing_tampered_or_high_s_signature_is_the_creator_s(trial: LedgerOnTrial) -> None:
    good = endorsed(writing())
    tampered = bytearray(good.signature)
    tampered[-1] ^= 1
    high = _with_high_s(good.signature)
    assert to_low_s(high) == good.signature
    for signature in (b"", bytes(tampered), high):
        assert code_of(trial, common_pb2.Envelope(payload=good.payload, signature=signature)) == "BAD_CREATOR_SIGNATURE"
    assert code_of(trial, good) == "VALID"


def _with_high_s(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 - s)


def test_members_of_no_organisation_are_nobody(trial: LedgerOnTrial) -> None:
    stranger = Organization.create("org1", "Org1MSP")  # the right name, another CA
    assert code_of(trial, endorsed(writing(), creator=stranger.client)) == "BAD_CREATOR_SIGNATURE"


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
    assert code_of(trial, endorsed(writing(), creator=expired)) == "VALID"


def test_the_same_transaction_again_is_a_duplicate_in_a_later_block_and_in_the_same(trial: LedgerOnTrial) -> None:
    envelope, other = endorsed(writing()), endorsed(writing())
    assert trial.commit(envelope, other, envelope) == [0, 0, 9]
    assert trial.commit(envelope) == [9]


def test_a_first_occurrence_that_is_invalid_leaves_the_id_to_a_valid_one_in_the_same_block_only(
    trial: LedgerOnTrial,
) -> None:
    nonce = b"n" * 24
    unendorsed = endorsed(writing(), endorsers=[ORG1.node], nonce=nonce)
    complete = endorsed(writing(), nonce=nonce)
    assert trial.commit(unendorsed, complete) == [10, 0]
    nonce = b"m" * 24
    assert trial.commit(endorsed(writing(), endorsers=[ORG1.node], nonce=nonce)) == [10]
    assert trial.commit(endorsed(writing(), nonce=nonce)) == [9]


def test_results_that_are_no_read_write_set_are_a_bad_one(trial: LedgerOnTrial) -> None:
    assert code_of(trial, endorsed(b"\xff\xff")) == "BAD_RWSET"


def test_a_chaincode_that_is_not_defined_or_has_no_version_is_invalid(trial: LedgerOnTrial) -> None:
    assert code_of(trial, endorsed(writing(namespace="ghost"), chaincode="ghost")) == "INVALID_CHAINCODE"
    assert code_of(trial, endorsed(writing(namespace="qscc"), chaincode="qscc")) == "INVALID_CHAINCODE"
    assert code_of(trial, endorsed(writing(), version="")) == "INVALID_CHAINCODE"


def test_a_write_to_a_namespace_that_is_not_defined_is_invalid(trial: LedgerOnTrial) -> None:
    assert code_of(trial, endorsed(writing(namespace="ghost"))) == "INVALID_CHAINCODE"


def test_the_version_that_was_invoked_is_nobody_s_business_later(trial: LedgerOnTrial) -> None:
    assert code_of(trial, endorsed(writing(), version="0.9")) == "VALID"


def test_an_event_must_be_the_invoked_chaincode_s(trial: LedgerOnTrial) -> None:
    assert code_of(trial, endorsed(writing(), events=event("Created"))) == "VALID"
    assert code_of(trial, endorsed(writing(), events=event("Created", "other"))) == "INVALID_OTHER_REASON"
    assert code_of(trial, endorsed(writing(), events=b"\xff")) == "INVALID_OTHER_REASON"


def test_a_namespace_that_occurs_twice_is_an_illegal_write_set(trial: LedgerOnTrial) -> None:
    part = rwset_pb2.NsReadWriteSet(namespace=CHAINCODE)
    results = rwset_pb2.TxReadWriteSet(ns_rwset=[part, part]).SerializeToString()
    assert code_of(trial, endorsed(results)) == "ILLEGAL_WRITESET"


def test_key_level_policies_are_not_devnet_s(trial: LedgerOnTrial) -> None:
    writes = kv_rwset_pb2.KVRWSet(metadata_writes=[kv_rwset_pb2.KVMetadataWrite(key="k")])
    part = rwset_pb2.NsReadWriteSet(namespace=CHAINCODE, rwset=writes.SerializeToString())
    results = rwset_pb2.TxReadWriteSet(ns_rwset=[part]).SerializeToString()
    assert code_of(trial, endorsed(results)) == "INVALID_OTHER_REASON"


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
        assert code_of(trial, endorsed(writing(), endorsers=endorsers)) == code

    def test_a_transaction_that_only_reads_needs_it_too(self, trial: LedgerOnTrial) -> None:
        assert code_of(trial, endorsed(b"")) == "VALID"
        assert code_of(trial, endorsed(b"", endorsers=[ORG1.node])) == "ENDORSEMENT_POLICY_FAILURE"

    def test_nobody_is_no_majority(self, trial: LedgerOnTrial) -> None:
        stripped = spoiled(lambda layers: layers.action.action.ClearField("endorsements"))
        assert code_of(trial, stripped) == "ENDORSEMENT_POLICY_FAILURE"

    def test_bad_endorsements_are_skipped_and_good_ones_count(self, trial: LedgerOnTrial) -> None:
        def spoil_first(layers: Layers) -> None:
            layers.action.action.endorsements[0].signature = b"garbage"

        three = endorsed(writing(), endorsers=[ORG1.node, ORG2.node, ORG3.node])
        assert code_of(trial, spoiled(spoil_first, three)) == "VALID"
        assert code_of(trial, spoiled(spoil_first)) == "ENDORSEMENT_POLICY_FAILURE"

    def test_an_endorsement_of_other_results_is_a_bad_one(self, trial: LedgerOnTrial) -> None:
        def swap_results(layers: Layers) -> None:
            action = proposal_pb2.ChaincodeAction.FromString(layers.response.extension)
            action.results = writing("another")
            layers.response.extension = action.SerializeToString()

        assert code_of(trial, spoiled(swap_results)) == "ENDORSEMENT_POLICY_FAILURE"

    def test_the_same_peer_in_another_spelling_of_its_certificate_votes_once(self, trial: LedgerOnTrial) -> None:
        node = ORG1.node
        respelled = SigningIdentity(Identity(node.msp_id, node.identity.certificate_pem + b"\n"), node.private_key)
        assert code_of(trial, endorsed(writing(), endorsers=[node, respelled])) == "ENDORSEMENT_POLICY_FAILURE"

    def test_every_written_namespace_has_a_say(self, trial: LedgerOnTrial) -> None:
        strict = policy_pb2.ApplicationPolicy(
            signature_policy=policydsl.parse("AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')")
        ).SerializeToString()
        assert trial.commit(define(ChaincodeDefinition("strict", "1", validation_parameter=strict))) == [0]
        builder = RWSetBuilder()
        builder.add_write(CHAINCODE, "k", b"v")
        builder.add_read("strict", "k", None)
        assert code_of(trial, endorsed(builder.serialize())) == "VALID"
        builder.add_write("strict", "k", b"v")
        assert code_of(trial, endorsed(builder.serialize())) == "ENDORSEMENT_POLICY_FAILURE"
        everybody = [ORG1.node, ORG2.node, ORG3.node]
        assert code_of(trial, endorsed(builder.serialize(), endorsers=everybody)) == "VALID"

    def test_a_policy_that_cannot_be_evaluated_is_never_satisfied(self, trial: LedgerOnTrial) -> None:
        missing = policy_pb2.ApplicationPolicy(channel_config_policy_reference="/Channel/Nowhere").SerializeToString()
        assert trial.commit(define(ChaincodeDefinition("odd", "1", validation_parameter=missing))) == [0]
        assert code_of(trial, endorsed(writing(namespace="odd"), chaincode="odd")) == "ENDORSEMENT_POLICY_FAILURE"

    def test_an_organisation_approves_alone_in_its_own_collection(self, trial: LedgerOnTrial) -> None:
        def approve(owner: str, endorser: SigningIdentity, *, public: bool = False) -> str:
            builder = RWSetBuilder()
            builder.add_private_write("_lifecycle", implicit_collection(owner), "k", b"v")
            if public:
                builder.add_write("_lifecycle", "k", b"v")
            results = builder.serialize()
            return code_of(trial, endorsed(results, endorsers=[endorser], chaincode="_lifecycle", version="syscc"))

        assert approve("Org1MSP", ORG1.node) == "VALID"
        assert approve("Org1MSP", ORG2.node) == "ENDORSEMENT_POLICY_FAILURE"
        assert approve("Org1MSP", ORG1.node, public=True) == "ENDORSEMENT_POLICY_FAILURE"
        assert approve("GhostMSP", ORG1.node) == "ENDORSEMENT_POLICY_FAILURE"

    def test_definitions_need_a_majority(self, trial: LedgerOnTrial) -> None:
        results = writing("namespaces/metadata/evil", "_lifecycle")
        lifecycle = {"chaincode": "_lifecycle", "version": "syscc"}
        alone = endorsed(results, endorsers=[ORG1.node], **lifecycle)  # type: ignore[arg-type]
        assert code_of(trial, alone) == "ENDORSEMENT_POLICY_FAILURE"
        # Nor through the back door of a chaincode's transaction.
        assert code_of(trial, endorsed(results, endorsers=[ORG1.node])) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_new_definition_holds_from_the_next_block_on(trial: LedgerOnTrial) -> None:
    call = endorsed(writing(namespace="late"), chaincode="late")
    later = endorsed(writing(namespace="late"), chaincode="late")
    assert trial.commit(define(ChaincodeDefinition("late", "1")), call) == [0, 25]
    assert trial.commit(later) == [0]


def test_a_second_definition_of_the_same_sequence_conflicts(trial: LedgerOnTrial) -> None:
    first, second = define(ChaincodeDefinition("twice", "1")), define(ChaincodeDefinition("twice", "2"))
    assert trial.commit(first, second) == [0, 11]


def test_the_genesis_block_s_transaction_is_no_transaction_anywhere_else(trial: LedgerOnTrial) -> None:
    configuration = common_pb2.Block.FromString(genesis()).data.data[0]
    assert code_of(trial, configuration) == "BAD_COMMON_HEADER"  # its creator is empty


def test_the_transaction_id_is_that_of_nonce_and_creator() -> None:
    layers = Layers.of(endorsed(writing()))
    expected = compute_tx_id(layers.signature_header.nonce, layers.signature_header.creator)
    assert layers.channel_header.tx_id == expected
