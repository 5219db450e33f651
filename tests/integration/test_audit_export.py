"""A task's export: checked on its own, and every changed byte of it found."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cryptography import x509
from devnet_tasks import ORGANISATIONS, Tasks, three_organisations
from fabric_protos.common import common_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from faults import forged
from soaking import times
from waiting import wait_for

from fabric_fl.audit import archive, export, verify
from fabric_fl.audit.chain import Chain
from fabric_fl.audit.derived import SnapshotState
from fabric_fl.audit.execution import unexplained
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.ledger.rwset import TxRWSet
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.fabric.protoutil import (
    COMMIT_HASH,
    SIGNATURES,
    TRANSACTIONS_FILTER,
    unpack_envelope,
    unpack_transaction,
)
from fabric_fl.gateway import Network

FLIPS = times(60, 3000)
RESEALED = times(12, 300)


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as running:
        running.create("task-1", rounds=2, k=2, min_updates=1)
        running.finish("task-1")
        yield running


@pytest.fixture(scope="module")
def exported(tasks: Tasks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "task-1.tar"
    with tasks.network.gateway("org2") as gateway:
        done = export(gateway.network(tasks.network.channel), "fl", "task-1", path, reader_of(tasks, "Org2MSP"))
    assert done.missing == ()
    assert done.blobs == 5  # the initial model, and two updates of each round
    return path


def reader_of(tasks: Tasks, msp_id: str) -> BlobReader:
    settings = ConnectionProfile.load(tasks.folder(msp_id)).participant
    others = {other: BlobStore(url) for other, url in settings.stores.items() if other != msp_id}
    return BlobReader(BlobStore(settings.store), others)


def contents(path: Path) -> dict[str, bytes]:
    read = archive.read(path)
    return {name: read.content(name) for name in read.members}


def resealed(source: Path, target: Path, name: str, content: bytes) -> Path:
    """A file as somebody makes it who changes a member and writes a new manifest."""
    archive.write(target, archive.read(source).about, contents(source) | {name: content})
    return target


def test_an_export_holds_and_gives_the_committed_models(exported: Path, tasks: Tasks) -> None:
    found = verify(exported)
    assert found.findings == ()
    assert [one.recomputed for one in found.rounds] == tasks.digests("task-1")[1:]
    assert found.holds
    assert found.blocks == archive.read(exported).about["height"]
    assert found.transactions >= found.blocks


def test_exports_at_one_height_are_equal_whoever_makes_them(exported: Path, tasks: Tasks, tmp_path: Path) -> None:
    with tasks.network.gateway("org3") as gateway:
        network = gateway.network(tasks.network.channel)
        export(network, "fl", "task-1", tmp_path / "b.tar", reader_of(tasks, "Org3MSP"))
    assert (tmp_path / "b.tar").read_bytes() == exported.read_bytes()


class Busy:
    """A channel on which another round is committed whenever somebody has asked for its height."""

    def __init__(self, network: Network, newest: Callable[[], int]) -> None:
        self._network = network
        self._newest = newest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _wait(self) -> None:
        before = self._newest()
        wait_for(lambda: self._newest() > before, 30)

    def height(self) -> int:
        self._wait()
        height = self._network.height()
        self._wait()
        return height


def test_an_export_of_a_task_that_goes_on_meanwhile_holds(tasks: Tasks, tmp_path: Path) -> None:
    tasks.create("busy", rounds=8, k=2, min_updates=1, scoring={"rule": "none", "cap_percent": 200})
    ledger = tasks.ledgers["Org2MSP"]
    with tasks.network.gateway("org2") as gateway, tasks.running("busy", *ORGANISATIONS):
        network = Busy(gateway.network(tasks.network.channel), lambda: ledger.latest_model("busy").j)
        export(network, "fl", "busy", tmp_path / "busy.tar", reader_of(tasks, "Org2MSP"))
    found = verify(tmp_path / "busy.tar")
    assert found.findings == ()
    assert found.holds, [one.findings for one in found.rounds]
    assert 1 <= len(found.rounds) < 8


def test_an_export_shows_what_was_aborted_and_who_was_outvoted(tasks: Tasks, tmp_path: Path) -> None:
    trained = ["Org1MSP", "Org2MSP"]
    tasks.create("outvoted", trainers=trained, k=2, min_updates=1, scoring={"rule": "none", "cap_percent": 200})
    for msp_id in trained:
        tasks.ledgers[msp_id].vote("outvoted", 1, "abort", tasks.ledgers[msp_id].round("outvoted", 1).attempt)
    tasks.ledgers["Org1MSP"].abort("outvoted", 1)
    with tasks.running("outvoted", *trained):
        pass
    true = tasks.ledgers["Org1MSP"].attestation("outvoted", 2, "Org1MSP").attestation
    own = ("task", "round", "organisation", "schema")
    fields = {name: value for name, value in true.to_json().items() if name not in own} | {"openings": []}
    base = tasks.ledgers["Org1MSP"].round("outvoted", 2).base
    tasks.ledgers["Org3MSP"].attest("outvoted", 2, forged({**fields, "base": base}, "outvoted", 2, model="f" * 64))

    file = tmp_path / "outvoted.tar"
    with tasks.network.gateway("org2") as gateway:
        export(gateway.network(tasks.network.channel), "fl", "outvoted", file, reader_of(tasks, "Org2MSP"))
    found = verify(file)

    assert found.holds
    assert [(one.number, one.status, one.findings) for one in found.uncommitted] == [(1, "aborted", ())]
    (committed,) = found.rounds
    assert [(one.organisation, one.where) for one in committed.dissents] == [
        ("Org3MSP", "round 2, attempt 1, version 1")
    ]
    assert "model" in committed.dissents[0].message


def test_an_export_without_blobs_holds_as_far_as_it_goes(tasks: Tasks, tmp_path: Path) -> None:
    with tasks.network.gateway("org1") as gateway:
        export(gateway.network(tasks.network.channel), "fl", "task-1", tmp_path / "bare.tar")
    found = verify(tmp_path / "bare.tar")
    assert found.holds
    assert found.rounds == ()
    assert [one.number for one in found.unchecked] == [1, 2]
    assert not archive.read(tmp_path / "bare.tar").names("blobs")


def test_the_given_roots_decide(exported: Path, tasks: Tasks) -> None:
    read = archive.read(exported)
    roots = {name: x509.load_pem_x509_certificate(read.content(name)) for name in read.names("certificates")}
    assert len(roots) == len(ORGANISATIONS) + 1  # the orderer's
    assert verify(exported, list(roots.values())).holds
    del roots["certificates/Org1MSP.pem"]
    found = verify(exported, list(roots.values()))
    assert [(finding.what, finding.organisation) for finding in found.findings] == [("certificate", "Org1MSP")]
    found = verify(exported, [])  # trusts nobody, which is not the same as to give none
    assert len(found.findings) == len(ORGANISATIONS) + 1


def test_verifying_loads_no_tensorflow_and_needs_no_network_and_no_other_process(exported: Path) -> None:
    program = """
import sys
from pathlib import Path
from fabric_fl.audit import verify
def refuse(event, _):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn")): raise OSError(event)
sys.addaudithook(refuse)
print(verify(Path(sys.argv[1])).holds)
print([name for name in sys.modules if name.startswith(("tensorflow", "fabric_fl.devnet", "fabric_fl.network"))])
"""
    command = [sys.executable, "-c", program, str(exported)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["True", "[]"]


class Region(NamedTuple):
    """Where a part of the archive is, as tar says, and what a finding in it is about."""

    start: int
    end: int
    found_at: int
    name: str


def regions(path: Path) -> list[Region]:
    """Returns the parts of a file by the standard library's reader; together they are all of it."""
    found: list[Region] = []
    with tarfile.open(path) as opened:
        for member in opened:
            start, end = member.offset_data, member.offset_data + member.size
            padded = end + -member.size % 512
            # the manifest and its digest vouch for each other
            content = 512 if member.name.startswith("manifest.") else start
            found += [
                Region(member.offset, start, member.offset, member.name),
                Region(start, end, content, "manifest.json" if content == 512 else member.name),
                Region(end, padded, end, member.name),
            ]
    found.append(Region(found[-1].end, path.stat().st_size, found[-1].end, "end"))
    return [region for region in found if region.start < region.end]


@pytest.mark.soak
def test_any_flipped_byte_is_found_and_located(exported: Path, tmp_path: Path, record_property) -> None:
    good, path = bytearray(exported.read_bytes()), tmp_path / "flipped.tar"
    parts, random = regions(exported), np.random.default_rng(0)
    assert [one.end for one in parts[:-1]] == [one.start for one in parts[1:]]
    assert (parts[0].start, parts[-1].end) == (0, len(good))
    chosen = {at for one in parts[:6] for at in (one.start, one.end - 1)} | {len(good) - 1}
    chosen |= {int(at) for at in random.integers(0, len(good), FLIPS)}
    for index in random.integers(0, len(parts), FLIPS):
        chosen |= {parts[index].start, int(random.integers(parts[index].start, parts[index].end)), parts[index].end - 1}
    record_property("count", len(chosen))
    path.write_bytes(good)
    for at in sorted(chosen):
        (region,) = [one for one in parts if one.start <= at < one.end]
        flip(path, at, flipped := good[at] ^ (1 << int(random.integers(8))))
        assert flipped != good[at]
        (finding,) = archive.read(path).findings
        assert finding.where == f"byte {region.found_at}", (at, region, finding)
        assert region.name in finding.message, (at, region, finding)
        assert not verify(path).holds
        flip(path, at, good[at])
    assert archive.read(path).findings == ()


def flip(path: Path, at: int, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([byte]))


def test_a_cut_or_longer_file_is_found(exported: Path, tmp_path: Path) -> None:
    good, path = exported.read_bytes(), tmp_path / "cut.tar"
    for content in (good[:-1], good + b"\0", good[: len(good) // 2], good[:100], b""):
        path.write_bytes(content)
        assert not verify(path).holds


@pytest.mark.soak
def test_a_byte_of_a_block_is_found_though_the_manifest_was_written_anew(
    exported: Path, tmp_path: Path, record_property
) -> None:
    record_property("count", RESEALED)
    random = np.random.default_rng(1)
    blocks = archive.read(exported).names("blocks")
    for name in random.choice(blocks[1:], RESEALED):
        content = bytearray(archive.read(exported).content(str(name)))
        at = int(random.integers(len(content)))
        content[at] ^= 1 << int(random.integers(8))
        found = verify(resealed(exported, tmp_path / "changed.tar", str(name), bytes(content)))
        assert not found.holds, (name, at)
        number = int(Path(str(name)).stem)
        # what a header commits to shows at the block after it, which names it
        assert found.findings[0].where.split(",")[0] in (f"block {number}", f"block {number + 1}"), (name, at)


def parsed(path: Path, number: int) -> common_pb2.Block:
    return common_pb2.Block.FromString(archive.read(path).content(f"blocks/{number:08d}.block"))


@pytest.mark.parametrize("slot", [SIGNATURES, TRANSACTIONS_FILTER, COMMIT_HASH])
def test_what_a_peer_or_an_orderer_adds_to_a_block_is_checked(exported: Path, tmp_path: Path, slot: int) -> None:
    block = parsed(exported, 4)
    metadata = bytearray(block.metadata.metadata[slot])
    metadata[-1] ^= 1
    block.metadata.metadata[slot] = bytes(metadata)
    name = "blocks/00000004.block"
    found = verify(resealed(exported, tmp_path / "changed.tar", name, block.SerializeToString()))
    kinds = {SIGNATURES: "orderer", TRANSACTIONS_FILTER: "flags", COMMIT_HASH: "state"}
    assert found.findings[0].what == kinds[slot]
    assert found.findings[0].where.startswith("block 4")


Judge = Callable[[TxRWSet], str | None]


def writing_calls(path: Path) -> Iterator[tuple[TxRWSet, kv_rwset_pb2.KVRWSet, Judge]]:
    """Yields what each valid call that writes read and wrote, its part of the contract's, and how that is judged."""
    read = archive.read(path)
    with closing(Chain(read.about["channel"], "fl")) as chain:
        for number, name in enumerate(read.names("blocks")):
            block = common_pb2.Block.FromString(read.content(name))
            envelope = unpack_envelope(block.data.data[0])
            if envelope.channel_header.type == common_pb2.ENDORSER_TRANSACTION:
                call = unpack_transaction(envelope.payload.data)
                rwset = TxRWSet.parse(call.chaincode_action.results)
                own = [part.kv for part in rwset.namespaces if part.namespace == "fl" and part.kv.writes]
                if own and block.metadata.metadata[TRANSACTIONS_FILTER] == b"\0":
                    creator, args = envelope.signature_header.creator, list(call.spec.input.args)
                    with chain.ledger.snapshot() as snapshot:

                        def judge(given: TxRWSet, snapshot=snapshot, creator=creator, args=args) -> str | None:
                            return unexplained(SnapshotState(snapshot, "fl"), "fl", creator, args, given)

                        assert judge(rwset) is None
                        yield rwset, own[0], judge
            assert chain.add(number, read.content(name)) == []


def test_what_endorsers_sign_together_and_the_contract_does_not_write_is_named(exported: Path) -> None:
    judged = 0
    for rwset, own, judge in writing_calls(exported):
        own.writes[0].value += b" "
        found = judge(rwset)
        assert found is not None
        assert own.writes[0].key in found or found.startswith("the contract refuses"), found
        judged += 1
    assert judged > 10


def test_each_read_that_endorsers_leave_out_together_is_named(exported: Path) -> None:
    """What a peer compares with the rest of the block are the recorded reads and no others."""
    judged = 0
    for rwset, own, judge in writing_calls(exported):
        for read in list(own.reads):
            own.reads.remove(read)
            assert judge(rwset).endswith(f"was signed without what the contract reads for it: {read.key}")
            own.reads.append(read)
            judged += 1
    assert judged > 50


def test_other_bytes_under_a_blobs_name_are_not_taken_for_it(exported: Path, tmp_path: Path) -> None:
    name = archive.read(exported).names("blobs")[0]
    found = verify(resealed(exported, tmp_path / "changed.tar", name, b"something else"))
    assert not found.holds
    assert any(Path(name).name in str(finding) for finding in found.findings)


def test_the_commands_export_verify_and_replay(tasks: Tasks, tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> dict:
        command = [Path(sys.executable).parent / "fabric-fl", "audit", *arguments, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout or "{}")

    profile = ("--profile", str(tasks.folder("Org1MSP")))
    file, model = tmp_path / "task-1.tar", tmp_path / "rebuilt.safetensors"
    assert run("task-1", *profile)["identical"]
    run("export", "task-1", str(tmp_path / "no" / "task-1.tar"), *profile, code=1)
    assert run("export", "task-1", str(file), *profile)["blobs"] == 5
    assert run("verify", str(file))["holds"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert not run("verify", str(file), code=1)["holds"]
    rebuilt = run("replay", "task-1", "--without", "Org2MSP", "--output", str(model), *profile)
    digest = subprocess.run(["sha256sum", model], capture_output=True, text=True, check=True).stdout.split()[0]
    assert rebuilt["rounds"][-1]["rebuilt"] == digest
    assert all("Org2MSP" not in one["included"] for one in rebuilt["rounds"])
