"""A program in a container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Container:
    """How a program runs where the network runs in Docker.

    Attributes:
        image: With its tag.
        command: What runs in it; empty for what the image runs by itself.
        reads: What it sees of the network's directory, relative to it.
        writes: The directories in there that it may write.
        alive: A command that ends with 0 while the program serves.
        build: The directory of the image's Dockerfile; None for an image that is pulled.
    """

    image: str
    command: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    alive: tuple[str, ...]
    build: Path | None = None
