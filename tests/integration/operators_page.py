"""The commands of docs/operations.md, by the heading under which they stand and the company that runs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_BLOCK = re.compile(r"^```sh\n# (.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SENT = re.compile(r"^# send (\S+) to (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Commands.

    Attributes:
        who: The companies that run them.
        script: As it stands on the page.
        sent: What each sends afterwards, and to whom.
    """

    who: tuple[str, ...]
    script: str
    sent: tuple[tuple[str, tuple[str, ...]], ...]


def blocks(heading: str, everybody: tuple[str, ...]) -> list[Block]:
    """Returns the blocks under a heading that say by their first line who runs them, in order."""
    text = PAGE.read_text()
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", _without_comments(text), re.MULTILINE | re.DOTALL)
    assert section, heading
    start, end = section.span(1)
    found = []
    for who, script in _BLOCK.findall(text[start:end]):
        sent = tuple((file, _companies(to, everybody)) for file, to in _SENT.findall(script))
        found.append(Block(_companies(who.partition(", ")[0] if "every" in who else who, everybody), script, sent))
    return found


def example() -> str:
    """Returns the consortium.yaml that the page shows."""
    (found,) = re.findall(r"^```yaml\n(schema: 1\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def _companies(text: str, everybody: tuple[str, ...]) -> tuple[str, ...]:
    return everybody if text in ("every company", "the others") else tuple(text.split(", "))


def _without_comments(text: str) -> str:
    """Returns the page with its comments in blocks made no headings; every character stays where it is."""
    return re.sub(
        r"^```\w*$.*?^```$", lambda found: found.group().replace("#", "*"), text, flags=re.MULTILINE | re.DOTALL
    )
