"""Change control of a family: `CHANGES.yaml`, a digest per version, and a snapshot of each version's files.

A version is its texts: the digest is over everything that decides what a variant says, what a corpus
holds and what is asked. Comments, file layout, owner, licence and sources are not part of it.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from specsci.core.errors import InputFileError, Problem, UserError, nearest
from specsci.core.ids import digest, text_digest
from specsci.core.yaml_file import Strict, read_yaml, validate
from specsci.specs.family import Family

CHANGES = "CHANGES.yaml"
VERSION_PATTERN = r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}$"
ABOUT: Any = {"version": True, "owner": True, "license": True, "clauses": {"__all__": {"source"}}}
"""Fields that are left out of a version's digest: they say something about the family, and change no text."""


class Approval(Strict):
    """Who approved a version, when."""

    by: str = Field(min_length=1)
    date: date
    note: str = ""


class Acknowledgement(Strict):
    """Who decided that a study made on an earlier version stands as it is, and why."""

    study: str
    by: str = Field(min_length=1)
    date: date
    reason: str = Field(min_length=1)


class ChangeEntry(Strict):
    """One version."""

    version: str = Field(pattern=VERSION_PATTERN)
    date: date
    author: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    digest: str = Field(pattern=r"^[0-9a-f]{24}$")
    approvals: list[Approval] = Field(default_factory=list)
    acknowledged: list[Acknowledgement] = Field(default_factory=list)


class ChangesFile(Strict):
    """What `CHANGES.yaml` holds, oldest version first."""

    family: str
    changes: list[ChangeEntry] = Field(min_length=1)

    def entry(self, version: str) -> ChangeEntry | None:
        """The entry of a version; None if there is none."""
        return next((c for c in self.changes if c.version == version), None)

    @property
    def latest(self) -> ChangeEntry:
        """The entry of the newest version."""
        return self.changes[-1]


def read_changes(folder: Path) -> ChangesFile | None:
    """A family's changes; None for a family without change control.

    Raises:
        InputFileError: a file that is none, another family's, or with a version given twice.
    """
    path = folder / CHANGES
    if not path.is_file():
        return None
    return _read(path, path.stat().st_mtime_ns, path.stat().st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _mtime: int, _size: int) -> ChangesFile:
    document = read_yaml(path)
    changes = validate(document, ChangesFile)
    problems: list[Problem] = []
    if changes.family != path.parent.name:
        what = f"these are the changes of '{changes.family}', and the folder is '{path.parent.name}'"
        problems.append(
            document.problem(("family",), what, "a copied family starts its own: delete this file and `specsci spec bump`")
        )
    seen: set[str] = set()
    for number, entry in enumerate(changes.changes):
        if entry.version in seen:
            at = ("changes", number, "version")
            problems.append(document.problem(at, f"version {entry.version} is given twice"))
        seen.add(entry.version)
    if problems:
        raise InputFileError(problems)
    return changes


@lru_cache(maxsize=64)
def family_digest(family: Family) -> str:
    """Digest of everything that a version of a family is: clauses, variants, grammar, tables, texts, items."""
    files = [v.file for v in family.data.variants.values() if v.file]
    value: dict[str, Any] = {
        "family": family.data.model_dump(mode="json", by_alias=True, exclude=ABOUT, exclude_defaults=True),
        "grammar": family.grammar_digest,
        "texts": {file: text_digest(family.file_text(file)) for file in files},
        "items": {name: family.items_digest(name) for name in family.item_sets()},
    }
    return digest(value)


def version_key(version: str) -> tuple[int, ...]:
    """A version's order: `1.10.0` comes after `1.9.0`; raises UserError for what is no `N.N.N`."""
    if not re.match(VERSION_PATTERN, version):
        raise UserError(f"'{version[:40]}' is not a valid version", hint="give three numbers: 1.2.0")
    return tuple(int(n) for n in version.split("."))


def unrecorded(family: Family) -> str | None:
    """Why a family's text is not the one that its version was recorded with; None where all is well."""
    changes = read_changes(family.folder)
    if changes is None:
        return None
    entry = changes.entry(family.data.version)
    if entry is None:
        return f"version {family.data.version} of '{family.name}' is not in its {CHANGES}"
    if entry.digest != family_digest(family):
        return f"the text of '{family.name}' changed under the version {family.data.version}"
    return None


def no_version(family: str, version: str, known: list[str]) -> UserError:
    """The error for a version that is nowhere."""
    return UserError(f"family '{family}' has no version '{version}'", hint=nearest(version, known))
