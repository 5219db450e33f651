"""consortium.yaml: what is accepted, and where each mistake is found."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.network import Address, Consortium, ConsortiumError, Versions, load_consortium

ROOT = Path(__file__).parents[2]
GOOD = """\
schema: 1
channel: fl
orderers:
  - localhost:7050
organisations:
  - name: org1
    msp_id: Org1MSP
    peers: [localhost:7051]
    ca: localhost:7054
    chaincode: localhost:7052
"""


@pytest.fixture
def load(tmp_path):
    def read(text: str) -> Consortium:
        path = tmp_path / "consortium.yaml"
        path.write_text(text)
        return load_consortium(path)

    return read


def test_the_file_in_the_repository_is_the_default_of_three_organisations():
    read = load_consortium(ROOT / "network" / "consortium.yaml")

    assert read == replace(Consortium.default(3), fabric=Versions())


def test_what_is_left_out_has_a_default(load):
    consortium = load(GOOD)

    assert consortium == Consortium.default(1)
    assert consortium.msp_ids == ("Org1MSP",)
    assert consortium.addresses()["org1.ca"] == Address("localhost", 7054)


@pytest.mark.parametrize(
    ("change", "line", "complaint"),
    [
        (("schema: 1", "schema: 2"), 1, "schema: this version of fabric-fl reads schema 1"),
        (("schema: 1", "schema: 0x1"), 1, "schema: expected a whole number from 0 to 2147483648, found 0x1"),
        (("schema: 1", "schema: '1'"), 1, "schema: expected a whole number"),
        (("channel: fl", "channel: FL"), 2, "channel: expected a channel name in lower case, found 'FL'"),
        (("channel: fl", "channel: 7"), 2, "expected a channel name in lower case, found '7' (put it in quotes)"),
        (("channel: fl", "chanel: fl"), 2, "chanel: unknown field; known are schema, channel"),
        (("channel: fl", "channel: fl\nchannel: fl"), 3, "channel: given twice"),
        (("channel: fl\n", ""), 1, "channel missing"),
        (("channel: fl", "channel: [fl"), 3, "no YAML"),
        (("localhost:7050", "localhost"), 4, "orderers[0]: expected host:port"),
        (("localhost:7050", "localhost:70500"), 4, "orderers[0]: expected host:port"),
        (("localhost:7050", "localhost:07050"), 4, "orderers[0]: expected host:port"),
        (("  - localhost:7050", "  - a:1\n  - a:2"), 4, "orderers: Raft needs 1, 3 or 5 orderers, found 2"),
        (("orderers:\n  - localhost:7050\n", ""), 1, "Raft needs 1, 3 or 5 orderers, found 0"),
        (("    ca:", "    orderers: [a:1]\n    ca:"), 4, "orderers are listed here or by the organisations that run"),
        (("    ca:", "    blobs: blobs\n    ca:"), 9, "organisations[0].blobs: expected a URL such as"),
        (("    ca:", "    blobs: https://me:secret@a\n    ca:"), 9, "organisations[0].blobs: expected a URL such as"),
        (("- name: org1", "- name: Org1"), 6, "organisations[0].name: expected a name of lower-case letters"),
        (("- name: org1", "- name: logs"), 6, "organisations[0].name: logs is the name of a directory"),
        (("Org1MSP", "Org 1"), 7, "organisations[0].msp_id: expected an MSP id"),
        (("Org1MSP", "OrdererMSP"), 7, "organisations[0].msp_id: OrdererMSP is the orderers' own"),
        (("peers: [localhost:7051]", "peers: []"), 8, "organisations[0].peers: expected 1 to 9 entries, found 0"),
        (("peers: [localhost:7051]", "peers: localhost:7051"), 8, "organisations[0].peers: expected a list"),
        (("localhost:7054", "localhost:7051"), 9, "localhost:7051 is also that of organisations[0].peers[0]"),
        (("channel: fl", "channel: fl\nendorsement: most"), 3, "endorsement: expected majority, all, any or"),
        (("channel: fl", "channel: fl\nbatch: {max_messages: 0}"), 3, "batch.max_messages: expected a whole"),
        (("channel: fl", "channel: fl\nbatch: {max_messages: 1_0}"), 3, "batch.max_messages: expected a whole"),
        (("channel: fl", "channel: fl\nbatch: 7"), 3, "batch: expected fields with names"),
        (("channel: fl", "channel: fl\nbatch: {timeout_ms: -1}"), 3, "batch.timeout_ms: expected a whole number"),
        (("channel: fl", "channel: fl\nbatch: {timeout_ms: 60001}"), 3, "batch.timeout_ms: expected a whole number"),
        (("channel: fl", "channel: fl\nbatch: {preferred_bytes: 1023}"), 3, "batch.preferred_bytes: expected a whole"),
        (("channel: fl", "channel: fl\nbatch: {max_bytes: 103809025}"), 3, "batch.max_bytes: expected a whole number"),
        (("channel: fl", "channel: fl\nbatch:\n  max_bytes: 2048"), 4, "batch: 2097152 is more than max_bytes"),
        (("channel: fl", "channel: fl\nbatch: {size: 1}"), 3, "batch.size: unknown field"),
        (("channel: fl", "channel: fl\nendorsement: OutOf(2, 'Org1MSP.peer'"), 3, "endorsement: expected majority"),
        (("channel: fl", "channel: fl\nendorsement: OR('Org1MSP')"), 3, "endorsement: error parsing principal"),
        (("channel: fl", "channel: fl\nendorsement: OR('Org9MSP.peer')"), 3, "endorsement: Org9MSP is no organisation"),
        (("channel: fl", "channel: fl\nendorsement: OR('Org1MSP.client')"), 3, "endorsement: no set of peers can meet"),
        (("channel: fl", "channel: fl\nfabric: 3.1.5"), 3, "fabric: expected fields with names"),
        (("channel: fl", "channel: fl\nfabric: {version: 3.1.5}"), 3, "fabric: ca missing"),
        (("channel: fl", "channel: fl\nfabric: {version: 3.1, ca: 1.5.21}"), 3, "fabric.version: expected a"),
        (("channel: fl", "channel: fl\nfabric: {version: latest, ca: 1.5.21}"), 3, "fabric.version: expected a"),
        (("channel: fl", "channel: fl\nfabric: {version: 2.2.15, ca: 1.5.21}"), 3, "fabric.version: Fabric 2.5 and"),
        (("channel: fl", "channel: fl\nfabric: {version: 3.1.5, ca: v1}"), 3, "fabric.ca: expected a release"),
        (("channel: fl", "channel: fl\nchaincode: f l"), 3, "chaincode: expected a chaincode name"),
        (("channel: fl", "channel: fl\nchaincode: ca"), 3, "chaincode: ca-org1 is also the name of another program"),
        (("channel: fl", "channel: fl\nchaincode: peer0"), 3, "chaincode: peer0-org1 is also the name of another"),
        (("localhost:7050", "local host:7050"), 4, "orderers[0]: expected host:port"),
        (("localhost:7050", "a..example:7050"), 4, "orderers[0]: expected host:port"),
        (("localhost:7050", f"{'a' * 64}.example:7050"), 4, "orderers[0]: expected host:port"),
        (("localhost:7054", "127.0.0.1:7051"), 9, "127.0.0.1:7051 is also that of organisations[0].peers[0]"),
        (("    ca: localhost:7054\n", ""), 6, "organisations[0]: ca missing"),
        (("    ca:", "    port: 1\n    ca:"), 9, "organisations[0].port: unknown field"),
        (("localhost:7052", "7052"), 10, "organisations[0].chaincode: expected host:port"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line_and_field(load, tmp_path, change, line, complaint):
    assert change[0] in GOOD
    with pytest.raises(ConsortiumError) as refused:
        load(GOOD.replace(*change))

    where, found = f"{tmp_path / 'consortium.yaml'}, line {line}", refused.value.message
    assert found.startswith(f"{where}: ")
    assert complaint in found


NONSENSE = (
    *("", "~", "[]", "{}", "- x", "0x10", "1_0", "1e9", "yes", "-1", "' '", "a: b: c", "&a [*a]", "*b", "<<: {}"),
    *(
        "!!python/object/apply:os.getcwd []",
        "!!binary aGk=",
        "2026-11-23",
        "\t",
        "é",
        "\u0000",
        "localhost:99999",
        "%a",
        "?",
    ),
    *(
        "OutOf(9, 'Org1MSP.peer')",
        "OutOf(0, 'Org1MSP.peer')",
        "OR(OR(OR('Org1MSP.peer')))",
        "AND()",
        "9" * 5000,
        "[" * 50,
    ),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(NONSENSE), st.booleans()), min_size=1, max_size=3))
def test_whatever_is_wrong_is_refused_with_the_file_and_never_otherwise(tmp_path_factory, changes):
    lines = (ROOT / "network" / "consortium.yaml").read_text().splitlines()
    for at, text, keeps_the_name in changes:
        name = lines[at % len(lines)].partition(":")[0]
        lines[at % len(lines)] = f"{name}: {text}" if keeps_the_name else text
    path = tmp_path_factory.getbasetemp() / "nonsense.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")

    found = outcome(path)
    if isinstance(found, ConsortiumError):
        assert found.message.startswith(str(path))
    else:
        assert Consortium.from_json(json.loads(json.dumps(found.to_json()))) == found


def outcome(path: Path) -> Consortium | ConsortiumError:
    try:
        return load_consortium(path)
    except ConsortiumError as refused:
        return refused


def test_organisations_may_run_the_orderers_and_say_where_their_blobs_are_read(load):
    own = "    orderers: [a:1]\n    blobs: https://blobs.org1.example\n"

    consortium = load(GOOD.replace("orderers:\n  - localhost:7050\n", "") + own)

    assert consortium.orderers == ()
    assert consortium.ordering == consortium.organisations[0].orderers == (Address("a", 1),)
    assert consortium.organisations[0].blobs == "https://blobs.org1.example"
    assert consortium.addresses()["org1.orderers[0]"] == Address("a", 1)
    assert Consortium.from_json(json.loads(json.dumps(consortium.to_json()))) == consortium


def test_two_organisations_cannot_share_a_name_or_an_msp_id(load):
    second = GOOD[GOOD.index("  - name") :].replace("70", "80")

    with pytest.raises(ConsortiumError, match=r"line 11: organisations\[1\].name: another organisation has it already"):
        load(GOOD + second)
    with pytest.raises(ConsortiumError, match=r"line 12: organisations\[1\].msp_id: another organisation has it"):
        load(GOOD + second.replace("org1", "org2"))


def test_lists_in_lists_without_an_end_are_refused(load):
    with pytest.raises(ConsortiumError, match="nested too deeply"):
        load("[" * 600 + "]" * 600)


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_an_empty_file_is_refused(load, content):
    with pytest.raises(ConsortiumError, match="is empty"):
        load(content)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConsortiumError, match="cannot be read"):
        load_consortium(tmp_path / "none.yaml")


def test_port_0_becomes_a_free_port_and_other_ports_stay(load):
    consortium = load(GOOD.replace("7051", "0").replace("7054", "0"))

    resolved = consortium.resolved().addresses()

    assert resolved["org1.peers[0]"].port not in (0, resolved["org1.ca"].port)
    assert resolved["org1.chaincode"].port == 7052
    assert resolved["orderers[0]"].port == 7050


def test_a_consortium_on_free_ports_uses_each_once():
    ports = [address.port for address in Consortium.default(4).on_free_ports().addresses().values()]

    assert len(set(ports)) == 1 + 4 * 3
    assert min(ports) >= 1024


def test_a_consortium_survives_json():
    consortium = Consortium.default(2).on_free_ports()

    assert Consortium.from_json(json.loads(json.dumps(consortium.to_json()))) == consortium
