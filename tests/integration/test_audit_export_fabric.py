"""An export made from Hyperledger Fabric's own programs holds, and a changed one does not."""

from __future__ import annotations

from pathlib import Path

from fabric_programs import needs_fabric
from fabric_protos.common import common_pb2
from task_processes import finish, running_network

from fabric_fl.audit import archive, export, verify
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.network.consortium import Consortium

pytestmark = needs_fabric


def test_an_export_from_fabric_holds_block_by_block(tmp_path: Path, record_property) -> None:
    with running_network(tmp_path / "network", Consortium.default(3).on_free_ports(), "fabric") as network:
        network.create_task("audited")
        finish([network.start(index, "audited") for index in range(3)])
        settings = ConnectionProfile.load(network.folders[0]).participant
        stores = {msp_id: BlobStore(url) for msp_id, url in settings.stores.items()}
        with connect(network.folders[0]) as gateway:
            reader = BlobReader(BlobStore(settings.store), stores)
            export(gateway.network("fl"), "fl", "audited", tmp_path / "audited.tar", reader)
        committed = network.digests("audited")

    found = verify(tmp_path / "audited.tar")
    record_property("blocks", found.blocks)
    assert found.findings == ()
    assert [one.recomputed for one in found.rounds] == committed[1:]
    assert found.holds

    read = archive.read(tmp_path / "audited.tar")
    files = {name: read.content(name) for name in read.members}
    name = read.names("blocks")[-2]
    block = common_pb2.Block.FromString(files[name])
    block.data.data[0] = block.data.data[0][:-1] + bytes([block.data.data[0][-1] ^ 1])
    archive.write(tmp_path / "changed.tar", read.about, files | {name: block.SerializeToString()})
    assert verify(tmp_path / "changed.tar").findings[0].where == f"block {int(Path(name).stem)}"
