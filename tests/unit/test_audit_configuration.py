"""Chains whose channel changes on the way: members come and go, certificates are renewed and revoked."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from byte_changes import mutations
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from devnet_ledgers import CHAINCODE, CHANNEL, organizations
from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2, msp_principal_pb2
from fabric_protos.peer import policy_pb2
from hypothesis import given
from hypothesis import strategies as st
from signed_chains import SignedChain, judged, writing
from soaking import fuzz

from fabric_fl.audit import Finding, Verification, archive, verify
from fabric_fl.audit.chain import ChainBroken
from fabric_fl.audit.export import SCHEMA
from fabric_fl.audit.roots import root_certificates
from fabric_fl.devnet.ca.authority import CertificateAuthority, certificate_pem, subject_name
from fabric_fl.devnet.genesis import genesis_block
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.lifecycle_tx import ChaincodeDefinition
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.protoutil import block_data_hash, sign_block
from fabric_fl.network.fabric import configchange

ORG1, ORG2, ORG3, ORDERER = organizations()
PEERS = (ORG1.node, ORG2.node)


@pytest.fixture
def chain() -> Iterator[SignedChain]:
    with closing(SignedChain()) as started:
        yield started


@functools.cache
def org4() -> Organization:
    return Organization.create("org4", "Org4MSP")


def admit(organization: Organization) -> configchange.Change:
    described = genesis_block(
        CHANNEL,
        [organization],
        ORDERER,
        orderer_address=("localhost", 7050),
        anchor_peers={organization.msp_id: ("localhost", 7051)},
    )
    return configchange.admit(organization.msp_id, ChannelConfig.from_block(described).config)


def roots(msp_id: str, *authorities: CertificateAuthority) -> configchange.Change:
    """Puts these in place of an organisation's root certificates."""

    def change(config: configtx_pb2.Config) -> None:
        value = config.channel_group.groups["Application"].groups[msp_id].values["MSP"]
        outer = msp_config_pb2.MSPConfig.FromString(value.value)
        inner = msp_config_pb2.FabricMSPConfig.FromString(outer.config)
        inner.root_certs[:] = [authority.certificate_pem for authority in authorities]
        outer.config = inner.SerializeToString()
        value.value = outer.SerializeToString()

    return change


def member(
    authority: CertificateAuthority,
    role: str = "client",
    *,
    ended: datetime.datetime | None = None,
    msp_id: str = "Org1MSP",
) -> SigningIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue(key.public_key(), subject_name("someone", (role,)), attributes={}, not_after=ended)
    return SigningIdentity(Identity(msp_id, certificate_pem(certificate)), key)


def revoked(*identities: SigningIdentity) -> bytes:
    serials = [(one.identity.certificate.serial_number, datetime.datetime.now(datetime.UTC)) for one in identities]
    return ORG1.ca.sign_crl(serials).public_bytes(Encoding.PEM)


def places(chain: SignedChain) -> list[tuple[str, str | None, str]]:
    judge, findings = judged(chain.blocks)
    judge.close()
    return [(finding.what, finding.organisation, finding.where) for finding in findings]


def test_who_is_admitted_in_the_middle_signs_from_then_on(chain: SignedChain) -> None:
    assert chain.add(writing("early", org4().client, PEERS)) == ["BAD_CREATOR_SIGNATURE"]
    since = chain.height
    chain.configure(admit(org4()))
    assert chain.add(writing("late", org4().client, (org4().node, *PEERS))) == ["VALID"]
    # three of four are the majority now
    assert chain.add(writing("few", org4().client, PEERS)) == ["ENDORSEMENT_POLICY_FAILURE"]

    judge, findings = judged(chain.blocks)

    with closing(judge):
        assert findings == []
        assert judge.roots["Org4MSP"] == {org4().ca.certificate: since}
        assert set(judge.roots["Org1MSP"].values()) == {0}


def test_a_block_from_before_an_admission_cannot_say_that_the_later_member_was_valid(chain: SignedChain) -> None:
    chain.add(writing("early", org4().client, PEERS), flags=[0])
    chain.configure(admit(org4()))

    assert places(chain)[0] == ("flags", "Org4MSP", "block 2, transaction 0")


def test_who_is_dismissed_stays_in_what_was_signed_and_signs_no_more(chain: SignedChain) -> None:
    assert chain.add(writing("early", ORG3.client, (ORG1.node, ORG3.node))) == ["VALID"]
    chain.configure(configchange.dismiss("Org3MSP"))
    assert chain.add(writing("late", ORG3.client, PEERS)) == ["BAD_CREATOR_SIGNATURE"]
    assert chain.add(writing("other", ORG1.client, (ORG1.node, ORG3.node))) == ["ENDORSEMENT_POLICY_FAILURE"]
    assert places(chain) == []

    at = chain.height
    chain.add(writing("later", ORG3.client, PEERS), flags=[0])
    assert places(chain)[0] == ("flags", "Org3MSP", f"block {at}, transaction 0")


def test_a_revoked_identity_stays_in_what_it_signed_and_signs_no_more(chain: SignedChain) -> None:
    leaver = member(ORG1.ca)
    assert chain.add(writing("early", leaver, PEERS)) == ["VALID"]
    chain.configure(configchange.revoke("Org1MSP", revoked(leaver)), [ORG1.admin])
    assert chain.add(writing("late", leaver, PEERS)) == ["BAD_CREATOR_SIGNATURE"]
    assert chain.add(writing("mine", ORG1.client, PEERS)) == ["VALID"]
    assert places(chain) == []

    at = chain.height
    chain.add(writing("later", leaver, PEERS), flags=[0])
    assert places(chain)[0] == ("flags", "Org1MSP", f"block {at}, transaction 0")


def test_a_revoked_endorser_counts_no_more(chain: SignedChain) -> None:
    peer = member(ORG1.ca, "peer")
    assert chain.add(writing("early", ORG2.client, (peer, ORG2.node))) == ["VALID"]
    chain.configure(configchange.revoke("Org1MSP", revoked(peer)), [ORG1.admin])
    assert chain.add(writing("late", ORG2.client, (peer, ORG2.node))) == ["ENDORSEMENT_POLICY_FAILURE"]
    assert places(chain) == []


def test_a_renewed_root_counts_beside_the_old_one_and_then_alone(chain: SignedChain) -> None:
    renewed = CertificateAuthority.create("ca2.org1", "org1")
    newcomer = member(renewed)
    assert chain.add(writing("early", newcomer, PEERS)) == ["BAD_CREATOR_SIGNATURE"]
    both = chain.height
    chain.configure(roots("Org1MSP", ORG1.ca, renewed), [ORG1.admin])
    assert chain.add(writing("new", newcomer, PEERS), writing("old", ORG1.client, PEERS)) == ["VALID", "VALID"]
    chain.configure(roots("Org1MSP", renewed), [ORG1.admin])
    assert chain.add(writing("late", ORG1.client, PEERS)) == ["BAD_CREATOR_SIGNATURE"]
    assert chain.add(writing("newer", newcomer, (member(renewed, "peer"), ORG2.node))) == ["VALID"]

    judge, findings = judged(chain.blocks)

    with closing(judge):
        assert findings == []
        assert judge.roots["Org1MSP"] == {ORG1.ca.certificate: 0, renewed.certificate: both}


def certificates(found: Verification) -> list[Finding]:
    """What is wrong with the roots; that this channel has no task is told too."""
    assert [one.what for one in found.findings if one.what != "certificate"] == ["task"]
    return [one for one in found.findings if one.what == "certificate"]


def test_every_root_that_ever_counted_has_to_be_one_that_the_reader_trusts(chain: SignedChain, tmp_path: Path) -> None:
    renewed = CertificateAuthority.create("ca2.org1", "org1")
    both = chain.height
    chain.configure(roots("Org1MSP", ORG1.ca, renewed), [ORG1.admin])
    chain.configure(roots("Org1MSP", ORG1.ca), [ORG1.admin])
    chain.configure(configchange.dismiss("Org3MSP"))
    judge, _ = judged(chain.blocks)
    judge.close()
    files = {f"blocks/{number:08d}.block": data for number, data in enumerate(chain.blocks)}
    about = {
        "blobs": False,
        "chaincode": CHAINCODE,
        "channel": CHANNEL,
        "height": chain.height,
        "missing": [],
        "schema": SCHEMA,
        "task": "task-1",
        "withheld": [],
    }
    path = tmp_path / "chain.tar"
    known = [organization.ca.certificate for organization in organizations()]

    archive.write(path, {**about, "chaincode": "fl"}, files | root_certificates(judge.roots))
    found = verify(path, [*known, renewed.certificate])
    assert certificates(found) == []
    assert {msp_id: len(digests) for msp_id, digests in found.roots.items()} == {
        "OrdererMSP": 1,
        "Org1MSP": 2,
        "Org2MSP": 1,
        "Org3MSP": 1,  # which is no member any more, and signed
    }
    (finding,) = certificates(verify(path, known))
    assert (finding.organisation, finding.where) == ("Org1MSP", f"block {both}")
    assert renewed.certificate.fingerprint(hashes.SHA256()).hex() in finding.message

    strange = CertificateAuthority.create("ca.org9", "org9").certificate
    (finding,) = certificates(verify(path, [*known, renewed.certificate, strange]))
    assert (finding.organisation, finding.where) == (None, strange.subject.rfc4514_string())
    assert (
        finding.message == f"no organisation of the channel has the given {strange.fingerprint(hashes.SHA256()).hex()}"
    )

    everybodys = {(finding.organisation, finding.where) for finding in certificates(verify(path, []))}
    assert everybodys == {(one, "block 0") for one in ("OrdererMSP", "Org1MSP", "Org2MSP", "Org3MSP")} | {
        ("Org1MSP", f"block {both}")
    }

    members = root_certificates(judge.roots)
    del members["certificates/Org3MSP.pem"]
    archive.write(path, {**about, "chaincode": "fl"}, files | members)
    (finding,) = certificates(verify(path))
    assert finding.organisation == "Org3MSP"


def test_each_transaction_is_held_to_the_definition_of_its_time(chain: SignedChain) -> None:
    everybody = policydsl.parse("AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')")
    policy = policy_pb2.ApplicationPolicy(signature_policy=everybody).SerializeToString()
    assert chain.add(writing("early", ORG1.client, PEERS)) == ["VALID"]
    chain.define(ChaincodeDefinition(CHAINCODE, "2.0", sequence=2, validation_parameter=policy))
    assert chain.add(writing("few", ORG1.client, PEERS, "2.0")) == ["ENDORSEMENT_POLICY_FAILURE"]
    assert chain.add(writing("late", ORG1.client, (*PEERS, ORG3.node), "2.0")) == ["VALID"]
    assert places(chain) == []


def test_a_certificate_that_had_ended_is_named_though_peers_take_what_it_signed(chain: SignedChain) -> None:
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    assert chain.add(writing("late", member(ORG1.ca, ended=ended), PEERS)) == ["VALID"]
    assert places(chain) == [("certificate", "Org1MSP", "block 2, transaction 0")]


def smart_bft(consenters: dict[int, SigningIdentity], needed: int) -> configchange.Change:
    """Lets so many of these orderers' signatures make a block valid, as configtxgen writes it."""

    def change(config: configtx_pb2.Config) -> None:
        orderer = config.channel_group.groups["Orderer"]
        mapping = configuration_pb2.Orderers()
        policy = policies_pb2.SignaturePolicyEnvelope()
        policy.rule.n_out_of.n = needed
        for index, (number, one) in enumerate(consenters.items()):
            certificate = certificate_pem(one.identity.certificate)
            mapping.consenter_mapping.add(id=number, msp_id="OrdererMSP", identity=certificate)
            principal = msp_principal_pb2.MSPPrincipal.IDENTITY
            policy.identities.add(principal_classification=principal, principal=one.serialize())
            policy.rule.n_out_of.rules.add(signed_by=index)
        orderer.values["Orderers"].value = mapping.SerializeToString()
        orderer.values["Orderers"].mod_policy = "Admins"
        validation = orderer.policies["BlockValidation"].policy
        validation.type, validation.value = policies_pb2.Policy.SIGNATURE, policy.SerializeToString()

    return change


def orderers(*numbers: int) -> dict[int, SigningIdentity]:
    return {number: member(ORDERER.ca, "orderer", msp_id="OrdererMSP") for number in numbers}


def test_blocks_of_smart_bft_orderers_need_as_many_of_them_as_the_channel_says(chain: SignedChain) -> None:
    four = orderers(1, 2, 3, 4)
    chain.configure(smart_bft(four, needed=3))
    chain.consenters = {number: four[number] for number in (1, 2, 4)}
    assert chain.add(writing("one", ORG1.client, PEERS)) == ["VALID"]
    chain.consenters |= orderers(9)  # who is none of them says nothing
    assert chain.add(writing("two", ORG1.client, PEERS)) == ["VALID"]
    assert places(chain) == []

    at = chain.height
    chain.consenters = {1: four[1], 2: four[2], 4: four[3]}  # one signs in another's name
    chain.add(writing("three", ORG1.client, PEERS))
    assert places(chain) == [("orderer", None, f"block {at}")]


def test_too_few_smart_bft_orderers_make_no_block(chain: SignedChain) -> None:
    four = orderers(1, 2, 3, 4)
    chain.configure(smart_bft(four, needed=3))
    at = chain.height
    chain.consenters = {number: four[number] for number in (1, 2)}
    chain.add(writing("one", ORG1.client, PEERS))
    assert places(chain) == [("orderer", None, f"block {at}")]


REFUSED: dict[str, dict[str, object]] = {
    "one administrator of three": {"signers": [ORG1.admin]},
    "the orderer alone": {"signers": [ORDERER.admin]},
    "nobody": {"signers": []},
    "members who are no administrators": {"signers": [ORG1.client, ORG2.client, ORG3.node]},
    "the same administrator twice": {"signers": [ORG1.admin, ORG1.admin]},
    "a skipped configuration": {"sequence": 2},
    "an update of another channel": {"channel": "other"},
    "more than the update gives": {"held": roots("Org2MSP", ORG1.ca)},
    "a transaction of nobody's": {"submitter": member(CertificateAuthority.create("ca.nobody", "nobody"))},
}


@pytest.mark.parametrize("lie", REFUSED.values(), ids=REFUSED)
def test_a_configuration_that_its_members_did_not_sign_is_where_judging_ends(
    chain: SignedChain, lie: dict[str, object]
) -> None:
    chain.add(writing("early", ORG1.client, PEERS))
    at = chain.height
    chain.configure(admit(org4()), **lie)
    chain.add(writing("late", org4().client, PEERS), flags=[0])

    with pytest.raises(ChainBroken) as broken:
        judged(chain.blocks)

    assert (broken.value.finding.what, broken.value.finding.where) == ("configuration", f"block {at}")


def test_an_update_counts_once(chain: SignedChain) -> None:
    """What was signed builds on one configuration, so that nobody can bring it back after it was undone."""
    before = chain.config.config
    chain.configure(configchange.dismiss("Org3MSP"))
    chain.configure(lambda config: config.CopyFrom(before), [ORG1.admin, ORG2.admin])
    at = chain.height
    chain.repeat(2)

    with pytest.raises(ChainBroken) as broken:
        judged(chain.blocks)

    assert (broken.value.finding.what, broken.value.finding.where) == ("configuration", f"block {at}")
    assert "another version" in broken.value.finding.message


@functools.cache
def changed_channel() -> list[bytes]:
    """A first block, a definition, and a configuration block."""
    with closing(SignedChain()) as chain:
        chain.configure(admit(org4()))
        return chain.blocks


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")  # of cryptography, about a changed certificate
@given(st.sampled_from([0, 1, 2]), st.data())
@fuzz(60)
def test_no_bytes_of_a_block_make_judging_fail(number: int, data: st.DataObject) -> None:
    good = changed_channel()
    block = data.draw(mutations(good[number]))
    if block == good[number]:
        return
    try:
        judge, findings = judged([*good[:number], block])
    except ChainBroken:
        return
    judge.close()
    # of a first block nobody vouches for anything but who trusts its certificates, and who names it next
    assert findings or number == 0


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
@given(st.integers(0), st.integers(0, 7))
@fuzz(60)
def test_no_changed_bit_of_a_configuration_makes_judging_fail_or_passes(position: int, bit: int) -> None:
    """In a block that was hashed and signed anew by its orderer."""
    good = changed_channel()
    block = common_pb2.Block.FromString(good[2])
    content = bytearray(block.data.data[0])
    content[position % len(content)] ^= 1 << bit
    block.data.data[0] = bytes(content)
    block.header.data_hash = block_data_hash(block.data)
    sign_block(block, ORDERER.node, last_config=2)
    try:
        judge, findings = judged([*good[:2], block.SerializeToString()])
        judge.close()
    except ChainBroken as broken:
        findings = [broken.finding]
    assert {finding.where.partition(",")[0] for finding in findings} == {"block 2"}
