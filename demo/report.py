"""What the demo leaves behind: report.json, and a plot of accuracy by round."""

from __future__ import annotations

import json
from pathlib import Path

from demo.show import Story


def write(story: Story, folder: Path) -> tuple[Path, Path]:
    """Writes both files and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    report, plot = folder / "report.json", folder / "accuracy.png"
    report.write_text(json.dumps(story.report(), indent=2) + "\n")

    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    committed = [line for line in story.rounds if line.accuracy is not None]
    axes.plot([line.number for line in committed], [line.accuracy for line in committed], "o-", label="federated")
    for (organisation, accuracy), style in zip(sorted(story.alone.items()), ("--", ":", "-."), strict=False):
        axes.axhline(accuracy, linestyle=style, color="grey", label=f"{organisation} alone")
    axes.set_xlabel("round")
    axes.set_ylabel("accuracy on the common test set")
    axes.set_title("Three hospitals, one committed model")
    figure.legend(loc="outside right upper")
    figure.savefig(plot, dpi=120)
    plt.close(figure)
    return report, plot
