"""The manifest of a study in its store: which step holds which cell's scores. Written before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from specsci.errors import StoreError
from specsci.ids import digest
from specsci.plan.plan import Plan
from specsci.specs.family import Family
from specsci.specs.variants import demonstrations
from specsci.store.artifact import Store, write_json
from specsci.study.arms import ResolvedArm, confounds

VERSION = 1
SUPERSEDED = "superseded"
"""Folder of the manifests that a study had on other versions of its family."""


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
                "spec_digest": plan.specs.get((arm.msm_spec or "", scored.cell.replicate.seed)),
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
    probes = [
        {
            "msm_spec": p.variant,
            "base_model": p.replicate.base_model,
            "seed": p.replicate.seed,
            "text": p.text,
            "stage": p.stage,
            "step_digest": p.digest,
        }
        for p in plan.probed
    ]
    return {
        "manifest": VERSION,
        "study": loaded.name,
        "title": study.title,
        "hypothesis": study.hypothesis.strip(),
        "notes": study.notes.strip(),
        "tuned_to_target": study.tuned_to_target,
        "profile": loaded.profile,
        "family": study.family_name,
        "family_version": loaded.family.data.version,
        "family_parts": family_parts(loaded.family),
        "access": plan.access,
        "file": loaded.file.name,
        "correction": study.correction,
        "arms": {name: arm.model_dump() for name, arm in study.arms.items()},
        "evals": {name: spec.model_dump() for name, spec in study.evals.items()},
        "contrasts": contrasts,
        "token_efficiency": study.token_efficiency.model_dump() if study.token_efficiency else None,
        "replicates": [r.model_dump() for r in study.replicates],
        "cells": cells,
        "probes": probes,
        "steps": {digest: step.kind for digest, step in plan.steps.items()},
    }


def family_parts(family: Family) -> dict[str, Any]:
    """What a study's results depend on of its family, each part with its digest."""
    return {
        "variants": {name: digest(family.variant_identity(name)) for name in family.data.variants},
        "grammar": family.grammar_digest,
        "conversations": {
            name: digest(demonstrations(family, c.variant, subrules=c.subrules).identity())
            for name, c in family.data.conversations.items()
        },
        "items": {name: family.items_digest(name) for name in family.item_sets()},
    }


def write_manifest(store: Store, plan: Plan) -> dict[str, Any]:
    """Write the manifest, unless the same one is there; one of another family version is kept as superseded."""
    manifest = manifest_of(plan)
    path = store.root / "studies" / f"{plan.loaded.name}.json"
    before = read_manifest(path)
    if before != manifest:
        try:
            if before and before.get("family_parts") not in (None, manifest["family_parts"]):
                folder = store.root / "studies" / SUPERSEDED
                folder.mkdir(exist_ok=True)
                write_json(folder / f"{plan.loaded.name}.{digest(before)}.json", before)
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


def manifests(store: Store, *, superseded: bool = False) -> list[dict[str, Any]]:
    """All studies of a store, by name; with `superseded` also as they were on other versions of their family."""
    folder = store.root / "studies"
    paths = [*sorted(folder.glob("*.json")), *(sorted(folder.glob(f"{SUPERSEDED}/*.json")) if superseded else [])]
    found = [read_manifest(p) for p in paths]
    return [m for m in found if m is not None]
