"""Where a file of texts comes from and who may see it: a small file beside it, written when texts are imported or exported."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from specsci.core.errors import InputFileError, Problem
from specsci.core.files import write_whole
from specsci.specs.schema import ACCESS

ENDING = ".origin.json"


@dataclass(frozen=True)
class Origin:
    """What the file beside a file of texts says.

    Attributes:
        source: such as `hub:ORG/NAME@COMMIT`, or the artefact of a store.
        licence: as the source tells it; empty where it tells none.
    """

    source: str
    access: str = "public"
    licence: str = ""
    rows: int = 0
    sha256: str = ""


def origin_path(path: Path) -> Path:
    """The file that says where another comes from."""
    return path.with_name(path.name + ENDING)


def write_origin(path: Path, origin: Origin) -> None:
    """Say of a file of texts where it comes from."""
    text = json.dumps(asdict(origin), indent=2, ensure_ascii=False) + "\n"
    write_whole(origin_path(path), lambda part: part.write_text(text, encoding="utf-8"))


def access_of(path: Path, name: str) -> str:
    """The label of a file of texts; `public` where nothing beside it says another.

    Args:
        name: what the file is called in messages.

    Raises:
        InputFileError: what lies beside it cannot be read: the label is then not known.
    """
    beside = origin_path(path)
    if not beside.exists():
        return "public"
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))["access"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"it does not say who may see '{name}': {str(error).splitlines()[0]}"
        raise InputFileError([Problem(name + ENDING, 1, 1, what, "import the file again, or write the label: {\"access\": \"internal\"}")]) from error
    if found not in ACCESS:
        hint = f"one of {', '.join(ACCESS)}"
        raise InputFileError([Problem(name + ENDING, 1, 1, f"access: '{found}' is no label", hint)])
    return str(found)
