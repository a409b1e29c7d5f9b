"""A small family to begin with, and a study of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from specsci.core.errors import UserError
from specsci.core.files import write_whole
from specsci.specs.load import load_family
from specsci.specs.versions import written_whole

STARTER = Path(__file__).parent
FILES = ("family.yaml", "grammar.yaml", "items/held_out.jsonl")


def write_family(name: str, here: Path) -> tuple[Path, Path]:
    """The starter family under a name of one's own in `spec_variants/NAME`, and `NAME.yaml`, a study of it.

    Raises:
        UserError: one of them is there already, or cannot be written.
    """
    folder, study = here / "spec_variants" / name, here / f"{name}.yaml"
    for path in (folder, study):
        if path.exists():
            raise UserError(f"{path} is there already", hint="choose another name, or move it away")

    def copy(target: Path) -> None:
        for file in FILES:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_text(_renamed(STARTER / file, name), encoding="utf-8")

    written_whole(folder, copy)
    load_family(folder)
    try:
        text = _renamed(STARTER / "study.yaml", name)
        write_whole(study, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"{study} cannot be written: {error.strerror}", hint="go to a folder you may write to") from error
    return folder, study


def _renamed(file: Path, name: str) -> str:
    return file.read_text(encoding="utf-8").replace("starter", name)
