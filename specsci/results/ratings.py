"""Ratings of items by people and judges, read from a CSV file, and how far they agree."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from specsci.core.errors import UserError, nearest
from specsci.results.imports.values import Refused, clean_name
from specsci.results.sheet import Problems, read_sheet
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
STRATA = ("stratum", "population")
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
    """Read a ratings file, CSV or Parquet; columns of other names are left alone.

    Raises:
        InputFileError: missing columns, a missing value, two ratings of one item by one rater, labels or raters that differ in case alone,
            or a population that is not a number or has two values.
    """
    sheet = read_sheet(path, (*NEEDED, *STRATA), lines_in_values=True)
    problems = Problems(sheet)
    for name in (n for n in NEEDED if n not in sheet.columns):
        problems.add_header(None, f"no column {name}", f"columns are {', '.join(NEEDED)}")
    problems.raise_if_any()
    cells = {name: _names(problems, name) for name in (*NEEDED, *STRATA) if name in sheet.columns}
    labels: dict[str, dict[str, str]] = {}
    strata: dict[str, str] = {}
    population: dict[str, int] = {}
    given: dict[tuple[str, str], int] = {}
    spelt: dict[tuple[str, str], tuple[str, int]] = {}
    for row in range(sheet.rows):
        item, rater, label = (cells[c][row] for c in NEEDED)
        if item is None or rater is None or label is None:
            continue  # said already
        for column, text in (("rater", rater), ("label", label)):
            other, before = spelt.setdefault((column, text.casefold()), (text, row))
            if other != text:
                what = f"'{text}' and '{other}' ({sheet.line(before)}) differ in case alone"
                problems.add(row, column, what, "spell them alike, or give them names that differ")
        if (first := given.setdefault((item, rater), row)) != row:
            problems.add(row, "rater", f"'{rater}' rated '{item}' twice ({sheet.line(first)})", "keep one rating")
        else:
            labels.setdefault(item, {})[rater] = label
        stratum, size = (cells[c][row] if c in cells else None for c in STRATA)
        if stratum is None:
            continue
        if not _is_size(size) or population.get(stratum, int(size)) != int(size):
            problems.add(
                row, "population", f"population '{size or ''}' of stratum '{stratum}'", "one whole number per stratum"
            )
        elif strata.get(item, stratum) != stratum:
            problems.add(row, "stratum", f"'{item}' is in two strata", "an item has one stratum")
        else:
            strata[item], population[stratum] = stratum, int(size)
    problems.raise_if_any()
    raters = list(dict.fromkeys(r for by in labels.values() for r in by))
    return Ratings(raters, labels, strata, population)


def _names(problems: Problems, name: str) -> list[str | None]:
    """A column's names by row; where one is needed, a missing one is said with its line."""
    column = problems.sheet.columns[name]
    texts: list[str | None] = []
    bad = {}
    for number, value in enumerate(column.values):
        try:
            text = clean_name(name, value)
            if text is None and name in NEEDED:
                marker = str(value).strip() if value is not None else ""
                what = f"'{marker}' marks a missing {name}" if marker else "an empty cell"
                raise Refused(what, "leave out ratings that were not given; spell out a label that looks like a missing one")
            texts.append(text)
        except Refused as error:
            texts.append(None)
            bad[number] = error
    for row in column.rows(bad):
        wrong = bad[int(column.codes[row])]
        problems.add(row, name, wrong.what, wrong.hint)
    return [texts[code] for code in column.codes.tolist()]


def _is_size(text: str | None) -> TypeGuard[str]:
    return text is not None and text.isdecimal() and text.isascii() and len(text) <= 15


def agreement(ratings: Ratings, human: str | None = None, level: Level = "nominal") -> dict[str, Any]:
    """`agreement`: coefficients of all raters and of every pair; with `human`, `errors`: each judge's against that rater.

    Raises:
        UserError: fewer than two raters, an unknown `human`, or labels that are not numbers for a level that needs them.
    """
    if len(ratings.raters) < 2:
        raise UserError("agreement needs at least two raters", hint="a row per item and rater")
    if human is not None and human not in ratings.raters:
        raise UserError(f"no rater '{human}'", hint=nearest(human, ratings.raters))
    if not any(len(by) > 1 for by in ratings.labels.values()):
        raise UserError(
            "no item has two ratings, so that there is nothing to compare", hint="let two raters rate the same items"
        )
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
        raise UserError(f"{level} labels are numbers: {error}", hint="number the labels, or --level nominal") from error
    rows = [[number[by[r]] if r in by else np.nan for r in ratings.raters] for by in ratings.labels.values()]
    return np.array(rows, float)


def _errors(ratings: Ratings, judge: str, human: str) -> dict[str, Any]:
    """A judge's errors by stratum, and over the whole with strata weighed by what they stand for.

    Without strata the audited items are taken as a sample of something without end.
    """
    both = {item: by for item, by in ratings.labels.items() if judge in by and human in by}
    if not both:
        raise UserError(f"'{judge}' and '{human}' rated no item in common", hint="rate the same items, or leave --human out")
    groups: dict[str | None, list[bool]] = {}
    for item, by in both.items():
        groups.setdefault(ratings.strata.get(item), []).append(by[judge] != by[human])
    if None in groups and len(groups) > 1:
        raise UserError("some items have a stratum and others none", hint="give every item its stratum and population")
    unseen = sorted(set(ratings.population) - set(groups)) if None not in groups else []
    if unseen:
        raise UserError(f"{judge}: no item of stratum {', '.join(unseen)} was audited", hint="audit some, or leave it out")
    strata = [
        Stratum(name or "all", ratings.population[name] if name is not None else ENDLESS, len(wrong), sum(wrong))
        for name, wrong in sorted(groups.items(), key=lambda g: g[0] or "")
    ]
    try:
        rate, low, high = audited_error(strata)
    except ValueError as error:
        raise UserError(f"{judge}: {error}", hint="population is the number of items that a stratum holds") from error
    sizes = [None if s.population == ENDLESS else s.population for s in strata]
    listed = [
        {"stratum": s.name, "population": size, "audited": s.audited, "wrong": s.wrong}
        for s, size in zip(strata, sizes, strict=True)
    ]
    return {"judge": judge, "human": human, "error_rate": rate, "ci_low": low, "ci_high": high, "strata": listed}
