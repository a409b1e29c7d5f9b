"""One self-contained page about a study: what it found, what speaks against it, and what it was made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
from markupsafe import Markup

from specsci.core.errors import UserError
from specsci.database.manifest import Manifest
from specsci.report import audit_tables
from specsci.report.ablation import Ablation, ablation, chosen_study
from specsci.report.claims import claim_tables
from specsci.report.html import page
from specsci.report.judge_table import corrected_table, judge_table, ordinal_table
from specsci.report.lineage_graph import lineage_svg
from specsci.report.plots import draw
from specsci.report.readout_table import readout_table
from specsci.report.reason_table import reason_tables
from specsci.report.svg import inline_style, inline_svg
from specsci.report.table import Table
from specsci.report.tables import noise_table, preamble, tables_of
from specsci.report.transcripts import transcripts

CAPTIONS = {
    "forest": "Contrasts with their 95 % intervals over replicates; small points are the replicates.",
    "curves": "Misaligned rate over AFT tokens: mean, 95 % interval over replicates, and every replicate as a thin line.",
    "grid": "Misaligned rate at the largest AFT budget, by what a model was midtrained on and aligned on.",
    "harness": "Misaligned rate of every arm, at its largest AFT budget, under each harness condition.",
    "noise": "Where the squared standard error of each contrast comes from.",
    "texts": "How the variants' training texts are written, and how their documents spread over the clauses: means over replicates.",
    "denominators": "What became of every question: aligned, misaligned, or without a valid answer.",
}


@dataclass
class Figure:
    """A figure of the page, with its caption."""

    svg: Markup
    caption: str


@dataclass
class Section:
    """A part of the page: its id, heading, lines, figures and tables."""

    id: str
    heading: str
    lines: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def study_page(db: duckdb.DuckDBPyConnection, study: str | None) -> str:
    """The page as HTML. It is made to be given away: it names no host and no path of the machine that made it."""
    manifest = chosen_study(db, study)
    content = ablation(db, manifest.study)
    tables = tables_of(content)
    sections = [
        Section("answers", "Answers", _registration(content), _figures(content, "forest"), _titled(tables, "Contrasts")),
        Section("rates", "Rates", [], _figures(content, "curves"), _titled(tables, "Misaligned rate on", "mean over")),
        Section("harness", "Harness", [], _figures(content, "harness"), _titled(tables, "Harness")),
        Section("tokens", "Token efficiency", [], [], _titled(tables, "Token efficiency")),
        Section("denominators", "Denominators", [], _figures(content, "denominators"), []),
        Section(
            "noise", "Variance components", [], _figures(content, "noise"), [noise_table(content)] if content.noise else []
        ),
        Section(
            "controls", "Controls and absorption", [], [], _titled(tables, "Controls", "") + _titled(tables, "Absorption")
        ),
        Section("claims", "Claims", [], [], claim_tables(content)),
        Section("corpora", "Corpora", [], _figures(content, "texts"), _texts(db, content.study)),
        Section("instruments", "Instruments", [], [], _instruments(db, content.study, manifest)),
        Section("replicates", "Every replicate", [], [], _titled(tables, "Misaligned rate on", "in each replicate")),
        Section("costs", "Costs", [], [], [audit_tables.cost_table(db, content.study)]),
        Section("environment", "Environment", [], [], [audit_tables.environment_table(db, content.study)]),
    ]
    outcome = next(iter(content.cells), None)
    asked, why = transcripts(db, content.study, manifest, outcome) if outcome else ([], "nothing is scored yet")
    layers = audit_tables.lineage_layers(db, content.study)
    return page(
        "study.html",
        title=content.title,
        lines=preamble(content)[1:],
        notes=" ".join(content.notes.split()),
        sections=[s for s in sections if s.figures or s.tables or s.lines],
        decoded=audit_tables.decoded_rows(db, content.study),
        transcripts=asked,
        no_transcripts=why,
        graph=lineage_svg(layers) if layers else None,
        commands=_commands(content),
    )


def _figures(content: Ablation, *names: str) -> list[Figure]:
    """Figures that the study has something to show in."""
    found = []
    for name in names:
        try:
            drawn = draw(name, content, style=inline_style())
        except UserError:  # the study has nothing (yet) that this figure shows
            continue
        found.append(Figure(inline_svg(drawn, name, CAPTIONS[name]), CAPTIONS[name]))
    return found


def _instruments(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest) -> list[Table]:
    """What each eval asks, its readouts where it has several, and its judges."""
    of_answers = (judge_table(db, study, manifest), ordinal_table(db, study), corrected_table(db, study))
    made = (audit_tables.instrument_table(db, study, manifest), readout_table(db, study, manifest), *of_answers)
    return [*(table for table in made if table), *reason_tables(db, study, manifest)]


def _texts(db: duckdb.DuckDBPyConnection, study: str) -> list[Table]:
    """The corpora, and the requests behind them."""
    return [t for t in (audit_tables.corpus_table(db, study), audit_tables.requests_table(db, study)) if t]


def _titled(tables: list[Table], start: str, contains: str = "") -> list[Table]:
    return [t for t in tables if t.title.startswith(start) and contains in t.title]


def _registration(content: Ablation) -> list[str]:
    """How the contrasts stand to what was declared before the first score."""
    by_status: dict[str, list[str]] = {}
    for c in content.contrasts:
        by_status.setdefault(c["registered"], []).append(c["contrast"])
    if {c["registered"] for c in content.contrasts} == {"unregistered"}:
        return ["Not pre-registered: no lock of the contrasts was made before the first score (specsci study lock)."]
    return [f"{status}: {', '.join(names)}" for status, names in by_status.items()]


def _commands(content: Ablation) -> list[str]:
    """The commands that make the page's tables and figures again from the rows; they name no path of the author's machine."""
    at = f"--study {content.study} --store STORE"
    names = ["forest", "curves", "denominators", *(["noise"] if content.noise else [])]
    return [
        "specsci results rebuild --store STORE",
        f"specsci report table ablation {at}",
        *(f"specsci report plot {name} {at}" for name in names),
        f"specsci report html {at}",
    ]
