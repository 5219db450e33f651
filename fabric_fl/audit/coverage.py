"""How far an export could be recomputed: the rounds of which it holds the blobs; of the others it is said why not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fabric_fl.aggregation import BlobError
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.outcome import RoundReplay, UncommittedRound
from fabric_fl.audit.replay import Replay
from fabric_fl.blobs import BlobCorruptError, BlobReader, BlobStoreError, BlobUnavailableError
from fabric_fl.errors import FabricFLError
from fabric_fl.ledger import FLLedger, LedgerFormatError, LedgerRefused
from fl_chaincode.records import COMMITTED

_LEFT_OUT = "its updates were left out, for who exported the task does not validate it"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UncheckedRound:
    """A committed round whose model nobody has recomputed here.

    Attributes:
        committed: Digest of the model on the ledger.
        why: What the export lacks.
        dissents: Who attested something else; whose result is right the export does not tell.
    """

    number: int
    j: int
    committed: str
    why: str
    dissents: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Recomputed:
    """What became of a task's rounds: each committed one is in `rounds` or `unchecked`."""

    rounds: tuple[RoundReplay, ...] = ()
    unchecked: tuple[UncheckedRound, ...] = ()
    uncommitted: tuple[UncommittedRound, ...] = ()
    findings: tuple[Finding, ...] = ()


def recompute(ledger: FLLedger, reader: BlobReader, about: Mapping[str, Any], directory: Path) -> Recomputed:
    """Recomputes the rounds of an export's task.

    That the exporter withheld a round is his word: such a round is recomputed where that can be done, and otherwise
    counts as unchecked, never as right.

    Args:
        ledger: What the export's blocks give.
        reader: The export's blobs.
        about: Its manifest.
        directory: Where recomputed models are written.

    Raises:
        BlobStoreError: There is no room for them.
    """
    task, withheld = about["task"], set(about.get("withheld", ()))
    findings: list[Finding] = []
    rounds: list[RoundReplay] = []
    unchecked: dict[int, UncheckedRound] = {}
    uncommitted: list[UncommittedRound] = []
    committed: list[tuple[int, int]] = []
    models: dict[int, str] = {}
    try:
        ledger.task(task)  # of one that is not there no rounds are listed either
        committed = [(one.number, one.j) for one in ledger.rounds(task) if one.status == COMMITTED]
        models |= {number: ledger.model(task, j).digest for number, j in committed}
        if about["blobs"]:
            replay = Replay(ledger, reader, task, directory)
            for one in replay.rounds():
                if isinstance(one, UncommittedRound):
                    uncommitted.append(one)
                elif one.number in withheld and one.recomputed is None:
                    wrong = [each for each in one.findings if each.what != "blob"]
                    findings += [replace(each, where=f"round {one.number}") for each in wrong]
                    unchecked[one.number] = UncheckedRound(one.number, one.j, one.committed, _LEFT_OUT, one.dissents)
                else:
                    rounds.append(one)
            findings += replay.left
    except (LedgerRefused, LedgerFormatError) as error:
        findings.append(Finding("task", None, str(error)))
    except (BlobCorruptError, BlobUnavailableError, BlobError) as error:
        findings.append(Finding("task", None, str(error)))
    except FabricFLError:
        raise  # what is this machine's fault is no finding
    except OSError as error:
        raise BlobStoreError(f"cannot write to {directory}: {error.strerror}") from error
    except Exception as error:  # noqa: BLE001 -- records that endorsers made up may be anything
        _log.info("the records of %s could not be judged", task, exc_info=True)
        findings.append(Finding("task", None, f"its records are no such records: {error!r}"))
    why = "what it starts from cannot be read" if about["blobs"] else "the file has no blobs"
    done = {one.number for one in rounds}
    rest = [
        unchecked.get(number) or UncheckedRound(number, j, models.get(number, ""), why)
        for number, j in committed
        if number not in done
    ]
    return Recomputed(tuple(rounds), tuple(rest), tuple(uncommitted), tuple(findings))
