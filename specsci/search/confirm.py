"""Three studies on the study's own replicates: with its settings as they are, tuned per arm, and with one setting shared by all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from specsci.core.levels import arm_of
from specsci.core.step import with_needs
from specsci.database.connection import connect, rows
from specsci.plan.plan import Plan
from specsci.search.choose import Winners
from specsci.search.space import Config, said
from specsci.search.trials import plan_of
from specsci.store.artifact import Store
from specsci.study.load import LoadedStudy
from specsci.study.tuning import Tuning

DEFAULT, TUNED, SHARED = "default", "tuned", "shared"
CANNOT_TELL, NOT_SCORED = "cannot tell", "not scored"
GUARDS = ("competence", "capability")
"""Roles of evals that go along: without them no table says whether a model can be asked at all."""


@dataclass(frozen=True)
class Conclusion:
    """What a contrast says under one setting; `says` is higher, lower, cannot tell, or not scored."""

    contrast: str
    setting: str
    study: str
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    p_adj: float | None
    n: int | None
    says: str


def design(loaded: LoadedStudy, tuning: Tuning) -> dict[str, Any]:
    """The part of a study that its tuned arms are reported by: their contrasts, the evals of these, and the guards."""
    study, arms = loaded.study, set(tuning.arms)
    contrasts = [c for c in study.contrasts if {arm_of(a) for a in c.weights} <= arms]
    asked = {c.eval for c in contrasts} | {n for n, e in study.evals.items() if e.role in GUARDS}
    asked |= {str(getattr(study.evals[n], "of", "")) for n in asked} & study.evals.keys()
    given = loaded.given("evals")
    evals: dict[str, Any] = {}
    for name in study.evals:
        if name not in asked:
            continue
        spec = dict(given[name])
        if isinstance(spec.get("arms"), list):
            spec["arms"] = [a for a in spec["arms"] if a in arms]
            if not spec["arms"]:
                continue
        evals[name] = spec
    kept = {c.name for c in contrasts}
    return {
        "arms": {name: spec for name, spec in loaded.given("arms").items() if name in arms},
        "evals": evals,
        "contrasts": [c for c in loaded.given("contrasts") or [] if c.get("name") in kept and c.get("eval") in evals],
        "token_efficiency": None,
        "without": {},
        "tuning": None,
    }


def plans(loaded: LoadedStudy, tuning: Tuning, best: Winners) -> dict[str, Plan]:
    """The plans of the studies that there are winners for, by setting."""
    part, name, flag = design(loaded, tuning), loaded.study.study, targeted(loaded, tuning)
    more: dict[str, Any] = {**part, **({"tuned_to_target": flag} if flag else {})}
    out = {DEFAULT: plan_of(loaded, (), **{**part, "study": f"{name}-untuned", "title": f"{loaded.study.title} (settings as they were)"})}
    own = {arm: config for arm, config in best.own.items() if config is not None}
    if len(own) == len(tuning.arms):
        notes = "Settings tuned per arm: " + "; ".join(f"{arm}: {said(config)}" for arm, config in own.items())
        title = f"{loaded.study.title} (tuned per arm)"
        out[TUNED] = composed({a: plan_of(loaded, c, **{**more, "study": f"{name}-tuned", "title": title, "notes": notes}) for a, c in own.items()})
    if best.shared is not None:
        notes, title = f"One setting shared by all arms: {said(best.shared)}", f"{loaded.study.title} (one shared setting)"
        out[SHARED] = plan_of(loaded, best.shared, **{**more, "study": f"{name}-shared", "title": title, "notes": notes})
    return out


def composed(parts: dict[str, Plan]) -> Plan:
    """One plan whose arms are each from a plan of its own."""
    first = next(iter(parts.values()))
    plan = replace(first, steps={}, scored=[], probed=[], requested={})
    for arm, part in parts.items():
        plan.scored += [s for s in part.scored if s.cell.arm == arm]
        variants = set(part.loaded.study.arms[arm].variants)
        plan.probed += [p for p in part.probed if p.variant in variants and p not in plan.probed]
        plan.steps.update({d: s for d, s in part.steps.items() if d not in plan.steps})
    wanted = {s.digest for s in plan.scored} | {p.digest for p in plan.probed}
    kept = with_needs(plan.steps, [d for d in wanted if d in plan.steps])
    return replace(plan, steps=kept)


def targeted(loaded: LoadedStudy, tuning: Tuning) -> str:
    """What is said of contrasts whose eval the settings were chosen by; empty where there are none."""
    hit = [c.name for c in loaded.study.contrasts if c.eval == tuning.objective]
    return f"settings were chosen by eval '{tuning.objective}', which {', '.join(hit)} report" if hit else ""


def conclusions(store: Store, studies: dict[str, str]) -> list[Conclusion]:
    """What every contrast says in each study (setting to study name), from the results as they stand."""
    found = []
    with connect(store.root) as db:
        for setting, study in studies.items():
            query = "SELECT contrast, estimate, ci_low, ci_high, p_adj, n FROM contrasts WHERE study = ? ORDER BY contrast"
            found += [Conclusion(**row, setting=setting, study=study, says=_says(row)) for row in rows(db, query, [study])]
    return found


def _says(row: dict[str, Any]) -> str:
    if row["estimate"] is None:
        return NOT_SCORED
    if row["ci_low"] is None or row["ci_high"] is None or row["ci_low"] <= 0 <= row["ci_high"]:
        return CANNOT_TELL
    return "higher" if row["ci_low"] > 0 else "lower"


def fragile(found: list[Conclusion]) -> list[str]:
    """The contrasts that say different things under different settings."""
    by_contrast: dict[str, set[str]] = {}
    for one in found:
        by_contrast.setdefault(one.contrast, set()).add(one.says)
    return sorted(name for name, says in by_contrast.items() if len(says) > 1)


def config_of(config: Config | None) -> dict[str, float | int] | None:
    """A setting as JSON has it."""
    return dict(config) if config is not None else None
