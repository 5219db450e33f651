import json
import os
import subprocess

import pytest
import yaml
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.peer import policy_pb2

from fabric_fl.devnet.genesis import genesis_block
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric import protoutil
from fabric_fl.fabric.channel.channelconfig import BatchSettings, ChannelConfig, InvalidChannelConfig
from fabric_fl.fabric.channel.policies import InvalidPolicy, SignaturePolicy
from fabric_fl.fabric.policydsl import parse
from fabric_fl.network.engine import find_program

ORGS = [Organization.create(f"org{number}", f"Org{number}MSP") for number in (1, 2, 3)]
ORDERER = Organization.create("orderer", "OrdererMSP", node_role="orderer")
BATCH = BatchSettings(max_message_count=7, absolute_max_bytes=3_000_000, preferred_max_bytes=1_000_000, timeout=0.25)
BLOCK = genesis_block(
    "fl",
    ORGS,
    ORDERER,
    orderer_address=("localhost", 7050),
    anchor_peers={org.msp_id: ("localhost", 7051 + index) for index, org in enumerate(ORGS)},
    batch=BATCH,
)
CONFIG = ChannelConfig.from_block(BLOCK)
PEERS = [org.node.identity for org in ORGS]


@pytest.fixture
def configtxgen(tmp_path):
    program = find_program("configtxgen", os.environ)
    if program is None:
        pytest.skip("configtxgen is not on PATH or in FABRIC_BIN")

    def run(configuration, *arguments):
        (tmp_path / "configtx.yaml").write_text(yaml.safe_dump(configuration))
        command = [program, "-configPath", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    return run


def test_the_configuration_reads_back_as_it_was_written():
    assert CONFIG.channel_id == "fl"
    assert CONFIG.organizations == ("Org1MSP", "Org2MSP", "Org3MSP")
    assert CONFIG.orderer_organizations == ("OrdererMSP",)
    assert CONFIG.orderer_addresses == ("localhost:7050",)
    assert CONFIG.anchor_peers["Org2MSP"] == (("localhost", 7052),)
    assert CONFIG.batch == BATCH


def test_block_0_is_unsigned_and_hashes_as_a_block():
    assert (BLOCK.header.number, BLOCK.header.previous_hash) == (0, b"")
    assert BLOCK.header.data_hash == protoutil.block_data_hash(BLOCK.data)
    assert protoutil.last_config_index(BLOCK) == 0
    envelope = protoutil.unpack_envelope(BLOCK.data.data[0])
    assert envelope.signature_header.creator == b""
    assert envelope.channel_header.tx_id == protoutil.compute_tx_id(envelope.signature_header.nonce, b"")


def test_its_msps_know_the_members_of_all_organisations():
    for organization in (*ORGS, ORDERER):
        for signer in (organization.node, organization.admin, organization.client):
            assert CONFIG.msps.deserialize(signer.serialize()) == signer.identity


@pytest.mark.parametrize(
    ("path", "role", "allowed"),
    [
        ("/Channel/Application/Writers", "client", True),
        ("/Channel/Application/Writers", "admin", True),
        ("/Channel/Application/Writers", "node", False),
        ("/Channel/Application/Readers", "node", True),
        ("/Channel/Writers", "client", True),
        ("/Channel/Application/Org1MSP/Admins", "admin", True),
        ("/Channel/Application/Org1MSP/Admins", "client", False),
        ("/Channel/Application/Org2MSP/Admins", "admin", False),
        ("/Channel/Application/Nonsense", "admin", False),
    ],
)
def test_one_member_of_one_organisation_at_the_entrances(path, role, allowed):
    assert CONFIG.evaluate(path, [getattr(ORGS[0], role).identity]) is allowed


def test_endorsement_and_administration_take_a_majority_of_organisations():
    for path in ("Endorsement", "/Channel/Application/LifecycleEndorsement"):
        assert not CONFIG.evaluate(path, PEERS[:1])
        assert CONFIG.evaluate(path, PEERS[:2])
        assert not CONFIG.evaluate(path, [org.client.identity for org in ORGS])
    admins = [org.admin.identity for org in ORGS]
    assert not CONFIG.evaluate("/Channel/Application/Admins", admins[:1])
    assert CONFIG.evaluate("/Channel/Application/Admins", admins[1:])
    # Two groups below: the application's administrators alone are no majority of them.
    assert not CONFIG.evaluate("/Channel/Admins", admins)
    assert CONFIG.evaluate("/Channel/Admins", [*admins, ORDERER.admin.identity])


def test_the_orderer_alone_signs_blocks():
    assert CONFIG.evaluate("/Channel/Orderer/BlockValidation", [ORDERER.node.identity])
    assert not CONFIG.evaluate("/Channel/Orderer/BlockValidation", PEERS)


def test_an_endorsement_policy_is_a_signature_policy_or_a_reference():
    signature = policy_pb2.ApplicationPolicy(signature_policy=parse("AND('Org1MSP.peer', 'Org3MSP.peer')"))
    assert isinstance(CONFIG.endorsement_policy(signature.SerializeToString()), SignaturePolicy)
    reference = policy_pb2.ApplicationPolicy(channel_config_policy_reference="/Channel/Application/Endorsement")
    assert CONFIG.endorsement_policy(reference.SerializeToString()).evaluate(PEERS[1:], CONFIG.msps)
    for bad in (
        b"",
        b"\xff",
        policy_pb2.ApplicationPolicy(channel_config_policy_reference="/Nowhere").SerializeToString(),
    ):
        with pytest.raises(InvalidPolicy):
            CONFIG.endorsement_policy(bad)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("250ms", 0.25), ("1m30s", 90), ("1.5h", 5400), ("100us", 0.0001)]
)
def test_timeouts_are_go_durations(text, seconds):
    config = configtx_pb2.Config.FromString(CONFIG.config.SerializeToString())
    # ConsensusType's neighbour: field 1 of BatchTimeout is the text.
    config.channel_group.groups["Orderer"].values["BatchTimeout"].value = b"\x0a" + bytes([len(text)]) + text.encode()
    assert ChannelConfig.from_config("fl", config).batch.timeout == pytest.approx(seconds)


def test_what_is_no_configuration_is_refused():
    def block(header_type, data):
        envelope = common_pb2.Envelope(
            payload=common_pb2.Payload(
                header=common_pb2.Header(
                    channel_header=protoutil.channel_header(header_type, "fl").SerializeToString()
                ),
                data=data,
            ).SerializeToString()
        )
        return protoutil.new_block(0, b"", [envelope.SerializeToString()])

    for bad, reason in (
        (protoutil.new_block(0, b"", []), "holds one transaction, not 0"),
        (protoutil.new_block(0, b"", [b"\xff"]), "cannot be read"),
        (block(common_pb2.ENDORSER_TRANSACTION, b""), "is no configuration"),
        (block(common_pb2.CONFIG, b""), "lacks its application's or its orderer's group"),
    ):
        with pytest.raises(InvalidChannelConfig, match=reason):
            ChannelConfig.from_block(bad)


@pytest.mark.fabric
def test_configtxgen_makes_the_same_configuration_of_the_same_organisations(tmp_path, configtxgen):
    """Fabric's own tool is the oracle: the whole tree of groups, values and policies is equal."""
    for organization in (*ORGS, ORDERER):
        organization.write_msp(tmp_path / organization.msp_id)
    (tmp_path / "server.crt").write_bytes(ORDERER.tls.certificate_pem)

    def policies(rules):
        return {name: {"Type": kind, "Rule": rule} for name, (kind, rule) in rules.items()}

    def entry(msp_id, rules, **more):
        signature = {name: ("Signature", rule) for name, rule in rules.items()}
        return {"Name": msp_id, "ID": msp_id, "MSPDir": msp_id, "Policies": policies(signature), **more}

    def meta(**more):
        rules = {"Readers": "ANY Readers", "Writers": "ANY Writers", "Admins": "MAJORITY Admins", **more}
        return policies({name: ("ImplicitMeta", rule) for name, rule in rules.items()})

    peers = [
        entry(
            org.msp_id,
            {
                "Readers": f"OR('{org.msp_id}.admin', '{org.msp_id}.peer', '{org.msp_id}.client')",
                "Writers": f"OR('{org.msp_id}.admin', '{org.msp_id}.client')",
                "Admins": f"OR('{org.msp_id}.admin')",
                "Endorsement": f"OR('{org.msp_id}.peer')",
            },
            AnchorPeers=[{"Host": "localhost", "Port": 7051 + index}],
        )
        for index, org in enumerate(ORGS)
    ]
    member = {"Readers": "OR('OrdererMSP.member')", "Writers": "OR('OrdererMSP.member')"}
    ordering = entry("OrdererMSP", {**member, "Admins": "OR('OrdererMSP.admin')"}, OrdererEndpoints=["localhost:7050"])
    consenter = {"Host": "localhost", "Port": 7050, "ClientTLSCert": "server.crt", "ServerTLSCert": "server.crt"}
    profile = {
        "Policies": meta(),
        "Capabilities": {"V3_0": True},
        "Orderer": {
            "OrdererType": "etcdraft",
            "BatchTimeout": "250ms",
            "BatchSize": {"MaxMessageCount": 7, "AbsoluteMaxBytes": 3_000_000, "PreferredMaxBytes": 1_000_000},
            "EtcdRaft": {"Consenters": [consenter]},
            "Organizations": [ordering],
            "Policies": meta(BlockValidation="ANY Writers"),
            "Capabilities": {"V2_0": True},
        },
        "Application": {
            "Organizations": peers,
            "Policies": meta(Endorsement="MAJORITY Endorsement", LifecycleEndorsement="MAJORITY Endorsement"),
            "Capabilities": {"V2_5": True},
        },
    }
    out = tmp_path / "theirs.block"
    configtxgen({"Profiles": {"P": profile}}, "-profile", "P", "-channelID", "fl", "-outputBlock", str(out))
    theirs = ChannelConfig.from_block(common_pb2.Block.FromString(out.read_bytes()))
    assert theirs.config == CONFIG.config


@pytest.mark.fabric
def test_configtxgen_reads_the_block(tmp_path, configtxgen):
    path = tmp_path / "genesis.block"
    path.write_bytes(BLOCK.SerializeToString())
    seen = json.loads(configtxgen({"Profiles": {}}, "-inspectBlock", str(path)))
    group = seen["data"]["data"][0]["payload"]["data"]["config"]["channel_group"]
    assert set(group["groups"]["Application"]["groups"]) == {"Org1MSP", "Org2MSP", "Org3MSP"}
    assert group["groups"]["Orderer"]["values"]["ConsensusType"]["value"]["type"] == "etcdraft"
