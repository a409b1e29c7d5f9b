"""Where the studies and spec families that come with specsci lie: beside the package in a checkout,
inside it in an installed wheel."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from specsci.errors import StoreError, UserError, nearest

PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The directory `studies`, `spec_variants` or `analysis`."""
    for root in (PACKAGE / "_shipped", PACKAGE.parent):
        if (root / folder).is_dir():
            return root / folder
    raise UserError(f"this installation of specsci has no {folder}/", mend="reinstall specsci")


def find_study(name: str) -> Path:
    """A study file: a path, or the name of a shipped study, found from any working directory."""
    path = Path(name)
    if path.is_file():
        return path
    folder = shipped("studies")
    for candidate in (folder / name, folder / f"{name}.yaml"):
        if len(path.parts) == 1 and candidate.is_file():
            return candidate
    known = [p.name for p in folder.glob("*.yaml")]
    raise UserError(f"no study file '{name}'", mend=f"{nearest(name, known)} (or give a path)")


def find_family(name: str, beside: Path | None = None) -> Path:
    """A family's folder: `spec_variants/NAME` beside the study file first, then the shipped ones."""
    roots = [*([beside] if beside else []), *([beside / "spec_variants"] if beside else []), shipped("spec_variants")]
    for root in roots:
        if (root / name / "family.yaml").is_file():
            return root / name
    known = {p.parent.name for root in roots if root.is_dir() for p in root.glob("*/family.yaml")}
    raise UserError(f"no spec family '{name}'", mend=nearest(name, known))


def cache_folder(name: str) -> Path:
    """A folder for what can be made again: below $SPECSCI_CACHE, else the user's cache, else the temporary folder.

    Raises:
        StoreError: the place that SPECSCI_CACHE names cannot be written, or no other can.
    """
    named = os.environ.get("SPECSCI_CACHE")
    roots = [Path(named)] if named else [*_user_cache(), _own_temporary()]
    said: OSError | None = None
    for root in roots:
        try:
            (root / name).mkdir(parents=True, exist_ok=True)
            if os.access(root / name, os.W_OK):
                return root / name
            said = said or PermissionError(13, "Permission denied")
        except OSError as error:
            said = said or error
    what = f"the cache cannot be written: {said.strerror if said and said.strerror else said}"
    raise StoreError(what, where=str(roots[0] / name), mend="name a place that can be written in SPECSCI_CACHE") from said


def _user_cache() -> list[Path]:
    """The user's cache; nothing for an account without a home."""
    try:
        return [Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "specsci"]
    except RuntimeError:
        return []


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
