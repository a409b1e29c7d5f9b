"""Scores made elsewhere, joined to the models of a study: they are written to the file that the study's eval names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import InputFileError, Problem, StepFailed, UserError, nearest
from specsci.core.files import write_whole
from specsci.core.jsonl import raise_problems, stream_rows
from specsci.evals.imported.file import MODEL, scores_by_model
from specsci.evals.printed import COLUMNS, row_of
from specsci.plan.plan import Plan
from specsci.results.imports.answers import Reading, answers_in, is_log, row_of_answer
from specsci.results.sheet import Sheet, read_sheet

FEWEST_DIGITS = 12
Key = tuple[str, str, str, str]
"""Model, item, variant, sample."""
_HEX = re.compile(rf"[0-9a-f]{{{FEWEST_DIGITS},}}")
_TRUE, _FALSE = ("true", "1", "yes", "TRUE", "True", "1.0"), ("false", "0", "no", "FALSE", "False", "0.0")


@dataclass(frozen=True)
class Joined:
    """What was joined: the file, answers taken, models that have scores now and that the study has."""

    file: str
    answers: int
    models: int
    of_models: int


def join(plan: Plan, name: str, files: Sequence[Path], reading: Reading | None) -> Joined:
    """Join the scores of files to a study's eval of kind `imported`; the answers of a model to an item replace those that it has.

    Args:
        reading: how the scores of logs become answers; None where the files are tables or JSON Lines of scores.

    Raises:
        UserError: the eval takes no scores, or a file is none.
        InputFileError: scores of models that the study does not have, of items that are not asked, or that are no scores.
    """
    spec = plan.loaded.study.evals.get(name)
    if spec is None:
        raise UserError(f"the study has no eval '{name}'", hint=nearest(name, plan.loaded.study.evals))
    if spec.kind != "imported":
        raise UserError(f"'{name}' is of kind {spec.kind} and takes no scores made elsewhere", hint=f"write evals: {{{name}: {{kind: imported, scores: {name}.jsonl}}}}")
    scores, binary = str(getattr(spec, "scores", "")), getattr(spec, "outcome", "") == "binary"
    models = sorted(set(plan.models.values()))
    asked = {item.item_id for item in plan.loaded.family.items(spec.items)} if spec.items else set()
    found: dict[Key, dict[str, Any]] = {}
    problems: list[Problem] = []
    for path, line, given in _given(files, reading, binary, asked=bool(asked)):
        model = _model_of(str(given.get(MODEL) or ""), models)
        if model is None:
            said = f"'{str(given.get(MODEL) or '')[:80]}' names no model of the study" if given.get(MODEL) else "the row names no model"
            problems.append(Problem(path, line, 1, said, "a model is named by its digest: `specsci model export --study` names directories so"))
            continue
        try:
            row = row_of(given, "the row", binary)
        except StepFailed as error:
            problems.append(Problem(path, line, 1, error.what, error.hint))
            continue
        if asked and row["item_id"] not in asked:
            problems.append(Problem(path, line, 1, f"'{row['item_id']}' is no item of {spec.items}", nearest(row["item_id"], asked)))
            continue
        if asked:
            row.pop("cluster_id", None)  # the item set says it
        key = _key(model, row)
        if key in found:
            problems.append(Problem(path, line, 1, f"'{row['item_id']}' of this model is given twice", "number the samples of an item in `sample`"))
        found[key] = {MODEL: model, **row}
    raise_problems(problems)
    if not found:
        raise UserError("the files hold no scores", hint="give files that do")
    target = plan.loaded.file.resolve().parent / scores
    anew = {key[:-1] for key in found}  # all samples of an item are replaced together
    merged = {**{key: row for key, row in _kept(target).items() if key[:-1] not in anew}, **found}
    lines = [json.dumps(row, ensure_ascii=False) for row in merged.values()]
    write_whole(target, lambda part: part.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return Joined(scores, len(found), len({key[0] for key in merged} & set(models)), len(models))


def _key(model: str, row: dict[str, Any]) -> Key:
    """What tells answers apart; without a variant or a sample it is the only one."""
    return model, str(row.get("item_id")), str(row.get("variant") or "single"), str(row.get("sample") or 0)


def _kept(target: Path) -> dict[Key, dict[str, Any]]:
    """What the eval's file has."""
    if not target.exists():
        return {}
    kept = {}
    for model, lines in scores_by_model(target).items():
        for line in lines.split("\n"):
            row = {MODEL: model, **json.loads(line)}
            kept[_key(model, row)] = row
    return kept


def _model_of(text: str, models: Sequence[str]) -> str | None:
    """The model whose digest a name holds: the digest itself, its first digits, or within a path or a served model's name."""
    found = {model for part in _HEX.findall(text.lower()) for model in models if model.startswith(part)}
    return found.pop() if len(found) == 1 else None


def _given(files: Sequence[Path], reading: Reading | None, binary: bool, *, asked: bool) -> Iterable[tuple[str, int, dict[str, Any]]]:
    """File, line and columns of every score."""
    if reading is not None:
        if not binary and reading.aligned == "low":
            raise UserError("the eval's outcome is a rate, of which higher is more aligned", hint="give scores of which that holds, or outcome: binary and --threshold")
        if reading.models or reading.condition:
            raise UserError("--model and --condition are for studies of their own", hint="with --into a log's model is found by the digest in its name")
        answers, key = answers_in(files, reading, every_argument=not asked)
        for number, answer in enumerate(answers, 1):
            yield files[0].name, number, row_of_answer(answer, key, reading, binary)
        return
    for path in files:
        if is_log(path):
            for row in stream_rows(path, path.name):
                if isinstance(row, Problem):
                    raise InputFileError([row])
                yield path.name, row.line, row.data
        else:
            yield from _of_sheet(path)


def _of_sheet(path: Path) -> Iterable[tuple[str, int, dict[str, Any]]]:
    sheet = read_sheet(path, (MODEL, *COLUMNS))
    unknown = [c for c in sheet.columns if c not in (MODEL, *COLUMNS)]
    lacking = [c for c in (MODEL, "item_id") if c not in sheet.columns]
    if unknown or lacking:
        said = f"unknown column '{unknown[0]}'" if unknown else f"there is no column '{lacking[0]}'"
        raise InputFileError([Problem(path.name, *sheet.place(-1, None), said, f"columns: {', '.join((MODEL, *COLUMNS))}")])
    for row in range(sheet.rows):
        yield path.name, sheet.place(row, None)[0], {c: v for c in sheet.columns if (v := _value(sheet, c, row)) is not None}


def _value(sheet: Sheet, column: str, row: int) -> Any:
    """A cell as JSON would hold it; what is no number or truth stays a text, and is refused with its line."""
    found = sheet.columns[column]
    value = found.values[int(found.codes[row])]
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value).strip()
    if column == "aligned":
        return True if text in _TRUE else False if text in _FALSE else text
    if column in ("value", "sample"):
        try:
            return int(text) if column == "sample" else float(text)
        except ValueError:
            return text
    return text
