"""What studies declare and people write into a store: everything beside artefacts that is not made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

WRITTEN = ("studies", "locks", "claims", "retired", "grades", "reviews", "imports", "tuning")
"""Folders of a store."""
THEIRS = ".theirs"
"""Ending of a file that was changed in two places: what the other place had."""


def written(root: Path) -> Iterator[Path]:
    """The files below these folders, relative to the store; hidden ones and those kept of another place are left out."""
    for folder in WRITTEN:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(THEIRS):
                yield path.relative_to(root)
