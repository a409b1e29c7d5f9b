"""A file of scores made elsewhere: lines of JSON, each with the digest of the model that it is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from specsci.core.errors import InputFileError, Problem
from specsci.core.jsonl import raise_problems, stream_rows

MODEL = "model"
Lines = Mapping[str, str]
"""A model's digest to its lines, without the digest, one below the other in the order of the file."""


def scores_by_model(path: Path) -> Lines:
    """The lines of every model of a file.

    Raises:
        InputFileError: lines that are no objects, or name no model.
    """
    facts = path.stat()
    return _read(str(path), facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _read(name: str, changed_ns: int, size_bytes: int) -> Lines:
    path, found, problems = Path(name), dict[str, list[str]](), list[Problem]()
    for row in stream_rows(path, path.name):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        model = row.data.get(MODEL)
        if not isinstance(model, str) or not model:
            problems.append(Problem(path.name, row.line, 1, "the line names no model", f'a line is such as {{"{MODEL}": DIGEST, "item_id": "a", "aligned": true}}'))
            continue
        rest = {key: value for key, value in row.data.items() if key != MODEL}
        found.setdefault(model, []).append(json.dumps(rest, ensure_ascii=False, sort_keys=True))
    raise_problems(problems)
    if not found:
        raise InputFileError([Problem(path.name, 1, 1, "the file holds no scores", "remove it until there are some")])
    return {model: "\n".join(lines) for model, lines in found.items()}
