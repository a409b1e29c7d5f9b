"""The Python door: a study from its file to a contrast, equal to the command line.

study = specsci.load_study("value_vs_rules.yaml", overrides={"midtrain.tokens": 100_000})
run = study.plan().run(store="results")
run.results.contrast(eval="held_out", weights={"value_augmented": 1, "rules": -1}, budget_tokens=4000)
"""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from specsci.core.errors import SpecsciError, StepFailed, UserError

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

    from specsci.core.step import Step
    from specsci.execute.report import Display, RunReport
    from specsci.plan.gates import Finding
    from specsci.plan.plan import Plan
    from specsci.store.artifact import Store as ArtifactStore
    from specsci.store.forecast import Forecast
    from specsci.study.load import LoadedStudy

Place = str | os.PathLike[str] | None


def load_study(
    name: str | os.PathLike[str],
    *,
    profile: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> Study:
    """A study by path or by the name of a shipped one.

    Args:
        profile: a profile of the file; its default one where none is named.
        overrides: values by dotted key, such as `{"midtrain.tokens": 20_000}`, over those of the file.
        limit: cut it down to a smoke run with so many items to an eval.

    Raises:
        InputFileError: every problem of the file, with its place.
        UserError: no such study, profile or family.
    """
    from specsci.study.load import load_study as load

    return Study(load(os.fspath(name), profile, overrides, limit))


def open_store(path: Place = None, *, create: bool = False) -> Store:
    """A store of artefacts and results.

    Args:
        path: its directory; `$SPECSCI_STORE`, else `.specsci` here, where none is named.
        create: make one where there is none.

    Raises:
        UserError: there is none, or the place cannot hold one.
    """
    from specsci.store.place import open_store as opened

    return Store(opened(path, create=create))


@dataclass(frozen=True)
class Study:
    """A study whose file was checked."""

    loaded: LoadedStudy

    @property
    def name(self) -> str:
        """The name that its results have."""
        return self.loaded.name

    @property
    def file(self) -> Path:
        """The study's file."""
        return self.loaded.file

    def plan(self) -> StudyPlan:
        """What a run would do, step by step; under a second for 2,000 cells, and without torch.

        Raises:
            InputFileError: a base model or a file that the study names cannot be used.
        """
        from specsci.plan.build import build_plan

        return StudyPlan(build_plan(self.loaded))

    def run(self, **options: Any) -> Run:
        """Plan and run; the options are those of `StudyPlan.run`."""
        return self.plan().run(**options)

    def __repr__(self) -> str:
        study = self.loaded.study
        counts = f"{len(study.arms)} arms, {len(study.evals)} evals, {len(study.replicates)} replicates"
        return f"<Study {self.name}: {counts}, {self.file}>"


@dataclass(frozen=True)
class StudyPlan:
    """The steps of a study."""

    plan: Plan

    @property
    def steps(self) -> dict[str, Step]:
        """All steps by digest."""
        return dict(self.plan.steps)

    def findings(self) -> list[Finding]:
        """What the gates say: `refuse` stops a run, `warn` and `note` do not.

        Raises:
            InputFileError: a base model is refused by its examination.
        """
        from specsci.plan.gates import findings

        return findings(self.plan)

    def as_dict(self, store: Place = None) -> dict[str, Any]:
        """The plan as plain values, with what a store already has: what `specsci study plan --json` prints."""
        from specsci.report.plan import as_dict

        seen = self._forecast(store)
        return as_dict(self.plan, seen.have, seen.findings, speeds=seen.speeds)

    def text(self, store: Place = None) -> str:
        """The plan as `specsci study plan` prints it."""
        from specsci.report.plan import lines

        seen = self._forecast(store)
        return "\n".join(lines(self.plan, seen.have, seen.findings, speeds=seen.speeds))

    def run(
        self,
        *,
        store: Place = None,
        workers: int | None = None,
        executor: str = "local",
        address: str = "",
        progress: Literal["auto", "lines", "none"] | Callable[[dict[str, Step]], Display] = "auto",
        check: bool = True,
    ) -> Run:
        """Run what is missing; the same call again goes on where it stopped.

        Args:
            store: where artefacts and results lie; made if need be.
            workers: steps at once; None for as many as this machine has room for.
            executor: the pool that runs steps.
            address: where an executor of other machines finds their cluster.
            progress: a live view on a terminal and lines elsewhere (`auto`), `lines`, `none`, or a function that makes a
                display for the missing steps.
            check: raise where a step failed; else the report tells.

        Raises:
            GateRefused: a gate refuses the plan, or a step's result.
            StepFailed: a step failed.
        """
        from specsci.execute.run import run_study
        from specsci.plan.gates import refuse_if_needed
        from specsci.store.place import open_store as opened

        refuse_if_needed(self.plan)
        place = opened(store, create=True)
        report = run_study(self.plan, place, workers, _display(progress), executor, address=address)
        run = Run(self.plan.loaded.name, report, Store(place))
        if check:
            run.raise_for_failure()
        return run

    def _forecast(self, store: Place) -> Forecast:
        from specsci.store.artifact import Store as ArtifactStore
        from specsci.store.forecast import forecast
        from specsci.store.place import store_path

        return forecast(self.plan, ArtifactStore(store_path(store)))

    def __repr__(self) -> str:
        kinds: dict[str, int] = {}
        for step in self.plan.steps.values():
            kinds[step.kind] = kinds.get(step.kind, 0) + 1
        return f"<StudyPlan {self.plan.loaded.name}: {len(self.plan.steps):,} steps ({_counts(kinds)})>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    study: str
    report: RunReport
    store: Store

    @property
    def results(self) -> Results:
        """The results of this study."""
        return Results(self.store.path, self.study)

    def raise_for_failure(self) -> None:
        """Raise what stopped steps of the run; nothing where all are done.

        Raises:
            StepFailed: a step failed, or the run was interrupted.
            GateRefused: a gate refused a step's result.
        """
        from specsci.core.errors import GateRefused

        if self.report.exit_code == 0:
            return
        first = next(iter(self.report.errors), None)
        said = f"{first['label']}: {first['error'].strip()}" if first else "the run was interrupted"
        kind: type[SpecsciError] = GateRefused if self.report.exit_code == 3 else StepFailed
        raise kind(said, where=first.get("log", "") if first else "", hint="the same call goes on where it stopped")

    def __repr__(self) -> str:
        r = self.report
        return f"<Run {self.study}: {r.executed:,} steps executed, {r.reused:,} reused, {r.failed:,} failed>"


@dataclass(frozen=True)
class Store:
    """A store of artefacts and results."""

    _store: ArtifactStore

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._store.root

    @property
    def results(self) -> Results:
        """The results of all its studies."""
        return Results(self.path)

    def rebuild(self) -> Path:
        """Build results.duckdb anew from the artefacts; returns its path.

        Raises:
            StoreError: it cannot be written.
        """
        from specsci.results.build import build

        return build(self._store)

    def __repr__(self) -> str:
        return f"<Store {self.path}>"


@dataclass(frozen=True)
class Results:
    """The results of a store; `study` is the one that is meant where none is named."""

    root: Path
    study: str | None = None

    @property
    def studies(self) -> list[str]:
        """The names of all studies in the store."""
        return [row["study"] for row in self.sql("SELECT study FROM studies ORDER BY study").to_pylist()]

    def sql(self, query: str) -> pa.Table:
        """A query's rows as an Arrow table; it reads the tables of the results and nothing else.

        Raises:
            UserError: there are no results, or the query fails.
        """
        import duckdb

        from specsci.database.connection import connect

        with connect(self.root) as db:
            try:
                return db.sql(query).to_arrow_table()
            except duckdb.Error as error:
                raise UserError(f"the query failed: {error}", hint='results.sql("SHOW TABLES") lists the tables') from error

    def frame(self, query: str) -> pandas.DataFrame:
        """The same as a pandas data frame."""
        return self.sql(query).to_pandas()

    def contrast(
        self, *, eval: str, weights: Mapping[str, float], study: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """A weighted sum of arms' aligned rates with interval, test, denominators and flags.

        Args:
            eval: the eval that was asked.
            weights: arm to weight; they sum to 0, or one arm has weight 1.
            options: further fields of `specsci.inference.contrast_spec.ContrastSpec`: `budget_tokens`, `scale`, `denominator`, `method`,
                `margin`, `paired`.

        Raises:
            UserError: an unknown name or option, or a method that the data do not allow.
        """
        from dataclasses import fields

        from specsci.core.errors import nearest
        from specsci.database.connection import connect
        from specsci.inference.contrast import contrast
        from specsci.inference.contrast_spec import ContrastSpec

        known = [f.name for f in fields(ContrastSpec) if f.name not in ("study", "eval", "weights")]
        for name in options:
            if name not in known:
                raise UserError(f"a contrast has no option '{name}'", hint=nearest(name, known))
        with connect(self.root) as db:
            return contrast(db, ContrastSpec(self._named(study), eval, dict(weights), **options))

    def table(self, study: str | None = None) -> Tables:
        """A study's tables as `specsci report table ablation` prints them.

        Raises:
            UserError: no such study, or several and none named.
        """
        from specsci.database.connection import connect
        from specsci.report.ablation import ablation
        from specsci.report.tables import preamble, tables_of

        with connect(self.root) as db:
            content = ablation(db, study or self.study)
        return Tables(preamble(content), tables_of(content))

    def _named(self, study: str | None) -> str:
        wanted = study or self.study
        if wanted:
            return wanted
        there = self.studies
        if len(there) != 1:
            raise UserError(f"the store has {len(there)} studies", hint=f"say study= one of {', '.join(there)}")
        return there[0]

    def __repr__(self) -> str:
        return f"<Results {self.root}{f', study {self.study}' if self.study else ''}>"


@dataclass(frozen=True)
class Tables:
    """A study's tables: `print` shows them as Markdown, a notebook as a page."""

    lines: list[str]
    tables: list[Any]

    @property
    def markdown(self) -> str:
        """All tables as GitHub Markdown."""
        from specsci.report.tables import markdown

        return "\n\n".join([*self.lines, markdown(self.tables)])

    def __str__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())


def _display(progress: str | Callable[[dict[str, Step]], Display]) -> Callable[[dict[str, Step]], Display]:
    from specsci.execute.live import Lines, Quiet, Terminal

    if callable(progress):
        return progress
    if progress not in ("auto", "lines", "none"):
        raise UserError(f"progress is '{progress}'", hint="'auto', 'lines', 'none', or a function that makes a display")
    if progress == "none":
        return lambda missing: Quiet()

    def made(missing: dict[str, Step]) -> Display:
        from rich.console import Console

        console = Console(stderr=True)
        if progress == "auto" and console.is_terminal:
            return Terminal(console, missing)
        return Lines(sys.stderr, missing)

    return made
