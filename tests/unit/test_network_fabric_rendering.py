"""What Fabric's programs are told, worked out from the consortium: no program of Fabric's is needed here."""

import json
import stat
from dataclasses import replace

import pytest
import yaml

from fabric_fl.network import Address, Batch, Consortium, EngineError, ExternalChaincode, Plan, Versions
from fabric_fl.network.fabric import configtx
from fabric_fl.network.fabric.engine import FabricEngine
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import Topology, local_ports, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.supervisorconf import render


@pytest.fixture
def home(tmp_path):
    return Home.at(tmp_path)


@pytest.fixture
def engine(tmp_path):
    names = ("peer", "orderer", "configtxgen", "osnadmin", "fabric-ca-server", "fabric-ca-client")
    return FabricEngine({name: tmp_path / "bin" / name for name in names})


def three_orderers(consortium: Consortium) -> Consortium:
    return replace(consortium, orderers=tuple(Address("localhost", port) for port in (7050, 8050, 9050)))


def topology(consortium: Consortium, home: Home) -> Topology:
    return Topology.of(consortium, settle_ports(Layout.of(home), consortium))


def channel(consortium: Consortium, home: Home, version=(3, 1)):
    said = configtx.render(consortium, topology(consortium, home), Layout.of(home), version)
    return yaml.safe_load(said)["Profiles"]["Channel"]


def core(home: Home, name: str):
    return yaml.safe_load((home.root / "fabric" / name / "core.yaml").read_text())


def test_a_program_for_every_node_listens_where_the_consortium_says(engine, home):
    plan = Plan("fabric", three_orderers(Consortium.default(2)))

    programs = engine.programs(plan, home)

    assert [one.name for one in programs] == [
        *("ca-org1", "ca-org2", "orderer-ca"),
        *("orderer1", "orderer2", "orderer3"),
        *("peer0-org1", "peer0-org2"),
        *("fl-org1", "fl-org2"),
    ]
    listens = {field: address for one in programs for field, address in one.listens.items()}
    assert listens.items() >= plan.consortium.addresses().items()


def test_no_two_programs_listen_on_one_port_and_the_chosen_ones_stay(engine, home):
    plan = Plan("fabric", three_orderers(Consortium.default(3)))

    first, second = engine.programs(plan, home), engine.programs(plan, home)

    ports = [address.port for one in first for address in one.listens.values()]
    assert len(ports) == len(set(ports)) == len(plan.consortium.addresses()) + len(local_ports(plan.consortium))
    assert [one.listens for one in first] == [one.listens for one in second]


def test_no_secret_is_in_a_command_an_environment_or_a_file_that_others_can_read(engine, home):
    plan = Plan("fabric", Consortium.default(2))

    programs = engine.programs(plan, home)

    secrets = [path.read_text() for path in home.root.glob("fabric/*/secrets/*")]
    assert len(set(secrets)) == 3, "each organisation's registrar and the orderers'"
    assert all(len(one) >= 32 for one in secrets)
    shown = repr(programs) + render(home, programs)
    assert not any(one in shown for one in secrets)
    for path in home.root.rglob("*"):
        if path.is_file() and any(one in path.read_text() for one in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_ca_knows_its_registrar_alone_and_serves_tls_under_its_host_name(engine, home):
    consortium = Consortium.default(1)
    one = replace(consortium.organisations[0], ca=Address("ca.hospital.example", 7054))
    engine.programs(Plan("fabric", replace(consortium, organisations=(one,))), home)

    said = yaml.safe_load((home.root / "fabric" / "ca-org1" / "fabric-ca-server-config.yaml").read_text())

    (registrar,) = said["registry"]["identities"]
    assert registrar["pass"] == (home.root / "fabric" / "ca-org1" / "secrets" / "registrar").read_text()
    assert said["tls"] == {"enabled": True}
    assert said["csr"]["hosts"] == ["ca.hospital.example", "localhost", "127.0.0.1"]
    assert (said["address"], said["port"]) == ("0.0.0.0", 7054)


def test_gossip_finds_other_organisations_within_seconds(engine, home):
    engine.programs(Plan("fabric", Consortium.default(2)), home)

    gossip = core(home, "peer0-org2")["peer"]["gossip"]

    assert (gossip["reconnectInterval"], gossip["membershipTrackerInterval"]) == ("1s", "1s")
    intervals = ("aliveTimeInterval", "publishStateInfoInterval", "requestStateInfoInterval")
    assert [gossip[name] for name in intervals] == ["500ms"] * 3
    assert gossip["aliveExpirationTimeout"] == "5s"
    assert gossip["bootstrap"] == gossip["externalEndpoint"] == "localhost:7061"


def test_peers_of_one_organisation_find_each_other(engine, home):
    consortium = Consortium.default(1)
    peers = tuple(Address("localhost", port) for port in (7051, 7151, 7251))
    one = replace(consortium.organisations[0], peers=peers)
    engine.programs(Plan("fabric", replace(consortium, organisations=(one,))), home)

    assert core(home, "peer1-org1")["peer"]["gossip"]["bootstrap"] == "localhost:7051 localhost:7251"
    assert core(home, "peer1-org1")["peer"]["address"] == "localhost:7151"


def test_servers_of_this_machine_alone_listen_on_loopback_and_the_others_everywhere(engine, home):
    consortium = replace(Consortium.default(1), orderers=(Address("orderer.example", 7050),))
    engine.programs(Plan("fabric", consortium), home)

    orderer = yaml.safe_load((home.root / "fabric" / "orderer1" / "orderer.yaml").read_text())
    assert orderer["General"]["ListenAddress"] == "0.0.0.0"
    assert orderer["Admin"]["ListenAddress"].startswith("127.0.0.1:")
    assert core(home, "peer0-org1")["peer"]["listenAddress"] == "127.0.0.1:7051"


def test_everything_speaks_tls(engine, home):
    engine.programs(Plan("fabric", Consortium.default(1)), home)

    orderer = yaml.safe_load((home.root / "fabric" / "orderer1" / "orderer.yaml").read_text())
    assert orderer["General"]["TLS"]["Enabled"]
    assert orderer["Admin"]["TLS"]["Enabled"]
    assert orderer["Admin"]["TLS"]["ClientAuthRequired"]
    assert core(home, "peer0-org1")["peer"]["tls"]["enabled"]


def test_a_chaincode_process_shows_its_certificate_and_asks_for_the_peers(engine, home):
    programs = {one.name: one for one in engine.programs(Plan("fabric", Consortium.default(2)), home)}

    environment = programs["fl-org2"].environment
    assert environment["CHAINCODE_ID"] == programs["fl-org1"].environment["CHAINCODE_ID"]
    assert environment["CHAINCODE_ID"].startswith("fl_1.0:")
    assert environment["CHAINCODE_TLS_DISABLED"] == "false"
    assert environment["CHAINCODE_TLS_KEY"] == "fabric/chaincode/org2/server/server.key"
    assert environment["CHAINCODE_CLIENT_CA_CERT"] == "fabric/chaincode/org2/server/ca.crt"


def test_a_process_that_somebody_else_runs_is_not_started(engine, home):
    plan = Plan("fabric", Consortium.default(2), chaincodes=(ExternalChaincode("fl", "org2", "127.0.0.1:9"),))

    assert [one.name for one in engine.programs(plan, home)][-2:] == ["peer0-org2", "fl-org1"]


@pytest.mark.parametrize(
    ("asked", "rendered"),
    [
        ("majority", {"Type": "ImplicitMeta", "Rule": "MAJORITY Endorsement"}),
        ("all", {"Type": "ImplicitMeta", "Rule": "ALL Endorsement"}),
        ("any", {"Type": "ImplicitMeta", "Rule": "ANY Endorsement"}),
        ("AND('Org1MSP.peer', 'Org2MSP.peer')", {"Type": "Signature", "Rule": "AND('Org1MSP.peer', 'Org2MSP.peer')"}),
    ],
)
def test_the_channels_endorsement_policy_is_the_consortiums(asked, rendered, home):
    consortium = replace(Consortium.default(2), endorsement=asked)

    assert channel(consortium, home)["Application"]["Policies"]["Endorsement"] == rendered


def test_every_organisation_has_an_anchor_peer_and_policies_of_its_own(home):
    members = channel(Consortium.default(2), home)["Application"]["Organizations"]

    assert [one["ID"] for one in members] == ["Org1MSP", "Org2MSP"]
    assert members[1]["AnchorPeers"] == [{"Host": "localhost", "Port": 7061}]
    assert members[1]["Policies"]["Endorsement"]["Rule"] == "OR('Org2MSP.peer')"
    assert members[1]["Policies"]["Writers"]["Rule"] == "OR('Org2MSP.admin', 'Org2MSP.client')"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_every_orderer_is_a_raft_consenter_and_an_endpoint(count, home):
    orderers = tuple(Address("localhost", 7000 + index) for index in range(count))
    ordering = channel(replace(Consortium.default(1), orderers=orderers), home)["Orderer"]

    consenters = ordering["EtcdRaft"]["Consenters"]
    assert [one["Port"] for one in consenters] == [7000 + index for index in range(count)]
    assert len({one["ServerTLSCert"] for one in consenters}) == count
    assert ordering["Organizations"][0]["OrdererEndpoints"] == [f"localhost:{7000 + index}" for index in range(count)]


def test_batches_are_cut_as_the_consortium_says(home):
    batch = Batch(max_messages=7, max_bytes=4096, preferred_bytes=2048, timeout_ms=250)

    ordering = channel(replace(Consortium.default(1), batch=batch), home)["Orderer"]

    assert ordering["BatchTimeout"] == "250ms"
    assert ordering["BatchSize"] == {"MaxMessageCount": 7, "AbsoluteMaxBytes": 4096, "PreferredMaxBytes": 2048}
    assert channel(Consortium.default(1), home)["Orderer"]["BatchTimeout"] == "10ms"


@pytest.mark.parametrize(("version", "capability"), [((2, 5), "V2_0"), ((3, 0), "V3_0"), ((3, 1), "V3_0")])
def test_the_channels_capability_is_what_that_fabric_has(version, capability, home):
    assert channel(Consortium.default(1), home, version)["Capabilities"] == {capability: True}


def test_a_ledger_in_memory_is_refused(engine):
    with pytest.raises(EngineError, match="keeps its ledger on disk"):
        engine.check(Plan("fabric", Consortium.default(1), memory=True))


@pytest.fixture
def of_fabric_2_5_9(tmp_path):
    """The engine on programs of that release."""
    peer = tmp_path / "peer"
    peer.write_text("#!/bin/sh\necho ' Version: v2.5.9'\n")
    peer.chmod(0o755)
    return FabricEngine({"peer": peer})


@pytest.mark.parametrize("versions", [None, Versions("2.5.0", "1.5.15"), Versions("2.5.12", "1.5.15")])
def test_programs_of_the_consortiums_minor_version_are_taken(of_fabric_2_5_9, versions):
    of_fabric_2_5_9.check(Plan("fabric", replace(Consortium.default(1), fabric=versions)))


def test_programs_older_than_the_consortiums_version_are_refused(of_fabric_2_5_9):
    with pytest.raises(EngineError, match=r"peer is of Fabric 2\.5, consortium\.yaml asks for 3\.1\.5") as refused:
        of_fabric_2_5_9.check(Plan("fabric", replace(Consortium.default(1), fabric=Versions("3.1.5", "1.5.21"))))
    assert "fabric.version" in refused.value.remedy


def test_the_ports_file_of_a_smaller_network_is_completed_not_replaced(home):
    small, large = Consortium.default(1), Consortium.default(2)
    layout = Layout.of(home)

    before = settle_ports(layout, small)
    after = settle_ports(layout, large)

    assert after.items() > before.items()
    assert json.loads(layout.ports.read_text()) == after
