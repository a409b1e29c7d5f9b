"""Where the studies and spec families that come with specsci lie: beside the package in a checkout,
inside it in an installed wheel."""

from __future__ import annotations

import os
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
    """A folder for what can be made again: below $SPECSCI_CACHE, else below the user's cache."""
    root = Path(
        os.environ.get("SPECSCI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "specsci"
    )
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the cache cannot be written: {error.strerror or error}"
        raise StoreError(what, where=str(folder), mend="name a place that can be written in SPECSCI_CACHE") from error
    return folder
