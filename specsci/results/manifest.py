"""The manifest of a study in its store: which step holds which cell's scores. Written before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from specsci.errors import StoreError
from specsci.plan.build import Plan
from specsci.store.artifact import Store, write_json
from specsci.study.arms import ResolvedArm, confounds

VERSION = 1


def manifest_of(plan: Plan) -> dict[str, Any]:
    """The design's cells, contrasts and steps as plain data."""
    loaded, study = plan.loaded, plan.loaded.study
    cells = []
    for scored in plan.scored:
        arm = ResolvedArm.of(study, scored.cell.arm, scored.cell.aft_tokens)
        cells.append(
            {
                "arm": scored.cell.arm,
                "base_model": scored.cell.replicate.base_model,
                "msm_spec": arm.msm_spec,
                "aft_spec": arm.align,
                "aft_tokens": arm.aft_tokens,
                "midtrain_tokens": arm.midtrain_tokens,
                "seed": scored.cell.replicate.seed,
                "eval": scored.eval,
                "step_digest": scored.digest,
                "model_digest": plan.models[scored.cell.arm, scored.cell.replicate.seed, scored.cell.aft_tokens],
            }
        )
    contrasts = [
        {
            **contrast.model_dump(exclude={"budget_tokens"}),
            "budgets": contrast.budgets,
            "confounds": sorted(
                {c for b in contrast.budgets for c in confounds(study, contrast.weights, b, contrast.factor)}
            ),
        }
        for contrast in study.contrasts
    ]
    return {
        "manifest": VERSION,
        "study": loaded.name,
        "title": study.title,
        "hypothesis": study.hypothesis.strip(),
        "notes": study.notes.strip(),
        "profile": loaded.profile,
        "family": study.family,
        "family_version": loaded.family.data.version,
        "file": loaded.file.name,
        "correction": study.correction,
        "arms": {name: arm.model_dump() for name, arm in study.arms.items()},
        "evals": {name: spec.model_dump() for name, spec in study.evals.items()},
        "contrasts": contrasts,
        "token_efficiency": study.token_efficiency.model_dump() if study.token_efficiency else None,
        "replicates": [r.model_dump() for r in study.replicates],
        "cells": cells,
        "steps": {digest: step.kind for digest, step in plan.steps.items()},
    }


def write_manifest(store: Store, plan: Plan) -> dict[str, Any]:
    """Write the manifest, unless the same one is there."""
    manifest = manifest_of(plan)
    path = store.root / "studies" / f"{plan.loaded.name}.json"
    if read_manifest(path) != manifest:
        try:
            write_json(path, manifest)
        except OSError as error:
            what = f"the manifest cannot be written: {error.strerror or error}"
            raise StoreError(what, where=str(path), mend="free space, or choose another place with --store DIR") from error
    return manifest


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest; None where there is none that can be read."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("manifest") == VERSION else None


def manifests(store: Store) -> list[dict[str, Any]]:
    """All studies of a store, by name."""
    found = [read_manifest(p) for p in sorted((store.root / "studies").glob("*.json"))]
    return [m for m in found if m is not None]
