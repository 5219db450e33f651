"""Writing all that an audit needs into one file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from fabric_fl.audit import archive
from fabric_fl.audit.collecting import Blobs, collect, validated
from fabric_fl.audit.roots import root_certificates
from fabric_fl.blobs import BlobReader
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.configtx import is_configuration
from fabric_fl.gateway.network import Network
from fabric_fl.ledger import FLLedger

SCHEMA = 2
ABOUT = {
    "blobs": bool,
    "chaincode": str,
    "channel": str,
    "height": int,
    "missing": list,
    "schema": int,
    "task": str,
    "withheld": list,
}
"""What a manifest says besides the files; one of schema 1 nothing of what was withheld."""


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes:
        missing: Digests of blobs that no store had any more.
        withheld: Numbers of the committed rounds whose updates its exporter does not validate.
        without: Why it holds no blobs at all; empty where it does.
    """

    blocks: int
    blobs: int
    missing: tuple[str, ...]
    withheld: tuple[int, ...]
    without: str


def export(
    network: Network,
    chaincode: str,
    task_id: str,
    path: Path,
    reader: BlobReader | None = None,
    organisation: str | None = None,
) -> Exported:
    """Writes a task's export: every block of its channel, the organisations' root certificates, and its blobs.

    Args:
        network: The channel; its peer's blocks are exported.
        chaincode: The contract's name.
        task_id: The task.
        path: The file.
        reader: Where blobs are fetched; None for an export without.
        organisation: MSP id of who exports: updates go into it of those rounds alone that it validates. None for who
            may read everything.

    Raises:
        LedgerRefused: There is no such task.
        GatewayError: The peer's blocks could not be read.
        FabricFLError: There are too many (FL-AUDIT-EXPORT-SIZE).
    """
    ledger = FLLedger.on(network, chaincode)
    task = ledger.task(task_id)
    height = network.height()  # before the blobs, so that none of a round that is committed meanwhile is lacking
    blobs, without = Blobs({}, (), ()), "nobody asked for them"
    if reader is not None:
        without = ""
        if validated(ledger.rounds(task_id), organisation):
            blobs = collect(ledger, reader, task, organisation)
        else:
            without = f"they are for validators, and {organisation} validates no round of {task_id}"
    roots: dict[str, set[x509.Certificate]] = {}
    about = {
        "blobs": not without,
        "chaincode": chaincode,
        "channel": network.name,
        "height": height,
        "missing": list(blobs.missing),
        "schema": SCHEMA,
        "task": task_id,
        "withheld": list(blobs.withheld),
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
        files |= {f"blobs/{digest}": file.path for digest, file in blobs.files.items()}
        archive.write(path, about, files)
    return Exported(height, len(blobs.files), blobs.missing, blobs.withheld, without)
