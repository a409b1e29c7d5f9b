"""Where the studies and spec families that come with specsci lie: beside the package in a checkout,
inside it in an installed wheel."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from specsci.errors import StoreError, UserError, nearest
from specsci.user_files import is_file, name_fault, shown_name

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
    if is_file(path):
        return path
    if not name_fault(name) and path.exists():
        raise UserError(f"'{shown_name(name)}' is no regular file", mend="name a study file")
    folder = shipped("studies")
    for candidate in (folder / name, folder / f"{name}.yaml"):
        if len(path.parts) == 1 and is_file(candidate):
            return candidate
    known = [p.name for p in folder.glob("*.yaml")]
    raise UserError(f"no study file '{shown_name(name)}'", mend=f"{nearest(shown_name(name), known)} (or give a path)")


def find_family(name: str, beside: Path | None = None) -> Path:
    """A family's folder: `spec_variants/NAME` beside the study file first, then the shipped ones."""
    roots = [*([beside] if beside else []), *([beside / "spec_variants"] if beside else []), shipped("spec_variants")]
    for root in roots:
        if is_file(root / name / "family.yaml"):
            return root / name
    known = {p.parent.name for root in roots if root.is_dir() for p in root.glob("*/family.yaml")}
    raise UserError(f"no spec family '{shown_name(name)}'", mend=nearest(shown_name(name), known))


def family_folders(beside: Path) -> list[Path]:
    """The folders of all families that `find_family` finds, by name; of two of one name the one that it takes."""
    found: dict[str, Path] = {}
    for root in (beside, beside / "spec_variants", shipped("spec_variants")):
        for file in sorted(root.glob("*/family.yaml")) if root.is_dir() else []:
            found.setdefault(file.parent.name, file.parent)
    return [found[name] for name in sorted(found)]


def cache_folder(name: str) -> Path:
    """A folder for what can be made again: below $SPECSCI_CACHE, else the user's cache, else the temporary folder."""
    folder = _cache_root() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the cache cannot be written: {error.strerror or error}"
        raise StoreError(what, where=str(folder), mend="name a place that can be written in SPECSCI_CACHE") from error
    return folder


def _cache_root() -> Path:
    given = os.environ.get("SPECSCI_CACHE")
    if given:
        return Path(given)
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if users.startswith("~"):  # an account without a home, as in some containers
        return Path(tempfile.gettempdir()) / f"specsci-cache-{os.getuid()}"
    return Path(users) / "specsci"
