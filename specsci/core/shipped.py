"""Where the studies and spec families that come with specsci lie.

Beside the package in a checkout, inside it in an installed wheel.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from specsci.core.errors import StoreError, UserError, nearest
from specsci.core.user_files import is_file, name_fault, shown_name

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(folder: str) -> Path:
    """The directory `studies`, `spec_variants` or `analysis`."""
    for root in (PACKAGE / "_shipped", PACKAGE.parent):
        if (root / folder).is_dir():
            return root / folder
    raise UserError(f"this installation of specsci has no {folder}/", hint="reinstall specsci")


def find_study(name: str) -> Path:
    """A study file: a path, or the name of a shipped study, found from any working directory."""
    path = Path(name)
    if is_file(path):
        return path
    if not name_fault(name) and path.exists():
        raise UserError(f"'{shown_name(name)}' is not a regular file", hint="name a study file")
    folder = shipped("studies")
    for candidate in (folder / name, folder / f"{name}.yaml"):
        if len(path.parts) == 1 and is_file(candidate):
            return candidate
    known = [p.name for p in folder.glob("*.yaml")]
    raise UserError(f"no study file '{shown_name(name)}'", hint=f"{nearest(shown_name(name), known)} (or give a path)")


def find_family(name: str, beside: Path | None = None) -> Path:
    """A family's folder: `spec_variants/NAME` beside the study file first, then the shipped ones."""
    roots = [*([beside] if beside else []), *([beside / "spec_variants"] if beside else []), shipped("spec_variants")]
    for root in roots:
        if is_file(root / name / "family.yaml"):
            return root / name
    known = {p.parent.name for root in roots if root.is_dir() for p in root.glob("*/family.yaml")}
    raise UserError(f"no spec family '{shown_name(name)}'", hint=nearest(shown_name(name), known))


def family_folders(beside: Path) -> list[Path]:
    """The folders of all families that `find_family` finds, by name; of two of one name the one that it takes."""
    found: dict[str, Path] = {}
    for root in (beside, beside / "spec_variants", shipped("spec_variants")):
        for file in sorted(root.glob("*/family.yaml")) if root.is_dir() else []:
            found.setdefault(file.parent.name, file.parent)
    return [found[name] for name in sorted(found)]


def cache_folder(name: str) -> Path:
    """A folder for what can be made again: below $SPECSCI_CACHE, else the user's cache, else the temporary folder.

    Raises:
        StoreError: the place that SPECSCI_CACHE names cannot be written, or no other can.
    """
    named = os.environ.get("SPECSCI_CACHE")
    roots: list[Callable[[], Path]] = [lambda: Path(named or "")] if named else [*_user_cache(), _own_temporary]
    said: OSError | None = None
    for find in roots:
        root = find()
        try:
            (root / name).mkdir(parents=True, exist_ok=True)
            if os.access(root / name, os.W_OK):
                return root / name
            said = said or PermissionError(13, "Permission denied")
        except OSError as error:
            said = said or error
    what = f"the cache cannot be written: {said.strerror if said and said.strerror else said}"
    raise StoreError(what, where=str(roots[0]() / name), hint="name a place that can be written in SPECSCI_CACHE") from said


def _user_cache() -> list[Callable[[], Path]]:
    """The user's cache; nothing for an account without a home."""
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - without a home it stays as it is
    return [] if users.startswith("~") else [lambda: Path(users) / "specsci"]


def _own_temporary() -> Path:
    """A folder of this account's in the temporary folder, which no other may have made before it."""
    account = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"specsci-{account}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not hasattr(os, "getuid") or (folder.lstat().st_uid == account and not folder.is_symlink()):
            return folder
    except OSError:
        pass  # the next line finds another
    return Path(tempfile.mkdtemp(prefix="specsci-"))
