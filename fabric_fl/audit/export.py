"""Writing all that an audit needs into one file."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fabric_fl.aggregation import BlobFile
from fabric_fl.audit import archive
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.configtx import is_configuration
from fabric_fl.gateway.network import Network
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fl_chaincode.records import COMMITTED, Task

SCHEMA = 1
ABOUT = {"blobs": bool, "chaincode": str, "channel": str, "height": int, "missing": list, "schema": int, "task": str}
"""What a manifest says besides the files."""


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes:
        missing: Digests of blobs that no store had any more.
    """

    blocks: int
    blobs: int
    missing: tuple[str, ...]


def export(network: Network, chaincode: str, task_id: str, path: Path, reader: BlobReader | None = None) -> Exported:
    """Writes a task's export: every block of its channel, the organisations' root certificates, and its blobs.

    Args:
        network: The channel; its peer's blocks are exported.
        chaincode: The contract's name.
        task_id: The task.
        path: The file.
        reader: Where blobs are fetched; None where the exporter may not read them, who then exports none.

    Raises:
        LedgerRefused: There is no such task.
        GatewayError: The peer's blocks could not be read.
    """
    ledger = FLLedger.on(network, chaincode)
    task = ledger.task(task_id)
    height = network.height()  # before the blobs, so that none of a round that is committed meanwhile is lacking
    blobs: dict[str, BlobFile] = {}
    missing: tuple[str, ...] = ()
    if reader is not None:
        blobs, missing = _blobs(ledger, reader, task)
    roots: dict[str, set[x509.Certificate]] = {}
    about = {
        "blobs": reader is not None,
        "chaincode": chaincode,
        "channel": network.name,
        "height": height,
        "missing": list(missing),
        "schema": SCHEMA,
        "task": task_id,
    }
    with tempfile.TemporaryDirectory(prefix="fabric-fl-export-") as folder:  # a chain may not fit into memory
        files: dict[str, bytes | Path] = {}
        with network.block_events(start_block=0) as blocks:
            for block in blocks:
                number = block.header.number
                if is_configuration(block):
                    for msp_id, msp in ChannelConfig.from_block(block).msps.msps.items():
                        roots.setdefault(msp_id, set()).update(msp.root_certs)
                stored = Path(folder) / f"{number:08d}.block"
                stored.write_bytes(block.SerializeToString())
                files[f"blocks/{stored.name}"] = stored
                if number == height - 1:
                    break
        files |= root_certificates(roots)
        files |= {f"blobs/{digest}": file.path for digest, file in blobs.items()}
        archive.write(path, about, files)
    return Exported(height, len(blobs), missing)


def root_certificates(roots: Mapping[str, Collection[x509.Certificate]]) -> dict[str, bytes]:
    """Each organisation's root certificates, PEM, as the archive's members that hold them.

    They are those of every configuration that the channel has had, for blocks are judged by the one of their time.
    """
    return {
        f"certificates/{msp_id}.pem": b"".join(sorted(each.public_bytes(Encoding.PEM) for each in roots[msp_id]))
        for msp_id in sorted(roots)
    }


def _blobs(ledger: FLLedger, reader: BlobReader, task: Task) -> tuple[dict[str, BlobFile], tuple[str, ...]]:
    """The initial model and every update that counted; where one is missing, what the round committed, too."""
    found: dict[str, BlobFile] = {}
    missing: list[str] = []
    models = CommittedModels(ledger, reader, task, patience=0)
    initial = models.weights(0)
    found[initial.digest] = initial
    for round_ in ledger.rounds(task.id):
        if round_.status != COMMITTED:
            continue
        record = models.record(round_.j)
        complete = True
        for update, reveal in ledger.updates(task.id, round_.number):
            if reveal is None or update.participant not in {*record.included, *record.refused}:
                continue
            if record.refused.get(update.participant) == "FL-BLOB-SIZE":
                continue  # nobody ever read it
            try:
                sources = models.sources([update.participant, *record.attested_by])
                path = reader.fetch(reveal.digest, reveal.size, sources)
                found[reveal.digest] = BlobFile(path, reveal.digest, reveal.size)
            except BlobUnavailableError:
                missing.append(reveal.digest)
                complete = False
        if not complete:
            try:
                files = models.files(round_.j)
            except BlobUnavailableError:
                missing.append(record.digest)
                continue
            found |= {file.digest: file for file in (files.model, files.state) if file is not None}
    return dict(sorted(found.items())), tuple(sorted(missing))
