"""`record.json` of an artefact: read here, and here alone checked against its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from specsci.core.errors import CorruptArtifact, StoreError
from specsci.core.ids import digest
from specsci.core.kinds import KINDS
from specsci.core.record import FORMAT, Record

RECORD = "record.json"
SEAL = "seal"
"""Key of the digest of all else that a record says."""
MADE_ANEW = "run the study again: the artefact is quarantined and made anew"


def holds(kind: str) -> str:
    """The file that an artefact of a kind holds in any case: what the database takes from it; empty where it takes none."""
    found = KINDS.get(kind)
    return found.rows.file if found is not None and found.rows is not None else ""


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the digest of all that it says."""
    return {**record, SEAL: _seal(json.loads(json.dumps(record)))}


def _seal(record: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in record.items() if k != SEAL and k != "files"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def load_record(folder: Path) -> Record:
    """The record of the artefact in `steps/KIND/DIGEST`.

    Raises:
        CorruptArtifact: it cannot be read, is none, or is that of another step.
        StoreError: a later version of specsci wrote it.
    """
    path, name = folder / RECORD, folder.name
    try:
        data = from_json(path.read_bytes())
        if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
            raise StoreError("a later version of specsci wrote this record", where=str(path), hint="use that version")
        record = Record.of(data)
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise CorruptArtifact(
            f"the artefact has no readable record ({_reason(error)})", digest=name, where=str(folder), hint=MADE_ANEW
        ) from error
    if record.digest != name or record.kind != folder.parent.name:
        raise CorruptArtifact(
            f"the folder of {folder.parent.name} {name} holds {record.kind} {record.digest}",
            digest=name,
            where=str(folder),
            hint=MADE_ANEW,
        )
    return record


def read_record(folder: Path) -> Record | None:
    """An artefact's record; None if there is none, or it is damaged or another step's."""
    try:
        return load_record(folder)
    except CorruptArtifact:
        return None


def check_record(record: Record, folder: Path) -> None:
    """Hold a record against itself: its digest, its seal where it has one, and the file that its kind always has.

    Raises:
        CorruptArtifact: it was edited, or names no files.
    """
    kind, name = record.kind, record.digest
    wrong = ""
    if record.identity.kind != kind or _digest_of(record.plain()["identity"]) != name:
        wrong = "what its record says of its identity has another digest"
    elif record.seal is not None and record.seal != _seal(record.plain()):
        wrong = "its record was edited"
    elif holds(kind) not in {"", *record.files} or not record.files:
        wrong = f"its record names no '{holds(kind)}'" if holds(kind) else "its record names no files"
    if wrong:
        raise CorruptArtifact(f"{kind} {name}: {wrong}", digest=name, where=str(folder / RECORD), hint=MADE_ANEW)


def _digest_of(identity: dict[str, Any]) -> str:
    try:
        return digest(identity)
    except (TypeError, ValueError):
        return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
