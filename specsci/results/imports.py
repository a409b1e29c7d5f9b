"""Results made elsewhere: counts or single answers from a CSV or Parquet file, as a study of the same database.

A file has one row per arm, seed and eval with `aligned`, `decided` and `asked`, or one row per answer with `item_id` as well.
It is checked whole before anything is kept; what is kept lies beside the store's steps and survives a rebuild.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from specsci.errors import InputFileError, Problem, StoreError, UserError, nearest
from specsci.ids import digest, file_sha256, is_safe_name
from specsci.results.manifest import VERSION, read_manifest
from specsci.store.artifact import Store, write_json

REQUIRED = {
    "arm": "VARCHAR", "seed": "BIGINT", "eval": "VARCHAR", "aligned": "BIGINT", "decided": "BIGINT", "asked": "BIGINT",
}  # fmt: skip
"""Column to its type."""
OPTIONAL = {
    "item_id": "VARCHAR", "cluster_id": "VARCHAR", "base_model": "VARCHAR", "msm_spec": "VARCHAR", "aft_spec": "VARCHAR",
    "aft_tokens": "BIGINT", "state": "VARCHAR",
}  # fmt: skip
STATES = ("ok", "unparsed", "refused", "error", "truncated")
CELL = ("arm", "base_model", "msm_spec", "aft_spec", "aft_tokens", "seed", "eval")
FOLDER, COUNTS, ROWS = "imports", "counts.parquet", "rows.parquet"
PROFILE = "imported"
MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Imported:
    """What an import brought in."""

    study: str
    rows: int
    cells: int
    answers: int
    level: str
    """`counts`, or `answers` where every row is an item."""


def import_file(store: Store, file: Path, study: str, *, title: str = "", replace: bool = False) -> Imported:
    """Take a file's results into the store as a study.

    Args:
        replace: whether an import of this name may be replaced; one of the same file is left as it is anyway.

    Raises:
        UserError: the name is no study's name, or is taken.
        InputFileError: what is wrong in the file, row by row.
    """
    if not is_safe_name(study):
        raise UserError(f"'{study}' is no name for a study", mend="use lower-case letters, digits, '_', '-' and '.'")
    place = store.root / "studies" / f"{study}.json"
    before = read_manifest(place)
    if before and before["profile"] != PROFILE:
        raise UserError(f"'{study}' is a study that this store ran", mend="give the imported results another name")
    source = {"file": file.name, "sha256": file_sha256(file)}
    if before and before["imported"]["source"] != source and not replace:
        raise UserError(
            f"'{study}' was imported from another file ({before['imported']['source']['file']})",
            mend="give it another name, or --replace",
        )
    with duckdb.connect() as db:
        level = _read(db, file)
        found = _keep(db, store, study, level)
        manifest = _manifest(db, study, title or f"Imported from {file.name}", {"source": source, **found})
    try:
        write_json(place, manifest)
    except OSError as error:
        raise StoreError(f"the import cannot be kept: {error}", where=str(place), mend="free space") from error
    return Imported(study, found["rows"], len(manifest["cells"]), found["answers"], level)


def _read(db: duckdb.DuckDBPyConnection, file: Path) -> str:
    """The file as the table `given`, every value in its type; returns whether it holds counts or answers."""
    try:
        if file.suffix == ".parquet":
            db.execute("CREATE TABLE raw AS SELECT *, row_number() OVER () AS row FROM read_parquet($f)", {"f": str(file)})
        else:
            options = "header = true, all_varchar = true, comment = '#', null_padding = false, strict_mode = true"
            db.execute(
                f"CREATE TABLE raw AS SELECT *, row_number() OVER () AS row FROM read_csv($f, {options})", {"f": str(file)}
            )
    except duckdb.Error as error:
        raise UserError(
            f"{file} cannot be read: {str(error).splitlines()[0]}", mend="give a CSV with a header, or Parquet"
        ) from error
    columns = [row[0] for row in db.execute("DESCRIBE raw").fetchall()]
    columns.remove("row")
    _check_columns(file, columns)
    types = {**REQUIRED, **OPTIONAL}
    parts = [
        f"try_cast(raw.{name} AS {kind}) AS {name}" if name in columns else f"CAST(NULL AS {kind}) AS {name}"
        for name, kind in types.items()
    ]
    db.execute(f"CREATE TABLE given AS SELECT row, {', '.join(parts)} FROM raw")
    _check_rows(db, file, {name: kind for name, kind in types.items() if name in columns}, "item_id" in columns)
    db.execute("UPDATE given SET aft_tokens = 0 WHERE aft_tokens IS NULL")
    db.execute("UPDATE given SET base_model = 'imported' WHERE base_model IS NULL")
    return "answers" if "item_id" in columns else "counts"


def _check_columns(file: Path, columns: list[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    problems = [
        Problem(str(file), 1, 1, f"there is no column '{name}'", nearest(name, [c for c in columns if c not in known]))
        for name in REQUIRED
        if name not in columns
    ]
    problems += [
        Problem(str(file), 1, 1 + number, f"unknown column '{name}'", nearest(name, known))
        for number, name in enumerate(columns)
        if name not in known
    ]
    if problems:
        raise InputFileError(problems)


def _check_rows(db: duckdb.DuckDBPyConnection, file: Path, types: dict[str, str], items: bool) -> None:
    """Every rule with the rows that break it."""
    key = ", ".join(CELL)
    rules = {
        **{
            f"'{name}' is no whole number": f"raw.{name} IS NOT NULL AND coalesce(try_cast(raw.{name} AS DOUBLE) <> g.{name}, true)"
            for name, kind in types.items()
            if kind == "BIGINT"
        },
        **{f"'{name}' is empty": f"raw.{name} IS NULL OR trim(CAST(raw.{name} AS VARCHAR)) = ''" for name in REQUIRED},
        "not 0 <= aligned <= decided <= asked": "g.aligned < 0 OR g.aligned > g.decided OR g.decided > g.asked",
        "nothing was asked": "g.asked < 1",
        "'seed' or 'aft_tokens' is negative": "g.seed < 0 OR g.aft_tokens < 0",
    }
    if "state" in types:
        names = ", ".join(f"'{s}'" for s in STATES)
        rules[f"'state' is none of {', '.join(STATES)}"] = f"g.state IS NOT NULL AND g.state NOT IN ({names})"
        rules["'state' is ok exactly where the answer was decided"] = (
            "(g.state = 'ok' AND g.decided < g.asked) OR (g.state <> 'ok' AND g.decided > 0)"
        )
    if items:
        rules["'item_id' is empty"] = "g.item_id IS NULL"
    else:
        rules["this arm, seed, eval and budget stand in an earlier row too"] = (
            f"g.row IN (SELECT row FROM given QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY row) > 1)"
        )
    broken = {
        what: db.execute(
            f"SELECT g.row FROM given g JOIN raw USING (row) WHERE {rule} ORDER BY g.row LIMIT {MOST_PROBLEMS}"
        ).fetchall()
        for what, rule in rules.items()
    }
    lines = _lines(file) if any(broken.values()) else []
    problems = [
        Problem(str(file), lines[row] if row < len(lines) else int(row), 1, what)
        for what, found in broken.items()
        for (row,) in found
    ]
    if not problems and not db.execute(f"SELECT {key} FROM given LIMIT 1").fetchall():
        problems.append(Problem(str(file), 1, 1, "there are no rows"))
    if problems:
        raise InputFileError(problems[:MOST_PROBLEMS])


def _lines(file: Path) -> list[int]:
    """The line of a text file that each row stands on, the header being row 0; empty for Parquet, whose rows have no lines."""
    if file.suffix == ".parquet":
        return []
    text = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return [number for number, line in enumerate(text, 1) if line.strip() and not line.startswith("#")]


def _keep(db: duckdb.DuckDBPyConnection, store: Store, study: str, level: str) -> dict[str, Any]:
    """Write the rows as Parquet under the study's name; a name is replaced in one rename."""
    db.execute(
        f"CREATE TABLE cell AS SELECT {', '.join(CELL)}, row_number() OVER (ORDER BY min(row)) AS number FROM given GROUP BY ALL"
    )
    same = " AND ".join(f"g.{c} IS NOT DISTINCT FROM cell.{c}" for c in CELL)
    if level == "counts":
        query = f"SELECT cell.number, g.aligned, g.decided, g.asked FROM given g JOIN cell ON {same} ORDER BY cell.number"
    else:
        # an item asked several times is that many answers: first the aligned ones, then the rest of the decided
        query = f"""SELECT cell.number, g.item_id, g.cluster_id,
            row_number() OVER (PARTITION BY cell.number, g.item_id ORDER BY g.row, a.n) - 1 AS sample,
            CASE WHEN a.n < g.decided THEN 'ok' ELSE coalesce(nullif(g.state, 'ok'), 'unparsed') END AS state,
            CASE WHEN a.n < g.decided THEN a.n < g.aligned END AS aligned
            FROM given g JOIN cell ON {same}, LATERAL (SELECT unnest(range(g.asked)) AS n) a ORDER BY cell.number, g.item_id, sample"""
    folder = store.root / FOLDER / study
    temporary = folder.with_name(f".{study}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        name = COUNTS if level == "counts" else ROWS
        db.execute(f"COPY ({query}) TO '{str(temporary / name).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
        sha = file_sha256(temporary / name)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(temporary, folder)
    except OSError as error:
        raise StoreError(f"the import cannot be kept: {error}", where=str(folder), mend="free space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    rows, answers = db.execute("SELECT count(*), sum(asked) FROM given").fetchall()[0]
    return {"level": level, "file": name, "sha256": sha, "rows": int(rows), "answers": int(answers)}


def _manifest(db: duckdb.DuckDBPyConnection, study: str, title: str, imported: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a study that has cells and no steps."""
    names = (*CELL, "number")
    found = [
        dict(zip(names, row, strict=True))
        for row in db.execute(f"SELECT {', '.join(names)} FROM cell ORDER BY number").fetchall()
    ]
    cells = [
        {
            **{k: cell[k] for k in CELL},
            "midtrain_tokens": 0,
            "step_digest": step_digest(study, imported["sha256"], cell["number"]),
            "model_digest": None,
        }
        for cell in found
    ]
    arms = {c["arm"]: {"title": c["arm"], "midtrain": c["msm_spec"], "align": c["aft_spec"]} for c in found}
    return {
        "manifest": VERSION,
        "study": study,
        "title": title,
        "hypothesis": "",
        "notes": "",
        "profile": PROFILE,
        "family": "",
        "family_version": "",
        "access": "public",
        "file": imported["source"]["file"],
        "correction": "holm",
        "arms": arms,
        "evals": {name: {"role": "outcome"} for name in dict.fromkeys(c["eval"] for c in found)},
        "contrasts": [],
        "token_efficiency": None,
        "replicates": [{"seed": s, "base_model": b} for s, b in dict.fromkeys((c["seed"], c["base_model"]) for c in found)],
        "cells": cells,
        "steps": {},
        "imported": imported,
    }


def step_digest(study: str, sha256: str, number: int) -> str:
    """What stands for the score step of an imported cell; two studies may have the same rows."""
    return digest({"study": study, "import": sha256, "cell": number})


def load_imports(db: duckdb.DuckDBPyConnection, store: Store, found: list[dict[str, Any]]) -> set[str]:
    """Put the rows of imported studies into the database; returns the step digests that are there.

    Raises:
        StoreError: a kept file is not what was written.
    """
    there: set[str] = set()
    for manifest in found:
        if manifest["profile"] != PROFILE:
            continue
        imported = manifest["imported"]
        path = store.root / FOLDER / manifest["study"] / imported["file"]
        if not path.is_file() or file_sha256(path) != imported["sha256"]:
            raise StoreError(
                f"the import '{manifest['study']}' is not what was written",
                where=str(path),
                mend=f"import {imported['source']['file']} again with --replace",
            )
        digests = [cell["step_digest"] for cell in manifest["cells"]]
        there |= set(digests)
        db.register("named", pa.table({"number": range(1, len(digests) + 1), "step_digest": digests}))
        if imported["level"] == "counts":
            db.execute(
                "INSERT INTO count_rows SELECT n.step_digest, c.aligned, c.decided, c.asked "
                "FROM read_parquet($f) c JOIN named n USING (number)",
                {"f": str(path)},
            )
        else:
            db.execute(
                "INSERT INTO score_rows SELECT n.step_digest, r.item_id, r.cluster_id, 'imported', 'imported', r.sample, "
                "r.state, r.aligned, NULL, NULL, NULL, NULL FROM read_parquet($f) r JOIN named n USING (number)",
                {"f": str(path)},
            )
        db.unregister("named")
    return there
