"""Files that lie outside a store: listed with their digests when a plan is made, verified when a step reads them.

What a step takes is copied first and the copy is hashed, so that what was verified is what is used, whoever writes the
original meanwhile.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from specsci.core.errors import StepFailed, UserError
from specsci.core.ids import file_sha256, text_digest
from specsci.core.remembered import remembered_sha256

HUB_BLOBS = "blobs"
"""Where a hub's cache keeps the files that its snapshots are links to: `blobs` beside `snapshots/REVISION`."""


def listed(folder: Path, what: str) -> dict[str, str]:
    """Every regular file of a folder and its sub-folders, by its relative path, with its SHA-256.

    Hidden files and sub-folders (version control, download caches, file browsers) are left out, and links to folders within.

    Raises:
        UserError: a link leads out of the folder.
    """
    found: dict[str, str] = {}
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not _is_link(here / n, folder, what))
        for name in sorted(n for n in names if not n.startswith(".")):
            path = here / name
            _is_link(path, folder, what)
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = remembered_sha256(path)
    return dict(sorted(found.items()))


def _is_link(path: Path, folder: Path, what: str) -> bool:
    """Whether a path is a link; raises UserError where it leads out of the folder, but for a hub cache's own."""
    if not path.is_symlink():
        return False
    target, root = path.resolve(), folder.resolve()
    blobs = root.parent.parent / HUB_BLOBS
    if not target.is_relative_to(root) and not (root.parent.name == "snapshots" and target.is_relative_to(blobs)):
        raise UserError(
            f"'{path.relative_to(folder)}' of {what} is a link that leads out of its folder (to {target})",
            hint="copy the file itself into the folder",
        )
    return True


def copy_verified(source: Path, target: Path, sha256: str, name: str) -> Path:
    """A file's copy, whose bytes have the declared SHA-256.

    Raises:
        StepFailed: the file is gone or is another by now; no copy is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise StepFailed(
            f"'{name}' is gone since the plan was made", hint="put the file back, or run the study again"
        ) from error
    if file_sha256(target) != sha256:
        target.unlink()
        raise changed(name)
    return target


def copy_all_verified(folder: Path, files: Mapping[str, str], target: Path) -> None:
    """Copy the declared files of a folder, and nothing else that lies there.

    Args:
        files: path below the folder to SHA-256.
    """
    for name, sha256 in files.items():
        copy_verified(folder / name, target / name, sha256, name)


def verified_text(path: Path, expected: str, name: str) -> str:
    """A text file's content, line ends as they are, whose `text_digest` is the expected one.

    Raises:
        StepFailed: it is gone, not valid UTF-8, or another by now.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise changed(name) from error
    if text_digest(text) != expected:
        raise changed(name)
    return text


def changed(name: str) -> StepFailed:
    """What is said of content that is not what the plan saw."""
    return StepFailed(f"'{name}' changed after the plan was made", hint="run the study again: it is planned anew")
