"""Taking an import into the store: all of it or nothing, whatever fails and whenever the process is killed.

The rows are written first, in a file that is named by its content. The manifest names that file, and its rename is the moment
from which the import counts. Then the database is built; if that fails, the former manifest comes back. Files that no manifest
names are what a killed import left, and the next import removes them.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.errors import SpecsciError, StoreError, UserError
from specsci.core.files import leftovers, remove, unwritable, write_json, write_whole
from specsci.core.ids import is_safe_name
from specsci.database.manifest import VERSION, Manifest, read_manifest
from specsci.database.manifest_parts import Arm, Cell, Eval, Replicate
from specsci.database.manifest_parts import Imported as Origin
from specsci.results.imports.check import Given, cells, plain, read_given
from specsci.results.imports.load import FOLDER, PROFILE, step_digest
from specsci.results.sheet import sha256_of
from specsci.store.artifact import Store
from specsci.study.harness import PLAIN


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
    """Take a file's results into the store as a study, and build the database with it.

    Args:
        replace: whether an import of this name may be replaced; one of the same file may be given again anyway.

    Raises:
        UserError: the name is not a valid study name, or is taken.
        InputFileError: what is wrong in the file, with line and column.
        StoreError: the import cannot be kept; the store is as it was.
    """
    check_name(study)
    return keep(store, read_given(file), study, title=title, replace=replace)


def check_name(study: str) -> None:
    """Refuse what cannot be a study's name."""
    if not is_safe_name(study):
        raise UserError(
            f"'{study}' is not a valid name for a study", hint="use lower-case letters, digits, '_', '-' and '.'"
        )


def keep(store: Store, given: Given, study: str, *, title: str = "", replace: bool = False) -> Imported:
    """Keep checked rows as a study, and build the database with them; raises as `import_file` does."""
    from specsci.results.build import build  # here: the build reads imports

    place = store.root / "studies" / f"{study}.json"
    number, first = cells(given)
    level, data = given.level, _parquet(given, number, first)
    source = {"file": given.file, "sha256": given.sha256, **({"read_as": given.read_as} if given.read_as else {})}
    sha = sha256_of(data)
    answers = sum(given.numbers["attempted"].tolist())
    file = f"{level}-{sha[:24]}.parquet"
    imported = Origin(source=source, level=level, file=file, sha256=sha, rows=given.rows, answers=answers)
    manifest = _manifest(given, first, study, title or f"Imported from {given.file}", imported)
    with _alone(store):
        _check_former(store, place, source, study, replace)
        before = place.read_bytes() if place.exists() else None
        try:
            write_whole(store.root / FOLDER / study / file, lambda part: part.write_bytes(data))
            write_json(place, manifest.plain())
            build(store, study)
        except BaseException as error:
            _take_back(store, study, place, before)
            if isinstance(error, OSError) and not isinstance(error, SpecsciError):
                raise unwritable(place, error, "the import") from error
            raise
        _sweep(store, study)
    return Imported(study, given.rows, len(first), answers, level)


def _check_former(store: Store, place: Path, source: dict[str, str], study: str, replace: bool) -> None:
    """Raise UserError where what stands under the name may not be replaced."""
    before = read_manifest(place)
    if before is None:
        if place.exists() and not (replace and (store.root / FOLDER / study).is_dir()):
            raise StoreError(
                f"the manifest of '{study}' cannot be read",
                where=str(place),
                hint="give the import another name, or --replace",
            )
        return
    if before.profile != PROFILE:
        raise UserError(f"'{study}' is a study that this store ran", hint="give the imported results another name")
    if before.imported and before.imported.source != source and not replace:
        raise UserError(
            f"'{study}' was imported from another file ({before.imported.source['file']})",
            hint="give it another name, or --replace",
        )


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One import at a time: a lock on the folder of manifests, which the system frees when its holder dies."""
    handle = os.open(store.root / "studies", os.O_RDONLY)
    try:
        with suppress(
            OSError
        ):  # a file system without locks: imports of one name at one moment are then the user's to avoid
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _parquet(given: Given, number: np.ndarray, first: np.ndarray) -> bytes:
    """The rows to keep: counts by cell, or an item asked several times as that many answers."""
    if given.level == "counts":
        order = np.argsort(number, kind="stable")
        columns = {"number": number[order] + 1, **{n: given.numbers[n][order] for n in ("aligned", "valid", "attempted")}}
        table = pa.table(columns)
    else:
        table = _answers(given, number)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _answers(given: Given, number: np.ndarray) -> pa.Table:
    """A row per answer, by cell and item: of a row that stands for several first the aligned ones, then the rest of the valid."""
    attempted = given.numbers["attempted"]
    rank = np.argsort(np.argsort(np.array(given.texts["item_id"], object)))[given.names["item_id"]]
    order = np.lexsort((given.numbers["sample"], rank, number))  # stable: rows of one item stay in the file's order
    row = np.repeat(order, attempted[order])
    ends = np.cumsum(attempted[order])
    within = np.arange(len(row)) - np.repeat(ends - attempted[order], attempted[order])
    new_item = np.ones(len(order), bool)
    new_item[1:] = (number[order][1:] != number[order][:-1]) | (rank[order][1:] != rank[order][:-1])
    starts = (ends - attempted[order])[new_item]
    sample = np.arange(len(row)) - np.repeat(starts, np.diff(np.append(starts, len(row))))
    valid = within < given.numbers["valid"][row]
    states = given.texts["state"]
    other = [s if s not in (None, "ok") else "unparsed" for s in states]
    names = ["ok", *dict.fromkeys(other)]
    state = np.where(valid, 0, np.array([names.index(s) for s in other])[given.names["state"][row]])
    return pa.table(
        {
            "number": number[row] + 1,
            "item_id": _texts(given, "item_id", row),
            "cluster_id": _texts(given, "cluster_id", row),
            "sample": given.numbers["sample"][row] if given.sampled else sample,
            "state": pa.DictionaryArray.from_arrays(state.astype(np.int32), names),
            "aligned": pa.array(within < given.numbers["aligned"][row], mask=~valid),
        }
    )


def _texts(given: Given, name: str, row: np.ndarray) -> pa.Array:
    texts, codes = given.texts[name], given.names[name][row]
    missing = np.array([t is None for t in texts])[codes]
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32(), mask=missing), pa.array([t or "" for t in texts], pa.string())
    )


def _manifest(given: Given, first: np.ndarray, study: str, title: str, imported: Origin) -> Manifest:
    """The manifest of a study that has cells and no steps."""
    found = [plain(given, int(row)) for row in first]
    _name_conditions(found)
    digests = [step_digest(study, imported.sha256, n) for n in range(1, len(found) + 1)]
    added = [{"midtrain_tokens": 0, "step_digest": d, "model_digest": None} for d in digests]
    arms: dict[str, str | None] = {}
    for cell in found:  # an arm has one pair of specs; at 0 tokens the AFT spec may be missing
        arms[cell["arm"]] = arms.get(cell["arm"]) or cell["aft_spec"]
    specs = {cell["arm"]: cell["msm_spec"] for cell in reversed(found)}
    return Manifest(
        manifest=VERSION,
        study=study,
        title=title,
        hypothesis="",
        notes="",
        profile=PROFILE,
        family="",
        family_version="",
        access="public",
        file=imported.source["file"],
        correction="holm",
        arms={name: Arm(title=name, midtrain=specs[name], align=align) for name, align in arms.items()},
        evals=_evals(found),
        contrasts=[],
        token_efficiency=None,
        replicates=[Replicate(seed=s, base_model=b) for s, b in dict.fromkeys((c["seed"], c["base_model"]) for c in found)],
        cells=[Cell.model_validate({**cell, **more}) for cell, more in zip(found, added, strict=True)],
        steps={},
        imported=imported,
    )


def _name_conditions(found: list[dict[str, Any]]) -> None:
    """A cell without a condition is `plain` where its eval has cells with one; else cells have none."""
    asked = {cell["eval"] for cell in found if cell["harness"]}
    for cell in found:
        condition = cell.pop("harness")
        if cell["eval"] in asked:
            cell["harness"] = condition or PLAIN


def _evals(found: list[dict[str, Any]]) -> dict[str, Eval]:
    """The evals with the conditions that their cells are asked under, `plain` first."""
    conditions: dict[str, dict[str, None]] = {}
    for cell in found:
        conditions.setdefault(cell["eval"], {}).update({cell["harness"]: None} if "harness" in cell else {})
    under = {name: sorted(names, key=lambda n: n != PLAIN) for name, names in conditions.items()}
    return {name: Eval.model_validate({"role": "outcome", **({"harness": c} if c else {})}) for name, c in under.items()}


def _take_back(store: Store, study: str, place: Path, before: bytes | None) -> None:
    """The store as it was before the import."""
    with suppress(OSError):  # the error that is on its way says more
        if before is None:
            place.unlink(missing_ok=True)
        elif place.read_bytes() != before:
            write_whole(place, lambda part: part.write_bytes(before))
        _sweep(store, study)


def _sweep(store: Store, study: str) -> None:
    """Remove what no manifest names: rows of a former import, or of one that was killed."""
    for folder in [f for f in (store.root / FOLDER).glob("*") if f.is_dir()]:
        place = store.root / "studies" / f"{folder.name}.json"
        manifest = read_manifest(place)
        if manifest is None and place.exists():
            continue  # damaged: what it named is not known
        named = manifest.imported.file if manifest and manifest.imported else None
        for path in folder.iterdir():
            if path.name != named:
                path.unlink(missing_ok=True)
        if named is None:
            remove(folder)
    for left in leftovers(store.root / "studies", study):
        remove(left)
    with suppress(OSError):
        (store.root / FOLDER).rmdir()  # only where it is empty
