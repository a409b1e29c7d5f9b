"""Writing files whole or not at all, with the rights that the umask gives, and clearing up what killed writers left."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from specsci.core.errors import StoreError
from specsci.core.liveness import is_dead, process_name

TEMPORARY = ".tmp"


def unwritable(path: Path, error: BaseException, what: str = "") -> StoreError:
    """What is said of a place that cannot be written: `what` names the thing, a full disk is named as such."""
    said = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        said, hint = f"the disk is full ({said})", "free space, or choose another place"
    elif getattr(error, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "ask its owner for the right to write there, or name another place"
    else:
        hint = "free space, or choose another place"
    return StoreError(f"{what or 'the file'} cannot be written: {said}", where=str(path), hint=hint)


@contextmanager
def writing(path: Path, what: str = "") -> Iterator[None]:
    """Turn what the system says about a place that is written to into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise unwritable(path, error, what) from error


def temporary_beside(path: Path) -> Path:
    """A name beside a file or folder for what becomes it in one rename; it tells whose it is (see `leftovers`).

    It keeps the ending, by which some writers choose the format; not `.json`, by which readers of a folder find its files.
    """
    ending = "" if path.suffix == ".json" else path.suffix[:20]
    kept = path.stem.lstrip(".").encode()[:80].decode(errors="ignore")  # a name has 255 bytes at most
    return path.with_name(f".{kept}~{process_name()}{TEMPORARY}{ending}")


def leftovers(folder: Path, name: str = "") -> list[Path]:
    """What writers that are gone left in a folder (of one file, where it is named): temporary files, folders and logs."""
    if not folder.is_dir():
        return []
    return sorted(
        p
        for p in folder.iterdir()
        if (found := _LEFT.fullmatch(p.name))
        and (not name or name in p.name)
        and is_dead(found["owner"] or _earlier(found["pid"]))
    )


_LEFT = re.compile(r"\.?.*?(~(?P<owner>[^~]+)\.tmp(\.[^.~]*)?|\.(?P<pid>\d+)\.tmp)(\.wal)?")


def _earlier(pid: str) -> str:
    """The name of a process of this host of which only the process id was written down, as earlier versions did."""
    return f"{socket.gethostname()}-{pid}-000000"


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, synced, under its final name only when it is whole; raises StoreError as `write_text` does."""
    write_text(path, json.dumps(value, indent=1, allow_nan=True))


def write_text(path: Path, text: str) -> None:
    """Write a text, synced, under its final name only when it is whole; the folder is made where it is missing.

    Raises:
        StoreError: it cannot be written; what was there before is as it was.
    """
    write_whole(path, lambda part: part.write_bytes(text.encode("utf-8")))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file under another name in the same folder, and give it the final one when it is whole and synced.

    A pipe or a device is written to as it is, a link's target is replaced, and a file keeps its rights.

    Raises:
        StoreError: it cannot be written; what was there before is as it was.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            write(path)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = temporary_beside(target)
        try:
            write(part)
            if target.exists():
                part.chmod(target.stat().st_mode & 0o7777)
            sync(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    try:
        sync(folder)
    except OSError as error:  # some file systems do not sync folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM):
            raise unwritable(folder, error) from error


def obey_umask(folder: Path) -> None:
    """Give every file and folder below (and the folder itself) the rights that the umask gives a new one.

    Libraries write through temporary files of their own, which only their owner may read.
    """
    mask = current_umask()
    for place, folders, names in os.walk(folder):
        for path, rights in [*((Path(place, n), 0o666) for n in names), *((Path(place, n), 0o777) for n in ("", *folders))]:
            if not path.is_symlink() and path.stat().st_mode & 0o777 != rights & ~mask:
                path.chmod(rights & ~mask)


def current_umask() -> int:
    """The rights that new files of this process lack."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
