"""What `up` decides before it starts anything: ports, engine, files."""

import json
import os
import socket
import stat
from contextlib import closing
from dataclasses import replace

import pytest

from fabric_fl.devnet.config import DevnetConfig
from fabric_fl.network import (
    Address,
    Batch,
    Consortium,
    ConsortiumError,
    EngineError,
    ExternalChaincode,
    NetworkChangedError,
    NetworkError,
    NoNetworkError,
    Plan,
    PortTakenError,
    devnet,
    down,
    status,
    up,
)
from fabric_fl.network.devnet import DevnetEngine, OwnChaincode, render
from fabric_fl.network.engine import FABRIC_PROGRAMS, choose_engine
from fabric_fl.network.home import Home
from fabric_fl.network.participantfile import write_participant_files
from fabric_fl.network.plan import keep, load, settle


@pytest.fixture
def home(tmp_path):
    return Home.at(tmp_path)


def lay(home: Home, plan: Plan) -> None:
    keep(home, plan, settle(home, plan))


def on_any_port(organisations: int = 2) -> Consortium:
    consortium = Consortium.default(organisations)
    anywhere = Address("localhost", 0)
    return replace(
        consortium,
        orderers=(anywhere,),
        organisations=tuple(
            replace(one, peers=(anywhere,), ca=anywhere, chaincode=anywhere) for one in consortium.organisations
        ),
    )


def test_the_ports_that_the_first_up_chose_stay(home):
    asked = Plan("devnet", on_any_port())

    first = settle(home, asked)
    keep(home, asked, first)

    assert settle(home, asked) == first == load(home)
    assert all(address.port for address in first.consortium.addresses().values())


def test_another_network_in_the_same_directory_is_refused_and_the_difference_named(home):
    lay(home, Plan("devnet", Consortium.default(2)))

    with pytest.raises(NetworkChangedError, match=r"memory was False, now True$"):
        settle(home, Plan("devnet", Consortium.default(2), memory=True))
    with pytest.raises(NetworkChangedError, match="organisations was"):
        settle(home, Plan("devnet", Consortium.default(3)))


def test_a_directory_without_a_network_has_nothing_to_show(home):
    with pytest.raises(NoNetworkError, match="there is no network in"):
        status(home.root)


def test_a_damaged_record_is_named(home):
    home.record.write_text('{"schema": 1}')

    with pytest.raises(NetworkError, match=r"network.json cannot be read"):
        load(home)


def test_wiping_deletes_a_network_and_nothing_else(tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis").write_text("irreplaceable")
    lay(Home.at(tmp_path / "network"), Plan("devnet", Consortium.default(1)))

    assert down(tmp_path / "papers", wipe=True) is False
    assert down(tmp_path / "network", wipe=True) is False

    assert (tmp_path / "papers" / "thesis").exists()
    assert not (tmp_path / "network").exists()


def test_down_without_wipe_keeps_the_state(home):
    lay(home, Plan("devnet", Consortium.default(1)))

    down(home.root)

    assert home.record.exists()


def test_a_taken_port_is_named_with_the_remedy_and_nothing_is_started(home):
    consortium = Consortium.default(2).on_free_ports()
    taken = consortium.organisations[1].peers[0].port
    with closing(socket.create_server(("127.0.0.1", taken))), pytest.raises(PortTakenError) as refused:
        up(consortium, home=home.root, engine="devnet")

    assert refused.value.message == f"port {taken} (org2.peers[0]) is taken by another process"
    assert "org2.peers[0]" in refused.value.remedy
    assert not home.supervisor_config.exists()
    assert not home.record.exists(), "after changing the port it would count as another network"


@pytest.mark.parametrize(
    "chaincode",
    [
        ExternalChaincode("fl", "org7", "h:1"),
        ExternalChaincode("f l", "org1", "h:1"),
        ExternalChaincode("fl", "org1", "h"),
    ],
)
def test_a_chaincode_of_ones_own_needs_a_name_an_organisation_and_an_address(home, chaincode):
    with pytest.raises(ConsortiumError, match=r"^FL-NETWORK-CONSORTIUM: --chaincode f"):
        up(Consortium.default(1), home=home.root, engine="devnet", chaincodes=[chaincode])


def test_devnet_is_taken_when_no_fabric_is_found_and_one_line_says_so():
    engine, notice = choose_engine(None, {"PATH": "/nowhere"})

    assert engine.name == "devnet"
    assert notice.startswith("No Hyperledger Fabric was found on PATH or in FABRIC_BIN, so this is devnet")
    assert "without fault tolerance or decentralisation" in notice
    assert "\n" not in notice


def lay_programs(folder, names):
    for name in names:
        program = folder / name
        program.write_text("#!/bin/sh\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": "/nowhere", "FABRIC_BIN": f"/none{os.pathsep}{folder}"}


def test_fabric_without_one_of_its_programs_is_refused_with_what_is_missing(tmp_path):
    environ = lay_programs(tmp_path, FABRIC_PROGRAMS[1:])

    with pytest.raises(EngineError, match=r"^FL-NETWORK-ENGINE: peer not found on PATH or in FABRIC_BIN$"):
        choose_engine(None, {"ENGINE": "fabric", **environ})
    assert choose_engine(None, environ)[0].name == "devnet"


def test_fabric_is_taken_where_all_its_programs_are_found(tmp_path):
    engine, notice = choose_engine(None, lay_programs(tmp_path, FABRIC_PROGRAMS))

    assert engine.name == "fabric"
    assert notice == f"Hyperledger Fabric, its programs from {tmp_path}."


def test_an_argument_goes_before_the_variable_and_unknown_engines_are_refused():
    assert choose_engine("devnet", {"ENGINE": "fabric", "PATH": ""})[0].name == "devnet"
    with pytest.raises(EngineError, match="there is no engine 'besu'"):
        choose_engine("besu", {})


@pytest.mark.parametrize("extra", ["orderers", "peers"])
def test_devnet_refuses_what_it_cannot_run(extra):
    consortium = Consortium.default(1)
    two = (Address("localhost", 1), Address("localhost", 2))
    if extra == "orderers":
        consortium = replace(consortium, orderers=(*two, Address("localhost", 3)))
    else:
        consortium = replace(consortium, organisations=(replace(consortium.organisations[0], peers=two),))

    with pytest.raises(EngineError, match="devnet has one"):
        DevnetEngine().check(Plan("devnet", consortium))


def test_each_organisation_has_a_chaincode_process_unless_somebody_else_runs_it(home):
    plan = Plan("devnet", Consortium.default(3), chaincodes=(ExternalChaincode("fl", "org2", "127.0.0.1:9"),))

    programs = {program.name: program for program in DevnetEngine().programs(plan, home)}

    assert list(programs) == ["devnet", "fl-org1", "fl-org3"]
    assert programs["fl-org3"].environment["CHAINCODE_SERVER_ADDRESS"] == "localhost:7072"
    assert programs["fl-org3"].environment["FL_CONSORTIUM"] == "Org1MSP,Org2MSP,Org3MSP"


def test_devnet_is_told_where_every_chaincode_process_listens(home):
    plan = Plan(
        "devnet",
        Consortium.default(2),
        memory=True,
        chaincodes=(ExternalChaincode("fl", "org2", "127.0.0.1:9"), ExternalChaincode("basic", "org1", "127.0.0.1:8")),
    )

    config = DevnetConfig.from_json(json.dumps(render(plan, home, OwnChaincode("fl_1.0:ab", 1))))

    assert config.state is None
    assert {
        one.name: {msp_id: server.address for msp_id, server in one.servers.items()} for one in config.chaincodes
    } == {
        "fl": {"Org1MSP": "localhost:7052", "Org2MSP": "127.0.0.1:9"},
        "basic": {"Org1MSP": "127.0.0.1:8"},
    }


def test_what_devnet_is_told_is_what_the_consortium_says(home):
    consortium = replace(
        Consortium.default(2),
        channel="trial",
        endorsement="all",
        batch=Batch(max_messages=7, max_bytes=4096, preferred_bytes=2048, timeout_ms=250),
    )

    config = DevnetConfig.from_json(json.dumps(render(Plan("devnet", consortium), home, OwnChaincode("fl_1.0:ab", 3))))

    assert (config.channel, config.endorsement, config.orderer.port) == ("trial", "all", 7050)
    assert [(one.msp_id, one.peer_port, one.ca_port) for one in config.organizations] == [
        ("Org1MSP", 7051, 7054),
        ("Org2MSP", 7061, 7064),
    ]
    batch = config.batch
    assert (batch.max_message_count, batch.absolute_max_bytes, batch.preferred_max_bytes) == (7, 4096, 2048)
    assert batch.timeout == 0.25
    assert config.output == home.root
    assert config.state is not None
    assert config.state.is_relative_to(home.root)


def test_other_rules_are_the_next_sequence_on_devnet_too(home, monkeypatch):
    plan, engine = Plan("devnet", Consortium.default(2)), DevnetEngine()

    def up() -> tuple[int, str, set[str]]:
        programs = engine.programs(plan, home)
        (chaincode,) = json.loads((home.root / "devnet.json").read_text())["chaincodes"]
        ids = {one.environment["CHAINCODE_ID"] for one in programs[1:]}
        assert ids == {chaincode["id"]}
        return chaincode["sequence"], chaincode["id"], {one.environment["DEVNET_CONFIG"] for one in programs[:1]}

    first = up()
    (home.root / "devnet").mkdir()
    assert up() == first, "supervisord must see nothing new"
    monkeypatch.setattr(devnet, "rules_digest", lambda: "of other rules")
    second = up()

    assert (first[0], second[0]) == (1, 2)
    assert first[1] != second[1]
    assert first[2] != second[2], "devnet must be started anew"
    assert up() == second


def test_a_ledger_in_memory_is_not_upgraded_because_it_would_be_lost(home, monkeypatch):
    plan, engine = Plan("devnet", Consortium.default(2), memory=True), DevnetEngine()

    before = engine.programs(plan, home)
    monkeypatch.setattr(devnet, "rules_digest", lambda: "of other rules")

    assert engine.programs(plan, home) == before


def test_a_network_whose_contract_others_run_in_part_is_not_upgraded_by_every_up(home):
    plan = Plan("devnet", Consortium.default(2), chaincodes=(ExternalChaincode("fl", "org2", "127.0.0.1:9"),))
    (home.root / "devnet").mkdir()

    assert DevnetEngine().programs(plan, home) == DevnetEngine().programs(plan, home)


def test_participant_files_name_the_own_store_and_the_others_and_are_never_overwritten(home):
    plan = Plan("devnet", Consortium.default(3))
    write_participant_files(home, plan)
    path = home.root / "org2" / "participant.json"
    record = json.loads(path.read_text())

    assert record == {
        "schema": 1,
        "msp_id": "Org2MSP",
        "channel": "fl",
        "chaincode": "fl",
        "private": "private",
        "store": "blobs",
        "stores": {"Org1MSP": "../org1/blobs", "Org3MSP": "../org3/blobs"},
    }

    path.write_text(json.dumps({**record, "store": "s3://bucket"}))
    write_participant_files(home, plan)
    assert json.loads(path.read_text())["store"] == "s3://bucket"
