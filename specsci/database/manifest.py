"""The manifest of a study in its store: which step holds which cell's scores. Written before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from specsci.core.errors import StoreError, UserError
from specsci.core.ids import digest
from specsci.core.levels import arm_of, subject
from specsci.core.user_files import unhidden
from specsci.database.manifest_parts import (
    Arm,
    Cell,
    Contrast,
    Eval,
    FamilyParts,
    Imported,
    Part,
    Probe,
    Readout,
    Replicate,
    TokenEfficiency,
)
from specsci.plan.plan import Plan
from specsci.sources.registry import source_of
from specsci.specs.family import Family
from specsci.specs.variants import demonstrations
from specsci.stats.families import Correction
from specsci.store.artifact import Store, write_json
from specsci.study.arms import ResolvedArm, confounds
from specsci.study.evals import EVALS, readout_of
from specsci.study.frame import ROLE as FRAME
from specsci.study.schema import IMPORTED, Study

if TYPE_CHECKING:
    import duckdb

VERSION: Literal[1] = 1
SUPERSEDED = "superseded"
"""Folder of the manifests that a study had on other versions of its family."""
REPAIR = "run the study again (or import it again with --replace), which writes it anew; or restore it from a copy"


class Manifest(Part):
    """What a file of `studies/` says of a study, in the order in which it is written; see `manifest_parts` for defaults."""

    manifest: Literal[1]
    study: str
    title: str
    hypothesis: str
    notes: str = ""
    tuned_to_target: str = ""
    profile: str
    family: str
    family_version: str
    family_parts: FamilyParts | None = None
    access: str = "public"
    file: str
    correction: Correction
    arms: dict[str, Arm]
    evals: dict[str, Eval]
    harness: dict[str, dict[str, Any]] = Field(default_factory=dict)
    readouts: dict[str, Readout] = Field(default_factory=dict)
    contrasts: list[Contrast]
    token_efficiency: TokenEfficiency | None
    replicates: list[Replicate]
    cells: list[Cell]
    probes: list[Probe] = Field(default_factory=list)
    steps: dict[str, str]
    disclaimers: list[str] = Field(default_factory=list)
    imported: Imported | None = None

    @model_validator(mode="after")
    def _names_meet(self) -> Manifest:
        """Cells and contrasts name arms and evals that there are; an imported study says what it was made of."""
        unknown = {c.arm for c in self.cells} - self.arms.keys() | {c.eval for c in self.cells} - self.evals.keys()
        unknown |= {arm_of(a) for c in self.contrasts for a in c.weights} - self.arms.keys()
        if unknown:
            raise ValueError(f"it names {', '.join(sorted(unknown))} and does not say what that is")
        if (self.profile == IMPORTED) != (self.imported is not None):
            raise ValueError("it does not say what was imported")
        return self

    @property
    def midtrained_on(self) -> dict[str, str | None]:
        """Arm to the spec that it was midtrained on."""
        return {name: arm.midtrain for name, arm in self.arms.items()}

    def conditions_of(self, name: str) -> list[str]:
        """The harness conditions that an eval is asked under, the one that tables take first; empty where it names none."""
        found = self.evals.get(name)
        return found.harness if found else []

    def subject_of(self, cell: Cell) -> str:
        """A cell's arm as contrasts name it (see `specsci.core.levels`)."""
        return subject(cell.arm, cell.harness or None, self.conditions_of(cell.eval))

    def readout_of(self, name: str) -> Readout:
        """Which readout is taken of an eval, and what an answer is; of imports and in older manifests an answer is aligned or not."""
        return self.readouts.get(name, Readout())


def manifest_of(plan: Plan) -> Manifest:
    """The design's cells, contrasts and steps.

    Raises:
        UserError: the study cannot be kept under its names.
    """
    loaded, study = plan.loaded, plan.loaded.study
    efficiency = study.token_efficiency
    try:
        return Manifest(
            manifest=VERSION,
            study=loaded.name,
            title=study.title,
            hypothesis=study.hypothesis.strip(),
            notes=study.notes.strip(),
            tuned_to_target=study.tuned_to_target,
            profile=loaded.profile,
            family=study.family_name,
            family_version=loaded.family.data.version,
            family_parts=family_parts(loaded.family, [e.items for e in study.evals.values()]),
            access=plan.access,
            file=loaded.file.name,
            correction=study.correction,
            arms={name: Arm.model_validate(arm.declared()) for name, arm in study.arms.items()},
            evals={name: Eval.model_validate(spec.declared()) for name, spec in study.evals.items()},
            **_harness(study),
            readouts={
                name: Readout(readout=readout_of(spec), outcome=EVALS[spec.kind].outcome_of(spec))
                for name, spec in study.evals.items()
            },
            contrasts=_contrasts(study),
            token_efficiency=TokenEfficiency.model_validate(efficiency.model_dump()) if efficiency else None,
            replicates=[Replicate.model_validate(r.model_dump()) for r in study.replicates],
            cells=_cells(plan),
            probes=[
                Probe(
                    msm_spec=p.variant,
                    base_model=p.replicate.base_model,
                    seed=p.replicate.seed,
                    text=p.text,
                    stage=p.stage,
                    step_digest=p.digest,
                )
                for p in plan.probed
            ],
            steps={digest: step.kind for digest, step in plan.steps.items()},
            disclaimers=_disclaimers(plan),
        )
    except ValidationError as error:
        raise UserError(f"the study makes no manifest ({_first(error)})", where=str(loaded.file)) from error


def _cells(plan: Plan) -> list[Cell]:
    cells = []
    for scored in plan.scored:
        name, replicate, budget = scored.cell.arm, scored.cell.replicate, scored.cell.aft_tokens
        arm = ResolvedArm.of(plan.loaded.study, name, budget)
        inputs = plan.steps[scored.digest].inputs if scored.digest in plan.steps else {}  # a cell whose scores are made elsewhere may wait
        cells.append(
            Cell(
                arm=name,
                base_model=replicate.base_model,
                msm_spec=arm.msm_spec,
                aft_spec=arm.align,
                aft_tokens=arm.aft_tokens,
                midtrain_tokens=arm.midtrain_tokens,
                seed=replicate.seed,
                eval=scored.eval,
                step_digest=scored.digest,
                model_digest=plan.models[name, replicate.seed, budget],
                items_digest=inputs.get("items"),
                **_samples(inputs),
                **({"harness": scored.condition} if scored.condition else {}),
                spec_digest=plan.specs.get((arm.msm_spec or "", replicate.seed)),
            )
        )
    return cells


def _harness(study: Study) -> dict[str, Any]:
    """The harness conditions as the study declares them; nothing where it has none."""
    if not study.harness:
        return {}
    return {"harness": {name: c.model_dump(mode="json", exclude_defaults=True) for name, c in study.harness.items()}}


def _samples(inputs: Mapping[str, str]) -> dict[str, str]:
    """Where a cell's answers in words, the verdicts on them and what stood around its questions are; nothing for a cell without."""
    kept = {"samples_digest": "samples", "frame_digest": FRAME, "judgements_digest": "judgements", "second_digest": "second"}
    return {name: inputs[role] for name, role in kept.items() if role in inputs}


def _contrasts(study: Study) -> list[Contrast]:
    found = []
    for contrast in study.contrasts:
        mixed = {c for b in contrast.budgets for c in confounds(study, contrast.weights, b, contrast.factor, study.evals[contrast.eval].harness)}
        said = {**contrast.model_dump(exclude={"budget_tokens"}), "budgets": contrast.budgets, "confounds": sorted(mixed)}
        found.append(Contrast.model_validate(said))
    return found


def _disclaimers(plan: Plan) -> list[str]:
    """What the sources of the study's bases have a reader told, and the evals that were left out."""
    names = dict.fromkeys(r.base_model for r in plan.loaded.study.replicates)
    said = (source_of(plan.loaded.study.base_models[name].source).disclaimer for name in names)
    gone = (f"Left out: the eval {name} and its contrasts ({reason})." for name, reason in plan.loaded.study.without.items())
    return list(dict.fromkeys([*(text for text in said if text), *gone]))


def family_parts(family: Family, asked: Iterable[str] = ()) -> FamilyParts:
    """What a study's results depend on of its family, each part with its digest; of other families the item sets that are `asked`."""
    return FamilyParts(
        variants={name: digest(family.variant_identity(name)) for name in family.data.variants},
        grammar=family.grammar_digest,
        conversations={
            name: digest(demonstrations(family, c.variant, subrules=c.subrules).identity())
            for name, c in family.data.conversations.items()
        },
        items={name: family.items_digest(name) for name in dict.fromkeys([*family.item_sets(), *(n for n in asked if "/" in n)])},
    )


def write_manifest(store: Store, plan: Plan) -> Manifest:
    """Write the manifest, unless the same one is there; one of another family version is kept as superseded."""
    manifest = manifest_of(plan)
    path = store.root / "studies" / f"{plan.loaded.name}.json"
    before, now = read_manifest(path), manifest.plain()
    was = before.plain() if before else None
    if was != now:
        if before and before.family_parts not in (None, manifest.family_parts):
            write_json(store.root / "studies" / SUPERSEDED / f"{plan.loaded.name}.{digest(was)}.json", was)
        write_json(path, now)
    return manifest


def load_manifest(path: Path) -> Manifest:
    """A manifest as its file has it.

    Raises:
        StoreError: it cannot be read as one, is that of another study, or another version of specsci wrote it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        said = error.strerror or str(error).splitlines()[0]
        raise StoreError(f"the manifest cannot be read ({said})", where=str(path), hint=REPAIR) from error
    manifest = _parsed(data, str(path))
    if path.parent.name != SUPERSEDED and manifest.study != path.stem:
        raise StoreError(f"the manifest is that of '{manifest.study}'", where=str(path), hint=REPAIR)
    return manifest


def study_manifest(db: duckdb.DuckDBPyConnection, study: str) -> Manifest | None:
    """A study's manifest as the results have it; None where they have no such study."""
    row = db.execute("SELECT manifest FROM studies WHERE study = ?", [study]).fetchone()
    return _parsed(row[0], f"the results' manifest of '{study}'") if row else None


def _parsed(text: str | bytes, where: str) -> Manifest:
    """A manifest from its text; raises StoreError as `load_manifest` does."""
    try:
        data = from_json(text)
        if isinstance(data, dict) and data.get("manifest", VERSION) != VERSION:
            said = f"the manifest is of format {data['manifest']}; this version of specsci reads format {VERSION}"
            raise StoreError(said, where=where, hint="use the version of specsci that wrote it")
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise StoreError(f"the manifest cannot be read ({_first(error)})", where=where, hint=REPAIR) from error
    except ValueError as error:
        said = str(error).splitlines()[0]
        raise StoreError(f"the manifest cannot be read ({said})", where=where, hint=REPAIR) from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    return f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"


def read_manifest(path: Path) -> Manifest | None:
    """A manifest; None where there is none that can be read."""
    try:
        return load_manifest(path)
    except StoreError:
        return None


def manifests(store: Store, *, superseded: bool = False) -> list[Manifest]:
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
