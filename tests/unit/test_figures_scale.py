"""Figures of many arms take time in proportion to the arms, and show every one of them."""

from __future__ import annotations

import time

import pytest

from specsci.database.manifest_parts import Arm
from specsci.report.ablation import Ablation, RateCell
from specsci.report.plots import SOLVED_PANELS, draw
from specsci.stats.intervals import Interval

BUDGETS = (500, 4000)


def content(arms: int, name: str = "arm {}") -> Ablation:
    told = {"aft": None, **{name.format(n): f"v{n}" for n in range(arms - 1)}}
    names = {arm: Arm(title="", midtrain=spec, align="choices") for arm, spec in told.items()}
    cell = RateCell(Interval(0.5, 0.4, 0.6, 4, "t"), 50, 100, 100, {str(k): 0.5 for k in range(4)})
    cells = {(a, b): cell for a in names for b in BUDGETS}
    return Ablation("s", "t", "h", "", "f 1", "seed", [0, *BUDGETS], {"held_out": cells}, names)


def seconds(arms: int) -> float:
    drawn = content(arms)
    begin = time.process_time()
    draw("curves", drawn)
    return time.process_time() - begin


@pytest.mark.slow
def test_curves_of_four_times_the_arms_take_about_four_times_as_long() -> None:
    draw("curves", content(3))
    few = min(seconds(20) for _ in range(2))
    assert seconds(80) < 7 * few


@pytest.mark.parametrize("arms", [1, 5, SOLVED_PANELS, SOLVED_PANELS + 1, 30])
def test_every_arm_has_its_panel_with_its_replicates_and_the_outer_ones_their_labels(arms) -> None:
    figure = draw("curves", content(arms))
    panels = [a for a in figure.axes if a.get_visible()]
    assert [a.get_title() for a in panels] == list(content(arms).arms)
    for number, axis in enumerate(panels):
        mean = axis.lines[-1]
        assert list(mean.get_ydata()) == [0.5, 0.5] and list(mean.get_xdata()) == list(BUDGETS)
        points = [x for line in axis.lines if line.get_linewidth() == 0.6 for x in line.get_xdata() if x == x]
        assert points == [*BUDGETS] * 4
        assert axis.get_ylim() == (0, 1) and axis.get_xscale() == "log"
        assert (axis.yaxis.get_tick_params()["labelleft"]) == (number % min(4, arms) == 0)
        assert (axis.xaxis.get_tick_params()["labelbottom"]) == (number + min(4, arms) >= arms)
    assert len({a.get_xlim() for a in panels}) == 1


def test_a_long_name_is_cut_in_a_figure() -> None:
    figure = draw("curves", content(3, name="x" * 100 + "{}"))
    assert max(len(a.get_title()) for a in figure.axes) == 40
    figure = draw("denominators", content(3, name="x" * 100 + "{}"))
    assert max(len(t.get_text()) for t in figure.axes[0].get_yticklabels()) < 60
