"""What the demo shows: a live table while it runs, and at its end what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class RoundLine:
    """One round as the ledger tells it, and its model's accuracy on the common test set."""

    number: int
    selected: tuple[str, ...]
    status: str
    digest: str | None = None
    attested_by: tuple[str, ...] = ()
    accuracy: float | None = None


@dataclass
class Story:
    """Everything that is shown, and written to report.json."""

    engine: str
    rounds: list[RoundLine] = field(default_factory=list)
    alone: dict[str, float] = field(default_factory=dict)
    federated: float | None = None
    scores: dict[str, list[int]] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    replay: dict[str, Any] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None

    def report(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "rounds": [
                {
                    "number": line.number,
                    "selected": list(line.selected),
                    "status": line.status,
                    "digest": line.digest,
                    "attested_by": list(line.attested_by),
                    "accuracy": line.accuracy,
                }
                for line in self.rounds
            ],
            "alone": self.alone,
            "federated": self.federated,
            "scores": self.scores,
            "balances": self.balances,
            "ledger": self.ledger,
            "replay": self.replay,
            "seconds": self.seconds,
        }


def table(story: Story, hint: str = "") -> Table:
    """Returns the table of rounds as it stands."""
    shown = Table(title="rounds", caption=hint, caption_justify="left", title_justify="left")
    for heading in ("round", "selected", "status", "committed model", "attested by", "accuracy"):
        shown.add_column(heading)
    for line in story.rounds:
        shown.add_row(
            str(line.number),
            ", ".join(line.selected),
            line.status,
            line.digest[:12] if line.digest else "",
            ", ".join(line.attested_by),
            percent(line.accuracy),
        )
    return shown


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def ending(console: Console, story: Story) -> None:
    """Prints accuracy alone against federated, scores, balances and the replay."""
    accuracy = Table(title="accuracy on patients whom nobody trained on", title_justify="left")
    accuracy.add_column("model")
    accuracy.add_column("accuracy")
    for organisation, value in sorted(story.alone.items()):
        accuracy.add_row(f"{organisation} alone", percent(value))
    accuracy.add_row("federated", percent(story.federated), style="bold")
    console.print(accuracy)

    pay = Table(title="contributions, scored by the others and paid by the ledger", title_justify="left")
    for heading in ("organisation", "scores by round (millionths of loss)", "balance"):
        pay.add_column(heading)
    for organisation, balance in sorted(story.balances.items()):
        scores = " ".join(str(score) for score in story.scores.get(organisation, []))
        pay.add_row(organisation, scores, f"{balance:,}")
    console.print(pay)

    digests = Table(title="committed models, as `sha256sum` of their files", title_justify="left")
    for heading in ("round", "digest"):
        digests.add_column(heading)
    for line in story.rounds:
        if line.digest:
            digests.add_row(str(line.number), line.digest)
    console.print(digests)
    console.print("on the ledger: " + ", ".join(f"{count} {name}" for name, count in story.ledger.items()))

    same = story.replay.get("identical")
    console.print(
        f"replay: {story.replay.get('rounds')} rounds recomputed from ledger and blobs alone by another process: "
        + ("every digest identical" if same else "[bold red]DIGESTS DIFFER[/]")
    )
    console.print(
        "what validators can see: updates are plain in this task, so the validators it names (here all three "
        "hospitals) can read each other's updates, though never a patient. Secure aggregation will hide them."
    )
