"""The process that examines with torch: `python -m specsci.intake.prove FOLDER` reads a request there and writes the answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from specsci.intake.examination import Examination


def answer(folder: Path, asked: dict[str, Any]) -> Examination:
    """Do what was asked: examine a model, or what a study does with its tokenizer."""
    if asked["what"] == "model":
        from specsci.intake.model import examine_model

        return examine_model(folder, trusted=asked["trusted"], quick=asked["quick"])
    from specsci.intake.use import examine_use_of

    return examine_use_of(folder, asked["use"])


def main(scratch: Path) -> None:
    """Answer the requests that lie in a folder, up to the first refusal."""
    from specsci.execute.worker import quiet_libraries

    quiet_libraries()
    request = json.loads((scratch / "request.json").read_text(encoding="utf-8"))
    answers: list[dict[str, Any]] = []
    for asked in request["asked"]:
        found = answer(Path(request["folder"]), asked)
        answers.append(found.as_dict())
        if found.refused:
            break
    part = scratch / "answer.part"
    part.write_text(json.dumps(answers), encoding="utf-8")
    os.replace(part, scratch / "answer.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
