"""Changes of a channel's configuration: what an update holds, and that applying it gives what was wanted."""

import pytest
from config_updates import TREES, Group, applied
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2
from hypothesis import given

from fabric_fl.network import NetworkError
from fabric_fl.network.fabric import configchange
from fabric_fl.network.fabric.configupdate import config_of, update


def delta_of(envelope):
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    assert (header.type, header.channel_id) == (common_pb2.CONFIG_UPDATE, "fl")
    outer = configtx_pb2.ConfigUpdateEnvelope.FromString(payload.data)
    assert not outer.signatures
    return configtx_pb2.ConfigUpdate.FromString(outer.config_update)


def without_versions(group):
    copy = Group(mod_policy=group.mod_policy)
    for name, value in group.values.items():
        copy.values[name].CopyFrom(value)
        copy.values[name].version = 0
    for name, policy in group.policies.items():
        copy.policies[name].CopyFrom(policy)
        copy.policies[name].version = 0
    for name, inner in group.groups.items():
        copy.groups[name].CopyFrom(without_versions(inner))
    return copy


@given(TREES, TREES)
def test_an_update_turns_any_configuration_into_any_other(before, after):
    old, new = configtx_pb2.Config(channel_group=before), configtx_pb2.Config(channel_group=after)
    if without_versions(before) == without_versions(after):
        with pytest.raises(NetworkError, match="says so already"):
            update("fl", old, new)
        return

    delta = delta_of(update("fl", old, new))

    result = applied(before, delta.read_set, delta.write_set)
    assert without_versions(result) == without_versions(after)


@pytest.fixture
def config():
    """Two members, of whom the first also orders."""
    found = configtx_pb2.Config()
    member = msp_config_pb2.FabricMSPConfig(name="Org1MSP", root_certs=[b"root"], revocation_list=[b"old"])
    value = msp_config_pb2.MSPConfig(config=member.SerializeToString()).SerializeToString()
    for kind, name in (("Application", "Org1MSP"), ("Application", "Org2MSP"), ("Orderer", "Org1MSP")):
        found.channel_group.groups[kind].groups[name].values["MSP"].value = value
    consenters = [configuration_pb2.Consenter(host=host, port=7050, server_tls_cert=b"1") for host in ("a", "b")]
    metadata = configuration_pb2.ConfigMetadata(consenters=consenters).SerializeToString()
    consensus = orderer_pb2.ConsensusType(type="etcdraft", metadata=metadata).SerializeToString()
    found.channel_group.groups["Orderer"].values["ConsensusType"].value = consensus
    return found


def members(config, kind="Application"):
    return config.channel_group.groups[kind].groups


def msp(group):
    outer = msp_config_pb2.MSPConfig.FromString(group.values["MSP"].value)
    return msp_config_pb2.FabricMSPConfig.FromString(outer.config)


def test_a_revocation_list_takes_the_place_of_the_one_before_wherever_the_organisation_stands(config):
    after = configchange.changed(config, configchange.revoke("Org1MSP", b"new"))

    for kind in ("Application", "Orderer"):
        assert list(msp(members(after, kind)["Org1MSP"]).revocation_list) == [b"new"]
        assert list(msp(members(after, kind)["Org1MSP"]).root_certs) == [b"root"]
    assert list(msp(members(after)["Org2MSP"]).revocation_list) == [b"old"]
    assert list(msp(members(config)["Org1MSP"]).revocation_list) == [b"old"], "what was given stays as it is"


def test_a_member_comes_and_goes(config):
    described = configtx_pb2.Config()
    described.channel_group.groups["Application"].groups["Org3MSP"].mod_policy = "Admins"

    more = configchange.changed(config, configchange.admit("Org3MSP", described))
    fewer = configchange.changed(more, configchange.dismiss("Org3MSP"))

    assert set(members(more)) == {"Org1MSP", "Org2MSP", "Org3MSP"}
    assert fewer == config


def test_who_orders_neither_comes_nor_goes_in_one_step(config):
    with pytest.raises(NetworkError, match="Org1MSP runs orderers"):
        configchange.changed(config, configchange.dismiss("Org1MSP"))
    with pytest.raises(NetworkError, match="Org1MSP is to run orderers"):
        configchange.changed(configtx_pb2.Config(), configchange.admit("Org1MSP", config))


def test_an_orderers_new_certificate_stands_where_the_old_one_stood(config):
    after = configchange.changed(config, configchange.renew_orderer("b", 7050, b"2"))

    consensus = orderer_pb2.ConsensusType.FromString(
        after.channel_group.groups["Orderer"].values["ConsensusType"].value
    )
    found = configuration_pb2.ConfigMetadata.FromString(consensus.metadata).consenters
    assert [(one.host, one.client_tls_cert, one.server_tls_cert) for one in found] == [
        ("a", b"", b"1"),
        ("b", b"2", b"2"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        configchange.revoke("Org9MSP", b""),
        configchange.dismiss("Org9MSP"),
        configchange.renew_orderer("b", 1, b""),
    ],
)
def test_who_is_not_there_cannot_be_changed(config, change):
    with pytest.raises(NetworkError, match=r"Org9MSP is no member|no orderer of the channel listens on b:1"):
        configchange.changed(config, change)


@pytest.mark.parametrize("block", [b"", b"\xff", common_pb2.Block(data=common_pb2.BlockData(data=[b"\xff"]))])
def test_a_block_without_configuration_is_refused(block):
    with pytest.raises(NetworkError, match="configuration"):
        config_of(block if isinstance(block, bytes) else block.SerializeToString())
