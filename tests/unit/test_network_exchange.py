"""What organisations on machines of their own give each other, and what of it is refused."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fabric_protos.common import common_pb2, configtx_pb2

from fabric_fl.devnet.ca.authority import CertificateAuthority, certificate_pem, subject_name
from fabric_fl.fabric import protoutil
from fabric_fl.network import Consortium, ConsortiumError, ExchangeError, NetworkChangedError, up
from fabric_fl.network.consortium import Address
from fabric_fl.network.fabric import exchange
from fabric_fl.network.fabric.enrolment import enrolments
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.topology import Topology, local_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan, keep, settle

DEFAULT = Consortium.default(3)
CONSORTIUM = replace(
    DEFAULT,
    orderers=(),
    organisations=tuple(
        replace(one, orderers=(Address(f"node.{one.name}.example", 7050),)) for one in DEFAULT.organisations
    ),
)
TOPOLOGY = Topology.of(CONSORTIUM, {name: 20_000 + index for index, name in enumerate(local_ports(CONSORTIUM))})


def genesis(says, nonce=0):
    config = configtx_pb2.Config()
    for one in CONSORTIUM.organisations:
        if f"ID: {one.msp_id}" in says:
            config.channel_group.groups["Application"].groups[one.msp_id].mod_policy = "Admins"
    config.channel_group.mod_policy = "MAJORITY" if "MAJORITY Endorsement" in says else "ANY"
    header = common_pb2.ChannelHeader(type=common_pb2.CONFIG, channel_id="fl", tx_id=str(nonce))
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=header.SerializeToString()),
        data=configtx_pb2.ConfigEnvelope(config=config).SerializeToString(),
    )
    envelope = common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString()
    return protoutil.new_block(0, b"", [envelope]).SerializeToString()


class Tools:
    """Renders a configuration that says who takes part, as configtxgen does in many more words, with a nonce."""

    def __init__(self, nonce=0):
        self.nonce = nonce

    def run(self, _program, *arguments):
        path = arguments[arguments.index("-outputBlock") + 1]
        folder = arguments[arguments.index("-configPath") + 1]
        path.write_bytes(genesis((folder / "configtx.yaml").read_text(), self.nonce))

    def version(self):
        return 3, 1, 5


class Machine:
    """An organisation's, with its certificates made."""

    def __init__(self, root, name):
        self.plan = Plan("fabric", CONSORTIUM, here=(name,))
        self.layout = Layout.of(Home.at(root / name))
        self.name = name
        self.authority = CertificateAuthority.create(f"ca-{name}", name)
        self.tools = Tools(nonce=root.name + name)
        self.write(self.layout.ca_certificate(f"ca-{name}"), self.authority.certificate_pem)
        (self.layout.msp(name)).mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        certificate = self.authority.issue(key, subject_name(f"orderer0-{name}", ("orderer",)))
        self.write(self.layout.node(f"orderer0-{name}") / "tls" / "server.crt", certificate_pem(certificate))
        self.write(self.layout.node(f"orderer0-{name}") / "tls" / "server.key", b"PRIVATE KEY")

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def pack(self):
        return exchange.pack(self.plan, TOPOLOGY, self.layout)

    def unpack(self, content):
        return exchange.unpack(content, self.plan, TOPOLOGY, self.layout, self.tools)

    def lacking(self):
        return exchange.lacking(TOPOLOGY, self.layout)


@pytest.fixture
def machines(tmp_path):
    return [Machine(tmp_path, name) for name in ("org1", "org2", "org3")]


@pytest.fixture
def founded(machines):
    """All parts are with everybody, and the founder has made the first block."""
    for one in machines:
        for other in machines:
            one.unpack(other.pack())
    founder = machines[0]
    founder.layout.configtx.mkdir()
    exchange.make_genesis(founder.tools, CONSORTIUM, TOPOLOGY, founder.layout, founder.layout.genesis)
    return machines


def test_parts_hold_certificates_and_no_key_and_complete_each_other(machines):
    one, two, three = machines
    assert one.lacking() == ["org2", "org3"]
    assert b"PRIVATE KEY" not in one.pack()

    assert one.unpack(two.pack()) == ["org2"]
    assert one.unpack(two.pack()) == ["org2"], "the same again changes nothing"
    assert one.lacking() == ["org3"]
    one.unpack(three.pack())

    assert one.lacking() == []
    assert (one.layout.msp("org3") / "cacerts" / "ca.pem").read_bytes() == three.authority.certificate_pem
    assert not (one.layout.node("orderer0-org2") / "tls" / "server.key").exists()


def test_the_first_block_is_taken_when_it_founds_what_everybody_renders(founded):
    founder, other, _ = founded

    other.unpack(founder.pack())

    assert other.layout.genesis.read_bytes() == founder.layout.genesis.read_bytes()
    assert json.loads(other.pack())["genesis"] is None, "only the founder hands it on"


def test_a_first_block_with_another_configuration_is_refused(founded):
    founder, other, _ = founded
    founder.layout.genesis.write_bytes(genesis("ID: Org1MSP\nID: Org2MSP\nID: Org3MSP\nANY Endorsement"))

    with pytest.raises(ExchangeError, match=r"another configuration than consortium\.yaml and the parts here give"):
        other.unpack(founder.pack())

    assert not other.layout.genesis.exists()


def test_a_first_block_that_leaves_a_third_party_out_is_refused(founded):
    founder, other, _ = founded
    founder.layout.genesis.write_bytes(genesis("ID: Org1MSP\nID: Org2MSP\nMAJORITY Endorsement"))

    with pytest.raises(ExchangeError, match="another configuration"):
        other.unpack(founder.pack())


def test_a_first_block_cannot_be_checked_before_all_parts_are_there(machines, founded, tmp_path):
    late = Machine(tmp_path / "late", "org2")

    with pytest.raises(ExchangeError, match="before the parts of org3 are here"):
        late.unpack(founded[0].pack())


def test_a_second_first_block_is_refused(founded):
    founder, other, _ = founded
    other.unpack(founder.pack())
    founder.layout.genesis.write_bytes(genesis((founder.layout.configtx / "configtx.yaml").read_text(), nonce="again"))

    with pytest.raises(ExchangeError, match="another first block is here already"):
        other.unpack(founder.pack())


def change(content, act):
    document = json.loads(content)
    act(document)
    return json.dumps(document).encode()


def another_root(document):
    document["parts"][0]["root"] = CertificateAuthority.create("ca-org2", "org2").certificate_pem.decode()


def a_leaf_as_root(document):
    document["parts"][0]["root"] = document["parts"][0]["orderers"]["orderer0-org2"]


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff", b"null"])
def test_what_is_no_such_file_is_refused(machines, content):
    with pytest.raises(ExchangeError, match="nothing that `network share` writes"):
        machines[0].unpack(content)


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (lambda d: d.update(schema=2), "schema 2"),
        (lambda d: d.update(more=1), "fields that this version does not know"),
        (lambda d: d["parts"][0].update(key="x"), "fields that this version does not know"),
        (lambda d: d.update(parts=7), "nothing that `network share` writes"),
        (lambda d: d["parts"][0].update(root=7), "nothing that `network share` writes"),
        (lambda d: d["parts"][0].update(orderers=[]), "nothing that `network share` writes"),
        (lambda d: d.update(genesis="%"), "nothing that `network share` writes"),
        (lambda d: d.update(consortium="0"), "made with another consortium.yaml"),
        (lambda d: d["parts"][0].update(organisation="org9"), "holds org9, which does not stand in consortium.yaml"),
        (lambda d: d["parts"][0].update(msp_id="Org9MSP"), "another MSP id or other orderers"),
        (lambda d: d["parts"][0].update(orderers={}), "another MSP id or other orderers"),
        (lambda d: d["parts"][0].update(root="x"), "org2's root is no certificate"),
        (lambda d: d.update(genesis=base64.b64encode(b"x").decode()), "before the parts of org3 are here"),
        (another_root, "orderer0-org2 is not issued by its organisation"),
        (a_leaf_as_root, "not the certificate of an authority"),
    ],
)
def test_what_does_not_fit_is_refused(machines, act, complaint):
    one, two, _ = machines

    with pytest.raises(ExchangeError, match=complaint):
        one.unpack(change(two.pack(), act))


def test_another_certificate_than_the_one_that_is_here_is_refused(machines, tmp_path):
    one, two, _ = machines
    one.unpack(two.pack())

    with pytest.raises(ExchangeError, match="another certificate of org2 is here already"):
        one.unpack(Machine(tmp_path / "impostor", "org2").pack())


def test_who_runs_everything_has_nobody_to_share_with(machines):
    with pytest.raises(ExchangeError, match="runs every organisation here"):
        exchange.pack(Plan("fabric", CONSORTIUM), TOPOLOGY, machines[0].layout)


def test_a_part_runs_and_enrols_its_own_organisation_alone(tmp_path):
    part = TOPOLOGY.part(["org2"])

    assert [one.name for one in (*part.authorities, *part.peers, *part.orderers)] == [
        "ca-org2",
        "peer0-org2",
        "orderer0-org2",
    ]
    wanted = enrolments(part.authorities[0], part, Home.at(tmp_path))
    assert [(one.enrollment_id, one.role) for one in wanted] == [
        ("orderer0-org2", "orderer"),
        ("peer0-org2", "peer"),
        ("admin", "admin"),
        ("client", "client"),
    ]


def test_where_each_runs_its_own_others_may_come_and_go(tmp_path):
    home = Home.at(tmp_path)
    asked = Plan("fabric", CONSORTIUM, here=("org1",))
    keep(home, asked, settle(home, asked))
    fewer = replace(asked, consortium=replace(CONSORTIUM, organisations=CONSORTIUM.organisations[:2]))

    assert settle(home, fewer) == fewer
    keep(home, fewer, fewer)
    assert settle(home, asked) == asked

    moved = tuple(replace(one, ca=Address("elsewhere", 1)) for one in CONSORTIUM.organisations)
    without_itself = replace(asked, consortium=replace(CONSORTIUM, organisations=CONSORTIUM.organisations[1:]))
    for other in (replace(asked, consortium=replace(CONSORTIUM, organisations=moved)), without_itself):
        with pytest.raises(NetworkChangedError):
            settle(home, other)


@pytest.mark.parametrize(
    ("consortium", "here", "complaint"),
    [
        (CONSORTIUM, ("org9",), "--org org9 names none of org1, org2, org3"),
        (CONSORTIUM, ("orderer",), "--org orderer names none of"),
        (
            replace(DEFAULT, orderers=(Address("localhost", 0),)),
            ("org1",),
            r"orderers\[0\] is localhost:0: other machines must know every port",
        ),
    ],
)
def test_a_part_needs_a_name_and_ports_that_the_others_know(tmp_path, consortium, here, complaint):
    with pytest.raises(ConsortiumError, match=complaint):
        up(consortium, home=tmp_path, engine="devnet", here=here)
