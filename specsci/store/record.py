"""`record.json` of an artefact: read here, and here alone checked against its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import from_json

from specsci.core.errors import CorruptArtifact, StoreError
from specsci.core.ids import digest
from specsci.core.kinds import KINDS

RECORD, FORMAT = "record.json", 1
SEAL = "seal"
"""Key of the digest of all else that a record says."""
MADE_ANEW = "run the study again: the artefact is quarantined and made anew"


def holds(kind: str) -> str:
    """The file that an artefact of a kind holds in any case: what the database takes from it; empty where it takes none."""
    found = KINDS.get(kind)
    return found.rows.file if found is not None and found.rows is not None else ""


class FileFacts(BaseModel):
    """Size and SHA-256 of a file."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    bytes: int = Field(ge=0)
    sha256: str


class Identity(BaseModel):
    """What a step's digest is over."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    kind: str = ""
    params: dict[str, Any] = {}
    inputs: dict[str, str] = {}


class Record(BaseModel):
    """What an artefact says of itself; further keys are facts of its run."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    format: int = FORMAT
    kind: str
    digest: str
    label: str = ""
    identity: Identity
    files: dict[str, FileFacts]
    busy_s: float | None = None
    access: str = "public"

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        for name in files:
            if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"'{name}' is not a file of the artefact")
        return files


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the digest of all that it says."""
    return {**record, SEAL: _seal(json.loads(json.dumps(record)))}


def _seal(record: Mapping[str, Any]) -> str:
    text = json.dumps({k: v for k, v in record.items() if k != SEAL and k != "files"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def load_record(folder: Path) -> dict[str, Any]:
    """The record of the artefact in `steps/KIND/DIGEST`, as plain data that has the form of `Record`.

    Raises:
        CorruptArtifact: it cannot be read, is none, or is that of another step.
        StoreError: a later version of specsci wrote it.
    """
    path, name = folder / RECORD, folder.name
    try:
        record = from_json(path.read_bytes())
        if isinstance(record, dict) and isinstance(record.get("format"), int) and record["format"] > FORMAT:
            raise StoreError("a later version of specsci wrote this record", where=str(path), hint="use that version")
        Record.model_validate(record)
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise CorruptArtifact(
            f"the artefact has no readable record ({_reason(error)})", digest=name, where=str(folder), hint=MADE_ANEW
        ) from error
    if record["digest"] != name or record["kind"] != folder.parent.name:
        raise CorruptArtifact(
            f"the folder of {folder.parent.name} {name} holds {record['kind']} {record['digest']}",
            digest=name,
            where=str(folder),
            hint=MADE_ANEW,
        )
    checked: dict[str, Any] = record
    return checked


def read_record(folder: Path) -> dict[str, Any] | None:
    """An artefact's record; None if there is none, or it is damaged or another step's."""
    try:
        return load_record(folder)
    except CorruptArtifact:
        return None


def check_record(record: dict[str, Any], folder: Path) -> None:
    """Hold a record against itself: its digest, its seal where it has one, and the file that its kind always has.

    Raises:
        CorruptArtifact: it was edited, or names no files.
    """
    kind, name = record["kind"], record["digest"]
    wrong = ""
    if record["identity"].get("kind") != kind or _digest_of(record["identity"]) != name:
        wrong = "what its record says of its identity has another digest"
    elif SEAL in record and record[SEAL] != _seal(record):
        wrong = "its record was edited"
    elif holds(kind) not in {"", *record["files"]} or not record["files"]:
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
