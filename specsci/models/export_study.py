"""All models of a study as directories, each named by its digest, with a list that says which arm, seed and budget each is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.files import write_whole
from specsci.core.record import Record
from specsci.database.manifest import Manifest
from specsci.models.export import export_model
from specsci.models.hf import ADAPTER
from specsci.provenance.lineage import models
from specsci.sources.files import CARD
from specsci.store.artifact import Store

LIST = "models.jsonl"


@dataclass(frozen=True)
class Exported:
    """What an export did: directories written now, those that were there, and digests of models that are not trained yet."""

    written: tuple[str, ...]
    there: tuple[str, ...]
    missing: tuple[str, ...]


def export_study(
    store: Store, manifest: Manifest, target: Path, *, precision: str = "fp32", merge: bool = True, told: Callable[[int, int, str], None] | None = None
) -> Exported:
    """Write every model of a study that is trained into `target`; what an earlier call wrote stays.

    Args:
        told: called before each model with its number from 1, how many there are, and its label.

    Raises:
        UserError: none is trained yet, or a directory is there that is no export of its model.
        SpecsciError: as `export_model` raises; the models before it are there, and the same call goes on.
    """
    places = _places(manifest)
    records = {r.digest: r for kind in models() for r in store.records(kind) if r.digest in places}
    missing = tuple(d for d in places if d not in records)
    if not records:
        raise UserError(f"no model of '{manifest.study}' is trained yet", hint="run the study first")
    if not merge:  # a base, and weights that were all trained, are no adapters
        records = {d: r for d, r in records.items() if (store.path(r.kind, d) / ADAPTER).is_dir()}
        if not records:
            raise UserError(f"no model of '{manifest.study}' is an adapter", hint="export without --adapter")
    there = tuple(d for d in records if _is_there(target / d, d, precision if merge else ""))
    left = [r for d, r in records.items() if d not in there]
    target.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate(left, 1):
        if told:
            told(number, len(left), record.label)
        store.verify(record.kind, record.digest)
        export_model(store, record, target / record.digest, precision=precision, merge=merge)
    lines = [json.dumps(_line(records[d], cells), ensure_ascii=False) for d, cells in places.items() if d in records]
    write_whole(target / LIST, lambda part: part.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return Exported(tuple(r.digest for r in left), there, missing)


def _places(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """Model digest to the arms, seeds and budgets that it is."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in manifest.cells:
        place = {"arm": cell.arm, "seed": cell.seed, "aft_tokens": cell.aft_tokens, "base_model": cell.base_model, "msm_spec": cell.msm_spec, "aft_spec": cell.aft_spec}
        if cell.model_digest and place not in found.setdefault(cell.model_digest, []):
            found[cell.model_digest].append(place)
    return found


def _is_there(folder: Path, digest: str, precision: str) -> bool:
    """Whether a directory is an export of a model in a precision (empty for an adapter); raises UserError where it is something else."""
    if not folder.exists():
        return False
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = None
    if not isinstance(card, dict) or card.get("model") != digest:
        raise UserError(f"{folder} is there and is no export of that model", hint="name another directory")
    if card.get("precision") != precision:
        said = f"in {card['precision']}" if card.get("precision") else "as an adapter"
        raise UserError(f"{folder} holds the model {said}", hint="name another directory")
    return True


def _line(record: Record, cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {"model": record.digest, "directory": record.digest, "label": record.label, "access": record.access, "cells": cells}
