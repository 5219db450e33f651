"""Checking an export with nothing but itself, and the root certificates that its reader trusts."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fabric_fl.audit.archive import MANIFEST, Archive, read
from fabric_fl.audit.chain import Chain, ChainBroken
from fabric_fl.audit.derived import derived_ledger
from fabric_fl.audit.export import ABOUT, SCHEMA, root_certificates
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.replay import RoundReplay, replay
from fabric_fl.blobs import BlobCorruptError, BlobReader, BlobStore, BlobUnavailableError
from fabric_fl.ledger import FLLedger, LedgerRefused

_BLOB = re.compile("blobs/[0-9a-f]{64}")


@dataclass(frozen=True)
class Verification:
    """What checking an export gave.

    Attributes:
        about: The export's manifest.
        blocks: How many hold.
        transactions: How many were judged.
        rounds: Replayed; empty for an export without blobs.
        tip: The last block's hash, base64 as `peer channel getinfo` prints it: what no peer has is no such block.
        roots: SHA-256 of the root certificates that everything hangs on, by MSP id.
        findings: What does not hold, in the order of the file.
    """

    about: Mapping[str, Any]
    blocks: int = 0
    transactions: int = 0
    rounds: tuple[RoundReplay, ...] = ()
    tip: str = ""
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.findings and all(one.identical for one in self.rounds)


def verify(path: Path, roots: Sequence[x509.Certificate] = ()) -> Verification:
    """Checks a file that `export` wrote.

    Args:
        path: The file.
        roots: The root certificates that its reader has from elsewhere. Where none are given those in the channel's
            first block count, and whoever reads the answer compares their fingerprints.
    """
    archive = read(path)
    if archive.findings:
        return Verification(archive.about, findings=archive.findings)
    about = archive.about
    if about.get("schema") != SCHEMA:
        finding = Finding("file", None, f"its schema is {about.get('schema')!r}; known is {SCHEMA}", MANIFEST)
        return Verification(about, findings=(finding,))
    if {name: type(value) for name, value in about.items()} != ABOUT:
        return Verification(about, findings=(Finding("file", None, "it is no manifest of an export", MANIFEST),))
    chain = Chain(about["channel"], about["chaincode"])
    try:
        return _verify(archive, chain, roots)
    finally:
        chain.close()


def _verify(archive: Archive, chain: Chain, roots: Sequence[x509.Certificate]) -> Verification:
    about, blocks = archive.about, 0
    findings, names = _contents(archive), archive.names("blocks")
    try:
        for number, name in enumerate(names):
            findings += chain.add(number, archive.content(name))
            blocks += 1
    except ChainBroken as broken:
        return Verification(about, blocks, chain.transactions, findings=(*findings, broken.finding))
    if not blocks:
        return Verification(about, findings=tuple(findings))
    findings += _roots(archive, chain, roots)
    rounds: list[RoundReplay] = []
    if about["blobs"]:
        try:
            for one in _replayed(archive, derived_ledger(chain.ledger, about["chaincode"])):
                rounds.append(one)  # noqa: PERF402 -- what was replayed before an error counts
        except (LedgerRefused, BlobCorruptError, BlobUnavailableError) as error:
            findings.append(Finding("task", None, str(error)))
    return Verification(
        about=about,
        blocks=blocks,
        transactions=chain.transactions,
        rounds=tuple(rounds),
        tip=base64.b64encode(chain.tip).decode(),
        roots={
            msp_id: tuple(sorted(root.fingerprint(hashes.SHA256()).hex() for root in chain.roots[msp_id]))
            for msp_id in sorted(chain.roots)
        },
        findings=tuple(findings),
    )


def _contents(archive: Archive) -> list[Finding]:
    """Returns what belongs to no export, or is missing in this one."""
    findings, height = [], archive.about["height"]
    names = archive.names("blocks")
    if len(names) != height or names != [f"blocks/{number:08d}.block" for number in range(height)]:
        findings.append(Finding("file", None, f"there are {len(names)} blocks and {height} belong there", MANIFEST))
    if not names:
        findings.append(Finding("file", None, "without a first block nothing can be judged", MANIFEST))
    known = {*names, *archive.names("certificates"), *(one for one in archive.members if _BLOB.fullmatch(one))}
    findings += [
        Finding("file", None, "this is no part of an export", name) for name in archive.members if name not in known
    ]
    return findings


def _roots(archive: Archive, chain: Chain, trusted: Sequence[x509.Certificate]) -> list[Finding]:
    own, listed = root_certificates(chain.roots), archive.names("certificates")
    findings = [
        Finding("certificate", Path(name).stem, "these are not the channel's root certificates", name)
        for name in sorted({*own, *listed})
        if name not in own or name not in listed or archive.content(name) != own[name]
    ]
    if trusted:
        for msp_id in sorted(chain.roots):
            for root, block in chain.roots[msp_id].items():
                if root not in trusted:
                    message = "its root certificate is not among those that were given"
                    findings.append(Finding("certificate", msp_id, message, f"block {block}"))
    return findings


def _replayed(archive: Archive, ledger: FLLedger) -> Iterator[RoundReplay]:
    with tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        store = BlobStore(Path(folder) / "blobs")
        for name in filter(_BLOB.fullmatch, archive.members):
            store.put(archive.content(name), Path(name).name)
        yield from replay(ledger, BlobReader(store, {}), archive.about["task"], Path(folder) / "replay")
