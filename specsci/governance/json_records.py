"""What people wrote about a study, a file each: read back, at this one place, as the typed objects that were written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from specsci.core.errors import StoreError
from specsci.core.files import write_json
from specsci.core.user_files import unhidden
from specsci.store.record import SEAL, sealed

FORMAT = 1
Written = TypeVar("Written")


def write_one(path: Path, value: Any) -> None:
    """Keep a frozen dataclass under a file's name, with the format's version and a seal; raises StoreError where it cannot be written."""
    write_json(path, sealed({"format": FORMAT, **asdict(value)}))


def read_one(path: Path, kind: type[Written], what: str) -> Written:
    """One object.

    Raises:
        StoreError: the file cannot be read as one, was edited, or another version of specsci wrote it.
    """
    try:
        raw = path.read_bytes()
        data = from_json(raw)
        if isinstance(data, dict) and SEAL in data and sealed(data) != data:
            raise StoreError(f"the {what} was edited", where=str(path), hint="restore the file from a copy")
        version = data.get("format", FORMAT) if isinstance(data, dict) else FORMAT
        if version != FORMAT:
            said = f"the {what} is of format {version}; this version of specsci reads format {FORMAT}"
            raise StoreError(said, where=str(path), hint="use the version of specsci that wrote it")
        return TypeAdapter(kind).validate_json(raw, strict=True)
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the {what} cannot be read ({_reason(error)})", where=str(path), hint="restore the file from a copy"
        ) from error


def read_all(folder: Path, kind: type[Written], what: str) -> list[Written]:
    """Every object of a folder that can be read, by file name; the others are named by `damaged`."""
    out = []
    for path in unhidden(folder, "*.json"):
        try:
            out.append(read_one(path, kind, what))
        except StoreError:
            continue  # named by `damaged`, which every build and every check of the store asks
    return out


def damaged(folder: Path, kind: type[Written], what: str) -> list[StoreError]:
    """What is said of the files of a folder that cannot be read."""
    out = []
    for path in unhidden(folder, "*.json"):
        try:
            read_one(path, kind, what)
        except StoreError as error:
            out.append(error)
    return out


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
