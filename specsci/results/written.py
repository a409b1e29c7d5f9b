"""What people wrote about a study, a file each: read back as the objects that were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from specsci.errors import StoreError

Written = TypeVar("Written")


def read_one(path: Path, kind: type[Written], what: str) -> Written:
    """One object.

    Raises:
        StoreError: the file cannot be read as one.
    """
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"the {what} cannot be read", where=str(path), mend="restore the file from a copy") from error


def read_all(folder: Path, kind: type[Written], what: str) -> list[Written]:
    """Every object of a folder, by file name; raises StoreError as `read_one` does."""
    return [read_one(path, kind, what) for path in sorted(folder.glob("*.json"))]
