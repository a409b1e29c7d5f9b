"""The studies of the paper's figures: both profiles load and plan, grids share their midtrained models, tables find ours."""

from __future__ import annotations

import pytest

from specsci.core.shipped import find_study, shipped
from specsci.plan.build import build_plan
from specsci.plan.gates import findings
from specsci.report.ablation import Ablation, RateCell
from specsci.report.paper_figures import FIGURES, figure_tables
from specsci.report.plan import lines
from specsci.stats.intervals import Interval
from specsci.study.load import load_study

STUDIES = sorted(p.name for p in shipped("studies").glob("paper_*.yaml"))


def test_there_is_one_for_every_figure_that_has_a_counterpart() -> None:
    assert [s.split("_")[1] for s in STUDIES] == ["fig10", "fig14", "fig15", "fig17", "fig2", "fig3", "fig4", "fig5", "fig7"]


@pytest.mark.parametrize("name", STUDIES)
def test_the_micro_profile_may_run(name: str) -> None:
    plan = build_plan(load_study(name))
    assert not [f for f in findings(plan) if f.level == "refuse"]
    shared, replicates = plan.of_kind("midtrain"), len(plan.loaded.study.replicates)
    specs = {a.midtrain for a in plan.loaded.study.arms.values() if a.midtrain}
    assert len(shared) == replicates * len(specs), (
        "one midtrained model per spec and replicate, however many arms go on from it"
    )


@pytest.mark.parametrize("name", STUDIES)
def test_the_paper_profile_is_planned_at_the_papers_scale_and_says_that_it_was_not_run(name: str) -> None:
    loaded = load_study(name, "paper")
    recipe = loaded.study.midtrain.recipe if loaded.study.midtrain else None
    assert recipe is not None and (recipe.lora.rank, recipe.lora.alpha, recipe.learning_rate) == (64, 128, 1e-4)
    assert "NOT run" in loaded.study.notes and len(loaded.study.replicates) >= 4
    assert not any(c.primary for c in loaded.study.contrasts), "an unpinned model carries no primary contrast"
    plan = build_plan(loaded)
    assert not [f for f in findings(plan) if f.level == "refuse"]
    said = "\n".join(lines(plan, set(), findings(plan)))
    assert "H100 hours" in said and "core-seconds" not in said, "a 32B model is not priced by cores"


def cell(rate: float) -> RateCell:
    return RateCell(Interval(rate, rate - 0.05, rate + 0.05, 8, "t over replicates"), 1, 2, 2, {})


def test_ours_stands_beside_the_published_grid() -> None:
    arms = load_study("paper_fig14_pairing_grid.yaml").study.arms
    budget = {a: 8000 if s.align else 0 for a, s in arms.items()}
    rates = {a: 0.1 + 0.01 * n for n, a in enumerate(arms)}
    ours = Ablation("paper_fig14_pairing_grid", "t", "h", "", "f", "base model", [8000])
    ours.cells = {"held_out": {(a, budget[a]): cell(r) for a, r in rates.items()}}
    table = figure_tables("fig14", ours)[0]
    by_row = {tuple(row[:3]): row[3] for row in table.rows}
    shown = f"{rates['value_augmented_then_rule_augmented']:.3f}".removeprefix("0")
    assert f".11 | {shown} [" in by_row["value_augmented", "rule_augmented", "cot"]
    assert "|" not in by_row["value_augmented", "rule_augmented", "no_cot"], "the microlab's demonstrations give reasons"
    assert "|" in by_row["none", "none", "–"] and "|" in by_row["none", "rules", "cot"]


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if f.study])
def test_every_arm_that_a_table_looks_for_is_in_its_study(name: str) -> None:
    figure = FIGURES[name]
    find_study(f"{figure.study}.yaml")
    arms = load_study(f"{figure.study}.yaml").study.arms
    assert set(figure.arms.values()) <= {*arms, ""}, "an empty one is shown without ours"
