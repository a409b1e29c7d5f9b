"""Where values of a study file stand: in the profile where it sets them, else at the top, or beside the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from specsci.core.errors import Problem, nearest
from specsci.core.yaml_file import Document, Path_


@dataclass(frozen=True)
class Places:
    """Makes problems of a study file under one profile, each at its place."""

    document: Document
    profile: str
    contrasts: tuple[int, ...] = ()
    """The places that the study's contrasts have in the file, of which it may leave some out."""

    def in_file(self, path: Path_) -> Path_:
        """A path of the study as the file has it."""
        if len(path) > 1 and path[0] == "contrasts" and isinstance(path[1], int) and path[1] < len(self.contrasts):
            return ("contrasts", self.contrasts[path[1]], *path[2:])
        return path

    def problem(self, path: Path_, what: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem at a value, or at its key."""
        line, column = locate(self.document, self.profile, self.in_file(path), key=key)
        return Problem(self.document.file, line, column, what, hint)

    def unknown(self, path: Path_, kind: str, name: str, valid: Iterable[str], *, key: bool = False) -> Problem:
        """A name that refers to nothing."""
        return self.problem(path, f"unknown {kind} '{name}'", nearest(name, valid), key=key)


def locate(document: Document, profile: str, path: Path_, *, key: bool = False) -> tuple[int, int]:
    """The place of a value: in the profile where the profile has it, else at the top."""
    overlay = (document.data.get("profiles") or {}).get(profile, {})
    prefix: Path_ = ("profiles", profile) if path and _is_overlaid(document.data, overlay, path) else ()
    return document.position((*prefix, *path), key=key)


def _is_overlaid(top: Any, overlay: Any, path: Path_) -> bool:
    """Whether a merged study takes a path from the overlay (mappings are merged, the rest is replaced)."""
    for part in path:
        if not isinstance(overlay, dict):
            return True
        if part not in overlay:
            return False
        if not isinstance(top, dict) or part not in top or part == "base_models":
            return True
        top, overlay = top[part], overlay[part]
    return True


def place_of(
    document: Document, profile: str, path: Path_, overrides: Mapping[str, Any], *, key: bool = False
) -> tuple[str, int, int]:
    """File, line and column of a value; `--set KEY` where it was set beside the file."""
    at = ".".join(str(part) for part in path)
    for name in overrides:
        if at == name or at.startswith(f"{name}."):
            return f"--set {name}", 1, 1
    return (document.file, *locate(document, profile, path, key=key))
