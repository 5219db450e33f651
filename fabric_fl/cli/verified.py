"""How `fabric-fl audit verify` says what it has found, and no more than that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fabric_fl.audit import Finding, Verification

Row = tuple[object, object, object, object]


def verified_rows(found: Verification, *, compare: bool) -> Iterator[Row]:
    """Yields the lines of the table, the verdict last. What a file says in them cannot steer a terminal.

    Args:
        found: What checking gave.
        compare: Whether the reader has still to compare the root certificates, because he gave none.
    """
    for row in _rows(found):
        yield tuple(_shown(cell) if isinstance(cell, str) else cell for cell in row)  # type: ignore[misc]
    yield _verdict(found), f"{found.blocks} blocks", f"{found.transactions} tx", _extent(found, compare)


def verified_value(found: Verification) -> dict[str, Any]:
    """Returns the same for programs."""
    return {
        "holds": found.holds,
        "recomputed": bool(found.tip) and not found.unchecked,
        "about": dict(found.about),
        "blocks": found.blocks,
        "transactions": found.transactions,
        "tip": found.tip,
        "roots": {msp_id: list(digests) for msp_id, digests in found.roots.items()},
        "findings": [dataclasses.asdict(finding) for finding in found.findings],
        "rounds": [{**dataclasses.asdict(one), "identical": one.identical} for one in found.rounds],
        "unchecked": [dataclasses.asdict(one) for one in found.unchecked],
        "uncommitted": [dataclasses.asdict(one) for one in found.uncommitted],
    }


def numbered(rounds: Sequence[int]) -> str:
    return f"round{'s' if len(rounds) > 1 else ''} {', '.join(map(str, rounds))}"


def _rows(found: Verification) -> Iterator[Row]:
    for finding in found.findings:
        yield "finding", finding.where, finding.organisation, finding.message
    for one in found.rounds:
        yield f"round {one.number}", str(one.committed)[:16], "", one.told
        yield from map(_beside, one.beside)
    for unchecked in found.unchecked:
        yield f"round {unchecked.number}", str(unchecked.committed)[:16], "", f"not recomputed: {unchecked.why}"
        yield from map(_beside, unchecked.dissents)
    for other in found.uncommitted:
        yield f"round {other.number}", "", "", other.told
        yield from map(_beside, other.beside)
    if found.tip:
        for digest in found.about["missing"]:
            yield "missing", digest[:16], "", "no store had this blob when the file was made"
        yield "last block", found.blocks - 1, "", found.tip
    for msp_id, digests in found.roots.items():
        for digest in digests:
            yield "root", "", msp_id, digest


def _beside(finding: Finding) -> Row:
    """The line of what somebody said in a round beside what was committed."""
    return finding.what, finding.where, finding.organisation, finding.message


def _shown(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _verdict(found: Verification) -> str:
    if not found.holds:
        return "DOES NOT HOLD"
    return "the chain holds" if found.unchecked else "holds"


def _extent(found: Verification, compare: bool) -> str:
    """What the verdict is about, and what it leaves to the reader."""
    count = len(found.rounds) + len(found.unchecked)
    if not found.tip or not (found.holds or count):  # it was not judged to its end
        return ""
    said = [f"{len(found.rounds)} of {count} committed rounds were recomputed" if count else "no round was committed"]
    if compare:
        said.append("compare the roots above with those that you know")
    return "; ".join(said)
