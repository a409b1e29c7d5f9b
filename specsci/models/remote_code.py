"""Models that bring their own Python code: run only where the study says so of a base whose every byte it has pinned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from specsci.core.errors import SpecsciError, StepFailed
from specsci.core.ids import file_sha256

MARK = "trusted_code.json"
"""Beside the model directory of an artefact whose base the study trusts."""


def mark_trusted(artifact: Path, source: str) -> None:
    """Let a model of this artefact run the code that came with `source`."""
    (artifact / MARK).write_text(json.dumps({"source": source}) + "\n", encoding="utf-8")


def is_trusted(model: Path) -> bool:
    """Whether the code in a model directory may be run."""
    return (model.parent / MARK).is_file()


def carry_code(base: Path, trained: Path, folder: str) -> None:
    """Give a trained model the code of the base that it was made of; nothing where the base brought none."""
    if not (base / MARK).is_file():
        return
    shutil.copy2(base / MARK, trained / MARK)
    copy_code(base / "model", trained / folder)


def copy_code(model: Path, target: Path) -> None:
    """Copy the Python files of a model directory to another; none where it is not trusted."""
    if not is_trusted(model):
        return
    for file in model.rglob("*.py"):
        to = target / file.relative_to(model)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)


def check_code(model: Path, pinned: dict[str, str] | None) -> None:
    """Hold the code that came with a base against what the study pinned.

    Args:
        pinned: file to SHA-256 of a directory; None for a hub model, whose commit pins it.

    Raises:
        StepFailed: it takes code from another repository, or is not the pinned one.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    elsewhere = [name for name in config.get("auto_map", {}).values() if "--" in str(name)]
    if elsewhere:
        raise StepFailed(
            f"the model takes its code from another repository ({elsewhere[0]}), which nothing pins",
            hint="copy that code beside the weights, point auto_map at it, and name the directory as the base",
        )
    for file in model.rglob("*.py") if pinned is not None else ():
        if (pinned or {}).get(str(file.relative_to(model))) != file_sha256(file):
            raise StepFailed(f"{file.name} is not the code that the plan saw", hint="run the study again")


def needs_code(model: Path, error: ValueError) -> SpecsciError:
    """What to say where a model cannot be loaded without its own code."""
    return SpecsciError(
        f"the model in {model} brings Python code of its own, which is not run ({str(error).splitlines()[0]})",
        hint="read that code; then write trust_remote_code: true under the base model, pinned to a commit",
    )
