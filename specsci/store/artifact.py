"""Write-once artefacts: a step's files under its digest, complete or absent.

A step writes into a stage directory. Publishing writes `record.json` last, syncs every file and directory,
and renames the whole into place: an artefact that can be seen is whole. The record holds each file's size and
SHA-256, the step's identity and the facts of the run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from specsci.core.errors import CorruptArtifact, StepFailed, StoreError, UserError
from specsci.core.files import obey_umask, remove, sync, write_json, write_text
from specsci.core.ids import file_sha256
from specsci.core.record import FORMAT, Record
from specsci.core.step import Step
from specsci.core.user_files import unhidden
from specsci.store.absent import REMOVED, absent
from specsci.store.record import MADE_ANEW, RECORD, check_record, holds, load_record, read_record, sealed
from specsci.store.remote import Remote, remote_of

__all__ = ["LOG", "RECORD", "Store", "is_complete", "read_record", "write_json", "write_text"]

LOG = "log.txt"
"""What a step and its libraries wrote while it ran: beside its files, in no digest."""
MAKE_AGAIN = "`specsci store rm {digest} --force --yes`, and run the study again: it is made anew"
CHECKPOINT, CHECKPOINT_STATE = "checkpoint-", "trainer_state.json"
"""How a trainer's checkpoint is named before its number, and what is written last into it: with that the folder is whole."""


class Store:
    """A store's directory: `steps/KIND/DIGEST/`, `stage/`, `quarantine/`, `studies/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> Store:
        """Create what is missing; raises StoreError when the place cannot be written, UserError when its name cannot serve."""
        check_place(self.root)
        try:
            for name in ("steps", "stage", "quarantine", "studies"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / "stage" / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store cannot be written: {error.strerror or error}",
                where=str(self.root),
                hint="choose another place with --store DIR or SPECSCI_STORE, or free space",
            ) from error
        return self

    def path(self, kind: str, digest: str) -> Path:
        """The directory of a step's artefact, there or not."""
        return self.root / "steps" / kind / digest

    @cached_property
    def remote(self) -> Remote | None:
        """Where the artefacts lie, where this directory is a cache."""
        return remote_of(self.root)

    def has(self, step: Step) -> bool:
        """Whether an artefact is there with all files of the recorded sizes (contents: see `verify`); a cache asks its store."""
        if is_complete(self.path(step.kind, step.digest)):
            return True
        return self.remote is not None and self.remote.bring(step.kind, step.digest) and is_complete(self.path(step.kind, step.digest))

    def have(self, steps: list[Step]) -> set[str]:
        """Digests of the steps whose artefacts are complete."""
        present: dict[str, set[str]] = {}
        for kind in {s.kind for s in steps}:
            folder = self.root / "steps" / kind
            present[kind] = set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208 - names alone, of many
        return {s.digest for s in steps if s.digest in present[s.kind] and self.has(s)}

    def verify(self, kind: str, digest: str, only: str | None = None, *, here: bool = False) -> Record:
        """The record of an artefact whose every file (or the one named) has its recorded SHA-256.

        Args:
            here: leave out files that are not here on purpose (see `specsci.store.absent`).

        Raises:
            CorruptArtifact: a file is missing, short or changed, or the one named is not in the record; or it was removed.
        """
        folder = self.path(kind, digest)
        record, away = self.record(kind, digest), absent(folder)
        wanted = [name for name in (record.files if only is None else [only]) if not (here and name in away.files)]
        gone = next((n for n in wanted if n in away.files and away.why == REMOVED and not (folder / n).is_file()), None)
        if gone is not None:
            raise CorruptArtifact(
                f"{kind} {digest}: '{gone}' was removed to free space", digest=digest, where=str(folder / gone), hint=MAKE_AGAIN.format(digest=digest)
            )
        if self.remote is not None and (left := [n for n in wanted if n in away.files and not (folder / n).is_file()]):
            self.remote.fetch(folder, left)
        for name in wanted:
            path, facts = folder / name, record.files.get(name)
            short = facts is None or not path.is_file() or path.stat().st_size != facts.bytes
            if facts is None or short or file_sha256(path) != facts.sha256:
                raise CorruptArtifact(
                    f"{kind} {digest}: '{name}' is not what was written", digest=digest, where=str(path), hint=MADE_ANEW
                )
        return record

    def record(self, kind: str, digest: str) -> Record:
        """An artefact's record, checked for consistency and against its folder. Its files are not read.

        Raises:
            CorruptArtifact: it cannot be read, was edited, or is that of another step.
        """
        folder = self.path(kind, digest)
        record = load_record(folder)
        check_record(record, folder)
        return record

    def read_json(self, kind: str, digest: str, name: str) -> Any:
        """A JSON file of an artefact, verified; raises CorruptArtifact as `verify` does."""
        self.verify(kind, digest, name)
        return json.loads((self.path(kind, digest) / name).read_text(encoding="utf-8"))

    def stage_path(self, step: Step, owner: str) -> Path:
        """Where an owner's stage directory for a step lies."""
        return self.root / "stage" / f"{step.digest}.{owner}"

    def stage(self, step: Step, owner: str) -> Path:
        """A fresh stage directory for a step."""
        folder = self.stage_path(step, owner)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def checkpoints(self, step: Step, owner: str) -> Path:
        """Where an owner keeps what a long step goes on from: no two owners write into one folder."""
        return self.root / "checkpoints" / f"{step.digest}.{owner}"

    def take_checkpoints(self, step: Step, owner: str) -> list[str]:
        """Move the checkpoints that other owners left of a step to the owner that has just claimed it.

        Only whole checkpoints are moved, each in one rename. An owner that lost its lease finds its checkpoints gone.

        Returns:
            What could not be taken, and why.
        """
        own, troubles = self.checkpoints(step, owner), []
        for state in list(self.root.glob(f"checkpoints/{step.digest}*/**/{CHECKPOINT}*/{CHECKPOINT_STATE}")):
            below = state.parent.relative_to(self.root / "checkpoints").parts[1:]
            target = own.joinpath(*below)
            if (target / CHECKPOINT_STATE).exists():
                continue
            shutil.rmtree(target, ignore_errors=True)  # half-written
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                state.parent.rename(target)
            except FileNotFoundError:
                continue  # another runner was first
            except OSError as error:
                troubles.append(f"{state.parent}: {error.strerror}")
        return troubles

    def drop_checkpoints(self, digest: str) -> None:
        """Remove all that was kept of a step."""
        for folder in self.root.glob(f"checkpoints/{digest}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def clear_checkpoints(self) -> None:
        """Remove checkpoints of steps whose artefacts are there: a kill came between publishing and clearing up."""
        for folder in (self.root / "checkpoints").glob("*"):
            digest = folder.name.partition(".")[0]
            if any(is_complete(f) for f in (self.root / "steps").glob(f"*/{digest}")):
                self.drop_checkpoints(digest)

    def clear_stage(self, is_gone: Callable[[str], bool]) -> None:
        """Remove what owners that are gone left in the stage."""
        for place in (self.root / "stage").iterdir():
            if is_gone(owner_of(place)):
                remove(place)

    def publish(self, step: Step, stage: Path, facts: dict[str, Any]) -> Path:
        """Make a stage directory an artefact; if another runner was first, its artefact stays.

        Raises:
            StepFailed: the file that the database takes from this kind is not there.
        """
        files = sorted(p for p in stage.rglob("*") if p.is_file() and p != stage / LOG)
        if (wanted := holds(step.kind)) and stage / wanted not in files:
            raise StepFailed(
                f"the action of '{step.kind}' wrote no '{wanted}'", hint="write it, or declare no rows for the kind"
            )
        obey_umask(stage)
        record = {
            "format": FORMAT,
            "kind": step.kind,
            "digest": step.digest,
            "label": step.label,
            "identity": step.identity,
            "files": {p.relative_to(stage).as_posix(): {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in files},
            **facts,
        }
        (stage / RECORD).write_text(json.dumps(sealed(record), indent=1), encoding="utf-8")
        _sync_all([stage, *stage.rglob("*")])
        target = self.path(step.kind, step.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not self.has(step):
            self.quarantine(step.kind, step.digest)
        try:
            stage.rename(target)
        except OSError:
            if not self.has(step):
                raise
            shutil.rmtree(stage, ignore_errors=True)
        sync(target.parent)
        if self.remote is not None:
            self.remote.push(target)
        return target

    def quarantine(self, kind: str, digest: str) -> Path | None:
        """Move a broken artefact to the quarantine; None if another runner did it first."""
        source = self.path(kind, digest)
        (self.root / "quarantine").mkdir(exist_ok=True)
        number = 0
        while (target := self.root / "quarantine" / f"{kind}-{digest}.{number}").exists():
            number += 1
        try:
            source.rename(target)
        except FileNotFoundError:
            return None
        self._bring_again(kind, digest)
        return target

    def _bring_again(self, kind: str, digest: str) -> None:
        """Of an artefact that is broken in a cache: take the store's own, or remove that too where it is broken as well."""
        if self.remote is None or not self.remote.bring(kind, digest):
            return
        try:
            self.verify(kind, digest)
        except CorruptArtifact:
            self.remote.drop(self.path(kind, digest))
            shutil.rmtree(self.path(kind, digest), ignore_errors=True)

    def records(self, kind: str | None = None) -> list[Record]:
        """The records of all artefacts, of one kind or of all."""
        folders = unhidden(self.root / "steps", f"{kind or '*'}/*")
        return [r for r in (read_record(f) for f in folders) if r is not None]


def owner_of(staged: Path) -> str:
    """Whose a folder or file of the stage is."""
    return re.sub(r"\.(scratch|progress(-part)?)$", "", staged.name.partition(".")[2])


def check_place(root: Path) -> None:
    """Refuse a store's path that a database file cannot be opened under.

    Raises:
        UserError: it holds `?` (which begins options for DuckDB), a backslash, NUL, or is not text.
    """
    place = os.path.abspath(root) if "\0" not in str(root) else str(root)  # noqa: PTH100 - links stay as they are named
    wrong = next((c for c in "?\\\0" if c in place), None)
    if wrong is not None or not _is_text(place):
        shown = repr(wrong) if wrong is not None else "bytes that are not text"
        what = f"the store's path {place!r} holds {shown}, under which no database can be opened"
        raise UserError(what, hint="rename the folder, or choose another place with --store DIR or SPECSCI_STORE")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_complete(folder: Path) -> bool:
    """Whether an artefact's record is its folder's, and every file that it names has its recorded size, or is away on purpose."""
    record = read_record(folder)
    if record is None or not record.files:
        return False
    lacking = [name for name, facts in record.files.items() if not _is_there(folder / name, facts.bytes)]
    return not lacking or absent(folder).files.issuperset(lacking)


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _sync_all(paths: list[Path]) -> None:
    """Sync files and directories side by side: they share the journal's commits (8 files on ext4: 2 ms, not 40)."""
    from concurrent.futures import ThreadPoolExecutor  # here: only a run publishes, and the import costs every command

    with ThreadPoolExecutor(max_workers=8) as threads:
        list(threads.map(sync, paths))
