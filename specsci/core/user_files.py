"""Files of the user's, opened with care: regular files only, bounded, and names that a file system takes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from specsci.core.errors import InputFileError, Problem

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4_000
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def name_fault(name: str) -> str:
    """Why a text cannot be the name of a file, whatever lies on disk; empty where it can."""
    if "\0" in name:
        return "holds the character NUL"
    try:
        parts = [len(part) for part in name.encode("utf-8").split(b"/")]
    except UnicodeEncodeError:
        return "holds half of a character (a lone surrogate)"
    if max(parts) > MAX_NAME_BYTES:
        return f"has a part of {max(parts):,} bytes; file names have at most {MAX_NAME_BYTES}"
    if sum(parts) + len(parts) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES:,} bytes"
    return ""


def unhidden(folder: Path, pattern: str) -> list[Path]:
    """What a folder holds by a pattern of names, sorted; hidden names are another program's, such as macOS's `._NAME` twins."""
    return sorted(p for p in folder.glob(pattern) if not p.name.startswith("."))


def lies_below(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, links followed; links that lead round in a circle lead nowhere."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def is_file(path: Path) -> bool:
    """Whether a regular file lies there; False for a name that no file can have."""
    try:
        return not name_fault(str(path)) and path.is_file()
    except OSError:  # a part that may not be searched, or is too long for this file system
        return False


def read_user_bytes(path: Path, limit_bytes: int, hint: str = "") -> bytes:
    """A regular file's bytes. A pipe, a device or a directory is refused, not waited for.

    Raises:
        InputFileError: a name that no file can have, nothing there, no regular file, unreadable, or too large.
    """

    def refuse(what: str, hint: str = "") -> InputFileError:
        return InputFileError([Problem(shown_name(str(path)), 1, 1, what, hint)])

    fault = name_fault(str(path))
    if fault:
        raise refuse(f"cannot be read: its name {fault}", "give another name")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror or error}") from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit_bytes:
        os.close(handle)
        if stat.S_ISREG(found.st_mode):
            raise refuse(f"is {found.st_size:,} bytes; the limit is {limit_bytes:,}", hint)
        kind = next((text for test, text in _KINDS if test(found.st_mode)), "no regular file")
        raise refuse(f"cannot be read: it is {kind}", "name a regular file")
    with os.fdopen(handle, "rb") as file:
        try:
            return file.read(limit_bytes + 1)[:limit_bytes]
        except OSError as error:
            raise refuse(f"cannot be read: {error.strerror or error}", "check the disk") from error


def read_user_text(path: Path, limit_bytes: int, hint: str = "") -> str:
    """A regular file as text.

    Raises:
        InputFileError: what `read_user_bytes` raises, or a file that is not UTF-8.
    """
    raw = read_user_bytes(path, limit_bytes, hint)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        problem = Problem(str(path), line, 1, f"is not UTF-8 (byte {error.start})", "save it as UTF-8")
        raise InputFileError([problem]) from error


def shown_name(name: str, most: int = 120) -> str:
    """A name as it can be printed: cut where it is long, half characters spelt out."""
    safe = name.encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= most else f"{safe[: most - 24]}...{safe[-20:]}"
