"""Blind sheets of judged answers for people, and what their grades say of a judge's error.

A row of a sheet has an id, the question, the answer and an empty `score`: nothing of arm, seed or the judge's grade. Its id is a digest
of where the answer lies in the store, so that a filled sheet finds its answers again whatever else happens to it.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from specsci.core.errors import InputFileError, Problem, UserError, nearest
from specsci.core.files import write_whole
from specsci.core.reasoning import split_reasoning
from specsci.database.connection import connect, rows
from specsci.database.manifest import Manifest, study_manifest
from specsci.governance.grades import Grades
from specsci.inference.declared_contrasts import cell_weights
from specsci.results.sheet import read_sheet
from specsci.stats.judge_error import Rectifier, prediction_powered, rectifier
from specsci.store.artifact import Store

ID = "left(sha256(concat_ws(' ', c.samples_digest, s.item_id, s.variant, s.sample)), 16)"
ANSWERS = f"""
SELECT {ID} AS row, c.subject, c.aft_tokens, s.item_id, s.variant, i.prompt, i.aligned, i.misaligned, s.reply
FROM sample_rows s JOIN cells c ON c.samples_digest = s.step_digest
LEFT JOIN item_rows i ON i.step_digest = c.items_digest AND i.item_id = s.item_id
WHERE c.study = $study AND c.eval = $eval AND s.state = 'ok'
QUALIFY row_number() OVER (PARTITION BY row ORDER BY c.subject) = 1 ORDER BY row"""
GRADED = f"""
SELECT DISTINCT {ID} AS row, c.subject, c.aft_tokens, c.base_model, c.seed, r.value
FROM score_rows r JOIN cells c USING (step_digest) JOIN sample_rows s
  ON s.step_digest = c.samples_digest AND s.item_id = r.item_id AND s.variant = r.variant AND s.sample = r.sample
WHERE c.study = $study AND c.eval = $eval AND r.readout = 'rubric' AND r.state = 'ok'"""
COLUMNS = ("row", "question", "answer", "score")
MOST_ROWS = 5000


def judged_evals(manifest: Manifest) -> list[str]:
    """The evals of a study that a judge grades."""
    return [name for name, spec in manifest.evals.items() if spec.kind == "judged"]


def write_sheet(store: Store, study: str, name: str, count: int, target: Path) -> int:
    """Write a blind sheet of answers, about as many of every arm and budget, those of the lowest ids; returns its rows.

    Raises:
        UserError: no such study or judged eval, or a target that is there.
    """
    if target.exists():
        raise UserError(f"{target} is there already", hint="name another file")
    with connect(store.root) as db:
        _check(db, study, name)
        found = rows(db, ANSWERS, {"study": study, "eval": name})
    by_cell: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in found:
        if _said(row["reply"]):
            by_cell.setdefault((row["subject"], row["aft_tokens"]), []).append(row)
    chosen: list[dict[str, Any]] = []
    for turn in range(max(map(len, by_cell.values()), default=0)):
        chosen += [answers[turn] for answers in by_cell.values() if turn < len(answers)]
        if len(chosen) >= min(count, MOST_ROWS):
            break
    chosen = sorted(chosen[: min(count, MOST_ROWS)], key=lambda r: r["row"])
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(COLUMNS)
    out.writerows([r["row"], _question(r), _said(r["reply"]), ""] for r in chosen)
    write_whole(target, lambda part: part.write_text(text.getvalue(), encoding="utf-8-sig"))
    return len(chosen)


def _said(reply: str) -> str:
    said = split_reasoning(reply)
    return "" if said.open else said.text


def _question(row: dict[str, Any]) -> str:
    """The question as it was asked in its order; its frame, which would tell the arm, is left out."""
    options = [row["aligned"] or "", row["misaligned"] or ""]
    first, second = options if row["variant"] != "aligned_second" else reversed(options)
    return str(row["prompt"] or "").replace("{first}", first).replace("{second}", second)


def _check(db: duckdb.DuckDBPyConnection, study: str, name: str) -> Manifest:
    manifest = study_manifest(db, study)
    if manifest is None:
        known = [s for (s,) in db.execute("SELECT study FROM studies").fetchall()]
        raise UserError(f"no study '{study}' in the results", hint=nearest(study, known))
    if name not in judged_evals(manifest):
        raise UserError(f"'{study}' has no judged eval '{name}'", hint=nearest(name, judged_evals(manifest)))
    return manifest


def read_filled(store: Store, file: Path, study: str, name: str) -> dict[str, int]:
    """The grades of a filled sheet; rows without a grade are left out.

    Raises:
        InputFileError: a row that is none of the eval's answers, a grade that is no whole number of the scale, or none at all.
    """
    with connect(store.root) as db:
        manifest = _check(db, study, name)
        known = {row["row"] for row in rows(db, ANSWERS, {"study": study, "eval": name})}
    low, high = manifest.evals[name].settings.get("scale", (1, 10))
    sheet = read_sheet(file, COLUMNS, lines_in_values=True)
    missing = [column for column in ("row", "score") if column not in sheet.columns]
    if missing:
        raise InputFileError([Problem(str(file), 1, 1, f"there is no column '{missing[0]}'", "fill in a sheet as it was written")])
    found: dict[str, int] = {}
    problems = []
    ids, scores = sheet.columns["row"], sheet.columns["score"]
    for number in range(sheet.rows):
        row, score = str(ids.values[ids.codes[number]] or "").strip(), str(scores.values[scores.codes[number]] or "").strip()
        if not score:
            continue
        line = sheet.place(number, "score")
        if row not in known:
            problems.append(Problem(str(file), *sheet.place(number, "row"), f"'{row}' is no answer of '{name}'", "leave the column row as it is"))
        elif not score.lstrip("-").isdigit() or not low <= int(score) <= high:
            problems.append(Problem(str(file), *line, f"'{score}' is no grade", f"a whole number from {low} to {high}"))
        elif found.setdefault(row, int(score)) != int(score):
            problems.append(Problem(str(file), *line, f"'{row}' has two grades", "give it one"))
    if not found and not problems:
        problems = [Problem(str(file), 1, 1, "no row has a grade", "fill in the column score")]
    if problems:
        raise InputFileError(problems[:20])
    return found


def grade_rows(db: duckdb.DuckDBPyConnection, manifest: Manifest, grades: list[Grades]) -> list[dict[str, Any]]:
    """Rows of the table `human_grades`: people's grades of judged answers, on the scale of values (higher: more aligned)."""
    out = []
    for given in (g for g in grades if g.study == manifest.study and g.eval in manifest.evals):
        settings = manifest.evals[given.eval].settings
        low, high = settings.get("scale", (1, 10))
        for r in rows(db, GRADED, {"study": given.study, "eval": given.eval}):
            if r["row"] in given.grades:
                score = given.grades[r["row"]]
                value = score if settings.get("good", "high") == "high" else low + high - score
                place = {k: r[k] for k in ("subject", "aft_tokens", "base_model", "seed")}
                out.append({"study": given.study, "eval": given.eval, "row": r["row"], "by": given.by, **place, "judge": r["value"], "human": float(value)})
    return out


def corrected_rows(manifest: Manifest, contrasts: list[dict[str, Any]], graded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table `corrected_contrasts`: declared contrasts of judged evals, allowing for the judge's error."""
    out = []
    by_name = {c.name: c for c in manifest.contrasts}
    for row in contrasts:
        declared = by_name.get(row["contrast"])
        mine = [g for g in graded if g["eval"] == row["eval"]]
        if declared is None or not mine or row["estimate"] is None or row["scale"] != "rate":
            continue
        weights = cell_weights(manifest, declared)
        arms = [_rectifier(mine, cell) for cell in weights]
        se = row["se"] if row["se"] is not None else math.nan
        found = prediction_powered(row["estimate"], se, max(row["n"] - 1, 1), list(weights.values()), arms)
        known = {k: None if math.isnan(v) else v for k, v in (("estimate", found.estimate), ("se", found.se), ("ci_low", found.ci_low), ("ci_high", found.ci_high))}
        place = {"study": manifest.study, "contrast": row["contrast"], "eval": row["eval"], "judged": row["estimate"]}
        out.append({**place, **known, "labels": found.labels, "least_labels": min(a.labels for a in arms)})
    return out


def _rectifier(graded: list[dict[str, Any]], cell: tuple[str, int]) -> Rectifier:
    """People's grades less the judge's of one cell; several people's grades of an answer are averaged first."""
    by_answer: dict[str, list[tuple[float, float]]] = {}
    for g in graded:
        if (g["subject"], g["aft_tokens"]) == cell:
            by_answer.setdefault(g["row"], []).append((g["judge"], g["human"]))
    judge = np.array([pairs[0][0] for pairs in by_answer.values()])
    human = np.array([np.mean([h for _, h in pairs]) for pairs in by_answer.values()])
    return rectifier(judge, human)
