"""Sample files of lm-eval (`--log_samples`): one answer per document, filter and metric.

A file is named `samples_TASK_TIME.jsonl` and lies beside `results_TIME.json`, which names the model and the task's version.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from specsci.core.errors import InputFileError, Problem, UserError
from specsci.core.jsonl import stream_rows
from specsci.results.imports.answers import Answer

NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
NO_ANSWER = "[invalid]"
"""What lm-eval's filters write where they find no answer; its metrics count it as wrong."""
KEPT = ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash")


def answers_of(files: list[Path], condition: str | None) -> list[Answer]:
    """The answers of sample files.

    Raises:
        UserError: a file is not one of lm-eval, or two are of different versions of one task.
        InputFileError: a line that is no sample, or gives one anew.
    """
    if condition:
        raise UserError("sample files of lm-eval name no harness conditions", hint="leave --condition out, and import each condition as an eval of its own")
    versions: dict[str, tuple[str, str]] = {}
    found: dict[tuple[str, str, str], Answer] = {}
    for path in files:
        named = NAME.fullmatch(path.name)
        if named is None:
            raise UserError(f"'{path.name}' is not named as lm-eval names sample files", hint="it is samples_TASK_TIME.jsonl, as `lm-eval run --log_samples` writes it")
        task = named["task"]
        model, version = _about(path, named["time"], task)
        before = versions.setdefault(task, (version, path.name))
        if before[0] != version:
            raise UserError(f"'{path.name}' is of version {version} of {task}, '{before[1]}' of version {before[0]}", hint="versions of a task are not pooled: import them as evals of their own")
        for line, data in _objects(path):
            _take(found, path, line, data, task, model)
    return list(found.values())


def _objects(path: Path) -> list[tuple[int, dict[str, Any]]]:
    out, problems = [], []
    for row in stream_rows(path, path.name):
        if isinstance(row, Problem):
            problems.append(row)
        elif not isinstance(row.data.get("doc_id"), int) or "filtered_resps" not in row.data:
            problems.append(Problem(path.name, row.line, 1, "no sample of lm-eval: it has no 'doc_id' and 'filtered_resps'", "give the file as lm-eval wrote it"))
        else:
            out.append((row.line, row.data))
    if problems:
        raise InputFileError(problems[:20])
    return out


def _take(found: dict[tuple[str, str, str], Answer], path: Path, line: int, data: dict[str, Any], task: str, model: str) -> None:
    """Add a line's scores to its document's answer; the filter's name is a part of each key, as in lm-eval's own tables."""
    item, filter_ = str(data["doc_id"]), str(data.get("filter") or "none")
    metrics = data.get("metrics") or [key for key in data if key not in KEPT]
    none = NO_ANSWER in _texts(data["filtered_resps"])
    values = {f"{metric},{filter_}" if filter_ != "none" else str(metric): math.nan if none else _number(data.get(metric)) for metric in metrics}
    key = (model, task, item)
    before = found.get(key)
    if before is not None and set(before.values) & set(values):
        raise InputFileError([Problem(path.name, line, 1, f"document {item} of {task} is answered by '{model}' before", "give each run once, or name its models apart")])
    found[key] = Answer(model, task, item, None, 0, "ok", {**(before.values if before else {}), **values})


def _texts(replies: Any) -> list[str]:
    """Replies as texts; of nested lists those within."""
    if isinstance(replies, list):
        return [text for one in replies for text in _texts(one)]
    return [replies] if isinstance(replies, str) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float) else math.nan


def _about(path: Path, time: str, task: str) -> tuple[str, str]:
    """The model and the task's version; the folder's name and `unknown` where no results file lies beside the samples."""
    beside = path.with_name(f"results_{time}.json")
    try:
        said = json.loads(beside.read_text())
        return str(said["model_name"]), str(said.get("versions", {}).get(task, "unknown"))
    except FileNotFoundError:
        return path.resolve().parent.name, "unknown"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{beside.name}' beside the samples cannot be read ({type(error).__name__})", hint="restore it, or move it away: the folder then names the model") from error
