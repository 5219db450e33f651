"""What the doctor finds, and the remedy for each."""

import datetime
import json
import socket
import stat
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner

from fabric_fl.cli import main
from fabric_fl.devnet.ca.authority import CertificateAuthority
from fabric_fl.network import Address, Consortium, Plan
from fabric_fl.network.doctor import certificates, ledger, policy, programs
from fabric_fl.network.doctor.examination import taken
from fabric_fl.network.engine import FABRIC_PROGRAMS
from fabric_fl.network.home import Home
from fabric_fl.network.plan import keep, settle

NOW = datetime.datetime.now(datetime.UTC)


def lay(folder, name, version):
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{name}:'; echo ' Version: {version}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def problems(findings):
    assert all(one.remedy.endswith(".") for one in findings)
    return [one.problem for one in findings]


def test_missing_programs_are_named_with_where_to_get_them(tmp_path):
    for name in FABRIC_PROGRAMS[2:]:
        lay(tmp_path, name, "3.1.5")

    found = programs.missing({"PATH": str(tmp_path)})

    assert problems(found) == ["the program peer was not found", "the program orderer was not found"]
    assert "hyperledger-fabric.readthedocs.io" in found[0].remedy


def test_programs_of_two_releases_and_too_old_ones_are_found(tmp_path):
    for name, version in (("peer", "3.1.5"), ("orderer", "2.5.12"), ("configtxgen", "2.2.0"), ("osnadmin", "9.9.9")):
        lay(tmp_path, name, version)
    lay(tmp_path, "fabric-ca-server", "1.5.21")

    assert problems(programs.versions_apart({"PATH": f"{tmp_path}:/bin"})) == [
        "configtxgen is of Fabric 2.2.0, which is too old",
        "orderer is of Fabric 2.5.12, and peer of 3.1.5",
        "configtxgen is of Fabric 2.2.0, and peer of 3.1.5",
    ]


def test_certificates_that_ended_or_end_within_a_month_are_found(tmp_path):
    authority = CertificateAuthority.create("ca", "org1")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "key.pem").write_text("no certificate")
    end = authority.certificate.not_valid_after_utc

    assert certificates.ending(tmp_path, NOW) == []
    assert problems(certificates.ending(tmp_path, end - datetime.timedelta(days=29))) == [
        f"the certificate ca.pem ends on {end:%Y-%m-%d %H:%M} UTC"
    ]
    assert problems(certificates.ending(tmp_path, end)) == [f"the certificate ca.pem ended on {end:%Y-%m-%d %H:%M} UTC"]


@pytest.mark.parametrize(
    "rule",
    [
        "majority",
        "AND('Org1MSP.peer', 'Org2MSP.peer')",
        "OR('Org9MSP.peer', 'Org1MSP.member')",
        "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer', 'Org9MSP.peer')",
    ],
)
def test_policies_that_the_organisations_peers_can_meet_are_well(rule):
    assert policy.unmeetable(replace(Consortium.default(2), endorsement=rule)) == []


@pytest.mark.parametrize(
    "rule",
    [
        "AND('Org1MSP.peer', 'Org9MSP.peer')",
        "OR('Org1MSP.client', 'Org1MSP.admin')",
        "OutOf(3, 'Org1MSP.peer', 'Org2MSP.peer', 'Org9MSP.peer')",
        "AND('Org1MSP.peer', 'Org1MSP.peer')",
    ],
)
def test_policies_that_nobody_can_meet_are_found(rule):
    found = policy.unmeetable(replace(Consortium.default(2), endorsement=rule))

    assert problems(found) == [f"no set of peers can meet the endorsement policy {rule}"]


def test_a_policy_that_takes_two_peers_of_an_organisation_is_well_where_it_has_two():
    consortium = Consortium.default(1)
    one = replace(consortium.organisations[0], peers=(Address("localhost", 1), Address("localhost", 2)))
    rule = "AND('Org1MSP.peer', 'Org1MSP.peer')"

    assert policy.unmeetable(replace(consortium, organisations=(one,), endorsement=rule)) == []


def test_a_policy_that_is_none_is_found():
    (found,) = policy.unmeetable(replace(Consortium.default(1), endorsement="AND('Org1MSP')"))

    assert found.problem.startswith("the endorsement policy cannot be read: ")


def test_a_peer_behind_the_others_is_found():
    assert ledger.behind({"peer0-org1": 100, "peer0-org2": 95}) == []
    assert ledger.behind({}) == []
    assert problems(ledger.behind({"peer0-org1": 100, "peer0-org2": 89})) == [
        "the peer peer0-org2 is at height 89, others are at 100"
    ]


def test_an_organisation_that_has_not_approved_is_found():
    assert problems(ledger.unapproved({"Org1MSP": True, "Org2MSP": False}, "fl")) == [
        "Org2MSP has not approved the definition of the chaincode fl: its peers do not endorse"
    ]


def test_a_clock_apart_by_more_than_a_minute_is_found():
    clocks = {
        "org1's CA": NOW + datetime.timedelta(seconds=59),
        "org2's CA": NOW - datetime.timedelta(seconds=61),
    }

    assert problems(ledger.skewed(clocks, NOW)) == ["the clock of org2's CA is 61 s apart from this machine's"]


def test_a_gateway_that_does_not_endorse_is_found_with_what_it_said():
    assert problems(ledger.silent({"org1": "", "org2": "UNAVAILABLE: no peers"})) == [
        "through the gateway of org2 not every organisation endorses: UNAVAILABLE: no peers"
    ]


def test_a_port_that_somebody_took_while_the_network_was_down_is_found(tmp_path):
    consortium = Consortium.default(1).on_free_ports()
    port = consortium.orderers[0].port

    with closing(socket.create_server(("127.0.0.1", port))):
        assert problems(taken(Home.at(tmp_path), Plan("devnet", consortium))) == [
            f"port {port} (orderers[0]) is taken by another process"
        ]


def test_the_command_says_in_lines_or_json_what_is_the_matter_and_fails(tmp_path):
    home = Home.at(tmp_path)
    asked = Plan("devnet", Consortium.default(1).on_free_ports())
    keep(home, asked, settle(home, asked))

    shown = CliRunner().invoke(main, ["doctor", "--home", str(tmp_path)])
    value = CliRunner().invoke(main, ["doctor", "--home", str(tmp_path), "--format", "json"])

    assert shown.exit_code == value.exit_code == 1
    assert shown.stdout.splitlines() == [
        "ok       certificates",
        "ok       endorsement policy",
        "ok       ports",
        "problem  processes: the network is down",
        "         `fabric-fl network up` starts it.",
    ]
    assert [one["check"] for one in json.loads(value.stdout) if one["findings"]] == ["processes"]
