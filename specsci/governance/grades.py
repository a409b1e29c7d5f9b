"""Grades that people gave to answers which a judge graded too: kept in the store, one file for each study, eval and person."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from specsci.core.errors import UserError
from specsci.core.ids import digest
from specsci.governance.json_records import read_all, write_one
from specsci.store.artifact import Store

GRADES = "grades"


@dataclass(frozen=True)
class Grades:
    """One person's grades of one eval's answers: the answer's row id (see `specsci.results.grades`) to the grade."""

    study: str
    eval: str
    by: str
    date: str
    grades: dict[str, int]


def grades_path(store: Store, study: str, name: str, by: str) -> Path:
    """The file of one person's grades."""
    return store.root / GRADES / f"{study}.{name}.{digest(by)[:8]}.json"


def read_grades(store: Store) -> list[Grades]:
    """All grades of a store that can be read."""
    return read_all(store.root / GRADES, Grades, "grades")


def keep_grades(store: Store, study: str, name: str, by: str, grades: dict[str, int]) -> int:
    """Add one person's grades to those that the person gave before, of which equal rows are replaced; returns how many there are now."""
    if not by.strip():
        raise UserError("nobody is named", hint="say who graded: --by NAME")
    before = next((g.grades for g in read_grades(store) if (g.study, g.eval, g.by) == (study, name, by)), {})
    whole = {**before, **grades}
    found = Grades(study, name, by, datetime.date.today().isoformat(), dict(sorted(whole.items())))
    write_one(grades_path(store, study, name, by), found)
    return len(whole)
