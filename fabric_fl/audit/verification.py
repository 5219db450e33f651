"""Checking an export with nothing but itself, and the root certificates that its reader trusts."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509

from fabric_fl.audit.archive import MANIFEST, Archive, read
from fabric_fl.audit.chain import Chain, ChainBroken
from fabric_fl.audit.coverage import Recomputed, UncheckedRound, recompute
from fabric_fl.audit.derived import derived_ledger
from fabric_fl.audit.export import ABOUT, SCHEMA
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.outcome import RoundReplay, UncommittedRound
from fabric_fl.audit.roots import compared, fingerprint, root_certificates
from fabric_fl.blobs import BlobCorruptError, BlobReader, BlobStore, BlobStoreError
from fabric_fl.ledger import FLLedger

_BLOB = re.compile("blobs/[0-9a-f]{64}")
_ABOUT = {1: {name: kind for name, kind in ABOUT.items() if name != "withheld"}, SCHEMA: ABOUT}


@dataclass(frozen=True)
class Verification:
    """What checking an export gave.

    Attributes:
        about: The export's manifest.
        blocks: How many hold.
        transactions: How many were judged.
        rounds: Replayed.
        unchecked: The other committed rounds; all of them for an export without blobs.
        uncommitted: Aborted and unfinished rounds; none for an export without blobs.
        tip: The last block's hash, base64 as `peer channel getinfo` prints it: what no peer has is no such block.
        roots: SHA-256 of the root certificates that everything hangs on, by MSP id.
        findings: What does not hold, in the order of the file.
    """

    about: Mapping[str, Any]
    blocks: int = 0
    transactions: int = 0
    rounds: tuple[RoundReplay, ...] = ()
    unchecked: tuple[UncheckedRound, ...] = ()
    uncommitted: tuple[UncommittedRound, ...] = ()
    tip: str = ""
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def holds(self) -> bool:
        """Tells whether everything holds that was checked; `unchecked` is what was not."""
        wrong = self.findings or any(one.findings for one in self.uncommitted)
        return not wrong and all(one.identical for one in self.rounds)


def verify(path: Path, roots: Sequence[x509.Certificate] | None = None) -> Verification:
    """Checks a file that `export` wrote.

    Args:
        path: The file.
        roots: The root certificates that its reader has from elsewhere, and no others; an empty list trusts nobody.
            Where None is given those of the channel's configurations count, and whoever reads the answer compares their
            fingerprints.

    Raises:
        BlobStoreError: There is no room for its blobs.
    """
    archive = read(path)
    if archive.findings:
        return Verification(archive.about, findings=archive.findings)
    about = archive.about
    expected = _ABOUT.get(about["schema"]) if type(about.get("schema")) is int else None
    if expected is None:
        finding = Finding("file", None, f"its schema is {about.get('schema')!r}; known are 1 to {SCHEMA}", MANIFEST)
        return Verification(about, findings=(finding,))
    if {name: type(value) for name, value in about.items()} != expected or not _listed(about):
        return Verification(about, findings=(Finding("file", None, "it is no manifest of an export", MANIFEST),))
    chain = Chain(about["channel"], about["chaincode"])
    try:
        return _verify(archive, chain, roots)
    finally:
        chain.close()


def _listed(about: Mapping[str, Any]) -> bool:
    """Tells whether what a manifest lists is of the right kind: numbers of rounds, and digests."""
    numbers, digests = about.get("withheld", ()), about["missing"]
    return all(type(one) is int for one in numbers) and all(isinstance(one, str) for one in digests)


def _verify(archive: Archive, chain: Chain, roots: Sequence[x509.Certificate] | None) -> Verification:
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
    done = _recomputed(archive, derived_ledger(chain.ledger, about["chaincode"]))
    return Verification(
        about=about,
        blocks=blocks,
        transactions=chain.transactions,
        rounds=done.rounds,
        unchecked=done.unchecked,
        uncommitted=done.uncommitted,
        tip=base64.b64encode(chain.tip).decode(),
        roots={msp_id: tuple(sorted(map(fingerprint, chain.roots[msp_id]))) for msp_id in sorted(chain.roots)},
        findings=(*findings, *done.findings),
    )


def _contents(archive: Archive) -> list[Finding]:
    """Returns what belongs to no export, or is missing in this one."""
    findings, height = [], archive.about["height"]
    names = archive.names("blocks")
    if len(names) != height or names != [f"blocks/{number:08d}.block" for number in range(height)]:
        findings.append(Finding("file", None, f"there are {len(names)} blocks and {height} belong there", MANIFEST))
    if not names:
        findings.append(Finding("file", None, "without a first block nothing can be judged", MANIFEST))
    blobs = {one for one in archive.members if _BLOB.fullmatch(one)} if archive.about["blobs"] else set()
    known = {*names, *archive.names("certificates"), *blobs}
    findings += [
        Finding("file", None, "this is no part of an export", name) for name in archive.members if name not in known
    ]
    return findings


def _roots(archive: Archive, chain: Chain, trusted: Sequence[x509.Certificate] | None) -> list[Finding]:
    own, listed = root_certificates(chain.roots), archive.names("certificates")
    findings = [
        Finding("certificate", Path(name).stem, "these are not the channel's root certificates", name)
        for name in sorted({*own, *listed})
        if name not in own or name not in listed or archive.content(name) != own[name]
    ]
    return findings if trusted is None else [*findings, *compared(chain.roots, trusted)]


def _recomputed(archive: Archive, ledger: FLLedger) -> Recomputed:
    with tempfile.TemporaryDirectory(prefix="fabric-fl-audit-") as folder:
        store, findings = BlobStore(Path(folder) / "blobs"), []
        for name in filter(_BLOB.fullmatch, archive.members):
            extracted = Path(folder) / Path(name).name
            try:
                archive.extract(name, extracted)
                store.put(extracted, extracted.name)
            except BlobCorruptError:
                findings.append(Finding("task", None, "the bytes under this name have another digest", name))
            except OSError as error:
                raise BlobStoreError(f"cannot unpack {name}: {error.strerror}") from error
            extracted.unlink()
        done = recompute(ledger, BlobReader(store, {}), archive.about, Path(folder) / "replay")
    return replace(done, findings=(*findings, *done.findings))
