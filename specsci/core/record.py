"""What an artefact says of itself: the form of its `record.json`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

FORMAT = 1


class FileFacts(BaseModel):
    """Size and SHA-256 of a file."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    bytes: int = Field(ge=0)
    sha256: str


class Identity(BaseModel):
    """What a step's digest is over."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    kind: str = ""
    version: int | str = ""
    params: dict[str, Any] = {}
    inputs: dict[str, str] = {}


class Record(BaseModel):
    """An artefact's record: whose it is, what its digest is over, its files; `facts` are what its run found."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    format: int = FORMAT
    kind: str
    digest: str
    label: str = ""
    identity: Identity
    files: dict[str, FileFacts]
    busy_s: float | None = None
    access: str = "public"
    seal: str | None = None
    _plain: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> Self:
        """A record from plain data; raises pydantic's ValidationError."""
        found = cls.model_validate(data)
        found._plain = data
        return found

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileFacts]) -> dict[str, FileFacts]:
        for name in files:
            if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"'{name}' is not a file of the artefact")
        return files

    @property
    def facts(self) -> dict[str, Any]:
        """What the step's run found, by name: tokens, updates, counts, where it ran."""
        return self.model_extra or {}

    def plain(self) -> dict[str, Any]:
        """The record as it was written, for what reads JSON."""
        return self._plain
