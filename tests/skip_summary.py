"""A pytest plugin: a line for each kind of skip."""

from collections import Counter


def pytest_terminal_summary(terminalreporter):
    """Says in a line for each kind of skip what was left out and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")
