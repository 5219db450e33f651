import copy
import json

import pytest
import yaml

from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.profile import ConnectionProfile, ParticipantFile, ProfileError

ORG = Organization.create("org1", "Org1MSP")
ROOTS = ORG.tls_ca.certificate_pem.decode()
PROFILE = {
    "name": "fl-org1",
    "version": "1.0.0",
    "client": {"organization": "org1", "connection": {"timeout": {"peer": {"endorser": "300"}}}},
    "organizations": {
        "org1": {"mspid": "Org1MSP", "peers": ["peer0.org1"], "certificateAuthorities": ["ca.org1"]},
        "org2": {"mspid": "Org2MSP", "peers": ["peer0.org2"]},
    },
    "peers": {
        "peer0.org1": {
            "url": "grpcs://localhost:7051",
            "tlsCACerts": {"path": "tls/ca.pem"},
            "grpcOptions": {"ssl-target-name-override": "peer0.org1"},
        },
        "peer0.org2": {"url": "grpcs://localhost:8051", "tlsCACerts": {"pem": ROOTS}},
    },
    "orderers": {"orderer": {"url": "grpcs://localhost:7050", "tlsCACerts": {"pem": ROOTS}}},
    "certificateAuthorities": {
        "ca.org1": {
            "url": "https://localhost:7054",
            "caName": "ca-org1",
            "tlsCACerts": {"pem": [ROOTS]},
            "registrar": {"enrollId": "admin", "enrollSecret": "adminpw"},
        }
    },
}
PARTICIPANT = {
    "schema": 1,
    "msp_id": "Org1MSP",
    "channel": "fl",
    "chaincode": "fl",
    "private": "private",
    "store": "blobs",
    "stores": {"Org2MSP": "../org2/blobs", "Org3MSP": "s3://bucket/org3"},
}


@pytest.fixture
def folder(tmp_path):
    org = tmp_path / "org1"
    (org / "tls").mkdir(parents=True)
    (org / "tls/ca.pem").write_text(ROOTS)
    (org / "connection.json").write_text(json.dumps(PROFILE))
    (org / "participant.json").write_text(json.dumps(PARTICIPANT))
    ORG.write_msp(org / "msp", ORG.client)
    ORG.write_msp(org / "admin/msp", ORG.admin)
    return org


def changed(folder, change):
    profile = copy.deepcopy(PROFILE)
    change(profile)
    (folder / "connection.json").write_text(json.dumps(profile))
    return folder


def test_a_folder_and_its_file_say_the_same(folder):
    profile = ConnectionProfile.load(folder)
    assert profile == ConnectionProfile.load(str(folder / "connection.json"))
    assert (profile.msp_id, profile.msp_ids) == ("Org1MSP", ("Org1MSP", "Org2MSP"))
    assert [peer.name for peer in profile.peers] == ["peer0.org1"]
    assert (profile.peer.address, profile.peer.server_name) == ("localhost:7051", "peer0.org1")
    assert profile.peer.tls_ca_certs.decode() == ROOTS
    assert (profile.orderers[0].address, profile.orderers[0].server_name) == ("localhost:7050", None)
    assert (profile.authority.url, profile.authority.ca_name) == ("https://localhost:7054", "ca-org1")
    assert profile.authority.registrar == ("admin", "adminpw")


def test_yaml_reads_like_json(folder):
    expected = ConnectionProfile.load(folder)
    (folder / "connection.json").unlink()
    (folder / "connection.yaml").write_text(yaml.safe_dump(PROFILE))
    read = ConnectionProfile.load(folder)
    assert (read.peers, read.orderers, read.authorities) == (expected.peers, expected.orderers, expected.authorities)


def test_the_folder_holds_identities_and_the_participants_settings(folder):
    profile = ConnectionProfile.load(folder)
    assert (profile.identity, profile.admin) == (ORG.client, ORG.admin)
    assert profile.participant.private == folder / "private"
    assert profile.participant.store == str(folder / "blobs")
    assert dict(profile.participant.stores) == {
        "Org2MSP": str(folder.parent / "org2/blobs"),
        "Org3MSP": "s3://bucket/org3",
    }


def test_secrets_and_certificates_stay_out_of_the_repr(folder):
    shown = repr(ConnectionProfile.load(folder))
    assert "adminpw" not in shown
    assert "BEGIN" not in shown


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda p: p.pop("client"), "the file: 'client' is missing"),
        (lambda p: p.update(client=[]), r"'client' should be an object, and is \[\]"),
        (lambda p: p["client"].update(organization="org9"), "client.organization is 'org9'"),
        (lambda p: p["organizations"]["org1"].pop("mspid"), "organizations.org1: 'mspid' is missing"),
        (lambda p: p["organizations"]["org1"].update(mspid=7), "'mspid' should be a text, and is 7"),
        (lambda p: p["organizations"]["org1"].update(mspid=""), "'mspid' is empty"),
        (lambda p: p["organizations"]["org1"].update(peers="peer0.org1"), "'peers' should be a list"),
        (lambda p: p["organizations"]["org1"].update(peers=["x"]), "names 'x', which 'peers' does not describe"),
        (lambda p: p["peers"]["peer0.org1"].update(url="http://localhost:7051"), "should be grpcs://host:port"),
        (lambda p: p["peers"]["peer0.org1"].update(url="grpcs://localhost"), "should be grpcs://host:port"),
        (lambda p: p["peers"]["peer0.org1"].update(url="grpcs://localhost:99999"), "should be grpcs://host:port"),
        (lambda p: p["peers"]["peer0.org1"].pop("tlsCACerts"), "'tlsCACerts' is missing"),
        (lambda p: p["peers"]["peer0.org1"].update(tlsCACerts={"path": "nowhere.pem"}), "nowhere.pem"),
        (lambda p: p["peers"]["peer0.org1"].update(tlsCACerts={"pem": "x"}), "holds no certificate in PEM"),
        (lambda p: p["certificateAuthorities"]["ca.org1"].update(url="ftp://x"), "should be https://host:port"),
        (lambda p: p["certificateAuthorities"]["ca.org1"].update(registrar="admin"), "'registrar' should be"),
        (lambda p: p["certificateAuthorities"]["ca.org1"].pop("tlsCACerts"), "'tlsCACerts' is missing"),
    ],
)
def test_a_complaint_names_file_and_place(folder, change, complaint):
    with pytest.raises(ProfileError, match=complaint) as caught:
        ConnectionProfile.load(changed(folder, change))
    assert str(folder / "connection.json") in caught.value.message
    assert caught.value.code == "FL-PROFILE"
    assert caught.value.remedy


def test_a_plain_connection_has_no_roots_and_an_ipv6_address_keeps_its_brackets(folder):
    def plain(profile):
        profile["peers"]["peer0.org1"] = {"url": "grpc://[::1]:7051"}
        profile["certificateAuthorities"]["ca.org1"] = {"url": "http://localhost:7054"}

    profile = ConnectionProfile.load(changed(folder, plain))
    assert (profile.peer.address, profile.peer.tls_ca_certs) == ("[::1]:7051", None)
    assert (profile.authority.tls_ca_certs, profile.authority.registrar) == (None, None)


def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(ProfileError, match=r"holds no connection\.json"):
        ConnectionProfile.load(tmp_path)
    with pytest.raises(ProfileError, match="No such file"):
        ConnectionProfile.load(tmp_path / "connection.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ProfileError, match="expected an object, found list"):
        ConnectionProfile.load(tmp_path / "list.json")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ProfileError, match=r"bad\.yaml"):
        ConnectionProfile.load(tmp_path / "bad.yaml")

    def bare(profile):
        profile["organizations"]["org1"] = {"mspid": "Org1MSP"}

    profile = ConnectionProfile.load(changed(folder, bare))
    with pytest.raises(ProfileError, match="Org1MSP has no peer"):
        _ = profile.peer
    with pytest.raises(ProfileError, match="has no certificate authority"):
        _ = profile.authority


def test_a_missing_identity_says_what_to_do(folder):
    (folder / "msp/keystore/priv_sk").unlink()
    with pytest.raises(ProfileError, match="holds no key for the certificate") as caught:
        _ = ConnectionProfile.load(folder).identity
    assert caught.value.code == "FL-IDENTITY"
    assert "Enrol" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 2}, "schema 2 is not known"),
        ({"schema": True}, "schema True is not known"),
        ({"surplus": 1}, "unknown field 'surplus'"),
        ({"msp_id": None}, "'msp_id' should be a text"),
        ({"stores": []}, "'stores' should be an object"),
        ({"stores": {"Org2MSP": 1}}, "stores: 'Org2MSP' should be a text"),
        ({"msp_id": "Org2MSP"}, "is of Org2MSP, and connection.json of Org1MSP"),
    ],
)
def test_participant_json_is_read_strictly(folder, change, complaint):
    (folder / "participant.json").write_text(json.dumps({**PARTICIPANT, **change}))
    with pytest.raises(ProfileError, match=complaint):
        _ = ConnectionProfile.load(folder).participant


def test_participant_json_lacks_nothing(folder):
    for key in PARTICIPANT:
        (folder / "participant.json").write_text(
            json.dumps({name: value for name, value in PARTICIPANT.items() if name != key})
        )
        with pytest.raises(
            ProfileError, match="schema None is not known" if key == "schema" else f"'{key}' is missing"
        ):
            ParticipantFile.load(folder / "participant.json")
