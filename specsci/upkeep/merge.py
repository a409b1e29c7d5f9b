"""Bringing another store's artefacts and studies into this one, by their digests."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from specsci.core.errors import CorruptArtifact, StoreError, UserError
from specsci.core.files import remove, temporary_beside, write_text
from specsci.core.ids import file_sha256
from specsci.core.user_files import unhidden
from specsci.store.absent import FILE as ABSENT
from specsci.store.absent import absent
from specsci.store.artifact import Store, is_complete
from specsci.store.written import written


@dataclass
class Merged:
    """What came in, what was here already, and what could not be taken."""

    copied: int = 0
    there: int = 0
    bytes: int = 0
    files: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge(store: Store, other: Store) -> Merged:
    """Copy what this store lacks; each artefact is verified on the way and put in place in one rename.

    A file of the same name with other contents (a study by another plan, a lock) is left as it is here and told.

    Raises:
        UserError: the other store is this one, or none.
        StoreError: this store cannot be written.
    """
    if other.root.resolve() == store.root.resolve():
        raise UserError("the other store is this one", hint="name another one")
    done = Merged()
    for folder in unhidden(other.root / "steps", "*/*"):
        target = store.path(folder.parent.name, folder.name)
        if is_complete(target) and not absent(target).files:
            done.there += 1
            continue
        try:
            other.verify(folder.parent.name, folder.name, here=True)
        except (CorruptArtifact, StoreError) as error:
            done.damaged.append(str(error))
            continue
        if is_complete(target) and absent(folder).files:
            done.there += 1
            continue
        done.bytes += _copy(folder, target)
        done.copied += 1
    for place in written(other.root):
        _take(other.root / place, store.root / place, place, done)
    return done


def _copy(folder: Path, target: Path) -> int:
    """Copy an artefact; one that is here in part, or is damaged, makes way. Returns its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(target)
    try:
        shutil.copytree(folder, part)
        if target.exists():
            away = temporary_beside(target)
            target.rename(away)
            part.rename(target)
            remove(away)
        else:
            part.rename(target)
    except OSError as error:
        raise StoreError(f"an artefact cannot be copied: {error.strerror or error}", where=str(target), hint="free space; the same command goes on") from error
    finally:
        remove(part)
    return sum(p.stat().st_size for p in target.rglob("*") if p.is_file() and p.name != ABSENT)


def _take(source: Path, target: Path, name: Path, done: Merged) -> None:
    if not target.exists():
        if source.suffix in (".json", ".jsonl"):
            write_text(target, source.read_text(encoding="utf-8"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        done.files.append(str(name))
    elif file_sha256(source) != file_sha256(target):
        if source.suffix == ".jsonl":
            _append(source, target, name, done)
        else:
            done.conflicts.append(str(name))


def _append(source: Path, target: Path, name: Path, done: Merged) -> None:
    """Lines that this store's file does not have yet: reviews, of which each line stands for itself."""
    have = target.read_text(encoding="utf-8").split("\n")
    more = [line for line in source.read_text(encoding="utf-8").split("\n") if line and line not in set(have)]
    if more:
        write_text(target, "\n".join([*(line for line in have if line), *more, ""]))
        done.files.append(str(name))
