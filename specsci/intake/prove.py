"""The process that examines with torch: `python -m specsci.intake.prove FOLDER` reads a request there and writes the answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from specsci.sources.examination import Examination


def answer(folder: Path, asked: dict[str, Any]) -> Examination:
    """Do what was asked: examine a model, or what a study does with its tokenizer."""
    if asked["what"] == "model":
        from specsci.intake.model import examine_model

        return examine_model(folder, trusted=asked["trusted"], quick=asked["quick"])
    from specsci.intake.use import examine_use_of

    return examine_use_of(folder, asked["use"])


def answers(request: dict[str, Any]) -> list[Examination]:
    """Do all that was asked, up to the first refusal."""
    found: list[Examination] = []
    for asked in request["asked"]:
        found.append(answer(Path(request["folder"]), asked))
        if found[-1].refused:
            break
    return found


def main(scratch: Path) -> None:
    """Answer the requests that lie in a folder."""
    from specsci.execute.logs import quiet_libraries

    quiet_libraries()
    request = json.loads((scratch / "request.json").read_text(encoding="utf-8"))
    part = scratch / "answer.part"
    part.write_text(json.dumps([found.as_dict() for found in answers(request)]), encoding="utf-8")
    part.replace(scratch / "answer.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
