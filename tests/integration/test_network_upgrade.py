"""The contract upgraded by `network up` while a task runs: the same on devnet as on Fabric's own programs."""

from __future__ import annotations

import json

import pytest
from fabric_programs import needs_fabric
from fabric_protos.peer.lifecycle import lifecycle_pb2
from task_processes import Network, finish, running_network, undisturbed

from fabric_fl import audit
from fabric_fl import network as networks
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.network import Consortium, devnet
from fabric_fl.network.fabric import engine as fabric
from fabric_fl.network.home import Home
from fabric_fl.network.supervision import Supervisor


@pytest.fixture(params=["devnet", pytest.param("fabric", marks=needs_fabric)])
def network(request, tmp_path):
    with running_network(tmp_path / "network", Consortium.default(3).on_free_ports(), request.param) as started:
        yield started


def test_an_upgrade_in_the_middle_of_a_task_loses_nothing_and_goes_on_when_it_is_interrupted(
    network, tmp_path, monkeypatch, record_property
):
    plan = networks.status(network.home).plan
    network.create_task("upgraded")
    processes = [network.start(index, "upgraded") for index in range(3)]
    network.wait_until_submitted("upgraded")
    before = pids(network)

    monkeypatch.setattr(devnet, "rules_digest", lambda: "of other rules")
    monkeypatch.setattr(fabric, "rules_digest", lambda: "of other rules")
    with monkeypatch.context() as interruption:
        # on Fabric the definition is committed by then, and no process serves it
        interruption.setattr(Supervisor, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            networks.up(plan.consortium, home=network.home, engine=plan.engine)
    networks.up(plan.consortium, home=network.home, engine=plan.engine)

    restarted = {name for name, pid in pids(network).items() if pid != before[name]}
    assert restarted - {"devnet"} == {"fl-org1", "fl-org2", "fl-org3"}
    printed = finish(processes)
    committed = network.digests("upgraded")
    record_property("digests", json.dumps(committed))
    assert printed == {committed[-1]}
    assert committed == undisturbed("upgraded", tmp_path / "memory")
    assert sequence(network) == 2
    with connect(network.folders[0]) as gateway:
        settings = ConnectionProfile.load(network.folders[0]).participant
        reader = BlobReader(BlobStore(settings.store), {one: BlobStore(url) for one, url in settings.stores.items()})
        audit.export(gateway.network("fl"), "fl", "upgraded", tmp_path / "upgraded.tar", reader)
    found = audit.verify(tmp_path / "upgraded.tar")
    assert found.findings == ()
    assert [one.recomputed for one in found.rounds] == committed[1:]

    networks.up(plan.consortium, home=network.home, engine=plan.engine)
    assert sequence(network) == 2, "a second up changes nothing"


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def pids(network: Network) -> dict[str, int]:
    return {one.name: one.pid for one in Supervisor(Home.at(network.home)).processes()}


def sequence(network: Network) -> int:
    """Returns the sequence of the committed definition, as every organisation's peer has it."""
    found = set()
    for folder in network.folders:
        with connect(folder) as gateway:
            argument = lifecycle_pb2.QueryChaincodeDefinitionArgs(name="fl").SerializeToString()
            answer = gateway.network("fl").contract("_lifecycle").evaluate("QueryChaincodeDefinition", argument)
        found.add(lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(answer).sequence)
    (only,) = found
    return only
