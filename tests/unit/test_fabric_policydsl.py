import pytest
from fabric_protos.msp import msp_principal_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.fabric.policydsl import PolicySyntaxError, parse, role_principal, to_string


def roles(envelope):
    parsed = [msp_principal_pb2.MSPRole.FromString(each.principal) for each in envelope.identities]
    return [(each.msp_identifier, msp_principal_pb2.MSPRole.MSPRoleType.Name(each.role)) for each in parsed]


def test_gates_are_counted_and_principals_numbered_inner_gates_first():
    # policydsl.FromString of Fabric gives these numbers: an inner gate is evaluated before the gate around it.
    envelope = parse("OR('A.member', AND('B.peer', 'C.admin'))")
    assert roles(envelope) == [("B", "PEER"), ("C", "ADMIN"), ("A", "MEMBER")]
    outer = envelope.rule.n_out_of
    assert (outer.n, outer.rules[0].signed_by) == (1, 2)
    inner = outer.rules[1].n_out_of
    assert (inner.n, [each.signed_by for each in inner.rules]) == (2, [0, 1])


def test_every_spelling_of_fabrics_means_the_same():
    expected = parse("OutOf(2, 'Org1MSP.client', 'Org2MSP.orderer')")
    for text in ("AND('Org1MSP.client','Org2MSP.orderer')", 'And("Org1MSP.client", "Org2MSP.orderer")'):
        assert parse(text) == expected
    assert parse(" outof ( 2 , 'Org1MSP.client' , 'Org2MSP.orderer' ) ") == expected
    assert expected.identities[0] == role_principal("Org1MSP", "client")


def test_an_msp_id_may_hold_dots_and_hyphens():
    assert roles(parse("OR('org-1.example.com.peer')")) == [("org-1.example.com", "PEER")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "'A.member'",
        "AND()",
        "OutOf(1)",
        "OutOf('A.member')",
        "OutOf(-1, 'A.member')",
        "OutOf(4, 'A.member', 'B.member')",
        "OR('A.boss')",
        "OR('A_B.member')",
        "OR('.member')",
        "OR('A.member'",
        "OR('A.member',)",
        "OR('A.member') OR('B.member')",
        "XOR('A.member', 'B.member')",
        "OR(A.member)",
        "OR('A.member', 3)",
        "OR('A.member'; 'B.member')",
        "OR(" * 30 + "'A.member'" + ")" * 30,
        "OR('A.member'" + ", 'A.member'" * 10_000 + ")",
    ],
)
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(PolicySyntaxError):
        parse(text)


def test_one_more_than_there_are_is_a_policy_that_nobody_can_satisfy_and_fabric_lets_it_pass():
    assert parse("OutOf(2, 'A.member')").rule.n_out_of.n == 2


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,9}", fullmatch=True)
LEAVES = st.builds(
    lambda name, role: f"'{name}.{role}'", NAMES, st.sampled_from(["member", "admin", "client", "peer", "orderer"])
)
POLICIES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=4).flatmap(
        lambda items: st.integers(0, len(items)).map(lambda n: f"OutOf({n}, {', '.join(items)})")
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(POLICIES)
def test_what_is_written_reads_back_to_the_same_policy(text):
    envelope = parse(f"OR({text})")
    assert parse(to_string(envelope)) == envelope


def test_what_the_language_has_no_words_for_is_not_written():
    envelope = parse("OR('A.member')")
    envelope.identities[0].principal_classification = msp_principal_pb2.MSPPrincipal.IDENTITY
    with pytest.raises(ValueError, match="words for roles only"):
        to_string(envelope)
