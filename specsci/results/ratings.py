"""Ratings of items by people and judges, read from a CSV file, and how far they agree."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from specsci.errors import InputFileError, Problem, UserError, nearest
from specsci.stats.agreement import (
    Agreement,
    Level,
    Stratum,
    audited_error,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)

NEEDED = ("item_id", "rater", "label")
ENDLESS = 10**15


@dataclass(frozen=True)
class Ratings:
    """`labels[item][rater]`, and the stratum of an item with the number of items that it stands for."""

    raters: list[str]
    labels: dict[str, dict[str, str]]
    strata: dict[str, str]
    population: dict[str, int]

    def of(self, raters: list[str]) -> np.ndarray:
        """Labels of the items that all of these rated, shape (items, raters)."""
        rows = [[by[r] for r in raters] for by in self.labels.values() if all(r in by for r in raters)]
        return np.array(rows, dtype=str).reshape(-1, len(raters))


def read_ratings(path: Path) -> Ratings:
    """Read a ratings file.

    Raises:
        InputFileError: missing columns, an empty cell, two ratings by one rater, or a population that is none or contradictory.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            columns, rows = list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError([Problem(str(path), 1, 1, f"cannot be read as CSV: {error}")]) from error
    missing = [c for c in NEEDED if c not in columns]
    if missing:
        raise InputFileError(
            [Problem(str(path), 1, 1, f"no column {', '.join(missing)}", f"columns are {', '.join(NEEDED)}")]
        )
    problems: list[Problem] = []
    labels: dict[str, dict[str, str]] = {}
    strata: dict[str, str] = {}
    population: dict[str, int] = {}
    for line, row in rows:
        item, rater, label = ((row[c] or "").strip() for c in NEEDED)
        if not (item and rater and label):
            problems.append(Problem(str(path), line, 1, "an empty cell", "leave out ratings that were not given"))
        elif rater in labels.setdefault(item, {}):
            problems.append(Problem(str(path), line, 1, f"'{rater}' rated '{item}' twice", "keep one rating"))
        else:
            labels[item][rater] = label
        name = (row.get("stratum") or "").strip()
        if not name:
            continue
        size = (row.get("population") or "").strip()
        if not size.isdecimal() or not size.isascii() or len(size) > 15 or population.get(name, int(size)) != int(size):
            problems.append(
                Problem(str(path), line, 1, f"population '{size}' of stratum '{name}'", "one whole number per stratum")
            )
        elif strata.get(item, name) != name:
            problems.append(Problem(str(path), line, 1, f"'{item}' is in two strata", "an item has one stratum"))
        else:
            strata[item], population[name] = name, int(size)
    if problems:
        raise InputFileError(problems)
    raters = list(dict.fromkeys(r for by in labels.values() for r in by))
    return Ratings(raters, labels, strata, population)


def agreement(ratings: Ratings, human: str | None = None, level: Level = "nominal") -> dict[str, Any]:
    """`agreement`: coefficients of all raters and of every pair; with `human`, `errors`: each judge's against that rater.

    Raises:
        UserError: fewer than two raters, an unknown `human`, or labels that are no numbers for a level that needs them.
    """
    if len(ratings.raters) < 2:
        raise UserError("agreement needs at least two raters", mend="a row per item and rater")
    if human is not None and human not in ratings.raters:
        raise UserError(f"no rater '{human}'", mend=nearest(human, ratings.raters))
    found = [("all", krippendorff_alpha(_codes(ratings, level), level))]
    everyone = ratings.of(ratings.raters)
    if len(ratings.raters) > 2 and len(everyone) > 1:
        found.append(("all", fleiss_kappa(everyone)))
    for pair in combinations(ratings.raters, 2):
        both = ratings.of(list(pair))
        if len(both):
            found.append((" and ".join(pair), cohen_kappa(both[:, 0], both[:, 1])))
    out: dict[str, Any] = {"agreement": [{"who": who, **_plain(a)} for who, a in found]}
    if human is not None:
        out["errors"] = [_errors(ratings, judge, human) for judge in ratings.raters if judge != human]
    return out


def _plain(found: Agreement) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(found).items()}


def _codes(ratings: Ratings, level: Level) -> np.ndarray:
    """Numbers for labels, NaN where a rater gave none; shape (items, raters)."""
    labels = sorted({label for by in ratings.labels.values() for label in by.values()})
    try:
        number = {label: float(label) if level != "nominal" else float(n) for n, label in enumerate(labels)}
        if not all(map(math.isfinite, number.values())):
            raise ValueError("a label is not finite")
    except ValueError as error:
        raise UserError(f"{level} labels are numbers: {error}", mend="number the labels, or --level nominal") from error
    rows = [[number[by[r]] if r in by else np.nan for r in ratings.raters] for by in ratings.labels.values()]
    return np.array(rows, float)


def _errors(ratings: Ratings, judge: str, human: str) -> dict[str, Any]:
    """A judge's errors by stratum, and over the whole with strata weighed by what they stand for.

    Without strata the audited items are taken as a sample of something without end.
    """
    both = {item: by for item, by in ratings.labels.items() if judge in by and human in by}
    if not both:
        raise UserError(f"'{judge}' and '{human}' rated no item in common", mend="rate the same items, or leave --human out")
    groups: dict[str | None, list[bool]] = {}
    for item, by in both.items():
        groups.setdefault(ratings.strata.get(item), []).append(by[judge] != by[human])
    if None in groups and len(groups) > 1:
        raise UserError("some items have a stratum and others none", mend="give every item its stratum and population")
    unseen = sorted(set(ratings.population) - set(groups)) if None not in groups else []
    if unseen:
        raise UserError(f"{judge}: no item of stratum {', '.join(unseen)} was audited", mend="audit some, or leave it out")
    strata = [
        Stratum(name or "all", ratings.population[name] if name is not None else ENDLESS, len(wrong), sum(wrong))
        for name, wrong in sorted(groups.items(), key=lambda g: g[0] or "")
    ]
    try:
        rate, low, high = audited_error(strata)
    except ValueError as error:
        raise UserError(f"{judge}: {error}", mend="population is the number of items that a stratum holds") from error
    sizes = [None if s.population == ENDLESS else s.population for s in strata]
    listed = [
        {"stratum": s.name, "population": size, "audited": s.audited, "wrong": s.wrong}
        for s, size in zip(strata, sizes, strict=True)
    ]
    return {"judge": judge, "human": human, "error_rate": rate, "ci_low": low, "ci_high": high, "strata": listed}
