"""Versions of a family on disk: snapshots, pinned loading, and what changes a version in writing."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from specsci.core.errors import CorruptArtifact, StoreError, UserError
from specsci.core.files import obey_umask
from specsci.core.ids import is_safe_name
from specsci.core.shipped import cache_folder
from specsci.core.yaml_file import read_yaml, validate
from specsci.core.yaml_nodes import with_value
from specsci.specs.changes import (
    CHANGES,
    Acknowledgement,
    Approval,
    ChangesFile,
    family_digest,
    no_version,
    read_changes,
    version_key,
)
from specsci.specs.family import Family
from specsci.specs.grammar import GrammarFile
from specsci.specs.load import BASE, base_folder, load_family
from specsci.specs.schema import FamilyFile

VERSIONS = "versions"
MAX_SNAPSHOT_BYTES = 100_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)


class CorruptSnapshot(CorruptArtifact):
    """A version's archive is not what was recorded: a file of the user's, so that commands end with 2."""

    exit_code = 2


def load_version(folder: Path, version: str | None = None) -> Family:
    """A family at a version: its folder as it is, or the snapshot of another version.

    Raises:
        UserError: no such version.
        CorruptSnapshot: a snapshot that is not what was recorded.
    """
    current = load_family(folder)
    if version is None or version == current.data.version:
        return current
    changes = read_changes(folder)
    known = [c.version for c in changes.changes] if changes else [current.data.version]
    entry = changes.entry(version) if changes else None
    if entry is None:
        raise no_version(current.name, version, known)
    found = copy(recorded(folder, version, entry.digest))
    found.beside = folder.parent
    return found


def recorded(folder: Path, version: str, wanted: str) -> Family:
    """A version as its snapshot holds it, unpacked once into the cache."""
    snapshot = snapshot_path(folder, version)
    if not snapshot.is_file():
        raise UserError(
            f"the snapshot of version {version} is not there: {snapshot}", hint="restore it from version control"
        )
    place = cache_folder("families") / f"{folder.name}-{version}-{wanted}"
    damage: UserError | None = None
    for attempt in range(2):
        if attempt or not place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            _unpack(snapshot, place)
        try:
            family = load_family(place)
        except UserError as error:  # a damaged cache is unpacked anew, a damaged snapshot is named below
            damage = error
            continue
        if family_digest(family) == wanted:
            return family
    raise CorruptSnapshot(
        f"the snapshot of '{folder.name}' {version} is not what {CHANGES} recorded",
        digest=wanted,
        where=str(snapshot),
        hint="restore the file from version control",
    ) from damage


def snapshot_path(folder: Path, version: str) -> Path:
    """The archive that holds a version's files, there or not."""
    return folder / VERSIONS / f"{version}.zip"


def _unpack(snapshot: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpack-", dir=place.parent))
    try:
        with zipfile.ZipFile(snapshot) as archive:
            for name in archive.namelist():
                if name.startswith("/") or ".." in Path(name).parts:
                    raise UserError(f"the snapshot {snapshot} holds a path outside itself: {name}")
            if sum(entry.file_size for entry in archive.infolist()) > MAX_SNAPSHOT_BYTES:
                raise zipfile.BadZipFile(f"it expands to more than {MAX_SNAPSHOT_BYTES:,} bytes")
            archive.extractall(temporary)
        obey_umask(temporary)  # the cache may be a group's
        try:
            temporary.rename(place)
        except OSError as error:
            if not place.is_dir():  # else another process was first, and its folder serves
                what = f"the snapshot cannot be unpacked: {error.strerror or error}"
                raise StoreError(what, where=str(place), hint="free space, or name another SPECSCI_CACHE") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        if isinstance(error, UserError):
            raise
        what = f"the snapshot cannot be read: {error}"
        raise CorruptSnapshot(what, digest="", where=str(snapshot), hint="restore the file from version control") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def files_of(folder: Path) -> dict[str, Path]:
    """Every file that a version consists of, by its name in a snapshot."""
    data = validate(read_yaml(folder / "family.yaml"), FamilyFile)
    grammar = validate(read_yaml(folder / data.grammar), GrammarFile)
    names = ["family.yaml", data.grammar, *grammar.tables.values(), *(v.file for v in data.variants.values() if v.file)]
    found = {name: folder / name for name in names}
    found |= {f"items/{p.name}": p for p in sorted((folder / "items").glob("*.jsonl")) if is_safe_name(p.stem)}
    if grammar.extends:
        base = base_folder(folder, grammar.extends)
        own = {name: path for name, path in files_of(base).items() if not name.startswith("items/")}
        found |= {f"{BASE}/{grammar.extends}/{name}": path for name, path in own.items()}
    return found


def write_snapshot(folder: Path, version: str) -> Path:
    """Write a version's files as one archive, byte-identical for identical files."""
    target = snapshot_path(folder, version)
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(files_of(folder).items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    temporary.replace(target)
    return target


def bump(folder: Path, version: str, *, author: str, reason: str, on: date) -> ChangesFile:
    """Make the family's text as it is a new version: set `version`, record the digest, keep a snapshot.

    Raises:
        UserError: a version that is not above all earlier ones, a text that did not change, or no reason.
    """
    if not reason.strip() or not author.strip():
        raise UserError("a version needs an author and a reason in writing", hint="give --author and --reason")
    wanted = version_key(version)
    with _alone(folder):
        return _bump(folder, version, wanted, author=author, reason=reason, on=on)


def _bump(folder: Path, version: str, wanted: tuple[int, ...], *, author: str, reason: str, on: date) -> ChangesFile:
    family, changes = load_family(folder), read_changes(folder)
    for old in changes.changes if changes else []:
        if version_key(old.version) >= wanted:
            raise UserError(f"version {version} is not above {old.version}", hint="give a higher version")
        if old.digest == family_digest(family):
            what = f"the text is that of version {old.version}: nothing changed"
            raise UserError(what, hint=f"pin {family.name}@{old.version}, or edit the text first")
    _write(folder, lambda: _set_version(folder / "family.yaml", version))
    entry = {
        "version": version,
        "date": on,
        "author": author,
        "reason": reason,
        "digest": family_digest(load_family(folder)),
    }
    _write(folder, lambda: write_snapshot(folder, version))
    _append(folder, family.name, lambda data: data["changes"].append(entry))
    done = read_changes(folder)
    assert done is not None
    return done


def restore(folder: Path, version: str) -> list[str]:
    """Put a version's files back from its snapshot; returns the names of the files that changed."""
    changes = read_changes(folder)
    entry = changes.entry(version) if changes else None
    if entry is None:
        raise no_version(folder.name, version, [c.version for c in changes.changes] if changes else [])
    source = recorded(folder, version, entry.digest).folder
    changed = []
    recorded_files = files_of(source)
    for name, path in recorded_files.items():
        target = folder / name
        if not name.startswith(f"{BASE}/") and (not target.is_file() or target.read_bytes() != path.read_bytes()):
            target.parent.mkdir(exist_ok=True)
            _write(folder, lambda p=path, t=target: shutil.copyfile(p, t))
            changed.append(name)
    if family_digest(load_family(folder)) != entry.digest:
        further = sorted(files_of(folder).keys() - recorded_files.keys())
        raise UserError(
            f"the files of '{folder.name}' are back, and its text is still not that of {version}",
            hint=f"move away what was added: {', '.join(further)}"
            if further
            else "restore the family whose grammar it extends",
        )
    return changed


def note(folder: Path, version: str, field: str, value: Approval | Acknowledgement) -> None:
    """Append an approval or an acknowledgement (`field`) to a version's entry."""
    with _alone(folder):
        changes = read_changes(folder)
        if changes is None or changes.entry(version) is None:
            raise no_version(folder.name, version, [c.version for c in changes.changes] if changes else [])
        number = [c.version for c in changes.changes].index(version)
        row = value.model_dump(exclude_defaults=True)
        _append(folder, folder.name, lambda data: data["changes"][number].setdefault(field, []).append(row))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the family against others who would write to its changes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _set_version(path: Path, version: str) -> None:
    text = with_value(path.read_bytes().decode("utf-8"), "version", version)
    if text is None:
        raise UserError(f"{path} has no key `version`", hint="write `version: 1.0.0` below `family:`")
    path.write_bytes(text.encode("utf-8"))


def _append(folder: Path, family: str, change: Any) -> None:
    """Change `CHANGES.yaml` in place, its comments kept; the file is whole at every moment."""
    path, yaml = folder / CHANGES, YAML()
    yaml.width = 120
    data = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else {"family": family, "changes": []}
    change(data)
    temporary = path.with_suffix(".tmp")

    def write() -> None:
        with temporary.open("w", encoding="utf-8") as handle:
            yaml.dump(data, handle)
        temporary.replace(path)

    _write(folder, write)


def _write(folder: Path, action: Any) -> None:
    try:
        action()
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        what = f"the family cannot be written: {error.strerror or error}"
        raise StoreError(what, where=str(folder), hint="copy the family beside your study, where you may write") from error


def written_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a new folder in one rename: it is there as a whole, or not at all.

    Args:
        write: writes the folder's files into the path that it is given.

    Raises:
        StoreError: it cannot be written.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")

    def make() -> None:
        part.mkdir(parents=True)
        write(part)
        part.rename(folder)

    try:
        _write(folder, make)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fork(source: Family, target: Path) -> Family:
    """Copy a family under a new name, its own from now on: no version of the source is taken along.

    Raises:
        UserError: a name that is none, or a folder that is there.
    """
    if not is_safe_name(target.name):
        raise UserError(f"'{target.name}' is not a safe name", hint="use lower-case letters, digits, '_' and '-'")
    if target.exists():
        raise UserError(f"{target} is there already", hint="choose another name")

    def copy(folder: Path) -> None:
        for name, path in files_of(source.folder).items():
            if not name.startswith(f"{BASE}/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / name)
        own = folder / "family.yaml"
        renamed = with_value(own.read_bytes().decode("utf-8"), "family", target.name)
        if renamed is None:
            raise UserError(f"{own} has no key `family` of its own", hint="write `family: NAME` at the top of the file")
        own.write_bytes(renamed.encode("utf-8"))

    written_whole(target, copy)
    return load_family(target)
