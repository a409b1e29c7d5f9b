"""The manifest of a study in its store: which step holds which cell's scores. Written before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from specsci.core.errors import StoreError
from specsci.core.ids import digest
from specsci.core.levels import arm_of
from specsci.core.user_files import unhidden
from specsci.plan.plan import Plan
from specsci.sources.registry import source_of
from specsci.specs.family import Family
from specsci.specs.variants import demonstrations
from specsci.store.artifact import Store, write_json
from specsci.study.arms import ResolvedArm, confounds
from specsci.study.evals import EVALS, readout_of

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
                "items_digest": plan.steps[scored.digest].inputs.get("items"),
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
        "arms": {name: arm.declared() for name, arm in study.arms.items()},
        "evals": {name: spec.declared() for name, spec in study.evals.items()},
        "readouts": {
            name: {"readout": readout_of(spec), "outcome": EVALS[spec.kind].outcome} for name, spec in study.evals.items()
        },
        "contrasts": contrasts,
        "token_efficiency": study.token_efficiency.model_dump() if study.token_efficiency else None,
        "replicates": [r.model_dump() for r in study.replicates],
        "cells": cells,
        "probes": probes,
        "steps": {digest: step.kind for digest, step in plan.steps.items()},
        "disclaimers": _disclaimers(plan),
    }


def _disclaimers(plan: Plan) -> list[str]:
    """What the sources of the study's bases have a reader told."""
    names = dict.fromkeys(r.base_model for r in plan.loaded.study.replicates)
    said = (source_of(plan.loaded.study.base_models[name].source).disclaimer for name in names)
    return list(dict.fromkeys(text for text in said if text))


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
        if before and before.get("family_parts") not in (None, manifest["family_parts"]):
            write_json(store.root / "studies" / SUPERSEDED / f"{plan.loaded.name}.{digest(before)}.json", before)
        write_json(path, manifest)
    return manifest


class Cell(BaseModel):
    """One cell of a study's design, and the step that holds its scores."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    arm: str
    base_model: str
    msm_spec: str | None
    aft_spec: str | None
    aft_tokens: int = Field(ge=0, lt=2**63)
    midtrain_tokens: int = Field(ge=0, lt=2**63)
    seed: int
    eval: str
    step_digest: str
    model_digest: str | None


class Contrast(BaseModel):
    """A declared comparison, as far as a reader rests on it."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    name: str
    eval: str
    weights: dict[str, float]
    budgets: list[int]


class Imported(BaseModel):
    """Where an imported study's rows lie, and what they were made of."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    source: dict[str, str]
    level: Literal["counts", "answers"]
    file: str = Field(pattern=r"^[^/\x00]+$")
    sha256: str


class Manifest(BaseModel):
    """What a file of `studies/` says; further keys are allowed."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    manifest: Literal[1]
    study: str
    title: str
    hypothesis: str
    profile: str
    family: str
    family_version: str
    file: str
    correction: str
    arms: dict[str, dict[str, Any]]
    evals: dict[str, dict[str, Any]]
    contrasts: list[Contrast]
    token_efficiency: dict[str, Any] | None
    replicates: list[dict[str, Any]]
    cells: list[Cell]
    probes: list[dict[str, Any]] = []
    steps: dict[str, str]
    access: str = "public"
    disclaimers: list[str] = []
    readouts: dict[str, dict[str, str]] = {}
    imported: Imported | None = None

    @model_validator(mode="after")
    def _names_meet(self) -> Manifest:
        """Cells and contrasts name arms and evals that there are; an imported study says what it was made of."""
        unknown = {c.arm for c in self.cells} - self.arms.keys() | {c.eval for c in self.cells} - self.evals.keys()
        unknown |= {arm_of(a) for c in self.contrasts for a in c.weights} - self.arms.keys()
        if unknown:
            raise ValueError(f"it names {', '.join(sorted(unknown))} and does not say what that is")
        if (self.profile == "imported") != (self.imported is not None):
            raise ValueError("it does not say what was imported")
        return self


def load_manifest(path: Path) -> dict[str, Any]:
    """A manifest as plain data that has the form of `Manifest`.

    Raises:
        StoreError: it cannot be read as one, is that of another study, or another version of specsci wrote it.
    """
    hint = "run the study again (or import it again with --replace), which writes it anew; or restore it from a copy"
    try:
        data = from_json(path.read_bytes())
        if isinstance(data, dict) and data.get("manifest", VERSION) != VERSION:
            said = f"the manifest is of format {data['manifest']}; this version of specsci reads format {VERSION}"
            raise StoreError(said, where=str(path), hint="use the version of specsci that wrote it")
        manifest = Manifest.model_validate(data)
    except StoreError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
        raise StoreError(f"the manifest cannot be read ({said})", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(f"the manifest cannot be read ({said})", where=str(path), hint=hint) from error
    if path.parent.name != SUPERSEDED and manifest.study != path.stem:
        raise StoreError(f"the manifest is that of '{manifest.study}'", where=str(path), hint=hint)
    plain: dict[str, Any] = data
    return plain


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest; None where there is none that can be read."""
    try:
        return load_manifest(path)
    except StoreError:
        return None


def manifests(store: Store, *, superseded: bool = False) -> list[dict[str, Any]]:
    """All studies of a store whose manifests can be read (see `damaged_manifests`), by name.

    With `superseded` also as they were on other versions of their family.
    """
    found = [read_manifest(p) for p in _paths(store, superseded=superseded)]
    return [m for m in found if m is not None]


def damaged_manifests(store: Store) -> list[StoreError]:
    """What is said of the manifests that cannot be read."""
    out = []
    for path in _paths(store, superseded=True):
        try:
            load_manifest(path)
        except StoreError as error:
            out.append(error)
    return out


def _paths(store: Store, *, superseded: bool) -> list[Path]:
    folder = store.root / "studies"
    return [*unhidden(folder, "*.json"), *(unhidden(folder, f"{SUPERSEDED}/*.json") if superseded else [])]
