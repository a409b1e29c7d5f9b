"""People's verdicts on texts: kept beside the artefacts, one line each, appended as they are given."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from specsci.core.errors import InputFileError, Problem, UserError
from specsci.core.files import writing
from specsci.core.rows import read_once
from specsci.store.artifact import Store

FOLDER = "reviews"
GOOD, BAD = "good", "bad"
VERDICTS = (GOOD, BAD)
SHEET = ("key", "text", "verdict", "reason")
Verdict = Literal["good", "bad"]


@dataclass(frozen=True)
class Review:
    """One verdict: on which row of which artefact, by whom, why, and when (UTC)."""

    artefact: str
    row: int
    reviewer: str
    verdict: Verdict
    reason: str
    at: str


@dataclass(frozen=True)
class Drawn:
    """A row that was drawn for review; `key` says neither artefact nor clause."""

    key: str
    artefact: str
    row: int
    clause_id: str
    text: str


def draw(store: Store, artefacts: Sequence[tuple[str, str]], rows: int, seed: int = 0) -> list[Drawn]:
    """Rows of artefacts in a random order, as many of each artefact and clause as of another; always the same for a seed.

    Args:
        artefacts: kinds and digests.
        rows: of every artefact; a longer draw begins with the rows of a shorter one.
    """
    found: list[Drawn] = []
    for kind, digest in artefacts:
        texts = read_once(store.path(kind, digest))
        groups: dict[str, list[int]] = {}
        for number, label in enumerate(texts.labels):
            groups.setdefault(label, []).append(number)
        draws = random.Random(f"{seed} {digest}")
        for members in groups.values():
            draws.shuffle(members)
        order = [m for turn in range(max(map(len, groups.values()), default=0)) for g in groups.values() for m in g[turn : turn + 1]]
        for number in order[:rows]:
            key = hashlib.sha256(f"{digest} {texts.places[number]}".encode()).hexdigest()[:16]
            found.append(Drawn(key, digest, texts.places[number], texts.labels[number], texts.texts[number]))
    random.Random(seed).shuffle(found)
    return found


def reviews(store: Store, digest: str) -> list[Review]:
    """All verdicts on an artefact, in the order in which they were given; a torn last line is left out."""
    path = store.root / FOLDER / f"{digest}.jsonl"
    if not path.is_file():
        return []
    out = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            out.append(Review(**json.loads(line)))
        except (ValueError, TypeError) as error:
            if line.endswith(b"}"):
                raise InputFileError([Problem(str(path), number, 1, "the line is no review", "restore the file from a copy")]) from error
    return out


def add(store: Store, given: Iterable[Review]) -> int:
    """Append verdicts; one that a reviewer gave already, and does not change, is not written again. Returns how many were."""
    written = 0
    by_artefact: dict[str, list[Review]] = {}
    for review in given:
        by_artefact.setdefault(review.artefact, []).append(review)
    for digest, new in by_artefact.items():
        last = {(r.row, r.reviewer): (r.verdict, r.reason) for r in reviews(store, digest)}
        fresh = [r for r in new if last.get((r.row, r.reviewer)) != (r.verdict, r.reason)]
        path = store.root / FOLDER / f"{digest}.jsonl"
        with writing(path, "the reviews"):
            path.parent.mkdir(exist_ok=True)
            torn = path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" * torn + "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in fresh))
                file.flush()
                os.fsync(file.fileno())
        written += len(fresh)
    return written


def settled(found: Iterable[Review]) -> dict[int, dict[str, Review]]:
    """The last verdict of every reviewer on every row."""
    out: dict[int, dict[str, Review]] = {}
    for review in found:
        out.setdefault(review.row, {})[review.reviewer] = review
    return out


def write_sheet(path: Path, drawn: Sequence[Drawn]) -> None:
    """A blind sheet as CSV: a key and the text of every row, verdict and reason to be filled in."""
    with writing(path, "the sheet"), path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(SHEET)
        for row in drawn:
            out.writerow([row.key, _inert(row.text), "", ""])


def _inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def read_sheet(path: Path, drawn: Sequence[Drawn], reviewer: str) -> list[Review]:
    """The verdicts of a sheet that was filled in; rows without one are left for later.

    Raises:
        UserError: the file cannot be read, or is no sheet.
        InputFileError: a key that was not drawn, or a verdict that is none, with its line.
    """
    known = {row.key: row for row in drawn}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            names = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the sheet cannot be read: {error}", where=str(path), hint="save it as CSV in UTF-8") from error
    if not {"key", "verdict"} <= set(names):
        raise UserError("the file is no review sheet", where=str(path), hint=f"its first line names {', '.join(SHEET)}")
    out, problems, now = [], [], _now()
    for line, row in rows:
        verdict = (row.get("verdict") or "").strip().lower()
        if not verdict:
            continue
        if verdict not in VERDICTS:
            problems.append(Problem(str(path), line, 1, f"'{verdict[:40]}' is no verdict", f"write {GOOD} or {BAD}"))
        elif row["key"] not in known:
            problems.append(Problem(str(path), line, 1, f"no row of the key '{str(row['key'])[:40]}' was drawn", "give the sheet's own --rows and --seed"))
        else:
            found = known[row["key"]]
            good: Verdict = "good" if verdict == GOOD else "bad"
            out.append(Review(found.artefact, found.row, reviewer, good, (row.get("reason") or "").strip(), now))
    if problems:
        raise InputFileError(problems)
    return out


def given(row: Drawn, reviewer: str, verdict: Verdict, reason: str) -> Review:
    """A verdict that is given now."""
    return Review(row.artefact, row.row, reviewer, verdict, reason, _now())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


