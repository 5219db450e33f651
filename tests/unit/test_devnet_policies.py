import itertools

import pytest
from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_principal_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.channel.policies import (
    ImplicitMetaPolicy,
    InvalidPolicy,
    RejectPolicy,
    SignaturePolicy,
    SignedData,
    implicit_meta,
    satisfies_principal,
)
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import Identity
from fabric_fl.fabric.msp import MSPManager

ORGS = [Organization.create(f"org{number}", f"Org{number}MSP") for number in (1, 2, 3)]
MSPS = MSPManager({org.msp_id: org.msp() for org in ORGS})
PEERS = [org.node.identity for org in ORGS]
ADMINS = [org.admin.identity for org in ORGS]
CLIENTS = [org.client.identity for org in ORGS]
PRINCIPAL = msp_principal_pb2.MSPPrincipal


def satisfied(rule, *identities):
    return SignaturePolicy.parse(rule).evaluate(identities, MSPS)


def test_gates_count_signatures():
    two = "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
    assert not satisfied(two)
    assert not satisfied(two, PEERS[0])
    assert satisfied(two, PEERS[0], PEERS[2])
    assert satisfied("AND('Org1MSP.peer', OR('Org2MSP.admin', 'Org3MSP.client'))", PEERS[0], CLIENTS[2])
    assert not satisfied("AND('Org1MSP.peer', OR('Org2MSP.admin', 'Org3MSP.client'))", PEERS[0], CLIENTS[1])


def test_a_role_is_neither_another_role_nor_another_organisations():
    assert satisfied("OR('Org1MSP.member')", CLIENTS[0])
    assert not satisfied("OR('Org1MSP.peer')", CLIENTS[0])
    assert not satisfied("OR('Org1MSP.member')", CLIENTS[1])


def test_one_identity_is_one_vote():
    both = "AND('Org1MSP.member', 'Org1MSP.peer')"
    assert not satisfied(both, PEERS[0])
    assert satisfied(both, ADMINS[0], PEERS[0])


def test_evaluation_is_greedy_as_fabrics_is():
    # The peer is used up by the first principal that it fits, and a cleverer search would have spared it.
    both = "AND('Org1MSP.member', 'Org1MSP.peer')"
    assert not satisfied(both, PEERS[0], ADMINS[0])


def test_a_gate_that_fails_uses_nobody_up():
    rule = "OR(AND('Org1MSP.peer', 'Org2MSP.peer'), 'Org1MSP.peer')"
    assert satisfied(rule, PEERS[0])


def test_a_gate_goes_on_after_it_is_satisfied_and_uses_identities_up():
    rule = "AND(OR('Org1MSP.peer', 'Org2MSP.peer'), 'Org2MSP.peer')"
    assert not satisfied(rule, PEERS[0], PEERS[1])
    assert satisfied("AND('Org2MSP.peer', OR('Org1MSP.peer', 'Org2MSP.peer'))", PEERS[0], PEERS[1])


def test_nobody_satisfies_one_more_than_there_are():
    assert not satisfied("OutOf(3, 'Org1MSP.peer', 'Org2MSP.peer')", *PEERS)


@settings(deadline=None)
@given(st.integers(0, 4), st.sets(st.integers(0, 2)))
def test_distinct_principals_agree_with_plain_counting(needed, present):
    rule = f"OutOf({needed}, 'Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
    assert satisfied(rule, *(PEERS[index] for index in present)) == (len(present) >= needed)


@pytest.mark.parametrize(("rule", "counts"), [("ANY", [0, 1, 1, 1]), ("ALL", [0, 0, 0, 1]), ("MAJORITY", [0, 0, 1, 1])])
def test_implicit_meta_policies_count_the_groups_below(rule, counts):
    below = tuple(SignaturePolicy.parse(f"OR('{org.msp_id}.peer')") for org in ORGS)
    policy = ImplicitMetaPolicy(policies_pb2.ImplicitMetaPolicy.Rule.Value(rule), "Endorsement", below)
    for size in range(4):
        for chosen in itertools.combinations(PEERS, size):
            assert policy.evaluate(chosen, MSPS) == bool(counts[size])


def test_over_no_groups_every_meta_policy_holds_and_a_missing_sub_policy_rejects():
    for rule in range(3):
        assert ImplicitMetaPolicy(rule, "Admins", ()).evaluate([], MSPS)
        assert not ImplicitMetaPolicy(rule, "Admins", (RejectPolicy(),)).evaluate(PEERS, MSPS)


def test_implicit_meta_policies_read_fabrics_two_words():
    policy = implicit_meta("MAJORITY Endorsement")
    assert (policy.rule, policy.sub_policy) == (policies_pb2.ImplicitMetaPolicy.MAJORITY, "Endorsement")
    for text in ("", "MAJORITY", "MOST Admins", "ANY Admins Readers", "any Admins"):
        with pytest.raises(InvalidPolicy):
            implicit_meta(text)


def test_an_envelope_that_cannot_be_evaluated_is_refused_at_once():
    dangling = SignaturePolicy.parse("OR('Org1MSP.peer')").envelope
    del dangling.identities[:]
    with pytest.raises(InvalidPolicy, match="names principal 0, but has 0"):
        SignaturePolicy(dangling)
    with pytest.raises(InvalidPolicy, match="empty policy element"):
        SignaturePolicy(policies_pb2.SignaturePolicyEnvelope())
    with pytest.raises(InvalidPolicy, match="only version 0"):
        SignaturePolicy(policies_pb2.SignaturePolicyEnvelope(version=1))
    with pytest.raises(InvalidPolicy, match="know ANY, ALL and MAJORITY, not 9"):
        ImplicitMetaPolicy(9, "Admins", ())
    with pytest.raises(InvalidPolicy, match="error unmarshalling"):
        SignaturePolicy.from_bytes(b"\xff")


def test_an_identity_principal_is_that_certificate_and_no_other():
    principal = PRINCIPAL(principal_classification=PRINCIPAL.IDENTITY, principal=PEERS[0].serialize())
    assert satisfies_principal(PEERS[0], principal, MSPS)
    assert not satisfies_principal(ADMINS[0], principal, MSPS)


def test_a_unit_principal_names_unit_and_certifiers():
    unit = msp_principal_pb2.OrganizationUnit(
        msp_identifier="Org1MSP",
        organizational_unit_identifier="client",
        certifiers_identifier=MSPS["Org1MSP"].certifiers_identifier(CLIENTS[0]),
    )
    principal = PRINCIPAL(principal_classification=PRINCIPAL.ORGANIZATION_UNIT, principal=unit.SerializeToString())
    assert satisfies_principal(CLIENTS[0], principal, MSPS)
    assert not satisfies_principal(PEERS[0], principal, MSPS)
    assert not satisfies_principal(CLIENTS[1], principal, MSPS)
    unit.certifiers_identifier = b"other"
    principal.principal = unit.SerializeToString()
    assert not satisfies_principal(CLIENTS[0], principal, MSPS)


def test_a_combined_principal_wants_all_its_parts_and_not_none():
    def combined(*rules):
        parts = [SignaturePolicy.parse(f"OR('{rule}')").envelope.identities[0] for rule in rules]
        data = msp_principal_pb2.CombinedPrincipal(principals=parts).SerializeToString()
        return PRINCIPAL(principal_classification=PRINCIPAL.COMBINED, principal=data)

    assert satisfies_principal(PEERS[0], combined("Org1MSP.member", "Org1MSP.peer"), MSPS)
    assert not satisfies_principal(PEERS[0], combined("Org1MSP.member", "Org1MSP.admin"), MSPS)
    assert not satisfies_principal(PEERS[0], combined(), MSPS)


@settings(deadline=None)
@given(st.integers(0, 9), st.binary(max_size=40))
def test_a_malformed_principal_is_nobody(kind, data):
    principal = PRINCIPAL(principal=data)
    principal.principal_classification = kind
    assert not satisfies_principal(PEERS[0], principal, MSPS)


def test_signatures_are_checked_and_each_identity_counted_once():
    def signed(signer, data=b"data", identity=None):
        return SignedData(data, (identity or signer.identity).serialize(), signer.sign(data))

    one, two = ORGS[0].node, ORGS[1].node
    # The same certificate in other PEM bytes: clients may write what they like around it.
    same = Identity(one.msp_id, b"a comment\n" + one.identity.certificate_pem)
    wrong = SignedData(b"other data", two.serialize(), two.sign(b"data"))
    stranger = Organization.create("org9", "Org9MSP").node
    signatures = SignatureCache(MSPS)
    found = signatures.valid_identities(
        [signed(one), signed(one), signed(one, identity=same), wrong, signed(stranger), SignedData(b"", b"\xff", b"")]
    )
    assert found == [one.identity]
    assert signatures.valid_identities([wrong, signed(two)]) == [two.identity]
