"""`specsci tune`: trials with the same budget for every arm, the winners, and the study under three settings.

Every trial is ordinary steps, so that what is done is never done again; nothing else is kept that the search would need. The record in
`tuning/STUDY.json` says what was tried and what came out, and keeps the trials' artefacts from being swept away.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from specsci.core.errors import GateRefused, UserError
from specsci.core.files import write_json
from specsci.core.step import Step, with_needs
from specsci.execute.report import Display, RunReport
from specsci.execute.run import run_steps, run_study
from specsci.plan.gates import refuse_if_needed
from specsci.search.choose import Winners, winners
from specsci.search.confirm import Conclusion, conclusions, config_of, fragile, plans, targeted
from specsci.search.samplers import adaptive, described, is_adaptive, paired
from specsci.search.space import Axis, Config, axes, present
from specsci.search.trials import Result, Trial, result_of, trials_of
from specsci.stats.tuning_curve import CurvePoint, tuning_curve
from specsci.store.artifact import Store
from specsci.study.evals import EVALS
from specsci.study.load import LoadedStudy
from specsci.study.tuning import LOSS
from specsci.upkeep.usage import TUNING

DisplayFor = Callable[[dict[str, Step]], Display]


@dataclass
class Outcome:
    """What a search came to."""

    study: str
    sampler: dict[str, Any]
    maximise: bool
    space: dict[str, dict[str, Any]]
    settings_now: Config
    results: list[Result] = field(default_factory=list)
    own: dict[str, Config | None] = field(default_factory=dict)
    shared: Config | None = None
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)
    studies: dict[str, str] = field(default_factory=dict)
    conclusions: list[Conclusion] = field(default_factory=list)
    fragile: list[str] = field(default_factory=list)
    tuned_to_target: str = ""
    steps: list[str] = field(default_factory=list)
    report: RunReport = field(default_factory=RunReport)

    @property
    def tokens(self) -> dict[str, int]:
        """Training tokens of each arm's trials."""
        found: dict[str, int] = {}
        for result in self.results:
            found[result.arm] = found.get(result.arm, 0) + result.tokens
        return found

    def as_json(self) -> dict[str, Any]:
        """As JSON has it; an infinite end of a band is null, for unknown."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("report", "own", "shared", "settings_now", "results")}
        finite = {arm: [{k: v if math.isfinite(v) else None for k, v in asdict(p).items()} for p in points] for arm, points in self.curves.items()}
        return {
            **plain, "curves": finite, "tokens": self.tokens, "settings_now": dict(self.settings_now), "shared": config_of(self.shared),
            "own": {arm: config_of(c) for arm, c in self.own.items()}, "results": [{**asdict(r), "config": dict(r.config)} for r in self.results],
        }  # fmt: skip


class Search:
    """One search over a loaded study."""

    def __init__(self, loaded: LoadedStudy, store: Store, workers: int | None, display_for: DisplayFor, executor: str = "local", address: str = "") -> None:
        if loaded.study.tuning is None:
            raise UserError("the study has no `tuning:` block", where=str(loaded.file), hint="say what is searched: see docs/tuning.md")
        self.loaded, self.store, self.tuning = loaded, store, loaded.study.tuning
        self.how = (workers, display_for, executor, address)
        self.axes: list[Axis] = axes(loaded)
        self.maximise = self.tuning.objective != LOSS
        space = {a.key: {**a.range.model_dump(), "whole_numbers": a.whole} for a in self.axes}
        self.outcome = Outcome(loaded.name, described(self.tuning), self.maximise, space, present(loaded), tuned_to_target=targeted(loaded, self.tuning))

    def trials(self) -> list[Trial]:
        """The trials whose settings are known before anything ran: all, or none where samplers learn."""
        if is_adaptive(self.tuning):
            return []
        found: list[Trial] = []
        for number, config in enumerate(paired(self.axes, self.tuning)):
            found += trials_of(self.loaded, self.tuning, number, config, self.tuning.arms)
        return found

    def run(self) -> Outcome:
        """Search, choose, and run the study under the three settings; the same call again goes on.

        Raises:
            GateRefused: a gate refuses a plan.
        """
        out = self.outcome
        if is_adaptive(self.tuning):
            out.results = adaptive(self.axes, self.tuning, self.tuning.arms, maximise=self.maximise, settle=self._one_round)
        else:
            out.results = self._settle(self.trials())
        if out.report.interrupted:
            return out
        best = winners(out.results, self.tuning.arms, maximise=self.maximise)
        out.own, out.shared = best.own, best.shared
        out.curves = {arm: self._curve(arm) for arm in self.tuning.arms}
        self._write()
        self._confirm(best)
        self._write()
        return out

    def _one_round(self, number: int, configs: dict[str, Config]) -> list[Result]:
        trials = [t for arm, config in configs.items() for t in trials_of(self.loaded, self.tuning, number, config, [arm])]
        found = self._settle(trials)
        if self.outcome.report.interrupted:
            raise KeyboardInterrupt
        return found

    def _settle(self, trials: list[Trial]) -> list[Result]:
        """Run the steps of trials, side by side; one that fails is a trial without a value."""
        steps: dict[str, Step] = {}
        for plan in {id(t.plan): t.plan for t in trials}.values():
            refuse_if_needed(plan)
        for trial in trials:
            steps.update(with_needs(trial.plan.steps, trial.wanted))
        self.outcome.steps = sorted({*self.outcome.steps, *steps})
        self._write()
        workers, display_for, executor, address = self.how
        self.outcome.report.add(run_steps(trials[0].plan, steps, self.store, workers, display_for, executor, address))
        return [result_of(trial, self.store, self.tuning) for trial in trials]

    def _curve(self, arm: str) -> list[CurvePoint]:
        """An arm's tuning curve; a setting that may not be chosen counts as the worst rate there is, and is left out of a loss."""
        mine = [r for r in self.outcome.results if r.arm == arm]
        bounded = self.maximise and self._binary()
        values = [r.objective if r.counts and r.objective is not None else 0.0 for r in mine if r.counts or bounded]
        bounds = (0.0, 1.0) if bounded else (-math.inf, math.inf) if self.maximise else (0.0, math.inf)
        return tuning_curve(values, maximise=self.maximise, bounds=bounds)

    def _binary(self) -> bool:
        spec = self.loaded.study.evals[self.tuning.objective]
        return EVALS[spec.kind].outcome_of(spec) == "binary"

    def _confirm(self, best: Winners) -> None:
        workers, display_for, executor, address = self.how
        for setting, plan in plans(self.loaded, self.tuning, best).items():
            refuse_if_needed(plan)
            report = run_study(plan, self.store, workers, display_for, executor, address=address)
            self.outcome.report.add(report)
            if report.interrupted:
                return
            self.outcome.studies[setting] = plan.loaded.name
        self.outcome.conclusions = conclusions(self.store, self.outcome.studies)
        self.outcome.fragile = fragile(self.outcome.conclusions)

    def _write(self) -> None:
        write_json(record_path(self.store, self.loaded.name), self.outcome.as_json())


def record_path(store: Store, study: str) -> Path:
    """Where the record of a study's search lies."""
    return store.root / TUNING / f"{study}.json"


def read_outcome(store: Store, study: str) -> dict[str, Any]:
    """The record of a study's search, as JSON has it.

    Raises:
        UserError: there was none.
    """
    path = record_path(store, study)
    if not path.is_file():
        raise UserError(f"the store has no search of '{study}'", hint=f"run: specsci tune {study}")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GateRefused("the record of the search cannot be read", where=str(path), hint="run `specsci tune` again: nothing is trained twice") from error
    return found
