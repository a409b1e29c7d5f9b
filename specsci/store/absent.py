"""Files of a whole artefact that are not here: removed to free space, or kept elsewhere and fetched when they are needed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from specsci.core.files import write_json

FILE = "absent.json"
REMOVED: Literal["removed"] = "removed"
REMOTE: Literal["remote"] = "remote"


@dataclass(frozen=True)
class Absent:
    """Names of an artefact's files that are not here, and why."""

    why: str
    files: frozenset[str]


HERE = Absent("", frozenset())


def absent(folder: Path) -> Absent:
    """What an artefact's folder lacks on purpose; nothing where it says nothing that can be read."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Absent(str(found["why"]), frozenset(map(str, found["files"])))
    except (OSError, ValueError, KeyError, TypeError):
        return HERE


def mark(folder: Path, why: str, files: Iterable[str]) -> None:
    """Say that files of an artefact are not here on purpose; said before they are taken away."""
    write_json(folder / FILE, {"why": why, "files": sorted(files)})
